"""The order of a run, as durable workflows: stages in steps, one child workflow per node.

The rules that keep recovery sound: a branch is a child workflow; handles are awaited in a fixed order; no gather, task
group or create_task in a workflow body; every effect is a step; the step's stage is idempotent. A crash anywhere
resumes at the step that was running.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from dbos import DBOS, SetWorkflowID

from execution.artifacts import Plan
from execution.flow import carry_correction, carry_out, raise_first, work_node
from execution.gitcmd import GitError
from execution.problems import RunProblem
from execution.sandbox import SandboxError
from execution.stages.admit import admit
from execution.stages.attempt import attempt
from execution.stages.baseline import measure_base
from execution.stages.conclude import conclude
from execution.stages.crossvote import cross_vote
from execution.stages.decide import decide
from execution.stages.dispatch import dispatch
from execution.stages.judge import judge
from execution.stages.plan import plan
from execution.stages.publish import publish, show
from execution.stages.record import record, record_plan
from execution.stages.review import admit_reviewer, review
from execution.steps import last_try, step
from execution.underway import UnderWay
from execution.waves import run_waves
from execution.world import World
from governance.codes import ReasonCode, RefusedError
from governance.shortening import shortened
from governance.states import RunOutcome, RunState
from ledger.errors import LedgerError, LedgerRefusedError

PROBLEM_CHARS_MAX = 500
INTERNAL = "INTERNAL"  # the code of our own faults, which no registry of reasons foresees

_LOG = logging.getLogger(__name__)

Deliver = Callable[[str, str, bytes], Awaitable[None]]
NodeFlow = Callable[[str, str], Any]


@dataclass(frozen=True)
class Flows:
    """The registered workflows: callables that the engine starts by id."""

    run: Callable[[str], Awaitable[None]]
    node: Callable[[str, str], Awaitable[dict[str, str] | None]]
    close: Callable[[str, str, str, dict[str, str]], Awaitable[bool]]
    deliver: Callable[[str, str, bytes], Awaitable[None]]
    correct: Callable[[str, int], Awaitable[None]]
    under_way: UnderWay


def register(world: World, on_delivery: Deliver) -> Flows:
    """Register the workflows of this process under fixed names; recovery finds them by name after a restart."""
    under_way = UnderWay()

    @DBOS.workflow(name="optr.node")
    @under_way.counted
    async def node_flow(run_id: str, node: str) -> dict[str, str] | None:
        return await _node(world, run_id, node)

    @DBOS.workflow(name="optr.review")
    @under_way.counted
    async def review_flow(run_id: str, node: str) -> dict[str, str] | None:
        return await _review(world, run_id, node)

    @DBOS.workflow(name="optr.work")
    @under_way.counted
    async def work_flow(run_id: str, node: str) -> dict[str, str] | None:
        return await work_node(world, run_id, node)

    @DBOS.workflow(name="optr.correct")
    @under_way.counted
    async def correct_flow(run_id: str, number: int) -> None:
        await _ended_in_the_open(world, run_id, carry_correction(world, run_id, number, work_flow))

    @DBOS.workflow(name="optr.run")
    @under_way.counted
    async def run_flow(run_id: str) -> None:
        await _ended_in_the_open(world, run_id, _run(world, run_id, (node_flow, review_flow, work_flow)))

    @DBOS.workflow(name="optr.close")
    @under_way.counted
    async def close_flow(run_id: str, outcome: str, by: str, facts: dict[str, str]) -> bool:
        return await _close(world, run_id, RunOutcome(outcome), by, facts)

    @DBOS.workflow(name="optr.deliver")
    @under_way.counted
    async def deliver_flow(guid: str, event: str, payload: bytes) -> None:
        await step("deliver", on_delivery, guid, event, payload)

    return Flows(
        run=run_flow,
        node=node_flow,
        close=close_flow,
        deliver=deliver_flow,
        correct=correct_flow,
        under_way=under_way,
    )


async def _run(world: World, run_id: str, flows: tuple[NodeFlow, NodeFlow, NodeFlow]) -> None:
    """One governed execution, from received to published; the flows are those of a candidate, a reviewer, a node."""
    node_flow, review_flow, work_flow = flows
    await step("announce", show, world, run_id)
    made = Plan.model_validate_json(await step("plan", _plan_json, world, run_id))
    await step("record_plan", _record_plan, world, run_id)
    if not await step("admit", admit, world, run_id):
        await step("show_waiting", show, world, run_id)
        return  # waiting is a state: an approval starts this flow again under another id
    await step("baseline", _measure_base, world, run_id, preemptible=True)
    await step("executing", _move, world, run_id, RunState.EXECUTING)
    if made.is_flow:
        await carry_out(world, run_id, made, work_flow)
        return
    await run_waves(world, run_id, made, node_flow)
    await step("cross_vote", _cross_vote, world, run_id, preemptible=True)
    if made.reviewers:
        await step("verifying", _move, world, run_id, RunState.VERIFYING)
        raise_first(await _reviews(made, run_id, review_flow))
    await step("decide", _decide, world, run_id)
    await step("record", _record, world, run_id)
    await step("publish", publish, world, run_id)


async def _ended_in_the_open(world: World, run_id: str, work: Coroutine[Any, Any, None]) -> None:
    """Carry out a run's work; whatever stops it closes the run with the reason, in the open."""
    try:
        await work
    except RunProblem as problem:
        await _close(world, run_id, problem.outcome, "optr", {"problem": str(problem), "code": problem.code})
    except Exception as error:  # noqa: BLE001 - what was not foreseen ends the run in the open, not in silence
        _LOG.exception("run %s failed", run_id)
        await _close(world, run_id, RunOutcome.FAILED, "optr", _unforeseen(error))
    else:
        await step("show", show, world, run_id)
        await step("let_go", _let_go, world, run_id)


def _unforeseen(error: Exception) -> dict[str, str]:
    """What the record says of an error that no stage expected: whose fault it was, as far as its kind tells."""
    cause = last_try(error)
    if isinstance(cause, RefusedError):  # a rule that the run's own state breaks, by our fault or by who changed it
        return {"problem": cause.text[:PROBLEM_CHARS_MAX], "code": str(cause.code)}
    if isinstance(cause, LedgerRefusedError):
        return {"problem": str(cause), "code": str(ReasonCode.LEDGER_REFUSED)}
    if isinstance(cause, LedgerError | GitError | SandboxError | OSError):
        return {"problem": shortened(str(cause), PROBLEM_CHARS_MAX), "code": str(ReasonCode.RUN_FAILED)}
    text = f"internal error: {type(cause).__name__}: {cause}"
    return {"problem": shortened(text, PROBLEM_CHARS_MAX), "code": INTERNAL}


async def _node(world: World, run_id: str, node: str) -> dict[str, str] | None:
    """One node: permission, attempt, verdict. A problem is returned, because a sibling must not be harmed by it."""
    try:
        await step("dispatch", _dispatch, world, run_id, node, f"{run_id}.{node}")
        await step("attempt", _attempt, world, run_id, node, preemptible=True)
        await step("show_attempt", show, world, run_id)
        await step("judge", _judge, world, run_id, node, preemptible=True)
        await step("show_verdict", show, world, run_id)
    except RunProblem as problem:
        return {"text": str(problem), "outcome": str(problem.outcome), "code": problem.code}
    return None


async def _reviews(made: Plan, run_id: str, review_flow: NodeFlow) -> list[Mapping[str, str] | None]:
    """One child workflow per reviewer, awaited in node order."""
    handles = []
    for node in made.graph.reviewers:
        with SetWorkflowID(f"{run_id}.{node.id}"):
            handles.append(await DBOS.start_workflow_async(review_flow, run_id, node.id))
    return [await handle.get_result(polling_interval_sec=0.1) for handle in handles]


async def _review(world: World, run_id: str, node: str) -> dict[str, str] | None:
    """One reviewer: permission, if there is anything to judge, and its votes."""
    try:
        if await step("admit_reviewer", admit_reviewer, world, run_id, node, f"{run_id}.{node}"):
            await step("review", _votes, world, run_id, node, preemptible=True)
        await step("show_review", show, world, run_id)
    except RunProblem as problem:
        return {"text": str(problem), "outcome": str(problem.outcome), "code": problem.code}
    return None


async def _close(world: World, run_id: str, outcome: RunOutcome, by: str, facts: Mapping[str, str]) -> bool:
    closed: bool = await step("conclude", conclude, world, run_id, outcome, by, dict(facts))
    await step("show_end", show, world, run_id)
    await step("let_go", _let_go, world, run_id)
    return closed


async def _plan_json(world: World, run_id: str) -> str:
    return (await plan(world, run_id)).model_dump_json()


async def _record_plan(world: World, run_id: str) -> None:
    await record_plan(world, run_id)


async def _let_go(world: World, run_id: str) -> None:
    run = world.run(run_id)
    await world.forge(run).let_go(run)


async def _move(world: World, run_id: str, state: RunState) -> None:
    world.store.move(run_id, state)


async def _measure_base(world: World, run_id: str) -> None:
    await measure_base(world, run_id)


async def _cross_vote(world: World, run_id: str) -> None:
    await cross_vote(world, run_id)


async def _dispatch(world: World, run_id: str, node: str, consumer: str) -> None:
    await dispatch(world, run_id, node, consumer)


async def _attempt(world: World, run_id: str, node: str) -> None:
    await attempt(world, run_id, node)


async def _judge(world: World, run_id: str, node: str) -> None:
    await judge(world, run_id, node)


async def _votes(world: World, run_id: str, node: str) -> None:
    await review(world, run_id, node)


async def _decide(world: World, run_id: str) -> None:
    world.store.move(run_id, RunState.VERIFYING)
    decide(world, run_id)


async def _record(world: World, run_id: str) -> None:
    await record(world, run_id)
