"""Who may speak to the local GitHub: users, Apps, installations and their tokens."""

import base64
import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.github.wire import ApiError, Json

JWT_LIFETIME_MAX_SECONDS = 600
JWT_SKEW_SECONDS = 60
TOKEN_LIFETIME_SECONDS = 3600
KEY_BITS = 2048
FIRST_APP_ID = 1001
# The facade has judged permissions before the emulator is asked, by GitHub's rules rather than the emulator's.
JUDGED_HERE = dict.fromkeys(("contents", "issues", "pull_requests", "checks", "statuses", "administration"), "write")
FIRST_INSTALLATION_ID = 50_001


class Kind(Enum):
    """What a request is signed with."""

    ANONYMOUS = "anonymous"
    USER = "user"
    APP = "app"
    INSTALLATION = "installation"


@dataclass
class AppRecord:
    """A registered GitHub App."""

    id: int
    slug: str
    name: str
    owner: str
    private_key_pem: str
    public_key_pem: str
    client_id: str
    client_secret: str
    webhook_url: str | None
    webhook_secret: str | None
    permissions: dict[str, str]
    events: list[str]
    hook_active: bool = True

    @property
    def bot_login(self) -> str:
        """Return the login under which the App's actions appear."""
        return f"{self.slug}[bot]"


@dataclass
class Installation:
    """An App on an account; ``repository_ids`` is None when it covers every repository of the account."""

    id: int
    app_id: int
    account: Json
    permissions: dict[str, str]
    events: list[str]
    repository_ids: list[int] | None
    created_at: float
    suspended_at: float | None = None

    def covers(self, repository: Mapping[str, Any]) -> bool:
        """Tell whether the repository (a REST object or row) belongs to this installation."""
        owner_id = repository["owner"]["id"] if "owner" in repository else repository["owner_id"]
        if owner_id != self.account["id"]:
            return False
        return self.repository_ids is None or repository["id"] in self.repository_ids


@dataclass
class InstallationToken:
    """A ``ghs_`` token; ``repository_ids`` is None when it reaches all that the installation covers."""

    value: str
    installation: Installation
    permissions: dict[str, str]
    repository_ids: list[int] | None
    expires_at: float
    revoked: bool = False

    def reaches(self, repository: Mapping[str, Any]) -> bool:
        """Tell whether the token may touch the repository."""
        if not self.installation.covers(repository):
            return False
        return self.repository_ids is None or repository["id"] in self.repository_ids


@dataclass(frozen=True)
class Principal:
    """Who makes a request, and the token record under which the emulator is asked."""

    kind: Kind
    login: str | None = None
    emulator_user: Json | None = None
    app: AppRecord | None = None
    token: InstallationToken | None = None

    @property
    def is_app(self) -> bool:
        """Tell whether the request comes from an App, whose requests are judged."""
        return self.kind in {Kind.APP, Kind.INSTALLATION}


ANONYMOUS = Principal(Kind.ANONYMOUS)


@dataclass
class Identity:
    """All users, Apps, installations and tokens."""

    apps: dict[int, AppRecord] = field(default_factory=dict)
    installations: dict[int, Installation] = field(default_factory=dict)
    tokens: dict[str, InstallationToken] = field(default_factory=dict)
    users: dict[str, Json] = field(default_factory=dict)
    user_tokens: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, Json] = field(default_factory=dict)

    def register_app(self, fields: Mapping[str, Any], owner: str) -> AppRecord:
        """Create an App from ``name``, ``webhook_url``, ``webhook_secret``, ``permissions`` and ``events``."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        app_id = FIRST_APP_ID + len(self.apps)
        slug = str(fields["name"]).lower().replace(" ", "-")
        if any(app.slug == slug for app in self.apps.values()):
            raise ApiError(422, "Validation Failed", [{"resource": "App", "field": "name", "code": "already_exists"}])
        app = AppRecord(
            id=app_id,
            slug=slug,
            name=str(fields["name"]),
            owner=owner,
            private_key_pem=_private_pem(key),
            public_key_pem=_public_pem(key),
            client_id=f"Iv23li{secrets.token_hex(7)}",
            client_secret=secrets.token_hex(20),
            webhook_url=fields.get("webhook_url"),
            webhook_secret=fields.get("webhook_secret"),
            permissions={"metadata": "read", **fields.get("permissions", {})},
            events=list(fields.get("events", [])),
        )
        self.apps[app_id] = app
        return app

    def install(self, app: AppRecord, account: Json, repository_ids: list[int] | None, now: float) -> Installation:
        """Install an App on an account, or add repositories to the installation it has there."""
        for known in self.installations.values():
            if known.app_id == app.id and known.account["id"] == account["id"]:
                if known.repository_ids is not None and repository_ids is not None:
                    known.repository_ids = sorted({*known.repository_ids, *repository_ids})
                return known
        made = Installation(
            id=FIRST_INSTALLATION_ID + len(self.installations),
            app_id=app.id,
            account=account,
            permissions=dict(app.permissions),
            events=list(app.events),
            repository_ids=repository_ids,
            created_at=now,
        )
        self.installations[made.id] = made
        return made

    def mint(
        self, installation: Installation, permissions: dict[str, str], repository_ids: list[int] | None
    ) -> InstallationToken:
        """Make an installation token of the stateless form, whose length nobody may assume."""
        claims = {"iss": "github", "sub": installation.id, "jti": secrets.token_hex(24)}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        value = f"ghs_{installation.app_id}_eyJhbGciOiJFUzI1NiJ9.{body}.{secrets.token_urlsafe(64)}"
        token = InstallationToken(
            value, installation, permissions, repository_ids, time.time() + TOKEN_LIFETIME_SECONDS
        )
        self.tokens[value] = token
        return token

    def installations_for(self, repository: Mapping[str, Any]) -> Iterable[Installation]:
        """Yield the live installations that cover a repository."""
        return [one for one in self.installations.values() if not one.suspended_at and one.covers(repository)]

    def authenticate(self, authorization: str | None) -> Principal:
        """Resolve an ``Authorization`` value. Raises ApiError 401 like GitHub."""
        if not authorization:
            return ANONYMOUS
        scheme, _, credential = authorization.strip().partition(" ")
        if scheme.lower() == "basic":
            return self.authenticate_basic(credential)
        if scheme.lower() not in {"bearer", "token"}:
            raise ApiError(401, "Bad credentials")
        return self.authenticate_token(credential.strip())

    def authenticate_basic(self, credential: str) -> Principal:
        """Resolve Basic credentials: any user name, the token as password. Raises ApiError 401."""
        try:
            _, _, password = base64.b64decode(credential, validate=True).decode().partition(":")
        except ValueError as error:
            raise ApiError(401, "Bad credentials") from error
        return self.authenticate_token(password)

    def authenticate_token(self, value: str) -> Principal:
        """Resolve a token or JWT. Raises ApiError 401."""
        if value.count(".") == 2 and not value.startswith("gh"):
            return Principal(Kind.APP, app=self._app_of_jwt(value))
        login = self.user_tokens.get(value)
        if login is not None:
            return self.as_user(login)
        token = self.tokens.get(value)
        if token is None or token.revoked or token.expires_at <= time.time():
            raise ApiError(401, "Bad credentials")
        if token.installation.suspended_at:
            raise ApiError(403, "This installation has been suspended")
        app = self.apps[token.installation.app_id]
        return Principal(Kind.INSTALLATION, app.bot_login, _emulated(token), app, token)

    def as_user(self, login: str) -> Principal:
        """Return the principal of a known user."""
        return Principal(Kind.USER, login, self.users[login])

    def _app_of_jwt(self, value: str) -> AppRecord:
        try:
            claims = jwt.decode(value, options={"verify_signature": False})
        except jwt.InvalidTokenError as error:
            raise ApiError(401, "A JSON web token could not be decoded") from error
        issuer = str(claims.get("iss"))
        app = next((one for one in self.apps.values() if issuer in {str(one.id), one.client_id}), None)
        if app is None:
            raise ApiError(401, "Integration not found")
        _check_times(claims)
        try:
            jwt.decode(value, app.public_key_pem, algorithms=["RS256"], options={"verify_iat": False})
        except jwt.InvalidTokenError as error:
            raise ApiError(401, "A JSON web token could not be decoded") from error
        return app


def _check_times(claims: Mapping[str, Any]) -> None:
    now = time.time()
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or issued > now + JWT_SKEW_SECONDS:
        raise ApiError(401, "'Issued at' claim ('iat') must be an Integer representing the time of issue")
    if not isinstance(expires, int | float) or expires <= now:
        raise ApiError(401, "'Expiration time' claim ('exp') must be a numeric value representing the future time")
    if expires > now + JWT_LIFETIME_MAX_SECONDS + JWT_SKEW_SECONDS:
        raise ApiError(401, "'Expiration time' claim ('exp') is too far in the future")


def _emulated(token: InstallationToken) -> Json:
    installation = token.installation
    account = installation.account
    limited = token.repository_ids if token.repository_ids is not None else installation.repository_ids
    return {
        "login": account["login"],
        "id": account["id"],
        "scopes": [],
        "installation": {
            "installationId": installation.id,
            "appId": installation.app_id,
            "accountId": account["id"],
            "accountType": account["type"],
            "permissions": dict(JUDGED_HERE),
            "repositoryIds": limited or [],
            "repositorySelection": "all" if limited is None else "selected",
        },
    }


def _private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def _public_pem(key: rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
