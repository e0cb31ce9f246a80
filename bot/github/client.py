"""The one client of GitHub's API: gidgethub's, with the policy it leaves to us.

Added: the API version header, timeouts, no redirect of an unsafe call (a followed 301 turns POST into GET),
credentials that renew themselves and never leave the configured host, ETags per installation, rate limits, typed
errors, and GraphQL under the same rules.
"""

import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import gidgethub
from gidgethub.aiohttp import GitHubAPI

from bot.github.errors import Call, GitHubError, GitHubErrorCode, from_gidgethub
from bot.github.etags import EtagCache
from bot.github.pace import HeldError, Pace
from bot.github.policy import SAFE_METHODS, Answer, judge, rate_limit_wait
from execution import crashpoints

API_VERSION = "2022-11-28"
USER_AGENT = "optr"
TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
REDIRECTS_MAX = 3
_UNAUTHORISED = 401


class Credential(Protocol):
    """Gives the Authorization header."""

    async def header(self, *, refused: str = "") -> str:
        """The header's whole value; `refused` is the one that GitHub answered with 401, so give another."""
        ...


@dataclass(frozen=True)
class Exchange:
    """One attempt of one call, for logs and metrics.

    Attributes:
        method, path: the call; the path without query.
        status: 0 when there was no answer.
        request_id: GitHub's id for support, may be empty.
        remaining: what is left of the primary limit, None when GitHub did not say.
        duration_ms: wall time, milliseconds.
        attempt: from 1.
    """

    method: str
    path: str
    status: int
    request_id: str
    remaining: int | None
    duration_ms: int
    attempt: int


@dataclass(frozen=True)
class Surroundings:
    """What a client needs of the world, shared by clients of one installation.

    Attributes:
        session: the HTTP session; closed by its owner.
        base_url: the API's root (OPTR_GITHUB_API).
        clock: seconds since the epoch.
        sleep: waits that many seconds.
        pace: see Pace.
        cache: see EtagCache.
        timeout_s: for one attempt, seconds.
        observe: told of every attempt.
    """

    session: aiohttp.ClientSession
    base_url: str
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    pace: Pace
    cache: EtagCache
    timeout_s: float = TIMEOUT_S
    observe: Callable[[Exchange], None] = lambda _: None


class GitHubClient(GitHubAPI):
    """GitHub's API as one identity.

    Every call raises GitHubError and nothing else when GitHub does not give what was asked.

    Attributes:
        last: the newest attempt, None before the first.
    """

    def __init__(self, around: Surroundings, credential: Credential) -> None:
        super().__init__(around.session, USER_AGENT, cache=around.cache, base_url=around.base_url)
        self._around = around
        self._credential = credential
        self._origin = _origin(around.base_url)
        self.last: Exchange | None = None

    async def sleep(self, seconds: float) -> None:
        """Wait as the surroundings do."""
        await self._around.sleep(seconds)

    async def _make_request(self, method: str, url: str, *args: Any, **kwargs: Any) -> tuple[bytes, str | None, int]:
        call = Call(method, urllib.parse.urlsplit(url).path)
        try:
            return await super()._make_request(method, url, *args, **kwargs)
        except gidgethub.HTTPException as error:
            raise from_gidgethub(error, call) from error
        except (ValueError, LookupError, RecursionError) as error:
            raise GitHubError(
                GitHubErrorCode.UNREADABLE, call, f"the answer is not what GitHub sends: {error}"
            ) from error

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        call = Call(method, urllib.parse.urlsplit(url).path)
        if _origin(url) != self._origin:
            raise GitHubError(GitHubErrorCode.FOREIGN, call, f"refused to call {_origin(url)}")
        attempt = 0
        credential = await self._credential.header()
        renewed = False
        while True:
            attempt += 1
            async with self._turn(call):
                answer = await self._attempt(call, url, headers, body, credential, attempt)
            if answer.status == _UNAUTHORISED and not renewed:
                renewed, credential = True, await self._credential.header(refused=credential)
                continue
            verdict = judge(method, answer, attempt, self._around.clock())
            if verdict.limited:
                self._slow_down(call, answer, attempt, repeat=verdict.wait_s is not None)
            elif verdict.wait_s is not None:
                await self.sleep(verdict.wait_s)
            elif answer.status == 0:
                raise GitHubError(GitHubErrorCode.UNREACHABLE, call, answer.error)
            else:
                return answer.status, answer.headers, answer.body

    async def until_free(self) -> None:
        """Wait until a write would start at once; what is written is best made up after that."""
        await self._around.pace.until_free()

    @asynccontextmanager
    async def _turn(self, call: Call) -> AsyncIterator[None]:
        try:
            async with self._around.pace.turn(write=call.method not in SAFE_METHODS):
                yield
        except HeldError as held:
            message = "the limit is used up"
            raise GitHubError(GitHubErrorCode.RATE_LIMITED, call, message, retry_after_s=held.wait_s) from None

    def _slow_down(self, call: Call, answer: Answer, attempt: int, *, repeat: bool) -> None:
        """Hold every call of this installation, and give up on this one unless it may be repeated."""
        wait = rate_limit_wait(answer, attempt, self._around.clock())
        self._around.pace.hold(wait)
        if not repeat:
            message = "GitHub asked us to slow down"
            raise GitHubError(GitHubErrorCode.RATE_LIMITED, call, message, status=answer.status, retry_after_s=wait)

    async def _attempt(
        self, call: Call, url: str, headers: Mapping[str, str], body: bytes, credential: str, number: int
    ) -> Answer:
        whole = {**headers, "authorization": credential, "x-github-api-version": API_VERSION}
        started = time.monotonic()
        answer = await self._send(call.method, url, whole, body)
        if call.method not in SAFE_METHODS:
            crashpoints.count("github_write")
        duration_ms = int((time.monotonic() - started) * 1000)
        remaining = answer.headers.get("x-ratelimit-remaining", "")
        self.last = Exchange(
            call.method,
            call.path,
            answer.status,
            answer.headers.get("x-github-request-id", ""),
            int(remaining) if remaining.isdigit() else None,
            duration_ms,
            number,
        )
        self._around.observe(self.last)
        return answer

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        timeout = aiohttp.ClientTimeout(total=self._around.timeout_s, connect=CONNECT_TIMEOUT_S)
        try:
            async with self._session.request(
                method,
                url,
                headers=headers,
                data=body,
                timeout=timeout,
                allow_redirects=method in SAFE_METHODS,
                max_redirects=REDIRECTS_MAX,
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except TimeoutError:
            return Answer(0, error=f"no answer within {self._around.timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return Answer(0, error=type(error).__name__)

    async def graphql(self, query: str, *, endpoint: str = "", **variables: Any) -> Any:
        """Ask the GraphQL API beside `base_url`, under the same policy; `endpoint` is for tests of other servers."""
        address = endpoint or graphql_url(self._around.base_url)
        call = Call("POST", urllib.parse.urlsplit(address).path)
        try:
            return await super().graphql(query, endpoint=address, **variables)
        except gidgethub.HTTPException as error:
            raise from_gidgethub(error, call) from error
        except (gidgethub.GraphQLException, ValueError, LookupError, RecursionError) as error:
            raise GitHubError(GitHubErrorCode.REFUSED, call, f"GraphQL: {error}") from error


def graphql_url(base_url: str) -> str:
    """The GraphQL endpoint of an API root: `/graphql`, or `/api/graphql` beside an Enterprise Server's `/api/v3`."""
    root = base_url.rstrip("/")
    return root.removesuffix("/v3") + "/graphql"


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc
