"""What a reader names when asking for a verification: a clone, a bare repository, a file, or standard input."""

import tarfile
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from ledger.branch import GitDir, resolve
from ledger.bundle import TOP
from ledger.errors import SourceError
from ledger.layout import BRANCH, DIRECTORY, OPEN_SEGMENT
from ledger.verify import Manner, Verification, verify_branch, verify_file, verify_stream

STREAM = "-"
_BRANCHES = "refs/heads/"
_FETCHED = "refs/remotes/origin/"


def verify(
    where: str,
    stream: BinaryIO,
    trusted: str | None,
    remembered: bytes | None,
    manner: Manner,
    branch: str | None = None,
) -> Verification:
    """Verify the ledger at `where`.

    Args:
        where: a work tree, a git directory (also as a `file://` URL), a checkout of the branch, a file of lines, "-".
        stream: what "-" reads.
        trusted: as for `verify_branch`.
        remembered: as for `verify_branch`.
        manner: as for `verify_branch`.
        branch: as for `branch_of`; only a repository has one.

    Raises:
        SourceError: `where` is somewhere else, or nothing, or has no branches.
        LedgerError, OSError: as for `verify_branch` and `verify_file`.
    """
    if where == STREAM:
        _no_branch(branch, "standard input")
        return verify_stream("standard input", stream, remembered, manner)
    path = _path(where)
    if path.is_dir():
        for beside in (path / OPEN_SEGMENT, path / DIRECTORY / OPEN_SEGMENT):
            if beside.exists() and not (path / ".git").exists():
                _no_branch(branch, where)
                return verify_file(beside, trusted, remembered, manner)
        repository = resolve(path)
        return verify_branch(repository.path, branch_of(repository, branch), trusted, remembered, manner)
    if not path.exists():
        raise SourceError(f"there is nothing at {where}: give a clone, a ledger file, or - for standard input")
    _no_branch(branch, where)
    if path.is_file():
        _not_a_bundle(path)
    return verify_file(path, trusted, remembered, manner)


def _no_branch(branch: str | None, where: str) -> None:
    if branch is not None:
        raise SourceError(f"a branch is asked for, and {where} is no repository: leave one of them out")


def _not_a_bundle(path: Path) -> None:
    """Say so where somebody has a run's evidence and not a ledger: it would be called tampered with."""
    with path.open("rb") as file:
        start = file.read(tarfile.BLOCKSIZE)
    if start.startswith(f"{TOP}/".encode()):
        raise SourceError(f"{path} is a run's bundle and not a ledger: check it with optr ledger export --check {path}")


def branch_of(repository: GitDir, name: str | None = None) -> str:
    """Return the full ref to verify: a fresh clone has the branch only as that of its remote.

    Args:
        repository: holds it.
        name: a branch's name, such as `datalake-theirs`, or a full one, `refs/...`; None for `datalake`.
    """
    own = BRANCH if name is None else name if name.startswith("refs/") else f"{_BRANCHES}{name}"
    fetched = f"{_FETCHED}{own.removeprefix(_BRANCHES)}"
    fetched_only = own.startswith(_BRANCHES) and repository.tip(own) is None and repository.tip(fetched) is not None
    return fetched if fetched_only else own


def _path(where: str) -> Path:
    url = urlsplit(where)
    if url.scheme == "file" and url.netloc in ("", "localhost"):
        return Path(unquote(url.path))
    if "://" in where or (":" in where.partition("/")[0] and not Path(where).exists()):
        raise SourceError(
            f"{where} is not on this machine, and a verification opens no connections: "
            f"git clone --bare --single-branch --branch datalake {where} record.git, then verify record.git"
        )
    return Path(where)
