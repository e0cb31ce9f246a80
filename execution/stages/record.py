"""Put the run on the ledger: outputs, selection, settlement, the line and the checkpoint in one commit."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from execution import crashpoints
from execution.artifacts import (
    CROSS,
    PLAN,
    PLAN_RECORDED,
    POLICY,
    RECORDED,
    REGISTER,
    SELECTION,
    CrossVotes,
    Dispatched,
    Judged,
    Plan,
    PlanRecorded,
    Recorded,
    Reviewed,
    Tried,
    judged_name,
    reviewed_name,
    token_name,
    tried_name,
)
from execution.authority import establish_authority, signer_of
from execution.capture import Keeping
from execution.lastword import before_the_end
from execution.policies import POLICY_FILE, in_force, policy_file
from execution.records import Candidate
from execution.redaction import Secrets, secrets_of
from execution.result import Receipt
from execution.runs import Run, Source
from execution.sandbox import unconfined
from execution.stages import outputs, trail
from execution.winner import commit_patch
from execution.world import World
from governance.compliance import Fact
from governance.events import EntryType
from governance.keeping import Capture
from governance.policy.decide import Policy
from governance.report import Verdict
from governance.settlement import Outcome, Settlement, aggregate, race_outcome, settle
from governance.states import RunState
from governance.trust.records import Book
from ledger.attestation import attest
from ledger.entry import Draft
from ledger.sequencer import Appended
from scoring.selection import Selection

M = TypeVar("M", bound=BaseModel)

ACTOR = "optr"
BUILD_TYPE = "urn:optr:build-type:run:v1"
BUILDER_ID = "urn:optr:builder:v1"
DIRECTORY = "datalake/workflows"


@before_the_end
async def record_plan(world: World, run_id: str) -> Receipt:
    """Put MAEG_CREATED and the plan on the ledger, before anything is dispatched."""
    run, plan = world.run(run_id), world.store.load(run_id, PLAN, Plan)
    book, policy = establish_authority(world, run_id), world.store.load(run_id, POLICY, Policy)
    draft = Draft(
        id=f"{run_id}/{EntryType.MAEG_CREATED}",
        type=str(EntryType.MAEG_CREATED),
        workflow=plan.workflow,
        run=run_id,
        actor=run.requester,
        timestamp=plan.planned_ms,
        body={
            "intent": plan.intent.digest,
            "intentSha256": plan.intent.intent_sha256,
            "graph": plan.graph.digest,
            "config": plan.config_digest,
            "authority": book.digest,
            "policy": policy.digest,
            "baseCommit": plan.base_commit,
            "agents": [profile.name for profile in plan.profiles.values()],
            "capture": str(plan.capture),
            "sandbox": world.sandbox.name,
            **({"network": online} if (online := _online(plan)) else {}),
            **({"prepareNetwork": plan.prepare_network} if plan.config.prepare else {}),
            **({"reviewers": [profile.name for profile in plan.reviewers.values()]} if plan.reviewers else {}),
        },
    )
    files = outputs.plan_files(plan, secrets_of(world.access.environ)) | {
        trail.TRUST_FILE: trail.trust_file(book),
        POLICY_FILE: policy_file(policy),
    }
    if (register := world.store.find(run_id, REGISTER, Book)) is not None:
        files[trail.REGISTER_FILE] = trail.trust_file(register)
    appended = await world.forge(run).append(run, [draft], placed(plan.workflow, files))
    receipt = receipt_of(appended, draft.id)
    world.store.put(run_id, PLAN_RECORDED, PlanRecorded(receipt=receipt, recorded_ms=world.now_ms()))
    return receipt


def _online(plan: Plan) -> list[str]:
    """The agents that the operator lets have the network."""
    return [one.name for one in (*plan.profiles.values(), *plan.workers.values()) if one.network]


@before_the_end
async def record(world: World, run_id: str) -> Recorded:
    """Record the decision, or return what stands recorded.

    If we die after the append and before the artifact is written, the append finds its line by id and returns the
    places it already has; the commit of the winner is deterministic, so making it again makes the same one.
    """
    if world.store.find(run_id, RECORDED, Recorded) is None:
        world.store.put(run_id, RECORDED, await _append(world, run_id))
        crashpoints.reach("inside_record")
    made = world.store.load(run_id, RECORDED, Recorded)
    world.store.move(run_id, RunState.RECORDED, head_commit=made.commit or "", head_tree=made.tree or "")
    return made


async def _append(world: World, run_id: str) -> Recorded:
    run, plan = world.run(run_id), world.store.load(run_id, PLAN, Plan)
    selection = world.store.load(run_id, SELECTION, Selection)
    story = outputs.Story(
        plan=plan,
        dispatched=_by_node(world, plan, run_id, token_name, Dispatched) | _reviewers_tokens(world, plan, run_id),
        tried=_by_node(world, plan, run_id, tried_name, Tried),
        judged=_by_node(world, plan, run_id, judged_name, Judged),
        reviewed={node: world.store.load(run_id, reviewed_name(node), Reviewed) for node in plan.reviewers},
        cross=(world.store.find(run_id, CROSS, CrossVotes) or CrossVotes()).votes,
    )
    git_dir = await world.forge(run).fetch(run)
    winner = await asyncio.to_thread(winner_of, git_dir, run, story, selection)
    decision = _decide(story, selection, winner)
    draft = decision_line(run_id, story, decision, in_force(world.store, run_id))
    appended = await world.forge(run).append(run, [draft], _files(world, run, story, decision))
    crashpoints.reach("appended")
    commit, tree = winner or (None, None)
    return Recorded(
        commit=commit,
        tree=tree,
        settlements=decision.settlements,
        aggregate=decision.aggregate,
        receipt=receipt_of(appended, draft.id),
    )


def receipt_of(appended: Appended, entry: str) -> Receipt:
    """The receipt of the last line of an append."""
    return Receipt(
        origin=appended.origin,
        entry=entry,
        seq=appended.seqs[-1],
        size=appended.size,
        root=appended.root,
        key=appended.key,
        commit=appended.commit,
    )


def _by_node(world: World, plan: Plan, run_id: str, name: Callable[[str], str], kind: type[M]) -> dict[str, M]:
    return {node.id: world.store.load(run_id, name(node.id), kind) for node in plan.graph.racers}


def _reviewers_tokens(world: World, plan: Plan, run_id: str) -> dict[str, Dispatched]:
    """Of the reviewers that were dispatched: a blocked one never was."""
    found = {node: world.store.find(run_id, token_name(node), Dispatched) for node in plan.reviewers}
    return {node: dispatched for node, dispatched in found.items() if dispatched is not None}


def placed(workflow: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files by their paths in the `datalake` branch."""
    return {f"{DIRECTORY}/{workflow}/{name}": data for name, data in files.items()}


def _winning(selection: Selection, tried: Mapping[str, Tried]) -> Candidate:
    return next(attempt.candidate for attempt in tried.values() if attempt.candidate.agent == selection.winner)


def winner_of(git_dir: Path, run: Run, story: outputs.Story, selection: Selection) -> tuple[str, str] | None:
    """The winner's commit and tree, made by plumbing, without a work tree."""
    if selection.winner is None:
        return None
    plan = story.plan
    # Ids only: nothing that a person or a model wrote goes into a commit message.
    message = f"OPTR {plan.workflow}: {selection.winner}\n\nRun: {run.id}\nIntent-Digest: {plan.intent.digest}\n"
    patch = _winning(selection, story.tried).patch
    return commit_patch(git_dir, plan.base_commit, patch, message, run.created_ms)


def _decide(story: outputs.Story, selection: Selection, winner: tuple[str, str] | None) -> outputs.Decision:
    settlements = tuple(_settlement(story, node.id, selection) for node in story.plan.graph.agent_nodes)
    return outputs.Decision(selection, settlements, aggregate(story.plan.graph, settlements), winner)


def _settlement(story: outputs.Story, node: str, selection: Selection) -> Settlement:
    if (reviewed := story.reviewed.get(node)) is not None:
        done = Outcome.COMPLETE if reviewed.report.verdict is Verdict.PASS else Outcome.REJECTED
        return settle(story.plan.mandate(node), reviewed.report, done)
    chosen = [name for name, profile in story.plan.profiles.items() if profile.name == selection.winner]
    admissible = story.evidence(node).admissible
    outcome = race_outcome(node, winner=chosen[0] if chosen else None, admissible=admissible)
    return settle(story.plan.mandate(node), story.judged[node].report, outcome)


def decision_line(run_id: str, story: outputs.Story, decision: outputs.Decision, policy: Mapping[str, str]) -> Draft:
    """The ledger line of the decision: OPTR_SELECTED, or OPTR_NO_WINNER with the reasons on file."""
    kind = kind_of(decision)
    selection = decision.selection
    body: dict[str, object] = {
        "intent": story.plan.intent.digest,
        "selectedOptr": selection.winner,
        "scores": {place.agent: place.score for place in selection.ranking},
        "profile": selection.profile,
        "profileDigest": selection.profile_digest,
        "aggregate": decision.aggregate.root,
        **policy,
    }
    if decision.winner is not None:
        body |= {"commit": decision.winner[0], "tree": decision.winner[1]}
    return Draft(
        id=f"{run_id}/{kind}",
        type=str(kind),
        workflow=story.plan.workflow,
        run=run_id,
        actor=ACTOR,
        timestamp=story.decided_ms,
        body=body,
    )


def kind_of(decision: outputs.Decision) -> EntryType:
    """The type of the line that records a decision."""
    return EntryType.OPTR_SELECTED if decision.winner else EntryType.OPTR_NO_WINNER


def _files(world: World, run: Run, story: outputs.Story, decision: outputs.Decision) -> dict[str, bytes]:
    secrets = secrets_of(world.access.environ)
    book, policy = establish_authority(world, run.id), world.store.load(run.id, POLICY, Policy)
    files = {
        **outputs.agent_files(story, secrets),
        **outputs.decision_files(story.plan, decision, secrets),
        "events.jsonl": outputs.events_file(story, decision, trail.delegated([book]), policy.digest),
        trail.AUDIT_FILE: trail.audit_file(story, book, decision.selection, signer_of(world, run.id)),
        **compliance_of(run, story, decision, secrets),
    }
    if decision.winner is not None:
        files["attestation.json"] = attestation_of(world, run, story, decision.selection, decision.winner)
    return placed(story.plan.workflow, files)


def compliance_of(run: Run, story: outputs.Story, decision: outputs.Decision, secrets: Secrets) -> dict[str, bytes]:
    """What this run's own entries evidence, as data and as a page; a fact that no entry shows is not asserted."""
    planned, decided = f"{run.id}/{EntryType.MAEG_CREATED}", f"{run.id}/{kind_of(decision)}"
    github = run.source is Source.GITHUB
    winner = next((j.evidence for j in story.judged.values() if j.evidence.agent == decision.selection.winner), None)
    facts = {
        Fact.REQUESTER_AUTHENTICATED: (github, planned),
        Fact.PERMISSION_CHECKED: (github, planned),
        Fact.GRAPH_RECORDED: (True, planned),
        Fact.OUTPUTS_RECORDED: (story.plan.capture is not Capture.DIGEST, decided),
        Fact.SELECTION_RECORDED: (True, decided),
        Fact.LEDGER_SIGNED: (True, decided),
        Fact.SANDBOXED: (unconfined.WARNING not in story.plan.warnings, planned),
        Fact.CHECKS_PASSED: (winner is not None and bool(winner.checks), decided),
        Fact.STATIC_SCAN_PASSED: (winner is not None and "secure" in winner.invariants, decided),
    }
    held = {str(fact): true for fact, (true, _) in facts.items()}
    kept = Keeping(story.plan.capture, secrets)
    return outputs.compliance_files(held, {str(fact): entry for fact, (_, entry) in facts.items()}, kept)


def attestation_of(
    world: World, run: Run, story: outputs.Story, selection: Selection, winner: tuple[str, str]
) -> bytes:
    """The signed statement about the winner: what it was made from, by whom, and how it was judged."""
    candidate, plan = _winning(selection, story.tried), story.plan
    definition = {
        "buildType": BUILD_TYPE,
        "externalParameters": {
            "requester": run.requester,
            "intent": plan.intent.digest,
            "constraints": list(run.constraints),
        },
        "internalParameters": {
            "agents": [profile.name for profile in plan.profiles.values()],
            "checks": [check.id for check in plan.checks],
            "config": plan.config_digest,
            "profileDigest": selection.profile_digest,
            **in_force(world.store, run.id),
            "sandbox": world.sandbox.name,
        },
        "resolvedDependencies": [{"uri": "git+base", "digest": {"gitCommit": plan.base_commit}}],
    }
    details = {"builder": {"id": BUILDER_ID}, "metadata": {"invocationId": run.id}}
    return attest(
        world.forge(run).signer(run),
        subject=f"patches/{candidate.agent}.patch",
        patch_sha256=hashlib.sha256(candidate.patch).hexdigest(),
        git_commit=winner[0],
        git_tree=winner[1],
        predicate={"buildDefinition": definition, "runDetails": details},
    )
