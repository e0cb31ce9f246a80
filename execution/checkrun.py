"""One check on one tree, in a checkout of its own: what one check leaves behind, the next one never sees."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from execution.config import Check
from execution.junit import ReportError, read_report, remove_report
from execution.ports import Sandbox
from execution.preparation import Prepared, place
from execution.records import Command, CommandLimits, CommandResult
from execution.sandbox.toolchain import python_paths
from execution.workspace import Workspace, discard, duplicate, prepare
from scoring.evidence import CheckOutcome, ReportCounts


@dataclass(frozen=True)
class Observed:
    """What came of a check.

    Attributes:
        done: of the command; its exit code decides.
        report: what the declared JUnit report counts; None without one.
        report_problem: why a declared report could not be read; None when it could, or none is declared.
    """

    done: CommandResult
    report: ReportCounts | None = None
    report_problem: str | None = None

    @property
    def outcome(self) -> CheckOutcome:
        """By exit code alone."""
        if self.done.timed_out:
            return CheckOutcome.TIMED_OUT
        return CheckOutcome.PASSED if self.done.exit_code == 0 else CheckOutcome.FAILED


class CheckRunner:
    """Runs checks on trees of one store.

    Args:
        sandbox: where they run.
        store: a git directory of ours that holds the trees.
        room: an existing directory that the sandbox's uid can walk down to. A pristine checkout of each tree stays in
            it, which every check gets a copy of; it goes with the room.
        prepared: what was prepared for the base; every check finds it in its place, read-only.
    """

    def __init__(self, sandbox: Sandbox, store: Path, room: Path, prepared: tuple[Prepared, ...] = ()) -> None:
        self._sandbox = sandbox
        self._store = store
        self._room = room
        self._prepared = prepared
        self._pristine: dict[str, Workspace] = {}
        self._checking_out = asyncio.Lock()

    async def run(self, tree: str, check: Check) -> Observed:
        """Run `check` on the tree with the hex id `tree`.

        Raises:
            SandboxError: the sandbox could not start it.
            GitError: the tree cannot be checked out.
            OSError: the disk does not take it.
        """
        async with self._checking_out:
            if tree not in self._pristine:
                self._pristine[tree] = await asyncio.to_thread(prepare, self._store, tree, self._room)
        workspace = await asyncio.to_thread(duplicate, self._pristine[tree], self._room)
        try:
            return await self._observe(workspace.tree, check)
        finally:
            await asyncio.to_thread(discard, workspace)

    async def _observe(self, tree: Path, check: Check) -> Observed:
        await asyncio.to_thread(place, self._prepared, tree)
        if check.junit is not None:
            remove_report(tree, check.junit)
        command = Command(
            argv=("sh", "-c", check.run),
            workspace=tree,
            env={"CI": "true"},
            limits=CommandLimits(wall_seconds=check.timeout_s),
            read_only=(*python_paths(), *(kept.source for kept in self._prepared)),
        )
        done = await self._sandbox.run(command)
        if check.junit is None:
            return Observed(done)
        try:
            return Observed(done, await asyncio.to_thread(read_report, tree, check.junit))
        except ReportError as error:
            return Observed(done, report_problem=str(error))
