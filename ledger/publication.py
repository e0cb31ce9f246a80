"""Bringing a signed commit onto the branch: step 3 of an append, and its repetition after a crash."""

import hashlib
from collections.abc import Callable

from ledger.branch import STAGED, GitDir
from ledger.commit import Commit
from ledger.errors import LedgerBusyError, LedgerRefusedError, Standing
from ledger.layout import BRANCH, CHECKPOINT, DIRECTORY
from ledger.store import CheckpointStore

TRIES_MAX = 5  # attempts at one append, or at one publication, before giving way to the other writers
CHECKPOINT_FILE = f"{DIRECTORY}/{CHECKPOINT}"

Publish = Callable[[str, str | None], bool]
"""`publish(commit, expected_tip)`: push plainly, never by force; False when the remote branch is not at `expected_tip`
any more, after fetching it into the local branch. Raise on any other failure."""


def staging_ref(checkpoint: bytes) -> str:
    """Return the ref that holds the staged commit of a checkpoint.

    One name per checkpoint: sequencers that race do not overwrite each other's staged commits.
    """
    return f"{STAGED}{hashlib.sha256(checkpoint).hexdigest()}"


class Publication:
    """Moves the branch, and where there is a remote the remote's branch, forward to a staged commit.

    Args:
        git_dir: holds the branch and the staging refs.
        checkpoints: tells whether another sequencer has gone on meanwhile.
        origin: the ledger's name.
        publish: see `Publish`; None when the branch lives here only.
    """

    def __init__(self, git_dir: GitDir, checkpoints: CheckpointStore, origin: str, publish: Publish | None) -> None:
        self._git = git_dir
        self._store = checkpoints
        self._origin = origin
        self._publish = publish

    def finish(self, staged: str, parent: str | None, checkpoint: bytes) -> str:
        """Bring a signed, staged commit onto the branch; return the commit of the branch that holds it."""
        ref = staging_ref(checkpoint)
        for _ in range(TRIES_MAX):
            pushed = self._publish is None or self._publish(staged, parent)
            if pushed and self._git.move(staged, parent, ref):
                return staged
            tip = self._git.tip()
            if tip is not None and self._arrived(tip, staged, checkpoint):
                self._git.drop(ref)
                return tip
            if tip == parent:
                raise LedgerBusyError(f"the push of {staged} was refused: fetch {BRANCH}, then append again")
            staged, parent = self._restage(staged, tip, checkpoint), tip
        raise LedgerBusyError(f"{self._origin}: {BRANCH} keeps moving; append again later to finish")

    def once(self, staged: str, parent: str, ref: str) -> bool:
        """Bring a staged commit that is not signed for onto the branch, if that still stands at `parent`; tell it."""
        if (self._publish is None or self._publish(staged, parent)) and self._git.move(staged, parent, ref):
            return True
        self._git.drop(ref)
        return False

    def _arrived(self, tip: str, staged: str, checkpoint: bytes) -> bool:
        return self._git.contains(tip, staged) or self._git.file(tip, CHECKPOINT_FILE) == checkpoint

    def _restage(self, staged: str, tip: str | None, checkpoint: bytes) -> str:
        """Stage the same content on a tip that left `datalake/` alone; the signed checkpoint stays the only one."""
        commit, replaced = self._git.read_back(staged)
        there = self._git.files(tip) if tip is not None else {}
        odd = next((path for path, blob in replaced.items() if there.get(path) != blob), None)
        if odd is not None and self._store.load(self._origin) != checkpoint:
            raise LedgerBusyError(f"another sequencer finished this append and went on; append again, moved: {odd}")
        if odd is not None:
            raise LedgerRefusedError(
                Standing.DIFFERENT,
                f"{BRANCH} moved to {tip} while an append was under way, and {odd} is not what the append was built "
                "on: somebody else writes this ledger. Restore the branch from a clone, then append again",
            )
        again = Commit(tip, commit.message, commit.seconds, commit.write, commit.delete)
        return self._git.stage(again, staging_ref(checkpoint))

    def sweep(self, tip: str | None) -> None:
        """Drop staging refs that can never be published: the commit they were built on is not the tip."""
        for ref, parent in self._git.staged().items():
            if parent != tip:
                self._git.drop(ref)
