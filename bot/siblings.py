"""Other pull requests that could be taken for ours: of the same issue, or with the same tree."""

import re
from collections.abc import Awaitable, Callable, Iterable

from bot.github.client import GitHubClient
from bot.github.errors import Call, GitHubError
from bot.github.objects import PullRequestObject, read

OPEN_MAX = 300  # pull requests that are looked at; with more, nobody can say that there is no second one

_ISSUE = re.compile(r"optr/issue-(\d+)(?![\d])")

Tree = Callable[[str], Awaitable[str | None]]


def issue_of(branch: str) -> str:
    """The issue's number in the name of a branch of ours; empty for other branches."""
    found = _ISSUE.match(branch)
    return found[1] if found else ""


async def siblings(
    client: GitHubClient, repository: str, ours: PullRequestObject, tree: str, tree_of: Tree
) -> tuple[int, ...] | None:
    """Numbers of the open pull requests beside `ours` that share its issue or its tree; None when nobody can say.

    Args:
        client: for the repository.
        repository: `owner/name`.
        ours: the pull request.
        tree: the recorded winner's tree.
        tree_of: the tree of a commit, None when unknown.
    """
    try:
        others = await _open(client, repository, ours)
    except GitHubError:
        return None
    if others is None:
        return None
    same = [other.number for other in others if _same_issue(ours, other) or await tree_of(other.head.sha) == tree]
    return tuple(sorted(same))


async def _open(client: GitHubClient, repository: str, ours: PullRequestObject) -> list[PullRequestObject] | None:
    path = f"/repos/{repository}/pulls"
    found = []
    async for item in client.getiter(path + "{?state,per_page}", {"state": "open", "per_page": "100"}):
        found.append(read(PullRequestObject, item, Call("GET", path)))
        if len(found) > OPEN_MAX:
            return None
    return [other for other in found if other.number != ours.number]


def _same_issue(ours: PullRequestObject, other: PullRequestObject) -> bool:
    mine = issue_of(ours.head.ref)
    return bool(mine) and issue_of(other.head.ref) == mine and other.base.ref == ours.base.ref


def concerned(heads: Iterable[str], branch: str) -> bool:
    """Whether a pull request from `branch` can be a sibling of one from `heads` by its name."""
    mine = issue_of(branch)
    return bool(mine) and mine in {issue_of(head) for head in heads}
