"""What stands on GitHub, to be compared with what we know: repositories, labels, checks, pull requests."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.github.client import GitHubClient
from bot.github.errors import Call, GitHubError, GitHubErrorCode
from bot.github.git import checked_repository
from bot.github.installations import Installations
from bot.github.objects import Account, CheckRunObject, Part, PullRequestObject, read
from bot.github.permissions import METADATA_PERMISSIONS
from bot.names import CHECK_RUN, LABEL
from bot.render.check_run import CheckStatus

LABELLED_MAX = 50  # open labelled issues of one repository, the most recently touched first
EVENTS_MAX = 1_000  # of one issue
CHECKS_MAX = 100  # of one commit


@dataclass(frozen=True)
class Place:
    """A repository that the App is installed on.

    Attributes:
        installation: through which installation.
        id, name: the repository's number and `owner/name`.
        default_branch: its name.
    """

    installation: int
    id: int
    name: str
    default_branch: str


class LabelledIssue(Part):
    """An open issue that carries the label.

    Attributes:
        number, title, body: as they are now.
        user: who wrote it; None when the account is gone.
        updated_at: when anything about it changed last.
        pull_request: present when it is the issue side of a pull request.
    """

    number: int
    title: str
    body: str | None = None
    user: Account | None = None
    updated_at: dt.datetime
    pull_request: dict[str, object] | None = None


class Labelling(Part):
    """The newest time that the label was set and not taken away again.

    Attributes:
        id: of GitHub's event.
        actor: who set it; None when the account is gone.
        created_at: when.
    """

    id: int
    actor: Account | None = None
    created_at: dt.datetime


class _Event(Labelling):
    event: str
    label: dict[str, Any] | None = None


class _Repository(Part):
    id: int
    full_name: str
    default_branch: str
    archived: bool = False


class _Installation(Part):
    id: int
    suspended_at: str | None = None


class Survey:
    """Reads only, but for `complete`.

    Args:
        installations: the App.
    """

    def __init__(self, installations: Installations) -> None:
        self._installations = installations
        self._remaining: dict[int, int] = {}

    def remaining(self, installation: int) -> int | None:
        """Calls left of the installation's hourly limit, None when GitHub has not said."""
        return self._remaining.get(installation)

    async def installations(self) -> list[int]:
        """Installations that are not suspended.

        Raises:
            GitHubError: GitHub did not say.
        """
        path = "/app/installations"
        found = [
            read(_Installation, item, Call("GET", path))
            async for item in self._installations.app.getiter(path + "?per_page=100")
        ]
        return [one.id for one in found if one.suspended_at is None]

    async def repositories(self, installation: int) -> list[Place]:
        """The installation's repositories that can be written to.

        Raises:
            GitHubError: GitHub did not say.
        """
        client = self._installations.client(installation, "", METADATA_PERMISSIONS)
        path = "/installation/repositories"
        items = client.getiter(path + "?per_page=100", iterable_key="repositories")
        found = [read(_Repository, item, Call("GET", path)) async for item in items]
        if client.last is not None and client.last.remaining is not None:
            self._remaining[installation] = client.last.remaining
        return [Place(installation, one.id, one.full_name, one.default_branch) for one in found if not one.archived]

    def client(self, place: Place) -> GitHubClient:
        """A client for the place's repository."""
        return self._installations.client(place.installation, checked_repository(place.name))

    async def labelled(self, client: GitHubClient, place: Place) -> list[LabelledIssue]:
        """Open issues with the label, pull requests left out.

        Raises:
            GitHubError: GitHub did not say.
        """
        path = f"/repos/{place.name}/issues"
        variables = {"labels": LABEL, "state": "open", "sort": "updated", "per_page": str(LABELLED_MAX)}
        answer = await client.getitem(path + "{?labels,state,sort,per_page}", variables)
        found = [read(LabelledIssue, item, Call("GET", path)) for item in answer]
        return [issue for issue in found if issue.pull_request is None]

    async def labelling(self, client: GitHubClient, place: Place, issue: int) -> Labelling | None:
        """Who set the label that the issue carries, and when; None when GitHub's events do not tell.

        Raises:
            GitHubError: GitHub did not say.
        """
        path = f"/repos/{place.name}/issues/{issue}/events"
        standing: Labelling | None = None
        seen = 0
        async for item in client.getiter(path + "?per_page=100"):
            seen += 1
            if seen > EVENTS_MAX:
                return None  # an issue with so long a story is for people
            event = read(_Event, item, Call("GET", path))
            if str((event.label or {}).get("name", "")).casefold() == LABEL:
                standing = event if event.event == "labeled" else None
        return standing

    async def unfinished_checks(self, client: GitHubClient, place: Place) -> list[CheckRunObject]:
        """Our checks on the default branch's head that claim to be at work.

        Raises:
            GitHubError: GitHub did not say.
        """
        path = f"/repos/{place.name}/commits/{{branch}}/check-runs"
        variables = {
            "branch": place.default_branch,
            "check_name": CHECK_RUN,
            "app_id": self._installations.settings.app_id,
            "filter": "all",
            "per_page": str(CHECKS_MAX),
        }
        answer = await client.getitem(path + "{?check_name,app_id,filter,per_page}", variables)
        found = [read(CheckRunObject, item, Call("GET", path)) for item in answer.get("check_runs", [])]
        return [check for check in found if check.status != CheckStatus.COMPLETED]

    async def complete(self, client: GitHubClient, place: Place, check: int, body: Mapping[str, object]) -> None:
        """Finish a check run of ours.

        Raises:
            GitHubError: GitHub refused.
        """
        await client.patch(f"/repos/{place.name}/check-runs/{check}", data=body)

    async def reaches(self, installation: int, repository: str) -> bool:
        """Whether this installation covers the repository and is not suspended, asked as the App.

        Raises:
            GitHubError: GitHub did not say.
        """
        path = f"/repos/{checked_repository(repository)}/installation"
        try:
            answer = await self._installations.app.getitem(path)
        except GitHubError as error:
            if error.code is GitHubErrorCode.NOT_FOUND:
                return False
            raise
        found = read(_Installation, answer, Call("GET", path))
        return found.id == installation and found.suspended_at is None

    async def pull_request(self, installation: int, repository: str, number: int) -> Mapping[str, Any]:
        """A pull request as the REST API shows it, once it reads as one.

        Raises:
            GitHubError: GitHub did not say, or not what it documents.
        """
        path = f"/repos/{checked_repository(repository)}/pulls/{number}"
        answer: Mapping[str, Any] = await self._installations.client(installation, repository).getitem(path)
        read(PullRequestObject, answer, Call("GET", path))
        return answer
