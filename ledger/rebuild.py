"""Restoring a damaged ledger from what git still holds; no line is written that no commit holds, and no hash made.

The history is read from its first commit. As long as commits only append, the newest that verifies is what stands.
Once a commit changes or removes what was there, only a later commit that holds all of it again, and verifies, counts
more. So a rollback to a genuine older state, and a history rewritten with the key, are undone as well.

Restoring adds one commit to the branch whose `datalake/` is exactly that of the commit it restores, made of the same
git objects. The branch moves forward only; the damage stays in the history, and in the backup, for whoever asks.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from ledger import durable
from ledger.audit import SIMPLY, Manner
from ledger.branch import STAGED, GitDir
from ledger.commit import Blob, Commit
from ledger.errors import RebuildError
from ledger.faults import Problem
from ledger.history import Departure, Step, contains_lines, steps
from ledger.layout import BRANCH, DIRECTORY, OPEN_SEGMENT, SEALED
from ledger.verify import Verification, verify_branch

REBUILD_VERSION = 1
SUFFIX = ".corrupted"
NAME_BYTES_MAX = 200  # bytes of a backup's name before its suffix; disks take 255
BACKUPS_MAX = 10_000  # backups of one file in one directory
_REF = f"{STAGED}rebuild"


@dataclass(frozen=True)
class Findings:
    """What the history says.

    Attributes:
        tip: the branch's commit.
        problem: what is wrong at the tip; None when it verifies.
        good: the newest commit that can be relied on; None when there is none.
        size: lines at `good`.
        commits: how many were read.
        departures: everything that was not a pure append, oldest first.
        damaged: what differs between `tip` and `good`, by repository path: the blob to be, None where there is none.
    """

    tip: str
    problem: Problem | None
    good: str | None
    size: int
    commits: int
    departures: tuple[Departure, ...]
    damaged: dict[str, Blob | None]

    @property
    def whole(self) -> bool:
        """Whether nothing has to be restored."""
        return self.good is not None and self.problem is None and not self.damaged


@dataclass(frozen=True)
class Restored:
    """What was done.

    Attributes:
        commit: the branch's new commit.
        backups: the files that hold what was there, one for each damaged file of lines.
    """

    commit: str
    backups: tuple[Path, ...]


def examine(
    git_dir: Path,
    ref: str = BRANCH,
    trusted: str | None = None,
    remembered: bytes | None = None,
    manner: Manner = SIMPLY,
) -> Findings:
    """Read the whole history of a branch and find what can be relied on; nothing is written.

    The arguments are those of `verify_branch`.

    Raises:
        RebuildError: there is no such branch.
        NoteError, GitError: as for `verify_branch`; MissingObjectError when part of the history is not here.
    """
    git = GitDir(git_dir)
    tip = git.tip(ref)
    if tip is None:
        raise RebuildError(f"there is no {ref} in {git_dir}: fetch it, with its whole history")

    def verify(commit: str) -> Verification:
        return verify_branch(git.path, commit, trusted, remembered, replace(manner, incremental=False))

    passed = list(steps(git, tip))
    found = _Search(git, verify).best(passed)
    departures = tuple(departure for step in passed for departure in step.departures)
    damaged = _differences(git, tip, found.commit) if found is not None else {}
    good, size = (found.commit, found.size) if found is not None else (None, 0)
    return Findings(tip, verify(tip).problem, good, size, len(passed), departures, damaged)


def restore(git_dir: Path, findings: Findings, seconds: int, backups: Path) -> Restored:
    """Back up what is damaged, then put one commit on the branch that holds what can be relied on.

    Args:
        git_dir: as for `examine`.
        findings: of `examine`; with something to restore.
        seconds: the commit's time, seconds since the epoch.
        backups: the directory for the backups; an earlier backup is never overwritten.

    Raises:
        RebuildError: nothing can be relied on, nothing is damaged, or the branch moved meanwhile.
        GitError, OSError: writing failed; the branch is as it was.
    """
    git = GitDir(git_dir)
    if findings.good is None:
        raise RebuildError("no commit of this history verifies, so there is nothing to restore")
    if not findings.damaged:
        raise RebuildError("nothing differs from the newest commit that verifies")
    kept = tuple(_back_up(git, findings, backups))
    write: dict[str, bytes | Blob] = {path: blob for path, blob in findings.damaged.items() if blob is not None}
    delete = tuple(path for path, blob in findings.damaged.items() if blob is None)
    words = f"Restore the ledger as of {findings.good}\n\n{findings.size} lines; from history, nothing made anew.\n"
    old = git.tip()
    commit = git.stage(Commit(findings.tip, words, seconds, write, delete), _REF)
    if old not in (findings.tip, None) or not git.move(commit, old, _REF):
        git.drop(_REF)
        raise RebuildError(f"{BRANCH} moved while it was being restored: run it again")
    return Restored(commit, kept)


class _Search:
    """Looks for the commit to restore; a commit is verified only where that decides something."""

    def __init__(self, git: GitDir, verify: Callable[[str], Verification]) -> None:
        self._git = git
        self._verify = verify

    def best(self, history: list[Step]) -> Step | None:
        """Return the newest step that verifies and holds everything that verified before it."""
        floor: Step | None = None
        pending: list[Step] = []  # each holds the one before it, and the floor
        for step in history:
            if step.grew and (pending or floor is None):
                pending.append(step)
                continue
            floor, pending = self._settled(floor, pending), []
            if floor is None or contains_lines(self._git, floor.commit, step.commit):
                pending.append(step)
        return self._settled(floor, pending)

    def _settled(self, floor: Step | None, pending: list[Step]) -> Step | None:
        limit: int | None = None  # a line that is wrong is wrong in every later commit that holds it
        for step in reversed(pending):
            if limit is not None and step.size >= limit:
                continue
            found = self._verify(step.commit)
            if found.problem is None:
                return step
            if found.problem.entry is not None and found.entries < found.problem.entry:
                limit = found.problem.entry
        return floor


def _differences(git: GitDir, tip: str, good: str) -> dict[str, Blob | None]:
    changes = git.changes(tip, good)
    if changes is None:
        raise RebuildError(f"commit {tip} or {good} is not here: fetch the whole branch")
    return {f"{DIRECTORY}/{path}": change.new for path, change in sorted(changes.items())}


def _back_up(git: GitDir, findings: Findings, directory: Path) -> Iterator[Path]:
    there = git.files(findings.tip)
    for path in findings.damaged:
        name = path.removeprefix(f"{DIRECTORY}/")
        if path in there and (name == OPEN_SEGMENT or name.startswith(SEALED)):
            yield keep(directory, _flat(name), next(git.blobs([there[path].oid])))


def _flat(name: str) -> str:
    """A name for a file in one directory. One that a stranger made too long for a disk must not stop the repair."""
    flat = name.replace("/", "-")
    if len(os.fsencode(flat)) <= NAME_BYTES_MAX:
        return flat
    return f"{SEALED.rstrip('/')}-{sha256(os.fsencode(flat)).hexdigest()}"


def keep(directory: Path, name: str, content: bytes) -> Path:
    """Write `content` durably to `<name>.corrupted`, or `.corrupted.2` and so on where that is taken.

    Raises:
        RebuildError: there are too many.
        OSError: it cannot be written.
    """
    for number in range(1, BACKUPS_MAX + 1):
        path = directory / f"{name}{SUFFIX}{f'.{number}' if number > 1 else ''}"
        try:
            durable.create(path, content)
        except FileExistsError:
            continue
        return path
    raise RebuildError(f"{directory} holds {BACKUPS_MAX} backups of {name} already: move them away")
