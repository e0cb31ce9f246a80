"""The trees of a workflow's node: what it starts from, and what of its result it changed itself."""

from collections.abc import Mapping
from pathlib import Path

from execution.gitcmd import run_git
from execution.winner import apply_patch
from execution.workspace import commit_tree, create_store

MERGE_TIME = "@0 +0000"


def start_tree(git_dir: Path, store: Path, base: str, patches: Mapping[str, bytes]) -> tuple[str, Path]:
    """The tree that a node starts from: the base with the patches, merged where several change the same file.

    Args:
        git_dir: where the base is.
        store: a directory to make objects in; must not exist.
        base: the base commit.
        patches: what it was handed, by node id, in the order they are put together.

    Returns:
        A commit with that tree, and the store that holds it.

    Raises:
        GitError: they do not fit together.
    """
    create_store(git_dir, store)
    commit = base
    for source, patch in patches.items():
        if not patch:
            continue
        tree = apply_patch(store, base, patch)
        theirs = commit_tree(store, tree, (base,), f"{source}\n", MERGE_TIME)
        if commit == base:
            commit = theirs
            continue
        merged = run_git(store, "merge-tree", "--write-tree", "--no-messages", commit, theirs).decode().split()[0]
        commit = commit_tree(store, merged, (commit, theirs), "merged\n", MERGE_TIME)
    return commit, store


def own_paths(git_dir: Path, store: Path, base: str, patches: Mapping[str, bytes], patch: bytes) -> tuple[str, ...]:
    """The paths in which a node's result differs from what it started from, in git's order.

    Args:
        git_dir: where the base is.
        store: a directory to make objects in; must not exist.
        base: the base commit.
        patches: what the node was handed, see `start_tree`.
        patch: the node's own, taken against the base.

    Raises:
        GitError: the patches do not apply.
    """
    start, _ = start_tree(git_dir, store, base, patches)
    ended = apply_patch(store, base, patch) if patch else f"{base}^{{tree}}"
    listed = run_git(store, "diff-tree", "-r", "-z", "--no-renames", "--name-only", f"{start}^{{tree}}", ended)
    return tuple(path for path in listed.decode("utf-8", "replace").split("\0") if path)
