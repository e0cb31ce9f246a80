"""Show the decision where people work: the winner's branch, and on GitHub the pull request and its gate."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel

from execution.account import Finished, account
from execution.artifacts import (
    CROSS,
    PICKED,
    PLAN,
    PLAN_RECORDED,
    RECORDED,
    RESULT,
    SELECTION,
    CrossVotes,
    Judged,
    Picked,
    Plan,
    PlanRecorded,
    Recorded,
    Reviewed,
    Tried,
    judged_name,
    reviewed_name,
    tried_name,
)
from execution.authority import require_orchestrator, require_unrevoked
from execution.lastword import before_the_end
from execution.owed import has_no_access
from execution.policies import in_force, require_publishing
from execution.result import NodeResult, RunResult
from execution.runs import Source
from execution.stages.admit import settle
from execution.stages.flow_state import attempts, judgements, reports, slot
from execution.stages.record import ACTOR, receipt_of
from execution.store import Store
from execution.world import World
from governance.codes import ReasonCode
from governance.events import EntryType
from governance.gates import unmet_reasons
from governance.mandate import Mandate
from governance.shortening import shortened
from governance.states import RunOutcome, RunState
from governance.trust.lineage import PUBLISH
from ledger.entry import Draft
from scoring.evidence import DiffFacts, Reason
from scoring.selection import Selection

M = TypeVar("M", bound=BaseModel)

PROBLEM_CHARS_MAX = 500
NO_RESULT_TEXT = "The workflow has no result yet"
NO_WINNER_TEXT = "No admissible results from any agent"


def current(world: World, run_id: str) -> RunResult:
    """The account of the run as it stands now, links and newest receipt included."""
    run, store = world.run(run_id), world.store
    plan = store.find(run_id, PLAN, Plan)
    nodes = [node.id for node in plan.graph.racers] if plan else []
    if plan is not None and plan.is_flow:
        return _flow(world, run_id, plan)
    finished = Finished(
        plan=plan,
        tried=_found(store, run_id, nodes, tried_name, Tried),
        judged=_found(store, run_id, nodes, judged_name, Judged),
        reviewed=_found(store, run_id, list(plan.reviewers) if plan else [], reviewed_name, Reviewed),
        selection=store.find(run_id, SELECTION, Selection),
        planned=store.find(run_id, PLAN_RECORDED, PlanRecorded),
        recorded=store.find(run_id, RECORDED, Recorded),
        cross=(store.find(run_id, CROSS, CrossVotes) or CrossVotes()).votes,
    )
    result = _overridden(account(run, finished, world.sandbox.name), store.find(run_id, PICKED, Picked))
    if (shown := store.find(run_id, RESULT, RunResult)) is not None:
        result = _shown(result, shown)
    return result


def _shown(result: RunResult, shown: RunResult) -> RunResult:
    """With the links that people already have, and the receipt of whichever line is newer.

    What was shown last may be older than the line of the decision (the plan) or newer (a pull request opened).
    """
    known = [receipt for receipt in (result.receipt, shown.receipt) if receipt is not None]
    newest = max(known, key=lambda receipt: receipt.size, default=None)
    return result.model_copy(update={"links": shown.links, "receipt": newest})


def _flow(world: World, run_id: str, plan: Plan) -> RunResult:
    """The account of a workflow: its possible results as candidates, and every node as it stands."""
    store, numbers = world.store, attempts(world, run_id, plan)
    tried = {node: store.find(run_id, tried_name(slot(node, at)), Tried) for node, at in numbers.items()}
    judged = judgements(world, run_id, plan)
    finished = Finished(
        plan=plan,
        tried={node: one for node, one in tried.items() if one is not None and node in plan.profiles},
        judged={node: one for node, one in judged.items() if node in plan.profiles},
        selection=store.find(run_id, SELECTION, Selection),
        planned=store.find(run_id, PLAN_RECORDED, PlanRecorded),
        recorded=store.find(run_id, RECORDED, Recorded),
    )
    result = account(world.run(run_id), finished, world.sandbox.name)
    rows = tuple(
        NodeResult(
            node=node.id,
            agent=str(node.agent),
            attempt=numbers[node.id],
            verdict=str(judged[node.id].report.verdict) if node.id in judged else None,
            reasons=tuple(Reason(code=code, text=text) for code, text in judged[node.id].report.violations)
            if node.id in judged
            else (),
        )
        for node in plan.graph.agent_nodes
    )
    result = result.model_copy(update={"nodes": rows})
    if (shown := store.find(run_id, RESULT, RunResult)) is not None:
        result = _shown(result, shown)
    return result


def _overridden(result: RunResult, picked: Picked | None) -> RunResult:
    """The account with a person's pick in the winner's place."""
    if picked is None:
        return result
    why = f"{picked.by} picked {picked.agent} instead of {result.winner}: {picked.why}"
    changes = {"winner": picked.agent, "commit": picked.commit, "tree": picked.tree, "why": (why,)}
    return result.model_copy(update={**changes, "branch": f"{result.branch}-{picked.agent}"})


def _found(store: Store, run_id: str, nodes: Sequence[str], name: Callable[[str], str], kind: type[M]) -> dict[str, M]:
    """The artifacts that exist already, by node."""
    artifacts = ((node, store.find(run_id, name(node), kind)) for node in nodes)
    return {node: artifact for node, artifact in artifacts if artifact is not None}


async def show(world: World, run_id: str) -> None:
    """Bring what people see up to date."""
    result = current(world, run_id)
    world.store.replace(run_id, RESULT, result)
    run = world.run(run_id)
    if not has_no_access(run.code):
        await world.forge(run).progress(run, result)


@before_the_end
async def publish(world: World, run_id: str) -> None:
    """Publish the winner, or close the run without one.

    Raises:
        RunProblem: the orchestrator may not publish, or not any more.
    """
    run, recorded = world.run(run_id), world.store.load(run_id, RECORDED, Recorded)
    plan = world.store.load(run_id, PLAN, Plan)
    if recorded.commit is None and plan.is_flow:
        why = unmet_reasons(plan.graph, reports(judgements(world, run_id, plan)))
        problem = shortened(f"{NO_RESULT_TEXT}: {'; '.join(why) or 'no patch is admissible'}", PROBLEM_CHARS_MAX)
        world.store.move(run_id, RunState.AWAITING_CORRECTION, problem=problem, code=str(ReasonCode.JOIN_UNMET))
        return
    if recorded.commit is None:
        ending = {"outcome": RunOutcome.NO_WINNER, "problem": NO_WINNER_TEXT, "code": "NO_WINNER"}
        world.store.move(run_id, RunState.CLOSED, **ending)
        settle(world, run)
        return
    await require_orchestrator(world, run_id, PUBLISH)
    winner = _winning(world, run_id)
    await require_unrevoked(world, winner)
    diff = judgements(world, run_id, plan)[winner.node].evidence.diff or DiffFacts()
    lines = diff.added + diff.deleted
    require_publishing(world, run_id, winner=winner.agent, paths=diff.paths, changed_lines=lines)
    published = await world.forge(run).publish(run, current(world, run_id))
    told = {"pull_request": published.pull_request or 0, "problem": None, "code": ""}
    world.store.move(run_id, RunState.PUBLISHED, **told)
    published = published.model_copy(update={"problem": None, "code": None})
    world.store.replace(run_id, RESULT, published)
    if run.source is Source.GITHUB:
        await _record_opening(world, run_id, published)
        world.store.move(run_id, RunState.IN_REVIEW)
    settle(world, run)


def _winning(world: World, run_id: str) -> Mandate:
    """The mandate of whoever wrote the winner."""
    plan, selection = world.store.load(run_id, PLAN, Plan), world.store.load(run_id, SELECTION, Selection)
    node = next(node for node, profile in plan.profiles.items() if profile.name == selection.winner)
    return plan.mandate(node)


async def _record_opening(world: World, run_id: str, published: RunResult) -> None:
    run = world.run(run_id)
    draft = Draft(
        id=f"{run_id}/{EntryType.PR_OPENED}",
        type=str(EntryType.PR_OPENED),
        workflow=run.workflow,
        run=run_id,
        actor=ACTOR,
        timestamp=world.now_ms(),
        body={
            "pullRequest": run.pull_request,
            "commit": run.head_commit,
            "tree": run.head_tree,
            **in_force(world.store, run_id),
        },
    )
    appended = await world.forge(run).append(run, [draft], {})
    receipt = receipt_of(appended, draft.id)
    world.store.replace(run_id, RESULT, published.model_copy(update={"receipt": receipt}))
