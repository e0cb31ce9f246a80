"""GitHub as the webhook handlers see it: one installation, a few questions (`bot.ports.GitHub`)."""

from collections.abc import Mapping
from typing import Any

from bot.github.client import GitHubClient
from bot.github.comments import Comments
from bot.github.errors import Call, GitHubError, GitHubErrorCode
from bot.github.git import checked_repository
from bot.github.installations import Installations
from bot.github.objects import IssueObject, read
from bot.permissions import Permission
from bot.ports import Reaction


class InstallationView:
    """One installation's GitHub.

    Args:
        installations: the App.
        comments: where comments are written.
        installation: which installation.
    """

    def __init__(self, installations: Installations, comments: Comments, installation: int) -> None:
        self._installations = installations
        self._comments = comments
        self._installation = installation

    def _client(self, repository: str) -> GitHubClient:
        checked_repository(repository)
        return self._installations.client(self._installation, repository)

    async def permission(self, repository: str, login: str) -> Permission:
        """The person's live permission; NONE for strangers, for unknown answers and for people who do not exist.

        Raises:
            GitHubError: GitHub did not say; nobody may take that for a yes.
        """
        return await live_permission(self._client(repository), repository, login)

    async def comment_once(self, repository: str, issue: int, marker: str, text: str) -> None:
        """Comment unless a comment of ours with this hidden marker is there.

        Raises:
            GitHubError: it could not be read or written.
        """
        line = f"<!-- optr:{marker} -->"
        await self._comments.ensure(self._client(repository), repository, issue, line, f"{line}\n{text}")

    async def react(self, repository: str, *, issue: int, comment: int | None, content: Reaction) -> None:
        """React to an issue, or to one of its comments; again is a no-op, by GitHub's own rule.

        Raises:
            GitHubError: GitHub refused.
        """
        place = f"comments/{comment}" if comment is not None else str(issue)
        await self._client(repository).post(f"/repos/{repository}/issues/{place}/reactions", data={"content": content})

    async def close_pull_request(self, repository: str, number: int) -> None:
        """Close a pull request unmerged; again is a no-op.

        Raises:
            GitHubError: GitHub refused.
        """
        await self._client(repository).patch(f"/repos/{repository}/pulls/{number}", data={"state": "closed"})

    async def issue_is_open(self, repository: str, number: int) -> bool:
        """Whether the issue is open now; one that was deleted or moved away is not.

        Raises:
            GitHubError: GitHub did not say.
        """
        path = f"/repos/{repository}/issues/{number}"
        try:
            answer = await self._client(repository).getitem(path)
        except GitHubError as error:
            if error.code is GitHubErrorCode.NOT_FOUND:
                return False
            raise
        return read(IssueObject, answer, Call("GET", path)).state == "open"

    async def pull_request(self, repository: str, number: int) -> Mapping[str, Any]:
        """The pull request as GitHub's REST API shows it.

        Raises:
            GitHubError: it could not be read.
        """
        found: Mapping[str, Any] = await self._client(repository).getitem(f"/repos/{repository}/pulls/{number}")
        return found


async def live_permission(client: GitHubClient, repository: str, login: str) -> Permission:
    """What `login` may do in `repository` right now; NONE for strangers and unknown answers.

    Raises:
        GitHubError: GitHub did not say.
    """
    path = f"/repos/{repository}/collaborators/{{login}}/permission"
    try:
        answer = await client.getitem(path, {"login": login})
    except GitHubError as error:
        if error.code is GitHubErrorCode.NOT_FOUND:
            return Permission.NONE
        raise
    said = answer.get("permission") if isinstance(answer, dict) else None
    return Permission(said) if said in set(Permission) else Permission.NONE
