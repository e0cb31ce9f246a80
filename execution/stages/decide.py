"""Select the best path from the evidence; nothing else is heard."""

from decimal import Decimal

from execution import crashpoints
from execution.artifacts import PLAN, SELECTION, Judged, Plan, Reviewed, judged_name, reviewed_name
from execution.invariants import provable
from execution.reviews import ruled
from execution.world import World
from governance.states import RunState
from scoring.select import select
from scoring.selection import Selection


def decide(world: World, run_id: str) -> Selection:
    """Rank every judged candidate, or return the selection that stands."""
    if world.store.find(run_id, SELECTION, Selection) is None:
        world.store.put(run_id, SELECTION, _select(world, run_id))
        crashpoints.reach("inside_decide")
    world.store.move(run_id, RunState.SELECTED)
    return world.store.load(run_id, SELECTION, Selection)


def _select(world: World, run_id: str) -> Selection:
    plan = world.store.load(run_id, PLAN, Plan)
    judged = [world.store.load(run_id, judged_name(node.id), Judged) for node in plan.graph.racers]
    ballots = [world.store.load(run_id, reviewed_name(node), Reviewed).ballot for node in plan.reviewers]
    weights = plan.config.scoring.weights
    return select(
        [ruled(verdict.evidence, ballots) for verdict in judged],
        profile=plan.config.scoring.profile,
        accept_score=Decimal(plan.config.scoring.accept_score),
        provable=provable(plan.checks),
        weights=weights.by_term() if weights else None,
    )
