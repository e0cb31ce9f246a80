"""The App on GitHub: one place that makes clients and tokens for an installation's repository."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from bot.github.client import TIMEOUT_S, Exchange, GitHubClient, Surroundings
from bot.github.errors import GitHubError, GitHubErrorCode
from bot.github.etags import EtagCache
from bot.github.pace import WRITE_INTERVAL_S, Pace
from bot.github.permissions import API_PERMISSIONS, GIT_PERMISSIONS, READING_PERMISSIONS, Permissions
from bot.github.tokens import AppJwt, FixedCredential, InstallationTokens, Scope

MINTING_S_MAX = 5.0  # how long a stop waits for tokens that are being made
REVOKING_S_MAX = 10.0

_APP = 0
_GONE = frozenset({GitHubErrorCode.NOT_FOUND, GitHubErrorCode.UNAUTHORISED})
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class GitHubSettings:
    """Where GitHub is and who we are there.

    Attributes:
        app_id: OPTR_APP_ID.
        private_key: PEM text of OPTR_PRIVATE_KEY_FILE.
        api_url: OPTR_GITHUB_API.
        web_url: OPTR_GITHUB_URL, the base of web pages and of git over https.
        timeout_s: for one attempt of one call, seconds.
        write_interval_s: least seconds between two writes of one installation.
    """

    app_id: str
    private_key: str = field(repr=False)
    api_url: str = "https://api.github.com"
    web_url: str = "https://github.com"
    timeout_s: float = TIMEOUT_S
    write_interval_s: float = WRITE_INTERVAL_S


class Installations:
    """Clients and tokens of the App.

    Args:
        session: HTTP session, closed by its owner.
        settings: see GitHubSettings.
        clock: seconds since the epoch.
        sleep: waits that many seconds.
        observe: told of every attempt of every call.

    Raises:
        AppKeyError: at construction, when the private key cannot sign.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: GitHubSettings,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        observe: Callable[[Exchange], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self._session = session
        self._clock = clock
        self._sleep = sleep
        self._observe = observe
        self._around: dict[int, Surroundings] = {}
        self._login = ""
        self._dropped: dict[tuple[int, str], None] = {}  # held by nobody, and GitHub has not been told
        self.app = GitHubClient(self._surroundings(_APP), AppJwt(settings.app_id, settings.private_key, clock))
        self.tokens = InstallationTokens(self.app, clock)

    def client(self, installation: int, repository: str, permissions: Permissions = API_PERMISSIONS) -> GitHubClient:
        """A client for `owner/name` only; by default with every permission of the App but pushing."""
        scope = Scope.of(installation, repository, permissions)
        return GitHubClient(self._surroundings(installation), self.tokens.credential(scope))

    async def git_token(self, installation: int, repository: str, /, *, pushes: bool = True, refused: str = "") -> str:
        """A token that can fetch `owner/name`, or fetch and push it, and nothing else; another one than `refused`."""
        permissions = GIT_PERMISSIONS if pushes else READING_PERMISSIONS
        return await self.tokens.token(Scope.of(installation, repository, permissions), refused=refused)

    async def reading_token(self, installation: int, repositories: Sequence[str], *, refused: str = "") -> str:
        """A token that can fetch those repositories, `owner/name`, and nothing else."""
        return await self.tokens.token(Scope.of(installation, repositories, READING_PERMISSIONS), refused=refused)

    async def login(self) -> str:
        """The login our comments and pull requests carry: `<slug>[bot]`."""
        if not self._login:
            self._login = f"{(await self.app.getitem('/app'))['slug']}[bot]"
        return self._login

    async def revoke(self, *holders: str) -> int:
        """Revoke every token held for these runs, for all when none is named; returns how many could not be.

        One that is gone already counts as revoked. Never raises: a token that GitHub does not hear of in
        REVOKING_S_MAX seconds ends by itself within the hour. What an earlier call was interrupted in is taken up by
        the one for all: a stop cancels whoever gives a run's tokens back, or asks for one.
        """
        if not holders:
            await self.tokens.settled(MINTING_S_MAX)
        dropped = [one for holder in holders or self.tokens.holders() for one in self.tokens.forget(holder)]
        self._dropped |= dict.fromkeys(dropped)
        left = len(due := dropped if holders else list(self._dropped))
        try:
            async with asyncio.timeout(REVOKING_S_MAX):
                for one in due:
                    left -= await self._revoke(*one)
                    self._dropped.pop(one, None)
        except TimeoutError:
            _LOG.warning("GitHub did not take back all tokens in %g s", REVOKING_S_MAX)
        return left

    async def _revoke(self, installation: int, token: str) -> bool:
        client = GitHubClient(self._surroundings(installation), FixedCredential(token))
        try:
            await client.delete("/installation/token")
        except GitHubError as error:
            if error.code not in _GONE:
                _LOG.warning("a token is not revoked: %s", error)
                return False
        return True

    def _surroundings(self, installation: int) -> Surroundings:
        if installation not in self._around:
            self._around[installation] = Surroundings(
                session=self._session,
                base_url=self.settings.api_url,
                clock=self._clock,
                sleep=self._sleep,
                pace=Pace(self._clock, self._sleep, self.settings.write_interval_s),
                cache=EtagCache(),
                timeout_s=self.settings.timeout_s,
                observe=self._observe,
            )
        return self._around[installation]
