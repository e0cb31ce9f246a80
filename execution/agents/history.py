"""The newest commits of a repository: shown to Copilot agents and kept with their output.

Where they come from is injected: GitHub's API, or the local repository. What they prove is stated as facts with a
source; no invariant is granted here, that is verification's business alone.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

from execution.gitcmd import GitError, run_git
from execution.records import Commit, Fact, Record

COMMITS_MAX = 10
TITLE_CHARACTERS_MAX = 200
AUTHOR_CHARACTERS_MAX = 100
API_ACCESS, VERIFIED = "github_api_access", "commit_history_verified"

_FIELDS = ("%H", "%P", "%s", "%an", "%cI")
_SEPARATOR = "\x1f"


class HistoryError(RuntimeError):
    """The commits cannot be read; the text says why."""


class CommitHistory(Record):
    """Commits, newest first, at most COMMITS_MAX.

    Attributes:
        commits: see Commit.
        source: where they were read, one clause.
        from_api: whether that was GitHub's API.
    """

    commits: tuple[Commit, ...]
    source: str
    from_api: bool


ReadHistory = Callable[[str, str], Awaitable[CommitHistory]]
"""(repository, commit) to its history. Raises HistoryError."""


def commit_of(sha: str, parents: tuple[str, ...], message: str, author: str, committed: str) -> Commit:
    """A commit with the words of others cut to one line."""
    title = " ".join(message.split("\n", 1)[0].split())[:TITLE_CHARACTERS_MAX]
    return Commit(sha=sha, parents=parents, title=title, author=author[:AUTHOR_CHARACTERS_MAX], committed=committed)


def local_history(git_dir: Path, commit: str) -> CommitHistory:
    """The history of `commit` in a git directory of ours.

    Raises:
        HistoryError: git cannot tell.
    """
    form = f"--format={_SEPARATOR.join(_FIELDS).replace(_SEPARATOR, '%x1f')}"
    try:
        listing = run_git(git_dir, "log", "-z", f"--max-count={COMMITS_MAX}", form, commit, "--")
    except GitError as error:
        raise HistoryError(f"git cannot list the commits: {error.stderr}") from error
    commits = []
    for entry in listing.decode("utf-8", "replace").split("\0"):
        parts = entry.split(_SEPARATOR)
        if len(parts) == len(_FIELDS):
            sha, parents, title, author, committed = parts
            commits.append(commit_of(sha, tuple(parents.split()), title, author, committed))
    return CommitHistory(commits=tuple(commits), source="the local repository", from_api=False)


def history_facts(history: CommitHistory, base: str) -> tuple[Fact, ...]:
    """What the history shows.

    `github_api_access`: GitHub's API was asked and answered. `commit_history_verified`: the newest commit is the one
    that the candidate is written against, and each other one is a parent of one before it, so none was put in between.
    """
    linked, seen = bool(history.commits), set[str]()
    for place, commit in enumerate(history.commits):
        linked = linked and (commit.sha == base if place == 0 else commit.sha in seen)
        seen.update(commit.parents)
    count = f"{len(history.commits)} commits from {history.source}"
    return (
        Fact(name=API_ACCESS, holds=history.from_api, source=count),
        Fact(name=VERIFIED, holds=linked, source=f"{count}, compared with base commit {base[:12] or 'unknown'}"),
    )


def missing_facts(why: str) -> tuple[Fact, ...]:
    """The same facts where nothing could be read."""
    return tuple(Fact(name=name, holds=False, source=why) for name in (API_ACCESS, VERIFIED))


def history_text(history: CommitHistory) -> str:
    """The commits as a model is shown them, as data."""
    lines = [f"- {commit.sha[:12]} {commit.committed[:10]} {commit.title}" for commit in history.commits]
    return "\n".join(["Recent commits, newest first:", *lines])
