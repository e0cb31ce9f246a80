"""The App's identity: a JWT of our own making and installation tokens narrowed to one repository and one purpose.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
Tokens are opaque and of any length. Nothing here writes one to a log: no representation shows a value.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jwt

from bot.github.client import GitHubClient
from bot.github.errors import Call, GitHubError, GitHubErrorCode
from bot.github.permissions import Permissions
from execution.whose import run_at_work

JWT_BACKDATE_S = 60
JWT_LIFETIME_S = 9 * 60
JWT_REFRESH_BEFORE_S = 2 * 60
TOKEN_REFRESH_BEFORE_S = 10 * 60


class AppKeyError(ValueError):
    """The App's private key cannot sign."""


class AppJwt:
    """Authenticates as the App itself.

    Args:
        app_id: the App's numeric id (or client id), the token's issuer.
        private_key: PEM, RSA.
        clock: seconds since the epoch.

    Raises:
        AppKeyError: at construction, when the key cannot sign.
    """

    def __init__(self, app_id: str, private_key: str, clock: Callable[[], float]) -> None:
        self._app_id = app_id
        self._private_key = private_key
        self._clock = clock
        self._encoded = self._sign()

    def encode(self) -> str:
        """A JWT that is good for at least two more minutes."""
        if self._clock() >= self._refresh_at:
            self._encoded = self._sign()
        return self._encoded

    def _sign(self) -> str:
        now = int(self._clock())
        self._refresh_at = now + JWT_LIFETIME_S - JWT_REFRESH_BEFORE_S
        claims = {"iat": now - JWT_BACKDATE_S, "exp": now + JWT_LIFETIME_S, "iss": self._app_id}
        try:
            return jwt.encode(claims, self._private_key, algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise AppKeyError(
                f"the App's private key cannot sign ({type(error).__name__}): "
                "OPTR_PRIVATE_KEY_FILE must hold the PEM file that GitHub gave for this App"
            ) from None

    async def header(self, *, refused: str = "") -> str:
        """The Authorization header; signed anew after one was refused."""
        if refused:
            self._encoded = self._sign()
        return f"Bearer {self.encode()}"


@dataclass(frozen=True)
class Scope:
    """What a token may touch.

    Attributes:
        installation: GitHub installation id.
        repositories: names without their owner; an installation has one owner. Empty for all of them.
        permissions: name and level pairs, sorted.
        holder: the run for which the token is minted and with which it dies; empty for the App's own looking around.
    """

    installation: int
    repositories: tuple[str, ...]
    permissions: tuple[tuple[str, str], ...]
    holder: str = ""

    @classmethod
    def of(cls, installation: int, repositories: str | Sequence[str], permissions: Permissions) -> "Scope":
        """Scope of `owner/name`, several or, empty, all, with `permissions`, held by the run that is at work."""
        named = [repositories] if isinstance(repositories, str) else repositories
        granted, bare = tuple(sorted(permissions.items())), tuple(name.rpartition("/")[2] for name in named if name)
        return cls(installation, bare, granted, run_at_work())


@dataclass(frozen=True)
class InstallationToken:
    """A minted token.

    Attributes:
        value: the secret; left out of every representation.
        expires_s: seconds since the epoch.
    """

    value: str = field(repr=False)
    expires_s: float


class InstallationTokens:
    """Mints, keeps, renews and revokes installation tokens.

    Args:
        app: a client that authenticates as the App.
        clock: seconds since the epoch.
    """

    def __init__(self, app: GitHubClient, clock: Callable[[], float]) -> None:
        self._app = app
        self._clock = clock
        self._tokens: dict[Scope, InstallationToken] = {}
        self._minting: dict[Scope, asyncio.Lock] = {}
        self._asking: set[asyncio.Task[str]] = set()

    async def token(self, scope: Scope, *, refused: str = "") -> str:
        """A token of exactly this scope that is good for at least ten more minutes, and is not `refused`.

        Raises:
            GitHubError: the installation is gone, suspended, or does not grant this scope.
        """
        # Whoever asks may be cancelled; GitHub has made the token all the same, and only its answer lets us revoke it.
        asking = asyncio.create_task(self._token(scope, refused))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)
        return await asyncio.shield(asking)

    async def settled(self, seconds: float) -> None:
        """Wait until GitHub has answered for every token that it was asked for, so long at most."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=seconds)

    async def _token(self, scope: Scope, refused: str) -> str:
        async with self._minting.setdefault(scope, asyncio.Lock()):
            held = self._tokens.get(scope)
            stale = held is None or held.expires_s - self._clock() < TOKEN_REFRESH_BEFORE_S
            if held is None or stale or held.value == refused:
                held = self._tokens[scope] = await self._mint(scope)
            return held.value

    async def _mint(self, scope: Scope) -> InstallationToken:
        path = f"/app/installations/{scope.installation}/access_tokens"
        body: dict[str, object] = {"permissions": dict(scope.permissions)}
        if scope.repositories:
            body["repositories"] = list(scope.repositories)
        answer = await self._app.post(path, data=body)
        try:
            expires = dt.datetime.fromisoformat(answer["expires_at"])
            value = answer["token"]
        except (KeyError, TypeError, ValueError):
            message = "the answer holds no token with an expiry"
            raise GitHubError(GitHubErrorCode.UNREADABLE, Call("POST", path), message) from None
        return InstallationToken(value, expires.timestamp())

    def holders(self) -> set[str]:
        """For whom tokens are held."""
        return {scope.holder for scope in self._tokens}

    def forget(self, holder: str) -> list[tuple[int, str]]:
        """Drop every token of `holder` from here, and return installation and token of those that GitHub may know."""
        scopes = [scope for scope in self._minting if scope.holder == holder]
        for scope in scopes:
            del self._minting[scope]
        dropped = [(scope.installation, self._tokens.pop(scope)) for scope in scopes if scope in self._tokens]
        return [(installation, one.value) for installation, one in dropped if one.expires_s > self._clock()]

    def credential(self, scope: Scope) -> "InstallationCredential":
        """The Authorization header of `scope`, renewed as needed."""
        return InstallationCredential(self, scope)


class InstallationCredential:
    """Authenticates as an installation, within a scope."""

    def __init__(self, tokens: InstallationTokens, scope: Scope) -> None:
        self._tokens = tokens
        self._scope = scope

    async def header(self, *, refused: str = "") -> str:
        """The Authorization header; minted anew when the one in use was refused."""
        return f"token {await self._tokens.token(self._scope, refused=refused.removeprefix('token '))}"


class FixedCredential:
    """One token, as it is."""

    def __init__(self, token: str) -> None:
        self._header = f"token {token}"

    async def header(self, *, refused: str = "") -> str:
        """The same header always: there is no other one."""
        del refused
        return self._header
