"""Reading the base's history back: every id recomputed from the bytes it names, as git's object model defines it.

A commit's id is the hash of its bytes, which name its tree and its parents, so recomputing the ids shows that what
lies in our clone is the history that the base commit's id stands for. https://git-scm.com/book/en/v2/Git-Internals
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from execution.gitcmd import GitError, run_git
from execution.records import Record

COMMITS_MAX = 10_000  # of the base's ancestors, newest first
TREES_MAX = 50_000  # directories of the base
_SHA1_DIGITS = 40
_TREE_MODE = b"040000 tree "


class History(Record):
    """What came of it.

    Attributes:
        commits, trees: objects whose ids were recomputed.
        whole: whether the history was followed to its first commits, not only for COMMITS_MAX.
        problem: why it does not hold, one sentence; None when it does.
    """

    commits: int = 0
    trees: int = 0
    whole: bool = False
    problem: str | None = None

    @property
    def verified(self) -> bool:
        """Whether the invariant `commit_history_verified` holds."""
        return self.problem is None


class _BrokenError(ValueError):
    """Something is not what its id says, or is missing."""


def verify_history(git_dir: Path, base: str, branch: str) -> History:
    """Check that `base` lies on `branch` and that its ancestry and its directories are what their ids say.

    Blobs are not read again: git compares what it writes of them with their ids when it fetches.

    Args:
        git_dir: a git directory of ours.
        base: hex id of the base commit.
        branch: the base branch's short name.
    """
    try:
        _require_on(git_dir, base, branch)
        listed = run_git(git_dir, "rev-list", f"--max-count={COMMITS_MAX}", "--end-of-options", base).decode().split()
        whole = len(listed) < COMMITS_MAX
        _verify_commits(git_dir, listed, whole=whole)
        trees = _verify_trees(git_dir, base)
    except (_BrokenError, GitError) as error:
        text = error.stderr.splitlines()[0][:200] if isinstance(error, GitError) and error.stderr else str(error)
        return History(problem=text[:300])
    return History(commits=len(listed), trees=trees, whole=whole)


def _require_on(git_dir: Path, base: str, branch: str) -> None:
    try:
        run_git(git_dir, "merge-base", "--is-ancestor", base, f"refs/heads/{branch}")
    except GitError:
        raise _BrokenError(f"the base commit is not on the branch {branch[:100]}") from None


def _verify_commits(git_dir: Path, listed: list[str], *, whole: bool) -> None:
    known = set(listed)
    for name, body in _objects(git_dir, listed, b"commit"):
        header = body.partition(b"\n\n")[0]
        parents = [line[7:].decode("ascii", "replace") for line in header.split(b"\n") if line.startswith(b"parent ")]
        if whole and (missing := [parent for parent in parents if parent not in known]):
            raise _BrokenError(
                f"commit {name} names the parent {missing[0][:64]}, which is not here (a shallow clone?)"
            )


def _verify_trees(git_dir: Path, base: str) -> int:
    names = list(_trees(git_dir, base))
    if len(names) > TREES_MAX:
        raise _BrokenError(f"the base has more than {TREES_MAX} directories")
    return len({name for name, _ in _objects(git_dir, names, b"tree")})


def _trees(git_dir: Path, base: str) -> Iterator[str]:
    yield run_git(git_dir, "rev-parse", "--verify", f"{base}^{{tree}}").decode().strip()
    for line in run_git(git_dir, "ls-tree", "-r", "-d", "-z", "--full-tree", base).split(b"\0"):
        if line.startswith(_TREE_MODE):
            yield line[len(_TREE_MODE) :].split(b"\t", 1)[0].decode()


def _objects(git_dir: Path, names: Iterable[str], kind: bytes) -> Iterator[tuple[str, bytes]]:
    """Each object's id and bytes, after recomputing the id."""
    wanted = list(dict.fromkeys(names))
    answer = run_git(git_dir, "cat-file", "--batch", stdin="".join(f"{name}\n" for name in wanted).encode())
    at = 0
    for name in wanted:
        end = answer.index(b"\n", at)
        words = answer[at:end].split(b" ")
        if len(words) != len((name, kind, "size")) or words[1] != kind:
            raise _BrokenError(f"{name} is missing or no {kind.decode()}")
        body = answer[end + 1 : end + 1 + int(words[2])]
        at = end + 1 + len(body) + 1
        if _id_of(kind, body, name) != name:
            raise _BrokenError(f"the bytes of {name} are not those that its id stands for")
        yield name, body


def _id_of(kind: bytes, body: bytes, name: str) -> str:
    framed = b"%s %d\0" % (kind, len(body)) + body
    if len(name) == _SHA1_DIGITS:
        return hashlib.sha1(framed, usedforsecurity=False).hexdigest()  # git's own choice of id
    return hashlib.sha256(framed).hexdigest()
