"""The order of a workflow: layer after layer, a durable child workflow per node, then the result.

The rules of `execution.flows` hold here too: handles are awaited in node order, and nothing else runs beside them. An
attempt's child workflow has an id of its own, so whatever has finished is never started again, by a crash or by a
correction.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dbos import DBOS, SetWorkflowID

from execution.artifacts import PLAN, Plan
from execution.problems import RunProblem
from execution.stages.flow_correct import record_correction
from execution.stages.flow_decide import decide_flow
from execution.stages.flow_node import admit_node, judge_node, work
from execution.stages.flow_record import record_flow
from execution.stages.flow_state import attempts, slot
from execution.stages.publish import publish, show
from execution.steps import step
from execution.world import World
from governance.states import RunOutcome

NodeFlow = Callable[[str, str], Any]

POLL_SECONDS = 0.1


async def carry_out(world: World, run_id: str, made: Plan, work_flow: NodeFlow, number: int = 0) -> None:
    """Run the nodes of a workflow and bring its result on the record.

    Args:
        world: dependencies.
        run_id: the run.
        made: its plan.
        work_flow: the child workflow of one node.
        number: of the correction that this carries out; 0 for the first time.
    """
    numbers: dict[str, int] = await step("attempts", _attempts, world, run_id)
    for layer in made.graph.layers:
        handles = [await _started(run_id, node.id, numbers[node.id], work_flow) for node in layer]
        raise_first([await handle.get_result(polling_interval_sec=POLL_SECONDS) for handle in handles])
        await step("show_layer", show, world, run_id)
    await step("decide", _decide, world, run_id, number)
    await step("record", _record, world, run_id, number)
    await step("publish", publish, world, run_id)


async def carry_correction(world: World, run_id: str, number: int, work_flow: NodeFlow) -> None:
    """Put a correction on the ledger, then run what it names; the children of everything else have finished already."""
    made = Plan.model_validate_json(await step("plan", _plan, world, run_id))
    await step("record_correction", _record_correction, world, run_id, number)
    await carry_out(world, run_id, made, work_flow, number)


async def work_node(world: World, run_id: str, node: str) -> dict[str, str] | None:
    """One node: permission, work, report. A problem is returned, because a sibling must not be harmed by it."""
    try:
        if await step("admit", admit_node, world, run_id, node, str(DBOS.workflow_id)):
            await step("work", _work, world, run_id, node, preemptible=True)
            await step("judge", _judge, world, run_id, node, preemptible=True)
        await step("show_verdict", show, world, run_id)
    except RunProblem as problem:
        return {"text": str(problem), "outcome": str(problem.outcome), "code": problem.code}
    return None


def raise_first(problems: Sequence[Mapping[str, str] | None]) -> None:
    """End the run with the first problem that a child brought back.

    Raises:
        RunProblem: that one.
    """
    for problem in problems:
        if problem is not None:
            raise RunProblem(problem["text"], outcome=RunOutcome(problem["outcome"]), code=problem["code"])


async def _started(run_id: str, node: str, attempt: int, work_flow: NodeFlow) -> Any:
    """The attempt's child workflow, started unless it was."""
    # Not the engine's fork: from the first step on it does the same, but a second one under the same id is an error,
    # and a crash between the fork and its checkpoint would ask for a second one.
    with SetWorkflowID(f"{run_id}.{slot(node, attempt)}"):
        return await DBOS.start_workflow_async(work_flow, run_id, node)


async def _plan(world: World, run_id: str) -> str:
    return world.store.load(run_id, PLAN, Plan).model_dump_json()


async def _attempts(world: World, run_id: str) -> dict[str, int]:
    return attempts(world, run_id, world.store.load(run_id, PLAN, Plan))


async def _work(world: World, run_id: str, node: str) -> None:
    await work(world, run_id, node)


async def _judge(world: World, run_id: str, node: str) -> None:
    await judge_node(world, run_id, node)


async def _decide(world: World, run_id: str, number: int) -> None:
    decide_flow(world, run_id, number)


async def _record(world: World, run_id: str, number: int) -> None:
    await record_flow(world, run_id, number)


async def _record_correction(world: World, run_id: str, number: int) -> None:
    await record_correction(world, run_id, number)
