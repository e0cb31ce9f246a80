"""The files that a run leaves under `datalake/workflows/<workflow>/`: pure, from artifacts to bytes.

Names and members follow the OPTR workflow layout: `workflow-optr.yaml`, `plan.md`, `plan.json`, `events.jsonl`,
`agent-outputs/<agent>.json` with the agent result's members (agent, output, admissible, ttvEstimate, invariants,
executionTime, hash, timestamp), `patches/<agent>.patch`, `optr-selection.json`, `execution-complete.json`,
`compliance.json`. Claims stand beside measurements and never in their place.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from execution.artifacts import Dispatched, Judged, Plan, Tried
from execution.records import AgentOutcome
from execution.redaction import Secrets
from governance.compliance import assess
from governance.draw import mermaid
from governance.events import EntryType, NodeEvent, chain
from governance.mandate import ORCHESTRATOR, Mandate
from governance.report import Verdict
from governance.settlement import Aggregate, Settlement
from scoring.selection import Selection


@dataclass(frozen=True)
class Story:
    """A run's artifacts, by node id, that the record is made from."""

    plan: Plan
    dispatched: Mapping[str, Dispatched]
    tried: Mapping[str, Tried]
    judged: Mapping[str, Judged]

    @property
    def decided_ms(self) -> int:
        """The moment of the newest artifact, not the clock's: a retry after a crash must make the same bytes."""
        moments = [self.plan.planned_ms, *(verdict.reported_ms for verdict in self.judged.values())]
        moments += [attempt.executed_ms for attempt in self.tried.values()]
        return max(moments + [given.dispatched_ms for given in self.dispatched.values()])


def plan_files(plan: Plan, secrets: Secrets) -> dict[str, bytes]:
    """What is recorded before anything is dispatched."""
    agents = [{"name": profile.name, "type": str(profile.type)} for profile in plan.profiles.values()]
    workflow = {
        "workflow": plan.workflow,
        "agents": agents,
        "optr": "select_optr",
        "ledger": {"enabled": True, "auditable": True},
    }
    body = {
        "version": 1,
        "intent": plan.intent.model_dump(mode="json"),
        "intentDigest": plan.intent.digest,
        "graph": plan.graph.model_dump(mode="json"),
        "graphDigest": plan.graph.digest,
        "mandates": [mandate.model_dump(mode="json") for mandate in plan.mandates],
        "checks": [check.model_dump(mode="json") for check in plan.checks],
        "checksSource": plan.checks_source,
        "plannedAt": plan.planned_ms,
    }
    return {
        "workflow-optr.yaml": yaml.safe_dump(workflow, sort_keys=False).encode(),
        "plan.json": _json(body, secrets),
        "plan.md": secrets.redact(_plan_page(plan)).encode(),
    }


def _plan_page(plan: Plan) -> str:
    checks = "\n".join(f"- `{check.id}`{'' if check.required else ' (optional)'}" for check in plan.checks) or "- none"
    agents = "\n".join(f"- {profile.name} ({profile.type})" for profile in plan.profiles.values())
    return (
        f"# Plan of {plan.workflow}\n\nBase commit `{plan.base_commit}`.\n\n## Agents\n\n{agents}\n\n"
        f"## Checks\n\n{plan.checks_source}\n\n{checks}\n\n## Graph\n\n```mermaid\n{mermaid(plan.graph)}\n```\n"
    )


def agent_files(story: Story, secrets: Secrets) -> dict[str, bytes]:
    """Every agent's output, winners and losers alike, and its patch.

    A patch that holds a live secret is kept as a digest only: git keeps what is committed for ever.
    """
    files: dict[str, bytes] = {}
    for node, attempt in story.tried.items():
        name, patch = attempt.candidate.agent, attempt.candidate.patch
        leaks = secrets.found_in(patch)
        files[f"agent-outputs/{name}.json"] = _json(_agent_result(story, node), secrets)
        if patch and not leaks:
            files[f"patches/{name}.patch"] = patch
    return files


def _agent_result(story: Story, node: str) -> dict[str, object]:
    candidate, evidence = story.tried[node].candidate, story.judged[node].evidence
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
        },
        "admissible": evidence.admissible,
        "violations": [reason.model_dump(mode="json") for reason in evidence.violations],
        "checks": [check.model_dump(mode="json") for check in evidence.checks],
        "diff": evidence.diff.model_dump(mode="json") if evidence.diff else None,
        "ttvEstimate": evidence.ttv_ms,
        "invariants": list(evidence.invariants),
        "executionTime": evidence.execution_ms,
        "hash": hashlib.sha256(candidate.patch).hexdigest(),
        "timestamp": story.tried[node].executed_ms,
    }


@dataclass(frozen=True)
class Decision:
    """What was decided: the selection, its settlement, and the winner's commit and tree (hex object ids)."""

    selection: Selection
    settlements: tuple[Settlement, ...]
    aggregate: Aggregate
    winner: tuple[str, str] | None


def decision_files(plan: Plan, decision: Decision, secrets: Secrets) -> dict[str, bytes]:
    """The selection with every loser's why-not, the settlement, and how the execution ended."""
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
        "optr-selection.json": _json({"version": 1, **decision.selection.model_dump(mode="json")}, secrets),
        "execution-complete.json": _json(complete, secrets),
    }


def events_file(story: Story, decision: Decision) -> bytes:
    """The run's own chain of node events, `events.jsonl`."""
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
    return chain(story.plan.graph.run, [first, *events, last])


def _node_events(story: Story, mandate: Mandate, settled: Settlement) -> list[NodeEvent]:
    node = mandate.node
    report = story.judged[node].report
    completed = story.tried[node].candidate.attempt.outcome is AgentOutcome.COMPLETED
    executed = EntryType.SUB_PAC_EXECUTED if completed else EntryType.SUB_PAC_FAILED
    reported = EntryType.BER_AGENT_GENERATED if report.verdict is Verdict.PASS else EntryType.BER_AGENT_FAILED
    dispatched = story.dispatched[node]
    settlement: dict[str, str | int] = {"settlement": settled.digest, "outcome": str(settled.outcome)}
    told: list[tuple[EntryType, int, dict[str, str | int]]] = [
        (EntryType.SUB_PAC_ISSUED, story.plan.planned_ms, {"mandate": mandate.digest}),
        (EntryType.SUB_PAC_DISPATCHED, dispatched.dispatched_ms, {"token": dispatched.token.id}),
        (executed, story.tried[node].executed_ms, {"candidate": report.candidate_digest or ""}),
        (reported, story.judged[node].reported_ms, {"report": report.digest}),
        (EntryType.PDO_AGENT_FINALIZED, story.decided_ms, settlement),
    ]
    events, moment = [], story.plan.planned_ms
    for kind, at, facts in told:
        moment = max(moment, at)  # a clock that stepped back must not reorder a node's story
        actor = mandate.agent if kind is executed else ORCHESTRATOR
        events.append(
            NodeEvent(type=kind, timestamp=moment, node=node, attempt=mandate.attempt, actor=actor, facts=facts)
        )
    return events


def compliance_file(facts: Mapping[str, bool], entries: Mapping[str, str], secrets: Secrets) -> bytes:
    """Which controls the record of this run supports, and by which entries."""
    return _json(assess(facts, entries), secrets)


def _json(value: object, secrets: Secrets) -> bytes:
    text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
    return secrets.redact(text).encode("utf-8", "replace") + b"\n"
