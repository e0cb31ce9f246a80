"""What a commit changes, measured by git in our own copy of the repository."""

from pathlib import Path

from execution.gitcmd import run_git

_BINARY = b"-"


def numstat(git_dir: Path, base: str, head: str) -> tuple[tuple[str, ...], int]:
    """Paths that differ between two commits, and lines added and deleted; a binary file counts as one line.

    Raises:
        GitError: one of them is not here.
    """
    listed = run_git(git_dir, "diff", "--numstat", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", base, head)
    paths, lines = [], 0
    for row in listed.split(b"\0"):
        if not row:
            continue
        added, deleted, path = row.split(b"\t", 2)
        paths.append(path.decode("utf-8", "replace"))
        lines += 1 if added == _BINARY else int(added) + int(deleted)
    return tuple(paths), lines
