"""A local repository as a forge: base from its HEAD, record and winner's branch as refs, work tree untouched."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from execution.gitcmd import GitError, run_git
from execution.problems import SetupProblem
from execution.result import RunResult
from execution.revocations import Revocations
from execution.runs import Run
from execution.trustbooks import ledger_keys
from governance.entry_types import EntryType
from governance.states import RunState
from governance.trust.records import Revocation
from ledger.checkpoint import parse_checkpoint
from ledger.entry import Draft
from ledger.keyring import KeyRing, ring_of
from ledger.keys import Signer
from ledger.sequencer import Appended, Sequencer
from ledger.store import FileCheckpoints

LEDGER_REF = "refs/heads/datalake"
# What a person at a terminal has not seen for themselves: the rest follows at once or is told by name below.
_TOLD = frozenset({RunState.EXECUTING, RunState.PUBLISHED, RunState.CLOSED})


class LocalForge:
    """Serves runs of one local repository.

    Args:
        git_dir: the repository's own git directory, the one that its linked work trees share.
        keys: the ledger's key, or the ring it belongs to.
        checkpoints: directory of the remembered checkpoints.
        say: told about progress, one line each.
    """

    def __init__(self, git_dir: Path, keys: Signer | KeyRing, checkpoints: Path, say: Callable[[str], None]) -> None:
        self._git_dir = git_dir
        self._ring = ring_of(keys)
        self._checkpoints = FileCheckpoints(checkpoints)
        self._sequencer = Sequencer(git_dir, self._ring, self._checkpoints)
        self._say = say
        self._revocations = Revocations(git_dir)
        self._said: set[str] = set()
        self._lock = asyncio.Lock()

    def ready(self, run: Run, *, adopt: bool) -> None:
        """See that the ledger on the branch is the one that was signed last, before anything is started.

        Args:
            run: what is about to start.
            adopt: take the branch as it stands when nothing is remembered of this ledger, and record that.

        Raises:
            LedgerError: it is not, or cannot be read; nothing was written.
        """
        if adopt and self._checkpoints.load(self._ring.signer.origin) is None and _tip(self._git_dir, LEDGER_REF):
            self._sequencer.adopt()
            self._sequencer.append([_adoption(run, self._checkpoints.load(self._ring.signer.origin) or b"")], {})
            self._say(f"the ledger {self._ring.signer.origin} is taken as it stands on the branch datalake")
        self._sequencer.settle()

    async def fetch(self, run: Run) -> Path:
        """The repository itself: nothing to fetch."""
        del run
        return self._git_dir

    def signer(self, run: Run, public: str | None = None) -> Signer:
        """This ledger's present key, or the one with this public key.

        Raises:
            KeyFileError: it is not here any more.
        """
        del run
        return self._ring.find(public) if public is not None else self._ring.signer

    def ledger_keys(self, run: Run) -> frozenset[str]:
        """The public keys on the repository's own `datalake` branch, if ours is one of them."""
        del run
        return ledger_keys(self._git_dir, trusted=self._ring.signer.vkey)

    def revocations(self, run: Run) -> tuple[Revocation, ...]:
        """What was revoked on the repository's own `datalake` branch."""
        del run
        return self._revocations.read()

    async def append(self, run: Run, drafts: Sequence[Draft], files: Mapping[str, bytes]) -> Appended:
        """Append to the repository's own `datalake` branch."""
        del run
        async with self._lock:
            return await asyncio.to_thread(self._sequencer.append, drafts, files)

    async def progress(self, run: Run, result: RunResult) -> None:
        """Say each new state and each candidate's verdict once."""
        del run
        lines: list[str] = []
        for row in result.candidates:
            if row.outcome is not None and row.admissible is None:
                lines.append(f"{row.agent}: {row.outcome}")
            elif row.admissible is not None:
                lines.append(f"{row.agent}: {'admissible' if row.admissible else 'inadmissible'}")
        for line in (*lines, *_standing(result)):
            if line not in self._said:
                self._said.add(line)
                self._say(line)

    async def let_go(self, run: Run) -> None:
        """Nothing is held: a repository on this machine asks for no credentials."""
        del run

    async def publish(self, run: Run, result: RunResult) -> RunResult:
        """Create the winner's branch; the current branch and the work tree stay as they are.

        Raises:
            SetupProblem: the branch exists and is something else.
        """
        del run
        await asyncio.to_thread(self._branch, f"refs/heads/{result.branch}", str(result.commit))
        return result

    def _branch(self, ref: str, commit: str) -> None:
        try:
            run_git(self._git_dir, "update-ref", ref, commit, "0" * len(commit))
        except GitError:
            if _tip(self._git_dir, ref) != commit:
                raise SetupProblem(
                    f"{ref} already exists and is not this run's winner; rename or delete it, then run again",
                    code="BRANCH_TAKEN",
                ) from None


def _adoption(run: Run, checkpoint: bytes) -> Draft:
    """The line that says who took over a ledger of which nothing was remembered, and what it was then."""
    kind, taken = EntryType.LEDGER_ADOPTED, parse_checkpoint(checkpoint)
    return Draft(
        id=f"{run.id}/{kind}",
        type=str(kind),
        workflow=run.workflow,
        run=run.id,
        actor=run.requester,
        timestamp=run.created_ms,
        body={"adoptedSize": taken.size, "adoptedRoot": taken.root.hex()},
    )


def _standing(result: RunResult) -> list[str]:
    """One line on the run, once it has a plan: before, nothing has begun."""
    if not result.candidates or result.state not in _TOLD:
        return []
    return [f"{result.workflow}: {result.outcome or result.state}"]


def _tip(git_dir: Path, ref: str) -> str | None:
    try:
        return run_git(git_dir, "rev-parse", "--verify", "--quiet", ref).decode().strip()
    except GitError:
        return None
