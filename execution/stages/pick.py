"""A person overrides the selection: another admissible candidate, under the person's name and with their reason.

Every step looks before it acts, so that doing it again after a crash finishes it and changes nothing that is done.
"""

import asyncio
from collections.abc import Mapping

from execution.artifacts import PICKED, PLAN, RESULT, Picked, Plan, Tried, tried_name
from execution.authority import require_orchestrator, require_unrevoked
from execution.capture import Keeping
from execution.lastword import turn_of
from execution.policies import in_force
from execution.problems import RunProblem
from execution.redaction import secrets_of
from execution.runs import Run
from execution.stages.publish import current
from execution.stages.record import ACTOR
from execution.winner import commit_patch
from execution.world import World
from governance.events import EntryType
from governance.states import RunState
from governance.trust.lineage import PUBLISH
from ledger.entry import Draft

WHY_CHARS_MAX = 500


async def pick(world: World, run_id: str, agent: str, by: str, why: str) -> Picked:
    """Put an admissible candidate in the winner's place: the ledger's line, the pull request, the run's row.

    The pull request that stood there before is left to the caller: `Picked.replaces`.

    Raises:
        RunProblem: POLICY_DENIED: the run is not in review, or the candidate is not admissible, or won already.
    """
    async with turn_of(world, run_id):
        return await _pick(world, run_id, agent, by, why)


async def _pick(world: World, run_id: str, agent: str, by: str, why: str) -> Picked:
    run, plan = world.run(run_id), world.store.load(run_id, PLAN, Plan)
    picked = world.store.find(run_id, PICKED, Picked)
    if picked is None or picked.agent != agent:
        _require(world, run, agent)
        told = secrets_of(world.access.environ).redact(why)
        if len(told) > WHY_CHARS_MAX:
            text = f"the reason has {len(told)} characters; {WHY_CHARS_MAX} at most are recorded, so say it shorter"
            raise RunProblem(text, code="POLICY_DENIED")
        picked = await _prepare(world, run, agent, by, told)
    await require_orchestrator(world, run_id, PUBLISH)
    await require_unrevoked(world, plan.mandate(_node(plan, agent)))
    kept = Keeping(plan.capture, secrets_of(world.access.environ))
    await world.forge(run).append(run, [_line(run, plan, picked, kept, in_force(world.store, run.id))], {})
    chosen = run.model_copy(
        update={"workflow": f"{run.workflow}-{agent}", "head_commit": picked.commit, "head_tree": picked.tree}
    )
    published = await world.forge(run).publish(chosen, current(world, run_id))
    world.store.move(
        run_id,
        RunState.IN_REVIEW,
        head_commit=picked.commit,
        head_tree=picked.tree,
        pull_request=published.pull_request or 0,
    )
    world.store.replace(run_id, RESULT, published)
    return picked


def _require(world: World, run: Run, agent: str) -> None:
    if world.store.load(run.id, PLAN, Plan).is_flow:
        raise RunProblem("the nodes of a workflow are parts and not rivals", code="POLICY_DENIED")
    if run.state is not RunState.IN_REVIEW:
        raise RunProblem("only a run whose pull request is open has a winner to replace", code="POLICY_DENIED")
    shown = current(world, run.id)
    row = next((row for row in shown.candidates if row.agent == agent), None)
    if row is None:
        names = ", ".join(row.agent for row in shown.candidates)
        raise RunProblem(f"no such agent took part; there were: {names}", code="POLICY_DENIED")
    if not row.admissible:
        raise RunProblem(f"the candidate of {agent} is inadmissible; nobody can pick it", code="POLICY_DENIED")
    if shown.winner == agent:
        raise RunProblem(f"{agent} is in the winner's place already", code="POLICY_DENIED")


async def _prepare(world: World, run: Run, agent: str, by: str, why: str) -> Picked:
    """The candidate's commit, deterministic, and who wanted it, written down before anything is shown."""
    plan = world.store.load(run.id, PLAN, Plan)
    node = _node(plan, agent)
    patch = world.store.load(run.id, tried_name(node), Tried).candidate.patch
    git_dir = await world.forge(run).fetch(run)
    message = f"OPTR {plan.workflow}: {agent}\n\nRun: {run.id}\nIntent-Digest: {plan.intent.digest}\n"
    commit, tree = await asyncio.to_thread(commit_patch, git_dir, plan.base_commit, patch, message, run.created_ms)
    picked = Picked(
        agent=agent, by=by, why=why, commit=commit, tree=tree, replaces=run.pull_request, picked_ms=world.now_ms()
    )
    world.store.replace(run.id, PICKED, picked)
    return picked


def _node(plan: Plan, agent: str) -> str:
    return next(node for node, profile in plan.profiles.items() if profile.name == agent)


def _line(run: Run, plan: Plan, picked: Picked, kept: Keeping, policy: Mapping[str, str]) -> Draft:
    kind = EntryType.OPTR_PICKED
    return Draft(
        id=f"{run.id}/{kind}/{picked.commit}",
        type=str(kind),
        workflow=plan.workflow,
        run=run.id,
        actor=picked.by,
        timestamp=picked.picked_ms,
        body={
            "pickedOptr": picked.agent,
            "why": kept.words(picked.why),
            "commit": picked.commit,
            "tree": picked.tree,
            "replaces": picked.replaces,
            "orchestrator": ACTOR,
            **policy,
        },
    )
