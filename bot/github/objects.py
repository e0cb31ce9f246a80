"""The parts of GitHub's REST answers that we read; unknown members are ignored, wrong types are refused."""

import datetime as dt
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bot.github.errors import Call, GitHubError, GitHubErrorCode


class Part(BaseModel):
    """Immutable; tolerant of members that GitHub adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Account(Part):
    """Who did something."""

    id: int
    login: str
    type: str = "User"


class AppRef(Part):
    """Which App did something."""

    id: int


class Comment(Part):
    """An issue comment."""

    id: int
    body: str = ""
    user: Account | None = None
    performed_via_github_app: AppRef | None = None


class IssueObject(Part):
    """An issue."""

    number: int
    state: str


class CheckOutput(Part):
    """What a check run shows."""

    title: str | None = None
    summary: str | None = None
    text: str | None = None


class CheckRunObject(Part):
    """A check run."""

    id: int
    name: str
    external_id: str | None = None
    status: str
    conclusion: str | None = None
    html_url: str | None = None
    app: AppRef | None = None
    output: CheckOutput = CheckOutput()
    started_at: dt.datetime | None = None


class Ref(Part):
    """One end of a pull request."""

    ref: str
    sha: str


class PullRequestObject(Part):
    """A pull request."""

    number: int
    state: str
    title: str = ""
    body: str | None = None
    html_url: str
    head: Ref
    base: Ref


class ReviewObject(Part):
    """A review; the account is None when it was deleted."""

    id: int = 0
    user: Account | None = None
    state: str
    commit_id: str | None = None
    submitted_at: str | None = None


M = TypeVar("M", bound=Part)


def read(model: type[M], answer: Any, call: Call) -> M:
    """Read an answer.

    Raises:
        GitHubError: UNREADABLE, when it is not what GitHub documents.
    """
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the answer"
        message = f"{model.__name__}: {where} is not what GitHub documents"
        raise GitHubError(GitHubErrorCode.UNREADABLE, call, message) from None
