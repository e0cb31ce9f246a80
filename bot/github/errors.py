"""What can go wrong when we call GitHub, told by what the reader can do about it."""

import http
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

import gidgethub


class GitHubErrorCode(StrEnum):
    """Stable codes, the words users and logs see."""

    UNREACHABLE = "github_unreachable"
    BROKEN = "github_broken"
    UNREADABLE = "github_unreadable"
    MOVED = "github_moved"
    UNAUTHORISED = "github_unauthorised"
    FORBIDDEN = "github_forbidden"
    NOT_FOUND = "github_not_found"
    REFUSED = "github_refused"
    RATE_LIMITED = "github_rate_limited"
    FOREIGN = "github_foreign_address"
    GIT_REFUSED = "github_git_refused"
    GIT_FAILED = "github_git_failed"


HINTS = {
    GitHubErrorCode.UNREACHABLE: "Check the network and OPTR_GITHUB_API, then look up whether the call took effect.",
    GitHubErrorCode.BROKEN: "GitHub failed; look up whether the call took effect, then try again in a minute.",
    GitHubErrorCode.UNREADABLE: "Something between us and GitHub changed the answer; check proxies, OPTR_GITHUB_API.",
    GitHubErrorCode.MOVED: "The repository was renamed or transferred; use its new name.",
    GitHubErrorCode.UNAUTHORISED: "Check OPTR_APP_ID, OPTR_PRIVATE_KEY_FILE and this machine's clock.",
    GitHubErrorCode.FORBIDDEN: "Compare the installation's permissions with app.yml and accept what is new.",
    GitHubErrorCode.NOT_FOUND: "Check that the App is installed on this repository and that the object still exists.",
    GitHubErrorCode.REFUSED: "GitHub understood the request and declined it; the message says which field.",
    GitHubErrorCode.RATE_LIMITED: "Wait as long as the error says; the run continues by itself.",
    GitHubErrorCode.FOREIGN: "An answer pointed outside OPTR_GITHUB_API; nothing was sent there.",
    GitHubErrorCode.GIT_REFUSED: "Somebody else moved the branch first; fetch and build on the new tip.",
    GitHubErrorCode.GIT_FAILED: "Check OPTR_GITHUB_URL and that the App may read and write this repository's contents.",
}


class Call(NamedTuple):
    """Which call failed.

    Attributes:
        method: HTTP method, upper case; `GIT` for git over https.
        path: the path without query; never holds a credential.
    """

    method: str
    path: str


class GitHubError(Exception):
    """A call that did not give what was asked.

    Attributes:
        code: stable code.
        call: which call.
        status: HTTP status, 0 without an answer.
        hint: one sentence: what to do.
        retry_after_s: seconds to wait before trying again, None when waiting does not help.
        ambiguous: whether an unsafe call may have taken effect all the same: look up before repeating it.
    """

    def __init__(
        self,
        code: GitHubErrorCode,
        call: Call,
        message: str,
        *,
        status: int = 0,
        retry_after_s: float | None = None,
    ) -> None:
        self.code = code
        self.call = call
        self.message = message
        self.status = status
        self.hint = HINTS[code]
        self.retry_after_s = retry_after_s
        self.ambiguous = code in AMBIGUOUS
        wait = f" Try again in {retry_after_s:.0f} s." if retry_after_s is not None else ""
        shown = f" ({status})" if status else ""
        super().__init__(f"{code}: {call.method} {call.path}: {message}{shown}.{wait} {self.hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        """As the engine's journal keeps it: a run that was interrupted reads its failures again."""
        remade = partial(GitHubError, status=self.status, retry_after_s=self.retry_after_s)
        return remade, (self.code, self.call, self.message)


AMBIGUOUS = frozenset({GitHubErrorCode.UNREACHABLE, GitHubErrorCode.BROKEN, GitHubErrorCode.UNREADABLE})

_BY_STATUS = {
    http.HTTPStatus.UNAUTHORIZED: GitHubErrorCode.UNAUTHORISED,
    http.HTTPStatus.FORBIDDEN: GitHubErrorCode.FORBIDDEN,
    http.HTTPStatus.NOT_FOUND: GitHubErrorCode.NOT_FOUND,
    http.HTTPStatus.GONE: GitHubErrorCode.NOT_FOUND,
}
_SERVER_ERROR = 500
_CLIENT_ERROR = 400
_MESSAGE_CHARACTERS_MAX = 300


def code_for(status: int) -> GitHubErrorCode:
    """The code for an HTTP status that is not a success."""
    if status >= _SERVER_ERROR:
        return GitHubErrorCode.BROKEN
    if status >= _CLIENT_ERROR:
        return _BY_STATUS.get(http.HTTPStatus(status), GitHubErrorCode.REFUSED)
    return GitHubErrorCode.MOVED


def from_gidgethub(error: gidgethub.HTTPException, call: Call) -> GitHubError:
    """Our error for one of the library's, its message cut to 300 characters on one line."""
    message = " ".join(str(error).split())[:_MESSAGE_CHARACTERS_MAX]
    return GitHubError(code_for(error.status_code), call, message, status=int(error.status_code))
