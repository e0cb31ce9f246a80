"""What execution needs of others, declared here by the one who needs it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from execution.records import Attempt, Command, CommandResult, Limits, Task
from execution.result import RunResult
from execution.runs import Run
from governance.trust.records import Revocation
from ledger.entry import Draft
from ledger.keys import Signer
from ledger.sequencer import Appended


class Sandbox(Protocol):
    """Runs hostile commands: no network, cleared environment, unprivileged uid, limits, whole tree killed."""

    name: str

    async def run(self, command: Command) -> CommandResult:
        """Run to the end or to the wall clock.

        Raises:
            SandboxError: the sandbox itself could not start it (infrastructure, not the command's failure).
        """
        ...


class Agent(Protocol):
    """Writes a candidate in a workspace. Its failures are outcomes, not exceptions."""

    async def attempt(self, task: Task, workspace: Path, sandbox: Sandbox, limits: Limits) -> Attempt:
        """Change files under `workspace`, a host directory, through `sandbox` only; we take the diff afterwards.

        Raises:
            SandboxError: the sandbox could not start a command. An agent that fails, hangs or lies raises nothing.
        """
        ...


class Forge(Protocol):
    """Where the code comes from and where results go: a local repository, or GitHub."""

    async def fetch(self, run: Run) -> Path:
        """A bare git directory of ours that holds the base branch and `datalake`, up to date."""
        ...

    async def append(self, run: Run, drafts: Sequence[Draft], files: Mapping[str, bytes]) -> Appended:
        """Append ledger lines with their files in one commit; idempotent by entry id."""
        ...

    def signer(self, run: Run, public: str | None = None) -> Signer:
        """The present signing key of this run's ledger; or the one with this public key, hex, retired or not.

        Raises:
            KeyFileError: it is not here any more, or cannot be read safely.
        """
        ...

    def ledger_keys(self, run: Run) -> frozenset[str]:
        """The hex public keys of this run's ledger, from the first to the newest, as hand-overs on its branch show.

        Raises:
            NoteError: the branch's keys are not those of this ledger.
        """
        ...

    def revocations(self, run: Run) -> tuple[Revocation, ...]:
        """What was revoked, as the ledger's branch says at this moment; reads git, so it may take a while.

        Raises:
            RefusedError: a line about it cannot be read.
        """
        ...

    async def progress(self, run: Run, result: RunResult) -> None:
        """Show where the run stands; idempotent, coalescing, never raises for a person's sake."""
        ...

    async def let_go(self, run: Run) -> None:
        """Give up whatever credentials are held for this run alone; never raises, and what is needed again is got."""
        ...

    async def publish(self, run: Run, result: RunResult) -> RunResult:
        """Publish the winner's branch and what stands around it; idempotent. Returns the result, links filled in."""
        ...
