"""The files that a run leaves under `datalake/workflows/<workflow>/`: pure, from artifacts to bytes.

Names and members follow the OPTR workflow layout: `workflow-optr.yaml`, `plan.md`, `plan.json`, `events.jsonl`,
`agent-outputs/<agent>.json` with the agent result's members (agent, output, admissible, ttvEstimate, invariants,
executionTime, hash, timestamp), `patches/<agent>.patch`, `optr-selection.json`, `execution-complete.json`,
`compliance.json`. Claims stand beside measurements and never in their place.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import yaml

from execution.artifacts import Dispatched, Judged, Plan, Reviewed, Tried
from execution.capture import AGENT_OUTPUT, INTENT, REVIEW, SELECTION, Keeping
from execution.crossvoting import about
from execution.records import AgentOutcome, Attempt
from execution.redaction import Secrets
from execution.reviews import ruled
from execution.stages.review_outputs import Told, review_result, reviewer_told
from execution.workflowfile import dumped
from governance.compliance import assess
from governance.draw import mermaid
from governance.events import EntryType, NodeEvent, chain
from governance.frameworks import assessment_page
from governance.keeping import instead
from governance.mandate import ORCHESTRATOR, Mandate
from governance.report import Verdict
from governance.settlement import Aggregate, Settlement
from scoring.evidence import CrossVote, Evidence
from scoring.selection import Selection

_BY_AGENTS = frozenset({EntryType.SUB_PAC_EXECUTED, EntryType.SUB_PAC_FAILED})


@dataclass(frozen=True)
class Story:
    """A run's artifacts, by node id, that the record is made from."""

    plan: Plan
    dispatched: Mapping[str, Dispatched]
    tried: Mapping[str, Tried]
    judged: Mapping[str, Judged]
    cross: tuple[CrossVote, ...] = ()
    reviewed: Mapping[str, Reviewed] = field(default_factory=dict)

    def evidence(self, node: str) -> Evidence:
        """What stands against a candidate in the end: what was measured, and vetoes."""
        return ruled(self.judged[node].evidence, (one.ballot for one in self.reviewed.values()))

    @property
    def decided_ms(self) -> int:
        """The moment of the newest artifact, not the clock's: a retry after a crash must make the same bytes."""
        moments = [self.plan.planned_ms, *(verdict.reported_ms for verdict in self.judged.values())]
        moments += [attempt.executed_ms for attempt in self.tried.values()]
        moments += [one.reviewed_ms for one in self.reviewed.values()]
        return max(moments + [given.dispatched_ms for given in self.dispatched.values()])


def plan_files(plan: Plan, secrets: Secrets) -> dict[str, bytes]:
    """What is recorded before anything is dispatched."""
    agents = [{"name": profile.name, "type": str(profile.type)} for profile in plan.profiles.values()]
    judges = [{"name": profile.name, "type": str(profile.type)} for profile in plan.reviewers.values()]
    workflow: dict[str, object] = {
        "workflow": plan.workflow,
        "agents": agents,
        **({"reviewers": judges} if judges else {}),
        "optr": "select_optr",
        "ledger": {"enabled": True, "auditable": True},
    }
    kept = Keeping(plan.capture, secrets)
    body = {
        "version": 1,
        "capture": str(plan.capture),
        "intent": kept.part(plan.intent.model_dump(mode="json"), INTENT),
        "intentDigest": plan.intent.digest,
        "graph": plan.graph.model_dump(mode="json"),
        "graphDigest": plan.graph.digest,
        "mandates": [mandate.model_dump(mode="json") for mandate in plan.mandates],
        "checks": [check.model_dump(mode="json") for check in plan.checks],
        "checksSource": plan.checks_source,
        "prepare": _prepare(plan),
        **({"race": plan.config.race.model_dump(mode="json"), "waves": plan.waves} if plan.waves else {}),
        **({"warnings": plan.warnings} if plan.warnings else {}),
        "plannedAt": plan.planned_ms,
    }
    return {
        "workflow-optr.yaml": yaml.safe_dump(
            dumped(plan.graph, plan.workflow) if plan.is_flow else workflow, sort_keys=False
        ).encode(),
        "plan.json": kept.file(body),
        "plan.md": kept.page(_plan_page(plan)),
    }


def _prepare(plan: Plan) -> dict[str, object] | None:
    """What is prepared for the checks, and whether the operator grants it the network."""
    declared = plan.config.prepare
    return None if declared is None else {**declared.model_dump(mode="json"), "network": plan.prepare_network}


def _plan_page(plan: Plan) -> str:
    checks = "\n".join(f"- `{check.id}`{'' if check.required else ' (optional)'}" for check in plan.checks) or "- none"
    profiles = {**plan.profiles, **plan.workers}
    agents = "\n".join(f"- {profile.name} ({profile.type})" for profile in profiles.values())
    judges = "\n".join(f"- {profile.name} ({profile.type})" for profile in plan.reviewers.values())
    reviewers = f"## Reviewers\n\n{judges}\n\n" if judges else ""
    notes = "".join(f"- {warning}\n" for warning in plan.warnings)
    told = f"## Notes\n\n{notes}\n" if notes else ""
    return (
        f"# Plan of {plan.workflow}\n\nBase commit `{plan.base_commit}`.\n\n## Agents\n\n{agents}\n\n{reviewers}{told}"
        f"## Checks\n\n{plan.checks_source}\n\n{checks}\n\n## Graph\n\n```mermaid\n{mermaid(plan.graph)}\n```\n"
    )


def agent_files(story: Story, secrets: Secrets) -> dict[str, bytes]:
    """Every agent's output, winners and losers alike, and its patch.

    A patch that holds a live secret is kept as a digest only: git keeps what is committed for ever.
    """
    files: dict[str, bytes] = {}
    kept = Keeping(story.plan.capture, secrets)
    for node, attempt in story.tried.items():
        files |= handed_back(attempt.candidate.agent, agent_result(story, node), attempt.candidate.patch, kept)
    for node, reviewed in story.reviewed.items():
        profile = story.plan.reviewers[node]
        files[f"reviews/{profile.name}.json"] = kept.file(review_result(node, profile.model, reviewed), REVIEW)
    return files


def handed_back(name: str, result: Mapping[str, object], patch: bytes, kept: Keeping) -> dict[str, bytes]:
    """An agent's output and its patch; where the patch is not kept, the output says so, with digest and size."""
    whole = kept.patch(patch)
    told = {**result, **({"patch": instead(patch)} if patch and not whole else {})}
    output = {f"agent-outputs/{name}.json": kept.file(told, AGENT_OUTPUT)}
    return output | ({f"patches/{name}.patch": whole} if whole else {})


def agent_result(story: Story, node: str) -> dict[str, object]:
    """What one agent handed back, and what was measured of it."""
    candidate, evidence = story.tried[node].candidate, story.evidence(node)
    attempt, profile = candidate.attempt, story.plan.profiles[node]
    return {
        "version": 1,
        "agent": candidate.agent,
        "type": str(profile.type),
        "model": profile.model,
        "node": node,
        "output": {
            "outcome": str(attempt.outcome),
            "error": attempt.error,
            "claims": attempt.report.model_dump(mode="json"),
            "trajectory": [step.model_dump(mode="json") for step in attempt.trajectory],
            "usage": attempt.usage.model_dump(mode="json"),
            **_detail(attempt),
        },
        "admissible": evidence.admissible,
        "violations": [reason.model_dump(mode="json") for reason in evidence.violations],
        "checks": [check.model_dump(mode="json") for check in evidence.checks],
        "diff": evidence.diff.model_dump(mode="json") if evidence.diff else None,
        "warnings": [reason.model_dump(mode="json") for reason in story.judged[node].warnings],
        "cross": [vote.model_dump(mode="json") for vote in about(story.cross, candidate.agent)],
        "fit": evidence.fit,
        "ttvEstimate": evidence.ttv_ms,
        "invariants": list(evidence.invariants),
        "executionTime": evidence.execution_ms,
        "hash": hashlib.sha256(candidate.patch).hexdigest(),
        "timestamp": story.tried[node].executed_ms,
    }


def _detail(attempt: Attempt) -> dict[str, object]:
    """What the agent's type adds (F1.31, F1.32): its own members, and facts that OPTR looked up, with their source."""
    if attempt.detail is None:
        return {}
    facts = [fact.model_dump(mode="json") for fact in attempt.facts]
    return {**attempt.detail.model_dump(mode="json", by_alias=True), "facts": facts}


@dataclass(frozen=True)
class Decision:
    """What was decided: the selection, its settlement, and the winner's commit and tree (hex object ids)."""

    selection: Selection
    settlements: tuple[Settlement, ...]
    aggregate: Aggregate
    winner: tuple[str, str] | None


def decision_files(plan: Plan, decision: Decision, secrets: Secrets) -> dict[str, bytes]:
    """The selection with every loser's why-not, the settlement, and how the execution ended."""
    kept = Keeping(plan.capture, secrets)
    commit, tree = decision.winner or (None, None)
    complete = {
        "version": 1,
        "workflow": plan.workflow,
        "run": plan.graph.run,
        "selectedAgent": decision.selection.winner,
        "commitHash": commit,
        "treeHash": tree,
        "baseCommit": plan.base_commit,
        "aggregate": decision.aggregate.model_dump(mode="json"),
        "settlements": [settlement.model_dump(mode="json") for settlement in decision.settlements],
    }
    return {
        "optr-selection.json": kept.file({"version": 1, **decision.selection.model_dump(mode="json")}, SELECTION),
        "execution-complete.json": kept.file(complete),
    }


def events_file(story: Story, decision: Decision, delegated: Sequence[NodeEvent], policy: str) -> bytes:
    """The run's own chain of node events, `events.jsonl`, with what was delegated before them.

    Args:
        story: the run's artifacts.
        decision: what came of them.
        delegated: events of delegation.
        policy: digest of the policy in force, which stands on every event.
    """
    settled = {settlement.node: settlement for settlement in decision.settlements}
    events = [event for mandate in story.plan.mandates for event in _node_events(story, mandate, settled[mandate.node])]
    root: dict[str, str | int] = {"root": decision.aggregate.root}
    first = NodeEvent(
        type=EntryType.MAEG_CREATED,
        timestamp=story.plan.planned_ms,
        actor=ORCHESTRATOR,
        facts={"graph": story.plan.graph.digest},
    )
    last = NodeEvent(type=EntryType.PDO_ORCH_AGGREGATED, timestamp=story.decided_ms, actor=ORCHESTRATOR, facts=root)
    return chain(story.plan.graph.run, under_policy(policy, [first, *delegated, *events, last]))


def under_policy(digest: str, events: Iterable[NodeEvent]) -> list[NodeEvent]:
    """The events with the digest of the policy in force on each."""
    return [event.model_copy(update={"facts": {**event.facts, "policy": digest}}) for event in events]


def _node_events(story: Story, mandate: Mandate, settled: Settlement) -> list[NodeEvent]:
    node = mandate.node
    if (reviewed := story.reviewed.get(node)) is not None:
        issued: Told = [(EntryType.SUB_PAC_ISSUED, story.plan.planned_ms, {"mandate": mandate.digest})]
        told = reviewer_told(reviewed, story.dispatched.get(node), settled, story.decided_ms)
        return _events(mandate, [*issued, *told])
    report = story.judged[node].report
    completed = story.tried[node].candidate.attempt.outcome is AgentOutcome.COMPLETED
    executed = EntryType.SUB_PAC_EXECUTED if completed else EntryType.SUB_PAC_FAILED
    reported = EntryType.BER_AGENT_GENERATED if report.verdict is Verdict.PASS else EntryType.BER_AGENT_FAILED
    dispatched = story.dispatched[node]
    settlement: dict[str, str | int] = {"settlement": settled.digest, "outcome": str(settled.outcome)}
    begun: Told = [
        (EntryType.SUB_PAC_DISPATCHED, dispatched.dispatched_ms, {"token": dispatched.token.id}),
        (executed, story.tried[node].executed_ms, {"candidate": report.candidate_digest or ""}),
    ]
    if dispatched.denied:
        begun = [(EntryType.DISPATCH_REVOKED, dispatched.dispatched_ms, {"code": dispatched.denied})]
    story_of_it: Told = [
        (EntryType.SUB_PAC_ISSUED, story.plan.planned_ms, {"mandate": mandate.digest}),
        *begun,
        (reported, story.judged[node].reported_ms, {"report": report.digest}),
        (EntryType.PDO_AGENT_FINALIZED, story.decided_ms, settlement),
    ]
    return _events(mandate, story_of_it)


def _events(mandate: Mandate, told: Told) -> list[NodeEvent]:
    events, moment, node = [], 0, mandate.node
    for kind, at, facts in told:
        moment = max(moment, at)  # a clock that stepped back must not reorder a node's story
        actor = mandate.agent if kind in _BY_AGENTS else ORCHESTRATOR
        events.append(
            NodeEvent(type=kind, timestamp=moment, node=node, attempt=mandate.attempt, actor=actor, facts=facts)
        )
    return events


def compliance_files(facts: Mapping[str, bool], entries: Mapping[str, str], kept: Keeping) -> dict[str, bytes]:
    """What the record of the run evidences for named controls: `compliance.json`, and the same as a page."""
    assessed = assess(facts, entries)
    return {
        "compliance.json": kept.file(assessed),
        "compliance.md": kept.page(assessment_page(assessed)),
    }
