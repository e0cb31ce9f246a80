"""Which repository a path belongs to, found without asking git.

Git is only ever run with its directory named (see `execution.gitcmd`), so the walk up to the top is ours: the top of a
work tree, a linked work tree, a submodule, or a bare repository; from any directory inside.
Layout: https://git-scm.com/docs/gitrepository-layout
"""

import os
from dataclasses import dataclass
from pathlib import Path

GIT_FILE_BYTES_MAX = 4096  # a `.git` or `commondir` file holds one path


class NoRepositoryError(ValueError):
    """There is none here, or none that may be trusted; the text says why.

    Attributes:
        remedy: what to do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


@dataclass(frozen=True)
class Place:
    """One repository, seen from a directory.

    Attributes:
        top: the work tree's top, or the bare repository itself.
        git_dir: where this work tree's HEAD and index are.
        common_dir: where objects and branches are, shared by every linked work tree; names the repository.
    """

    top: Path
    git_dir: Path
    common_dir: Path


def locate(path: Path) -> Place:
    """The repository that `path` is in.

    One that is found only above `path` must belong to the user who asks: its configuration is about to be believed,
    and somebody else may have put it into a shared directory such as /tmp.

    Raises:
        NoRepositoryError: says why, and what to do.
    """
    start = path.resolve()
    if not start.is_dir():
        raise NoRepositoryError(f"{path} is not a directory", "Give --repo the directory of a git repository")
    for top in (start, *start.parents):
        git_dir = _git_dir(top)
        if git_dir is not None:
            if top != start and git_dir.stat().st_uid != os.geteuid():
                raise NoRepositoryError(
                    f"the repository around {path}, {top}, belongs to another user",
                    f"Name it if you trust it: --repo {top}",
                )
            return Place(top, git_dir, _common_dir(git_dir))
    raise NoRepositoryError(
        f"{path} is not in a git repository", "Give --repo the directory of one, or run `git init` here and commit"
    )


def _git_dir(top: Path) -> Path | None:
    found = top / ".git"
    if found.is_file():
        pointed = _pointed(found, "gitdir: ")
        if not _is_git_dir(pointed):
            raise NoRepositoryError(
                f"{found} points to {pointed}, which is no git directory", "Repair it: `git worktree repair`"
            )
        return pointed
    return next((path for path in (found, top) if _is_git_dir(path)), None)


def _is_git_dir(path: Path) -> bool:
    if not (path / "HEAD").is_file():
        return False
    common = _common_dir(path)
    return (common / "objects").is_dir() and (common / "refs").is_dir()


def _common_dir(git_dir: Path) -> Path:
    file = git_dir / "commondir"
    return _pointed(file) if file.is_file() else git_dir


def _pointed(file: Path, prefix: str = "") -> Path:
    with file.open("rb") as stream:
        text = os.fsdecode(stream.read(GIT_FILE_BYTES_MAX)).removeprefix(prefix).strip("\n")
    return (file.parent / text).resolve()
