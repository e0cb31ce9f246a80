"""The files of a workflow's record: what every attempt of every node handed back, and the chain of their events."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from execution.artifacts import POLICY, Dispatched, Judged, Recorded, Tried, correction_recorded_name
from execution.capture import Keeping
from execution.records import AgentOutcome
from execution.redaction import Secrets
from execution.stages.outputs import Decision, Story, agent_result, handed_back, under_policy
from execution.world import World
from governance.correction import Correction
from governance.entry_types import EntryType
from governance.events import NodeEvent, chain
from governance.graph import Node
from governance.mandate import ORCHESTRATOR, Mandate
from governance.policy.decide import Policy
from governance.report import Report, Verdict
from governance.settlement import Aggregate, Settlement

_BY_AGENTS = frozenset({EntryType.SUB_PAC_EXECUTED, EntryType.SUB_PAC_FAILED})
_ENDED_TOKENS = frozenset({EntryType.DISPATCH_EXPIRED, EntryType.DISPATCH_REVOKED})

Told = tuple[EntryType, int, dict[str, str | int]]


@dataclass(frozen=True)
class Deed:
    """One attempt of one node: what it was allowed, what it did, and what became of it.

    Attributes:
        spec: the node.
        mandate: as it was dispatched, or as issued when it never was.
        attempt: from 1.
        correction: the one that asked for this attempt; None for the first.
        dispatched, tried: None for an attempt that never was.
        judged: its report.
        is_current: whether no later attempt supersedes it.
    """

    spec: Node
    mandate: Mandate
    attempt: int
    correction: Correction | None
    dispatched: Dispatched | None
    tried: Tried | None
    judged: Judged
    is_current: bool

    @property
    def report(self) -> Report:
        """The attempt's report."""
        return self.judged.report


def node_files(story: Story, deeds: Iterable[Deed], secrets: Secrets) -> dict[str, bytes]:
    """What each attempt handed back, and its patch; a patch that holds a live secret is kept as a digest only."""
    files: dict[str, bytes] = {}
    kept = Keeping(story.plan.capture, secrets)
    for deed in deeds:
        patch = deed.tried.candidate.patch if deed.tried else b""
        files |= handed_back(story.plan.profiles[deed.spec.id].name, _handed_back(story, deed), patch, kept)
    return files


def _handed_back(story: Story, deed: Deed) -> dict[str, object]:
    common = {
        "agentName": deed.spec.agent,
        "attempt": deed.attempt,
        "verdict": str(deed.report.verdict),
        "inputs": dict(deed.mandate.inputs),
        "fields": {name: list(one) if isinstance(one, tuple) else one for name, one in deed.judged.output.items()},
        "violations": [list(one) for one in deed.report.violations],
    }
    if deed.tried is None:
        return {"version": 1, "node": deed.spec.id, "agent": story.plan.profiles[deed.spec.id].name, **common}
    one = Story(
        plan=story.plan,
        dispatched={},
        tried={deed.spec.id: deed.tried},
        judged={deed.spec.id: deed.judged},
    )
    return {**agent_result(one, deed.spec.id), **common}


def events_file(
    world: World, run_id: str, story: Story, deeds: Iterable[Deed], decision: Decision, delegated: Iterable[NodeEvent]
) -> bytes:
    """The whole chain of the run's events, `events.jsonl`: every attempt, every aggregate, from the first on."""
    ended = _endings(world, run_id, story, decision)
    first = NodeEvent(
        type=EntryType.MAEG_CREATED,
        timestamp=story.plan.planned_ms,
        actor=ORCHESTRATOR,
        facts={"graph": story.plan.graph.digest},
    )
    events = [event for deed in deeds for event in _events(story, deed, ended)]
    last = [_aggregated(one) for one in ended]
    policy = world.store.load(run_id, POLICY, Policy).digest
    return chain(run_id, under_policy(policy, [first, *delegated, *events, *last]))


@dataclass(frozen=True)
class Ending:
    """What was settled when the run came to its join, when, and whether there was a result."""

    settlements: tuple[Settlement, ...]
    aggregate: Aggregate
    at: int
    has_result: bool


def _endings(world: World, run_id: str, story: Story, decision: Decision) -> list[Ending]:
    """What was settled each time that the run came to its join, oldest first; this time's is the last."""
    found: list[Ending] = []
    while (one := world.store.find(run_id, correction_recorded_name(len(found)), Recorded)) is not None:
        if one.aggregate == decision.aggregate:
            break
        found.append(Ending(one.settlements, one.aggregate, one.decided_ms, one.commit is not None))
    last = Ending(decision.settlements, decision.aggregate, story.decided_ms, decision.winner is not None)
    return [*found, last]


def _aggregated(ending: Ending) -> NodeEvent:
    facts: dict[str, str | int] = {"root": ending.aggregate.root}
    if ending.aggregate.supersedes:
        facts["supersedes"] = ending.aggregate.supersedes
    kind = EntryType.PDO_ORCH_AGGREGATED if ending.has_result else EntryType.PDO_ORCH_BLOCKED
    return NodeEvent(type=kind, timestamp=ending.at, actor=ORCHESTRATOR, facts=facts)


def _events(story: Story, deed: Deed, ended: list[Ending]) -> list[NodeEvent]:
    """An attempt's story in order; a clock that stepped back must not reorder it."""
    events: list[NodeEvent] = []
    moment = 0
    for kind, at, facts in _told(story, deed, ended):
        moment = max(moment, at)
        by = deed.correction.by if deed.correction else ORCHESTRATOR
        actor = (
            deed.mandate.agent if kind in _BY_AGENTS else by if kind is EntryType.CORRECTION_ISSUED else ORCHESTRATOR
        )
        events.append(
            NodeEvent(type=kind, timestamp=moment, node=deed.spec.id, attempt=deed.attempt, actor=actor, facts=facts)
        )
    return events


def _told(story: Story, deed: Deed, ended: list[Ending]) -> Iterable[Told]:
    issued_ms = story.plan.planned_ms
    if deed.correction is not None:
        issued_ms = deed.correction.issued_ms
        yield (EntryType.CORRECTION_ISSUED, issued_ms, {"correction": deed.correction.digest})
    yield (EntryType.SUB_PAC_ISSUED, issued_ms, {"mandate": deed.report.mandate_digest})
    yield from _worked(deed)
    reported = EntryType.BER_AGENT_GENERATED if deed.report.verdict is Verdict.PASS else EntryType.BER_AGENT_FAILED
    yield (reported, deed.judged.reported_ms, {"report": deed.report.digest})
    for ending in ended:
        mine = next(
            (one for one in ending.settlements if (one.node, one.attempt) == (deed.spec.id, deed.attempt)), None
        )
        if mine is not None:
            yield (EntryType.PDO_AGENT_FINALIZED, ending.at, {"settlement": mine.digest, "outcome": str(mine.outcome)})
            return


def _worked(deed: Deed) -> Iterable[Told]:
    at, report = deed.judged.reported_ms, deed.report
    if report.verdict is Verdict.BLOCKED:
        yield (EntryType.SUB_PAC_BLOCKED, at, {"report": report.digest})
        return
    if deed.tried is None:
        code = next((code for code, _ in report.violations), "")
        kind = EntryType(code) if code in _ENDED_TOKENS else EntryType.SUB_PAC_FAILED
        kind = EntryType.DISPATCH_REVOKED if deed.dispatched is not None and deed.dispatched.denied else kind
        yield (kind, at, {"report": report.digest})
        return
    if deed.dispatched is not None:
        yield (EntryType.SUB_PAC_DISPATCHED, deed.dispatched.dispatched_ms, {"token": deed.dispatched.token.id})
    completed = deed.tried.candidate.attempt.outcome is AgentOutcome.COMPLETED
    kind = EntryType.SUB_PAC_EXECUTED if completed else EntryType.SUB_PAC_FAILED
    handed = report.candidate_digest or hashlib.sha256(b"").hexdigest()
    yield (kind, deed.tried.executed_ms, {"candidate": handed})
