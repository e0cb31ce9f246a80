"""The App on GitHub: one place that makes clients and tokens for an installation's repository."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp

from bot.github.client import TIMEOUT_S, Exchange, GitHubClient, Surroundings
from bot.github.errors import GitHubError, GitHubErrorCode
from bot.github.etags import EtagCache
from bot.github.pace import WRITE_INTERVAL_S, Pace
from bot.github.permissions import API_PERMISSIONS, COPILOT_PERMISSIONS, GIT_PERMISSIONS, Permissions
from bot.github.tokens import AppJwt, FixedCredential, InstallationTokens, Scope

_APP = 0
_GONE = frozenset({GitHubErrorCode.NOT_FOUND, GitHubErrorCode.UNAUTHORISED})


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
        self.app = GitHubClient(self._surroundings(_APP), AppJwt(settings.app_id, settings.private_key, clock))
        self.tokens = InstallationTokens(self.app, clock)

    def client(self, installation: int, repository: str, permissions: Permissions = API_PERMISSIONS) -> GitHubClient:
        """A client for `owner/name` only; by default with every permission of the App but pushing."""
        scope = Scope.of(installation, repository, permissions)
        return GitHubClient(self._surroundings(installation), self.tokens.credential(scope))

    async def git_token(self, installation: int, repository: str) -> str:
        """A token that can fetch and push `owner/name` and nothing else."""
        return await self.tokens.token(Scope.of(installation, repository, GIT_PERMISSIONS))

    async def login(self) -> str:
        """The login our comments and pull requests carry: `<slug>[bot]`."""
        if not self._login:
            self._login = f"{(await self.app.getitem('/app'))['slug']}[bot]"
        return self._login

    async def revoke(self, installation: int, repository: str) -> None:
        """Revoke the tokens held for `owner/name`; one that is gone already counts as revoked.

        Raises:
            GitHubError: GitHub could not be asked; the tokens end by themselves within the hour.
        """
        for permissions in (API_PERMISSIONS, GIT_PERMISSIONS, COPILOT_PERMISSIONS):
            token = self.tokens.forget(Scope.of(installation, repository, permissions))
            if token is not None:
                await self._revoke(installation, token)

    async def _revoke(self, installation: int, token: str) -> None:
        client = GitHubClient(self._surroundings(installation), FixedCredential(token))
        try:
            await client.delete("/installation/token")
        except GitHubError as error:
            if error.code not in _GONE:
                raise

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
