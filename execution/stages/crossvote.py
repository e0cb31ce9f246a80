"""Run each admissible candidate's new tests on every other admissible candidate, once all verdicts stand."""

import asyncio
from pathlib import Path

from execution.artifacts import CROSS, PLAN, CrossVotes, Judged, Plan, Tried, judged_name, tried_name
from execution.checkrun import CheckRunner
from execution.checks import TESTED
from execution.config import Check
from execution.crossvoting import Contestant, Poll
from execution.gitcmd import GitError
from execution.problems import InfrastructureProblem
from execution.reading import read
from execution.sandbox import SandboxError
from execution.stages.baseline import prepared_for
from execution.trees import PatchEffectError, build_trees, list_paths
from execution.verification import room
from execution.workspace import create_store
from execution.world import World


async def cross_vote(world: World, run_id: str) -> CrossVotes:
    """Hold the votes, or return those that stand.

    Raises:
        InfrastructureProblem: the base or the disk is in the way; a vote that cannot be held is a `not_run` instead.
    """
    if (standing := world.store.find(run_id, CROSS, CrossVotes)) is not None:
        return standing
    plan = world.store.load(run_id, PLAN, Plan)
    fair = _admissible(world, run_id, plan)
    checks = [check for check in plan.checks if TESTED in check.proves]
    made = CrossVotes()
    if checks and len(fair) > 1 and any(judged.evidence.diff and judged.evidence.diff.tests_added for judged in fair):
        try:
            made = await _hold(world, run_id, plan, checks)
        except (GitError, OSError, SandboxError, PatchEffectError) as error:
            raise InfrastructureProblem(f"cross-votes could not be held: {error}", code="VERIFIER_INFRA") from error
    world.store.put(run_id, CROSS, made)
    return world.store.load(run_id, CROSS, CrossVotes)


def _admissible(world: World, run_id: str, plan: Plan) -> list[Judged]:
    judged = [world.store.load(run_id, judged_name(node.id), Judged) for node in plan.graph.racers]
    return [one for one in judged if one.evidence.admissible]


async def _hold(world: World, run_id: str, plan: Plan, checks: list[Check]) -> CrossVotes:
    run = world.run(run_id)
    git_dir = await world.forge(run).fetch(run)
    prepared = await prepared_for(world, run, plan, git_dir)
    with room(world.scratch) as root:
        store = await asyncio.to_thread(create_store, git_dir, root / "git")
        contestants = await asyncio.to_thread(_contestants, world, run_id, plan, store)
        poll = Poll(CheckRunner(world.sandbox, store, root, prepared), checks)
        return CrossVotes(votes=await poll.hold(contestants))


def _contestants(world: World, run_id: str, plan: Plan, store: Path) -> list[Contestant]:
    base_paths = list_paths(store, plan.base_commit)
    found = []
    for node in plan.graph.racers:
        evidence = world.store.load(run_id, judged_name(node.id), Judged).evidence
        if not evidence.admissible or evidence.diff is None:
            continue
        patch = world.store.load(run_id, tried_name(node.id), Tried).candidate.patch
        trees = build_trees(store, plan.base_commit, patch, read(patch, base_paths, plan.config.patch).changes)
        found.append(Contestant(evidence.agent, trees, evidence.diff.tests_added))
    return found
