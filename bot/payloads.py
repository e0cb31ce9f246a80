"""The parts of GitHub's webhook payloads that we read (https://docs.github.com/webhooks/webhook-events-and-payloads).

Unknown members are ignored, because GitHub adds some every month; known ones must have the right type and form.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Login = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}(\[bot\])?$")]
FullName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$")]
Number = Annotated[int, Field(ge=1)]


class Part(BaseModel):
    """Immutable; strict about types, tolerant of new members."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, regex_engine="python-re")


class Account(Part):
    """A person, an organisation or a bot; `id` survives renaming, 0 when GitHub left it out."""

    id: int = 0
    login: Login
    type: str = "User"

    @property
    def is_bot(self) -> bool:
        """Whether a machine acts."""
        return self.type == "Bot" or self.login.endswith("[bot]")


class Repository(Part):
    """A repository; `id` survives renaming."""

    id: Number
    full_name: FullName


class Installation(Part):
    """Where our App is installed."""

    id: Number


class Label(Part):
    """An issue's label."""

    name: str


class Issue(Part):
    """An issue, or the issue side of a pull request."""

    number: Number
    title: str
    body: str | None = None
    state: str = "open"
    user: Account | None = None
    pull_request: dict[str, object] | None = None
    updated_at: str = ""


class App(Part):
    """A GitHub App."""

    id: Number


class Comment(Part):
    """An issue comment."""

    id: Number
    body: str
    user: Account | None = None
    performed_via_github_app: App | None = None


class Head(Part):
    """The commit a pull request would merge, and its branch."""

    sha: str
    ref: str = ""


class PullRequest(Part):
    """A pull request."""

    number: Number
    state: str
    merged: bool | None = None  # only the event `pull_request` says it
    merged_by: Account | None = None
    merge_commit_sha: str | None = None
    head: Head
    base: Head | None = None


class PullRequestLink(Part):
    """A pull request as check runs name it."""

    number: Number


class CheckRun(Part):
    """A check run; `external_id` begins with our run's id."""

    name: str
    external_id: str | None = None
    app: App | None = None
    pull_requests: tuple[PullRequestLink, ...] = Field(default=(), strict=False)


class Event(Part):
    """What every payload we handle has."""

    sender: Account
    repository: Repository
    installation: Installation


class NamedRepository(Part):
    """A repository as installation events name it."""

    full_name: FullName


class InstallationEvent(Part):
    """`installation.*` and `installation_repositories.*`: of no repository in particular."""

    sender: Account
    installation: Installation
    repositories_removed: tuple[NamedRepository, ...] = Field(default=(), strict=False)


class Owners(Part):
    """Whose a repository was; one of the two."""

    user: Account | None = None
    organization: Account | None = None


class OwnerBefore(Part):
    """The former owner."""

    former: Owners = Field(alias="from")


class OwnerChange(Part):
    """What a transfer changed."""

    owner: OwnerBefore


class RepositoryEvent(Part):
    """`repository.*`; after a deletion no installation may be named."""

    sender: Account
    repository: Repository
    changes: OwnerChange | None = None


class IssueEvent(Event):
    """`issues.*`."""

    issue: Issue


class IssueEdited(IssueEvent):
    """`issues.edited`; `changes` names what is different now."""

    changes: dict[str, object] = {}


class IssueLabeled(IssueEvent):
    """`issues.labeled`."""

    label: Label


class IssueCommented(IssueEvent):
    """`issue_comment.created`."""

    comment: Comment


class PullRequestEvent(Event):
    """`pull_request.*` and `pull_request_review.*`; `before` is the head that a push replaced, with `synchronize`."""

    pull_request: PullRequest
    before: str = ""


class MergeGroup(Part):
    """Pull requests on their way through a merge queue."""

    head_sha: str
    head_ref: str
    base_ref: str


class MergeGroupEvent(Event):
    """`merge_group.*`."""

    merge_group: MergeGroup


class CheckRunEvent(Event):
    """`check_run.*`."""

    check_run: CheckRun


class RequestedAction(Part):
    """The button that was pressed."""

    identifier: str


class CheckRunAction(CheckRunEvent):
    """`check_run.requested_action`."""

    requested_action: RequestedAction
