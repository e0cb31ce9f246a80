"""Reports (BER): the verdict on one attempt, made by code from evidence, never by the agent that is judged."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import ClassVar, Self

from pydantic import Field, model_validator

from governance.claims import forbidden_claims
from governance.codes import ReasonCode, RefusedError
from governance.graph import Edge
from governance.mandate import Mandate, lane_violations
from governance.record import AgentName, AttemptNumber, NodeId, Record, RunId, Sha256
from governance.shortening import shortened

VIOLATIONS_MAX = 200  # kept in one report
TEXT_MAX = 1000  # characters of one violation's sentence


class Verdict(StrEnum):
    """PASS: admissible. FAIL: something speaks against it. BLOCKED: it never ran, because of what it waited for."""

    PASS = "PASS"  # noqa: S105 - a verdict
    FAIL = "FAIL"
    BLOCKED = "BLOCKED"


class Report(Record):
    """The verdict on one attempt.

    Attributes:
        id: `BER-<run>-<node>-<attempt>`.
        run, node, attempt, agent: whose attempt.
        mandate_digest: digest of the mandate it was judged under.
        verdict: see Verdict; PASS exactly when there is a candidate and no violation.
        evidence_digest: hex SHA-256 of the evidence; None when nothing was measured.
        candidate_digest: hex SHA-256 of the candidate; None without one.
        violations: code and sentence, in order of discovery.
        predecessors: node id and report digest of the reports it rests on.
        choices: fields of fixed words in the node's output, by name; they decide which edges hold.
    """

    record_kind: ClassVar[str] = "optr/report/1"

    id: str
    run: RunId
    node: NodeId
    attempt: AttemptNumber
    agent: AgentName
    mandate_digest: Sha256
    verdict: Verdict
    evidence_digest: Sha256 | None
    candidate_digest: Sha256 | None
    violations: tuple[tuple[str, str], ...]
    predecessors: tuple[tuple[str, str], ...] = ()
    choices: dict[str, str] = Field(default={})

    @model_validator(mode="after")
    def _earned(self) -> Self:
        if self.id != report_id(self.run, self.node, self.attempt):
            raise ValueError(f"the id of this report must be {report_id(self.run, self.node, self.attempt)}")
        clean = not self.violations and self.candidate_digest is not None and self.evidence_digest is not None
        if (self.verdict == Verdict.PASS) != clean:
            raise ValueError("a report passes exactly when it has a candidate, evidence and no violation")
        return self


def report_id(run: str, node: str, attempt: int) -> str:
    """`BER-<run>-<node>-<attempt>`."""
    return f"BER-{run}-{node}-{attempt}"


def judge(  # noqa: PLR0913 - everything a verdict may rest on is named at the call
    mandate: Mandate,
    *,
    candidate_digest: str | None,
    evidence_digest: str | None,
    violations: Sequence[tuple[str, str]],
    touched_paths: Sequence[str],
    claims: Mapping[str, object],
    predecessors: Sequence[Report] = (),
    choices: Mapping[str, str] | None = None,
) -> Report:
    """The verdict on one attempt. Claims can only speak against it.

    Args:
        mandate: what was allowed.
        candidate_digest: hex SHA-256 of the candidate; None when the agent handed nothing back.
        evidence_digest: hex SHA-256 of the evidence; None when nothing was measured.
        violations: code and sentence of each finding of ours.
        touched_paths: repository paths of the candidate's diff.
        claims: the agent's own report, as it came.
        predecessors: reports of the nodes it depended on; see `governance.gates.report_gate`.
        choices: the words that its output chose; see Report.
    """
    found = list(violations)
    if not found and (candidate_digest is None or evidence_digest is None):
        found.append((ReasonCode.NO_PATCH.value, "there is no candidate to judge, or nothing was measured about it"))
    found.extend(forbidden_claims(claims))
    found.extend((ReasonCode.GS_200.value, text) for text in lane_violations(mandate, touched_paths))
    return _report(
        mandate,
        verdict=Verdict.FAIL if found else Verdict.PASS,
        digests=(evidence_digest, candidate_digest),
        violations=found,
        predecessors=predecessors,
        choices=choices or {},
    )


def block(mandate: Mandate, *, by: Sequence[Report]) -> Report:
    """The report of a node that never ran because reports that it waited for did not pass.

    Args:
        mandate: the node's.
        by: those reports.

    Raises:
        RefusedError: BINDING_MISMATCH when none of them, or a passing one, is given.
    """
    if not by or any(report.verdict == Verdict.PASS for report in by):
        raise RefusedError(
            ReasonCode.BINDING_MISMATCH, f"{mandate.id} can only be blocked by reports that did not pass"
        )
    found = [(ReasonCode.GS_203.value, f"node {report.node} did not pass: {report.verdict}") for report in by]
    return _report(mandate, verdict=Verdict.BLOCKED, digests=(None, None), violations=found, predecessors=by)


def withhold(mandate: Mandate, unmet: Sequence[Edge], reports: Mapping[str, Report]) -> Report:
    """The report of a node that is not dispatched, because edges to it do not hold.

    Args:
        mandate: the node's.
        unmet: those edges, see `governance.gates.unmet_edges`.
        reports: the current report of each agent node that has one.

    Raises:
        RefusedError: BINDING_MISMATCH without such an edge to this node.
    """
    if not unmet or any(edge.target != mandate.node for edge in unmet):
        raise RefusedError(ReasonCode.BINDING_MISMATCH, f"{mandate.id} can only be blocked by edges that do not hold")
    found: list[tuple[str, str]] = []
    for edge in unmet:
        report = reports.get(edge.source)
        if edge.when is not None and report is not None and report.verdict == Verdict.PASS:
            chosen = report.choices.get(edge.when[0], "nothing")
            text = f"node {edge.source} chose {chosen} as {edge.when[0]}, not {edge.when[1]}"
            found.append((ReasonCode.NOT_CHOSEN.value, text))
        else:
            how = report.verdict.value if report is not None else "its join has not what it needs"
            found.append((ReasonCode.GS_203.value, f"node {edge.source} did not pass: {how}"))
    resting = [reports[edge.source] for edge in unmet if edge.source in reports]
    return _report(mandate, verdict=Verdict.BLOCKED, digests=(None, None), violations=found, predecessors=resting)


def _report(
    mandate: Mandate,
    *,
    verdict: Verdict,
    digests: tuple[str | None, str | None],
    violations: Sequence[tuple[str, str]],
    predecessors: Sequence[Report],
    choices: Mapping[str, str] | None = None,
) -> Report:
    return Report(
        id=report_id(mandate.run, mandate.node, mandate.attempt),
        run=mandate.run,
        node=mandate.node,
        attempt=mandate.attempt,
        agent=mandate.agent,
        mandate_digest=mandate.digest,
        verdict=verdict,
        evidence_digest=digests[0],
        candidate_digest=digests[1],
        violations=_kept(violations),
        predecessors=tuple((report.node, report.digest) for report in predecessors),
        choices=dict(choices or {}),
    )


def _kept(violations: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """As many as a report holds; of more, the last says how many are not here, under the code of the first of them."""
    kept = violations if len(violations) <= VIOLATIONS_MAX else violations[: VIOLATIONS_MAX - 1]
    left = violations[len(kept) :]
    more = [(left[0][0], f"and {len(left)} more findings than a report holds")] if left else []
    return tuple((str(code), shortened(text, TEXT_MAX)) for code, text in (*kept, *more))
