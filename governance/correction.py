"""Correction Packs: a person's word that one node is to be done again, and what depends on it with it.

Nothing that stands is changed: a correction makes new attempts, whose records supersede the old ones by digest.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from governance.codes import ReasonCode, RefusedError
from governance.graph import Graph
from governance.mandate import Mandate
from governance.record import AttemptNumber, Count, NodeId, Record, RunId, Sha256
from governance.report import Report, Verdict
from governance.settlement import Settlement

ATTEMPTS_MAX = 4  # of one node: the first, and three corrections
REASON_CHARS_MAX = 2_000


class CorrectionType(StrEnum):
    """REISSUE: the same again. AMENDMENT: again, told what was wrong. INVALIDATION: what passed is not believed."""

    REISSUE = "REISSUE"
    AMENDMENT = "AMENDMENT"
    INVALIDATION = "INVALIDATION"


class Correction(Record):
    """One Correction Pack.

    Attributes:
        id: `CP-<run>-<number>`.
        run: the run's id.
        number: from 1.
        node: what is corrected.
        type: see CorrectionType.
        violations: code and sentence of what the superseded report found.
        scope: the nodes that are done again: this one and those that depend on it, in node order.
        attempts: the number of the new attempt, by node of the scope.
        supersedes: digests of the settlements that the new ones will supersede, by node of the scope.
        aggregate: digest of the aggregate that the next one will supersede.
        reason: a person's words; shown to the agent unless the type is REISSUE.
        by: who.
        issued_ms: milliseconds since the epoch.
        deadline_ms: until when the new attempts may work, milliseconds since the epoch.
        request: names what asked for it, so that asking twice is asking once; empty for a person at a terminal.
    """

    record_kind: ClassVar[str] = "optr/correction/1"

    id: str
    run: RunId
    number: AttemptNumber
    node: NodeId
    type: CorrectionType
    violations: tuple[tuple[str, str], ...]
    scope: tuple[NodeId, ...]
    attempts: dict[str, AttemptNumber]
    supersedes: dict[str, Sha256]
    aggregate: Sha256
    reason: Annotated[str, Field(min_length=1, max_length=REASON_CHARS_MAX)]
    by: Annotated[str, Field(min_length=1, max_length=100)]
    issued_ms: Count
    deadline_ms: Count
    request: Annotated[str, Field(max_length=100)] = ""

    @property
    def told(self) -> str:
        """What the agent of the corrected node is told; empty when it is to do the same again."""
        return "" if self.type == CorrectionType.REISSUE else self.reason


def correct(  # noqa: PLR0913 - a correction names all that it rests on
    graph: Graph,
    node: str,
    *,
    number: int,
    reports: Mapping[str, Report],
    settlements: Sequence[Settlement],
    aggregate: str,
    reason: str,
    by: str,
    now_ms: int,
    deadline_ms: int,
    kind: CorrectionType | None = None,
    request: str = "",
) -> Correction:
    """Issue a correction.

    Args:
        graph: the run's.
        node: what is to be done again.
        number: how many corrections there were, plus one.
        reports: the current report of each agent node.
        settlements: the current settlement of each.
        aggregate: digest of the current aggregate.
        reason: why, in a person's words.
        by: who says so.
        now_ms: milliseconds since the epoch.
        deadline_ms: until when the new attempts may work.
        kind: see CorrectionType; without one it follows from the report.
        request: names what asked for it.

    Raises:
        RefusedError: CORRECTION_REFUSED for a node that is not there or was only blocked, without a reason, or for a
            type that does not fit; CORRECTION_LIMIT when the node has had all its attempts.
    """
    report = reports.get(node)
    if report is None:
        known = ", ".join(one.id for one in graph.agent_nodes)
        raise _refused(f"run {graph.run} has no node {node[:40]!a}; it has: {known}")
    if not reason.strip():
        raise _refused("a correction says why")
    if len(reason.strip()) > REASON_CHARS_MAX:
        raise _refused(f"the reason has {len(reason.strip())} characters; {REASON_CHARS_MAX} at most are recorded")
    type_ = kind or (CorrectionType.INVALIDATION if report.verdict == Verdict.PASS else CorrectionType.AMENDMENT)
    if (type_ == CorrectionType.INVALIDATION) != (report.verdict == Verdict.PASS):
        raise _refused(
            f"node {node} is {report.verdict}: what passed is invalidated, what failed is amended or reissued"
        )
    if report.verdict == Verdict.BLOCKED:
        before = ", ".join(id_ for id_, _ in report.predecessors) or "what it waits for"
        raise _refused(f"node {node} was never dispatched, so there is nothing to correct in it; correct {before}")
    agents = {one.id for one in graph.agent_nodes}
    scope = (node, *(id_ for id_ in graph.dependents(node) if id_ in agents))
    attempts = {id_: reports[id_].attempt + 1 for id_ in scope}
    spent = [id_ for id_, attempt in attempts.items() if attempt > ATTEMPTS_MAX]
    if spent:
        text = f"node {spent[0]} of run {graph.run} has had its {ATTEMPTS_MAX} attempts"
        raise RefusedError(ReasonCode.CORRECTION_LIMIT, text)
    digests = {one.node: one.digest for one in settlements}
    return Correction(
        id=f"CP-{graph.run}-{number}",
        run=graph.run,
        number=number,
        node=node,
        type=type_,
        violations=report.violations,
        scope=scope,
        attempts=attempts,
        supersedes={id_: digests[id_] for id_ in scope},
        aggregate=aggregate,
        reason=reason.strip(),
        by=by,
        issued_ms=now_ms,
        deadline_ms=deadline_ms,
        request=request,
    )


def reissued(mandate: Mandate, correction: Correction) -> Mandate:
    """The mandate of a corrected attempt: nothing of it is wider, but its time, which the person who corrects renews.

    Raises:
        RefusedError: BINDING_MISMATCH when the correction is not about this mandate's node.
    """
    if mandate.run != correction.run or mandate.node not in correction.attempts:
        raise RefusedError(ReasonCode.BINDING_MISMATCH, f"{correction.id} does not correct {mandate.id}")
    return mandate.model_copy(
        update={
            "attempt": correction.attempts[mandate.node],
            "parent": correction.digest,
            "deadline_ms": max(mandate.deadline_ms, correction.deadline_ms),
        }
    )


def _refused(text: str) -> RefusedError:
    return RefusedError(ReasonCode.CORRECTION_REFUSED, text)
