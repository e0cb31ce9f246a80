"""Know the base before any agent starts: its history, what its checks need, what its tests report.

It comes before dispatch on purpose: a base whose checks cannot be prepared ends the run before money is spent.
"""

import asyncio
from pathlib import Path

from execution.artifacts import BASELINE, PLAN, BaseMeasured, Plan
from execution.checkrun import CheckRunner
from execution.gitcmd import GitError
from execution.history import verify_history
from execution.preparation import Prepared, Preparer
from execution.problems import InfrastructureProblem
from execution.runs import Run
from execution.sandbox import SandboxError
from execution.verification import room
from execution.workspace import create_store
from execution.world import World
from scoring.evidence import ReportCounts


async def measure_base(world: World, run_id: str) -> BaseMeasured:
    """Measure the base, or return what was measured.

    Raises:
        SetupProblem: `prepare` failed.
        InfrastructureProblem: sandbox, git or disk failed.
    """
    if (standing := world.store.find(run_id, BASELINE, BaseMeasured)) is not None:
        return standing
    run, plan = world.run(run_id), world.store.load(run_id, PLAN, Plan)
    git_dir = await world.forge(run).fetch(run)
    prepared = await prepared_for(world, run, plan, git_dir)
    history = await asyncio.to_thread(verify_history, git_dir, plan.base_commit, plan.base_branch)
    try:
        reports = await _reports(world, plan, git_dir, prepared)
    except (GitError, OSError, SandboxError) as error:
        raise InfrastructureProblem(f"the base could not be measured: {error}", code="VERIFIER_INFRA") from error
    world.store.put(run_id, BASELINE, BaseMeasured(history=history, reports=reports))
    return world.store.load(run_id, BASELINE, BaseMeasured)


async def prepared_for(world: World, run: Run, plan: Plan, git_dir: Path) -> tuple[Prepared, ...]:
    """What every check of this run finds in its tree; made again when a restart swept it.

    Raises:
        SetupProblem: `prepare` failed.
        InfrastructureProblem: sandbox, git or disk failed.
    """
    if plan.config.prepare is None:
        return ()
    try:
        home = await asyncio.to_thread(world.prepared) if world.prepared is not None else None
        preparer = Preparer(world.sandbox, world.scratch, home)
        return await preparer.ensure(
            git_dir, run.repository, plan.base_commit, plan.config.prepare, network=plan.prepare_network
        )
    except (GitError, OSError, SandboxError) as error:
        raise InfrastructureProblem(f"the base could not be prepared: {error}", code="VERIFIER_INFRA") from error


async def _reports(world: World, plan: Plan, git_dir: Path, prepared: tuple[Prepared, ...]) -> dict[str, ReportCounts]:
    """What each check that declares a report counts on the base; one that reports nothing there is left out."""
    asked = [check for check in plan.checks if check.junit is not None]
    if not asked:
        return {}
    with room(world.scratch) as root:
        store = await asyncio.to_thread(create_store, git_dir, root / "git")
        runner = CheckRunner(world.sandbox, store, root, prepared)
        seen = {check.id: await runner.run(plan.base_commit, check) for check in asked}
    return {name: one.report for name, one in seen.items() if one.report is not None}
