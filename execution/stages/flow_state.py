"""Where a workflow's nodes stand: which attempt counts, and what was reported of it."""

from collections.abc import Mapping

from execution.artifacts import Issued, Judged, Plan, correction_name, issued_name, judged_name
from execution.world import World
from governance.correction import Correction, reissued
from governance.mandate import Mandate
from governance.report import Report

FIRST = 1


def slot(node: str, attempt: int) -> str:
    """Under which name an attempt's artifacts are stored: the node's id, and the number from the second on."""
    return node if attempt == FIRST else f"{node}.{attempt}"


def corrections(world: World, run_id: str) -> tuple[Correction, ...]:
    """The run's corrections, oldest first."""
    found: list[Correction] = []
    while (one := world.store.find(run_id, correction_name(len(found) + 1), Correction)) is not None:
        found.append(one)
    return tuple(found)


def attempts(world: World, run_id: str, plan: Plan) -> dict[str, int]:
    """The attempt that counts, of each agent node, by id."""
    numbers = {node.id: FIRST for node in plan.graph.agent_nodes}
    for one in corrections(world, run_id):
        numbers |= one.attempts
    return numbers


def judgements(world: World, run_id: str, plan: Plan) -> dict[str, Judged]:
    """What was measured and reported of the attempts that count, by node id; only of those that have ended."""
    found = {
        node: world.store.find(run_id, judged_name(slot(node, attempt)), Judged)
        for node, attempt in attempts(world, run_id, plan).items()
    }
    return {node: judged for node, judged in found.items() if judged is not None}


def reports(judged: Mapping[str, Judged]) -> dict[str, Report]:
    """The reports alone."""
    return {node: one.report for node, one in judged.items()}


def mandate_of(world: World, run_id: str, plan: Plan, node: str, attempt: int) -> Mandate:
    """The mandate that an attempt had: as it was dispatched, or as issued when it never was."""
    issued = world.store.find(run_id, issued_name(slot(node, attempt)), Issued)
    if issued is not None:
        return issued.mandate
    pack = next((one for one in corrections(world, run_id) if one.attempts.get(node) == attempt), None)
    return plan.mandate(node) if pack is None else reissued(plan.mandate(node), pack)
