"""Select the best path from the evidence; nothing else is heard."""

from decimal import Decimal

from execution.artifacts import PLAN, SELECTION, Judged, Plan, judged_name
from execution.verification import MEASURED_INVARIANTS
from execution.world import World
from governance.states import RunState
from scoring.select import select
from scoring.selection import Selection


def decide(world: World, run_id: str) -> Selection:
    """Rank every judged candidate, or return the selection that stands."""
    if (standing := world.store.find(run_id, SELECTION, Selection)) is not None:
        return standing
    plan = world.store.load(run_id, PLAN, Plan)
    judged = [world.store.load(run_id, judged_name(node.id), Judged) for node in plan.graph.agent_nodes]
    provable = {name for check in plan.checks for name in check.proves} | set(MEASURED_INVARIANTS)
    made = select(
        [verdict.evidence for verdict in judged],
        profile=plan.config.scoring.profile,
        accept_score=Decimal(plan.config.scoring.accept_score),
        provable=sorted(provable),
    )
    world.store.put(run_id, SELECTION, made)
    world.store.move(run_id, RunState.SELECTED)
    return world.store.load(run_id, SELECTION, Selection)
