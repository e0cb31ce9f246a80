"""Files of a commit, read without a work tree."""

from pathlib import Path

from execution.gitcmd import run_git


def read_blob(git_dir: Path, commit: str, path: str) -> bytes | None:
    """A regular file's bytes at a commit, or None."""
    listed = run_git(git_dir, "ls-tree", "-z", commit, "--", path)
    if not listed.startswith((b"100644 blob ", b"100755 blob ")):
        return None
    return run_git(git_dir, "cat-file", "blob", f"{commit}:{path}")
