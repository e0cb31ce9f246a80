"""Select the result of a workflow: among the writers whose way to the join holds, by measured evidence alone."""

from decimal import Decimal

from execution import crashpoints
from execution.artifacts import PLAN, SELECTION, Judged, Plan
from execution.invariants import provable
from execution.stages.flow_state import judgements, reports
from execution.world import World
from governance.codes import ReasonCode
from governance.gates import contenders, offers, unmet_reasons
from governance.report import Verdict
from governance.states import RunState
from scoring.evidence import Evidence, Reason
from scoring.select import select
from scoring.selection import Selection


def selection_name(number: int) -> str:
    """The name of the selection that was made after so many corrections."""
    return f"selection:{number}"


def decide_flow(world: World, run_id: str, number: int) -> Selection:
    """Decide, or return the selection that stands for this number of corrections."""
    if world.store.find(run_id, selection_name(number), Selection) is None:
        world.store.put(run_id, selection_name(number), _select(world, run_id))
        crashpoints.reach("inside_decide")
    made = world.store.load(run_id, selection_name(number), Selection)
    world.store.replace(run_id, SELECTION, made)
    world.store.move(run_id, RunState.VERIFYING)
    world.store.move(run_id, RunState.SELECTED)
    return made


def _select(world: World, run_id: str) -> Selection:
    plan = world.store.load(run_id, PLAN, Plan)
    judged = judgements(world, run_id, plan)
    weights = plan.config.scoring.weights
    return select(
        [_ruled(plan, judged, node.id) for node in plan.graph.racers],
        profile=plan.config.scoring.profile,
        accept_score=Decimal(plan.config.scoring.accept_score),
        provable=provable(plan.checks),
        weights=weights.by_term() if weights else None,
    )


def _ruled(plan: Plan, judged: dict[str, Judged], node: str) -> Evidence:
    """What stands against a node's patch in the end: what was measured, and a join that has not what it needs."""
    one, known = judged[node], reports(judged)
    if one.report.verdict is not Verdict.PASS or node in contenders(plan.graph, known):
        return one.evidence
    if not offers(plan.graph, node, one.report.choices):
        words = ", ".join(f"{word} as {name}" for name, word in one.report.choices.items())
        against = Reason(code=str(ReasonCode.NOT_CHOSEN), text=f"node {node} chose {words}, so it offers no patch")
    else:
        why = "; ".join(unmet_reasons(plan.graph, known)) or "the join has not what it needs"
        against = Reason(code=str(ReasonCode.JOIN_UNMET), text=f"nothing can be the result: {why}")
    return one.evidence.model_copy(update={"violations": (*one.evidence.violations, against)})
