"""Whether the plan was on the ledger before a candidate's node was let go: read from the branch, not remembered."""

from pathlib import Path

from execution.gitcmd import GitError, run_git

LEDGER_REF = "refs/heads/datalake"


def stands_recorded(git_dir: Path, commit: str, path: str, expected: bytes) -> bool:
    """Whether `commit` is on the ledger's branch and holds exactly these bytes at `path`.

    Args:
        git_dir: a git directory of ours that holds the branch, up to date.
        commit: hex id, from the plan's receipt.
        path: of the file in the branch.
        expected: the bytes that were to be recorded.
    """
    try:
        run_git(git_dir, "merge-base", "--is-ancestor", commit, LEDGER_REF)
        return run_git(git_dir, "cat-file", "blob", f"{commit}:{path}") == expected
    except GitError:
        return False
