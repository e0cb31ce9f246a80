"""Reading single entries, and all that belongs to one run, from a branch; lines are checked as they are read."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ledger.branch import GitDir
from ledger.entry import Entry
from ledger.errors import ExtractError
from ledger.faults import FaultFound
from ledger.layout import BRANCH, CHECKPOINT, KEYS
from ledger.scan import scan
from ledger.source import BranchSource


@dataclass(frozen=True)
class Extract:
    """Entries of a ledger, with the files that they speak for.

    Attributes:
        entries: in their order.
        files: content by path relative to `datalake/`.
        checkpoint: the signed tree head of the same commit.
        keys: the verification keys of the same commit, by path relative to `datalake/`.
    """

    entries: tuple[Entry, ...]
    files: dict[str, bytes]
    checkpoint: bytes
    keys: dict[str, bytes]


def entries(git_dir: Path, wanted: Callable[[Entry], bool], ref: str = BRANCH) -> list[Entry]:
    """Return the entries that are `wanted`; every line of the ledger is read and checked on the way.

    Raises:
        ExtractError: there is no ledger, or a line of it is not what it should be, by its number.
        GitError: git failed.
    """
    return _entries(_source(GitDir(git_dir), ref), wanted)


def extract(
    git_dir: Path,
    wanted: Callable[[Entry], bool],
    ref: str = BRANCH,
    only: Callable[[str], bool] = lambda _: True,
) -> Extract:
    """Return the entries that are `wanted` with what they speak for, from one commit; each file's digest is checked.

    Args:
        git_dir: a git directory.
        wanted: which entries.
        ref: the branch, by its full name.
        only: which of the files that they speak for, by path.

    Raises:
        ExtractError: as `entries`; or no entry is wanted, or a file is missing.
        GitError: git failed.
    """
    source = _source(GitDir(git_dir), ref)
    found = _entries(source, wanted)
    if not found:
        raise ExtractError("no entry of this ledger is asked for: see `optr ledger show`")
    there = source.modes()
    keys = [path for path in sorted(there) if path.startswith(KEYS)]
    digests = {path: digest for entry in found for path, digest in entry.files.items() if only(path)}
    absent = next((path for path in [CHECKPOINT, *sorted(digests)] if path not in there), None)
    if absent is not None:
        raise ExtractError(f"{absent} is missing: run `optr verify-ledger`")
    files = _read(source, sorted(digests))
    changed = next((path for path in files if hashlib.sha256(files[path]).hexdigest() != digests[path]), None)
    if changed is not None:
        raise ExtractError(f"{changed} is not the file that its line speaks for: run `optr verify-ledger`")
    return Extract(tuple(found), files, _read(source, [CHECKPOINT])[CHECKPOINT], _read(source, keys))


def _source(git: GitDir, ref: str) -> BranchSource:
    commit = git.tip(ref)
    if commit is None:
        raise ExtractError(f"there is no {ref} in {git.path}: fetch it")
    return BranchSource(git, commit)


def _entries(source: BranchSource, wanted: Callable[[Entry], bool]) -> list[Entry]:
    found: list[Entry] = []
    try:
        scan(source, lambda entry, _full, _chain: found.append(entry) if wanted(entry) else None)
    except FaultFound as fault:
        problem = fault.problem()
        at = f"entry {problem.entry}: " if problem.entry is not None else ""
        raise ExtractError(f"{at}{problem.detail}: run `optr verify-ledger`") from fault
    return found


def _read(source: BranchSource, paths: Iterable[str]) -> dict[str, bytes]:
    wanted = list(paths)
    try:
        return dict(zip(wanted, source.read(wanted), strict=True))
    except FaultFound as fault:
        raise ExtractError(str(fault)) from fault
