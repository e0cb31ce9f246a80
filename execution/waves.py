"""A race in waves: who starts when, and whether anybody else still has to.

Waves are frozen in the plan. After each, one question is asked in a step and its answer stored: is a candidate good
enough? Whoever has not started then never does; a stored refusal stands where a permission would, so that a crash
changes neither the answer nor who was spared.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from dbos import DBOS, SetWorkflowID

from execution import crashpoints
from execution.agents.build import ModelAccess
from execution.agents.profiles import AgentType, Profile
from execution.artifacts import ENOUGH, PLAN, Dispatched, Enough, Judged, Plan, judged_name, token_name
from execution.config import Race
from execution.flow import raise_first
from execution.invariants import provable
from execution.problems import SetupProblem
from execution.stages.publish import show
from execution.steps import step
from execution.world import World
from governance.codes import ReasonCode
from governance.graph import Capability
from governance.tokens import mint
from scoring.select import select

NodeFlow = Callable[[str, str], Any]
Priced = Callable[[Profile], Decimal]  # dollars for a million tokens in and a million out


def price_of(access: ModelAccess) -> Priced:
    """Prices by the models registry; a command is free to OPTR, and what has no entry is as dear as the dearest."""

    def price(profile: Profile) -> Decimal:
        if profile.type is AgentType.COMMAND:
            return Decimal(0)
        registry = access.registry
        prices = registry.dearest if profile.model is None else registry.prices(registry.entry(profile.model))
        return prices.input + prices.output

    return price


def waves_of(race: Race, racers: Mapping[str, Profile], price: Priced) -> tuple[tuple[str, ...], ...]:
    """Node ids in the order they start, at most `race.at_once` together; one wave of all when nothing is set."""
    nodes = list(racers)
    if race.order == "cheapest_first":
        nodes.sort(key=lambda node: price(racers[node]))  # stable: as listed where prices are equal
    size = race.at_once or max(1, len(nodes))
    return tuple(tuple(nodes[start : start + size]) for start in range(0, len(nodes), size))


def require_unreviewed(race: Race, reviewers: Mapping[str, Profile]) -> None:
    """Refuse to stop early where reviewers may still veto the one that was good enough.

    Raises:
        SetupProblem: both are set.
    """
    if race.enough is not None and reviewers:
        raise SetupProblem(
            "race.enough stops before all candidates exist, and a reviewer's veto could then leave none; "
            "drop race.enough or the reviewers",
            code="CONFIG_INVALID",
        )


async def run_waves(world: World, run_id: str, plan: Plan, node_flow: NodeFlow) -> None:
    """Start wave after wave, each node as a child workflow awaited in node order.

    Args:
        world: dependencies.
        run_id: the run.
        plan: its plan.
        node_flow: the workflow of one candidate.

    Raises:
        RunProblem: the first problem of a wave, when all of that wave have ended.
    """
    waves = plan.waves or (tuple(node.id for node in plan.graph.racers),)
    for number, wave in enumerate(waves):
        if number:
            await step("enough", _spare, world, run_id, number)
        handles = []
        for node in wave:
            with SetWorkflowID(f"{run_id}.{node}"):
                handles.append(await DBOS.start_workflow_async(node_flow, run_id, node))
        if not number:
            await step("show_start", show, world, run_id)
        raise_first([await handle.get_result(polling_interval_sec=0.1) for handle in handles])


async def _spare(world: World, run_id: str, number: int) -> None:
    """Refuse a start to all of wave `number`, if what has been judged before is good enough."""
    plan = world.store.load(run_id, PLAN, Plan)
    said = enough(world, run_id, plan, number)
    if not said.agent:
        return
    told = f"not started: {said.agent} had reached {said.score}, and race.enough is {plan.config.race.enough}"
    for node in plan.waves[number]:
        mandate = plan.mandate(node)
        token = mint(mandate, Capability.WRITE, expires_ms=mandate.deadline_ms, nonce=world.nonce())
        refused = Dispatched(
            token=token, dispatched_ms=world.now_ms(), denied=str(ReasonCode.AGENT_SPARED), denial=told
        )
        world.store.put(run_id, token_name(node), refused)
        crashpoints.reach("inside_enough")


def enough(world: World, run_id: str, plan: Plan, number: int) -> Enough:
    """Whether the waves before `number` brought a candidate that is good enough, or what stands on that."""
    name = f"{ENOUGH}:{number}"
    if (standing := world.store.find(run_id, name, Enough)) is not None:
        return standing
    world.store.put(run_id, name, _asked(world, run_id, plan, number))
    return world.store.load(run_id, name, Enough)


def _asked(world: World, run_id: str, plan: Plan, number: int) -> Enough:
    race, scoring = plan.config.race, plan.config.scoring
    if race.enough is None:
        return Enough()
    judged = [
        world.store.load(run_id, judged_name(node), Judged).evidence for wave in plan.waves[:number] for node in wave
    ]
    best = select(
        judged,
        profile=scoring.profile,
        accept_score=max(Decimal(race.enough), Decimal(scoring.accept_score)),
        provable=provable(plan.checks),
        weights=scoring.weights.by_term() if scoring.weights else None,
    )
    score = next((one.score for one in best.ranking if one.agent == best.winner), None)
    return Enough(agent=best.winner or "", score=score or "")
