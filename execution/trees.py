"""The two trees that a candidate is judged by, made in git's object store without touching a file.

What the patch's text says is compared with what git made of it: a patch that two readers understand differently is
refused, because the rules were applied to the one and the checks would run on the other.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from execution.checks import is_config_path, is_test_path, shadows_runner
from execution.gitcmd import GitError, run_git
from execution.winner import apply_patch
from governance.patch import FileChange, shown

_ABSENT_MODE = b"000000"


class PatchEffectError(ValueError):
    """The patch does not apply to the base, or does something else than it says."""


@dataclass(frozen=True)
class Trees:
    """Hex ids of trees in `store`.

    Attributes:
        store: the git directory that holds them.
        base: the base.
        candidate: the base with the patch.
        base_tests: the candidate with every test and configuration file as the base has it.
    """

    store: Path
    base: str
    candidate: str
    base_tests: str


@dataclass(frozen=True)
class _Change:
    """One line of `git diff-tree --raw`."""

    path: bytes
    old_mode: bytes
    new_mode: bytes
    old_id: bytes


def build_trees(store: Path, base: str, patch: bytes, changes: tuple[FileChange, ...]) -> Trees:
    """Make both trees.

    Args:
        store: a git directory of ours for the new objects, able to read `base`.
        base: hex id of the base commit.
        patch: the patch.
        changes: what its text says.

    Raises:
        PatchEffectError: see there.
        GitError: the base is not there.
    """
    base_tree = run_git(store, "rev-parse", "--verify", "--end-of-options", f"{base}^{{tree}}").decode().strip()
    try:
        candidate = apply_patch(store, base_tree, patch)
    except GitError as error:
        raise PatchEffectError(f"the patch does not apply to the base: {error.stderr.splitlines()[0][:200]}") from error
    effect = list(_differences(store, base_tree, candidate))
    _require_same(changes, effect)
    base_paths = list_paths(store, base_tree)
    judging = [change for change in effect if _judges(change.path, base_paths)]
    return Trees(store, base_tree, candidate, _restored(store, candidate, judging))


def list_paths(git_dir: Path, tree: str) -> frozenset[str]:
    """Every path of a tree or commit; bytes that are no UTF-8 are escaped."""
    listing = run_git(git_dir, "ls-tree", "-r", "-z", "--name-only", "--full-tree", tree)
    return frozenset(path.decode("utf-8", "backslashreplace") for path in listing.split(b"\0") if path)


def with_files(store: Path, tree: str, source: str, paths: Iterable[str]) -> str:
    """`tree` with these files as `source` has them; returns the new tree's hex id.

    Raises:
        GitError: a tree is not there, or git cannot put the files in.
    """
    wanted = [path for path in paths if "\0" not in path]
    listed = run_git(store, "--literal-pathspecs", "ls-tree", "-r", "-z", "--full-tree", source, "--", *wanted)
    lines = [entry.replace(b" blob ", b" ", 1) + b"\0" for entry in listed.split(b"\0") if b" blob " in entry]
    return _updated(store, tree, lines)


def _judges(path: bytes, base_paths: frozenset[str]) -> bool:
    name = path.decode("utf-8", "backslashreplace")
    return is_test_path(name) or is_config_path(name) or shadows_runner(name, base_paths)


def _differences(store: Path, old: str, new: str) -> Iterator[_Change]:
    fields = run_git(store, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--full-index", old, new).split(b"\0")
    for head, path in zip(fields[0::2], fields[1::2], strict=False):
        old_mode, new_mode, old_id, *_ = head.removeprefix(b":").split(b" ")
        yield _Change(path, old_mode, new_mode, old_id)


def _require_same(changes: tuple[FileChange, ...], effect: list[_Change]) -> None:
    said: dict[str, tuple[str, str]] = {}
    for change in changes:  # a change of type is said in two parts
        first = said.get(change.path, (change.old_mode, ""))[0]
        said[change.path] = (first, change.new_mode)
    done = {change.path.decode("utf-8", "backslashreplace"): _modes(change) for change in effect}
    if said != done:
        odd = sorted(path for path in said.keys() | done.keys() if said.get(path) != done.get(path))
        raise PatchEffectError(f"the patch says something else than it does, for example about {shown(odd[0])}")


def _modes(change: _Change) -> tuple[str, str]:
    return change.old_mode.decode(), change.new_mode.decode()


def _restored(store: Path, candidate: str, judging: list[_Change]) -> str:
    """The candidate's tree with these changes taken back; removals first, as a file may become a directory again."""
    if not judging:
        return candidate
    lines = [b"0 " + b"0" * len(change.old_id) + b"\t" + change.path + b"\0" for change in judging]
    lines += [
        change.old_mode + b" " + change.old_id + b"\t" + change.path + b"\0"
        for change in judging
        if change.old_mode != _ABSENT_MODE
    ]
    return _updated(store, candidate, lines)


def _updated(store: Path, tree: str, lines: list[bytes]) -> str:
    """The tree with lines for `git update-index --index-info` applied; a file in the way of a directory goes."""
    with tempfile.TemporaryDirectory(prefix="optr-index-") as directory:
        env = {"GIT_INDEX_FILE": str(Path(directory) / "index")}
        run_git(store, "read-tree", tree, env=env)
        run_git(store, "update-index", "--replace", "-z", "--index-info", stdin=b"".join(lines), env=env)
        return run_git(store, "write-tree", env=env).decode().strip()
