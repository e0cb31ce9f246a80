"""A local repository as a forge: base from its HEAD, record and winner's branch as refs, work tree untouched."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from execution.gitcmd import GitError, run_git
from execution.problems import SetupProblem
from execution.result import RunResult
from execution.runs import Run
from ledger.entry import Draft
from ledger.keys import Signer
from ledger.sequencer import Appended, Sequencer
from ledger.store import FileCheckpoints

ZERO_OID = "0" * 40
KEY_FILE = "key"


class LocalForge:
    """Serves runs of one local repository.

    Args:
        git_dir: the repository's own git directory.
        signer: the ledger's key.
        checkpoints: directory of the remembered checkpoints.
        say: told about progress, one line each.
    """

    def __init__(self, git_dir: Path, signer: Signer, checkpoints: Path, say: Callable[[str], None]) -> None:
        self._git_dir = git_dir
        self._signer = signer
        self._sequencer = Sequencer(git_dir, signer, FileCheckpoints(checkpoints))
        self._say = say
        self._said: set[str] = set()
        self._lock = asyncio.Lock()

    async def fetch(self, run: Run) -> Path:
        """The repository itself: nothing to fetch."""
        del run
        return self._git_dir

    def signer(self, run: Run) -> Signer:
        """This ledger's key."""
        del run
        return self._signer

    async def append(self, run: Run, drafts: Sequence[Draft], files: Mapping[str, bytes]) -> Appended:
        """Append to the repository's own `datalake` branch."""
        del run
        async with self._lock:
            return await asyncio.to_thread(self._sequencer.append, drafts, files)

    async def progress(self, run: Run, result: RunResult) -> None:
        """Say each new state and each candidate's verdict once."""
        del run
        lines = [f"{result.workflow}: {result.state}"]
        for row in result.candidates:
            if row.outcome is not None and row.admissible is None:
                lines.append(f"{row.agent}: {row.outcome}")
            elif row.admissible is not None:
                lines.append(f"{row.agent}: {'admissible' if row.admissible else 'inadmissible'}")
        for line in lines:
            if line not in self._said:
                self._said.add(line)
                self._say(line)

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
            run_git(self._git_dir, "update-ref", ref, commit, ZERO_OID)
        except GitError:
            if _tip(self._git_dir, ref) != commit:
                raise SetupProblem(
                    f"{ref} already exists and is not this run's winner; rename or delete it, then run again",
                    code="BRANCH_TAKEN",
                ) from None


def _tip(git_dir: Path, ref: str) -> str | None:
    try:
        return run_git(git_dir, "rev-parse", "--verify", "--quiet", ref).decode().strip()
    except GitError:
        return None


def ledger_key(home: Path, name: str) -> Signer:
    """The repository's ledger key, made at first use.

    The ledger's name carries chance, so that no two are alike; the key file remembers it.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = home / KEY_FILE
    if key.exists():
        return Signer.load(key)
    word = "".join(character if character.isalnum() or character in "-_." else "-" for character in name)
    return Signer.generate(key, f"optr.local/{word}-{secrets.token_hex(4)}")
