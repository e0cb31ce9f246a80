"""The winner's commit: the same base, patch, message and time give the same commit, so doing it twice is harmless."""

import tempfile
from pathlib import Path

from execution.gitcmd import run_git
from execution.workspace import commit_tree

MILLISECONDS = 1000


def apply_patch(git_dir: Path, base: str, patch: bytes) -> str:
    """Write the tree that `patch` makes of `base` and return its hex id; no work tree is involved.

    Raises:
        GitError: the patch does not apply to the base exactly.
    """
    with tempfile.TemporaryDirectory(prefix="optr-index-") as directory:
        env = {"GIT_INDEX_FILE": str(Path(directory) / "index")}
        run_git(git_dir, "read-tree", base, env=env)
        if patch:
            run_git(git_dir, "apply", "--cached", "--whitespace=nowarn", "-", stdin=patch, env=env)
        return run_git(git_dir, "write-tree", env=env).decode().strip()


def commit_patch(git_dir: Path, base: str, patch: bytes, message: str, timestamp_ms: int) -> tuple[str, str]:
    """Commit `patch` on top of `base` by plumbing alone.

    Args:
        git_dir: a git directory of ours that holds `base`; gets the new objects, no reference moves.
        base: hex id of the parent commit.
        patch: bytes of `git diff --binary --full-index`.
        message: the commit message.
        timestamp_ms: author and committer time, milliseconds since the epoch; git keeps whole seconds.

    Returns:
        Hex ids of the commit and of its tree.

    Raises:
        GitError: the patch does not apply, or `base` is no commit.
    """
    tree = apply_patch(git_dir, base, patch)
    return commit_tree(git_dir, tree, (base,), message, f"@{timestamp_ms // MILLISECONDS} +0000"), tree
