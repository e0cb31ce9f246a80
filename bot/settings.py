"""Settings from the environment; the page of record is docs/configuration.md, generated from `bot.settings_table`.

The process refuses to start on doubt: a missing secret, a key that others can read, a misspelt variable.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from bot.errors import OptrError
from bot.settings_table import (
    GITHUB_TIMEOUT_MS_DEFAULT,
    GITHUB_TIMEOUT_MS_MAX,
    GITHUB_TIMEOUT_MS_MIN,
    KEEP_DAYS_DEFAULT,
    KEEP_DAYS_MAX,
    KEEP_DAYS_MIN,
    LEASE_MS_DEFAULT,
    LEASE_MS_MAX,
    LEASE_MS_MIN,
    METRICS_TOKEN_CHARACTERS_MIN,
    PORT_DEFAULT,
    RECONCILE_MS_DEFAULT,
    RECONCILE_MS_MAX,
    RECONCILE_MS_MIN,
    RUNS_OF_PERSON_DEFAULT,
    RUNS_OF_PERSON_MAX,
    TABLE,
    TIMEOUT_MS_MAX,
    WEBHOOK_SECRET_CHARACTERS_MIN,
    WRITE_INTERVAL_MS_DEFAULT,
    WRITE_INTERVAL_MS_MAX,
    Anchoring,
    ContainerEngine,
    LogLevel,
    SandboxChoice,
)
from execution.spending import INSTALLATION_DAY_DEFAULT, Unmeasured, dollars
from governance.keeping import Capture

PREFIX = "OPTR_"
PRIVATE_KEY_BYTES_MAX = 65_536
PRIVATE_KEY_BITS_MIN = 2048
KEY_MODE_FORBIDDEN = 0o037  # group may read (a mounted secret), nobody else may do anything

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_PLAIN_REASONS = {"missing": "it is not set"}


class SettingsError(OptrError):
    """The environment does not make a configuration.

    Attributes:
        problems: (variable, why, what to do), one for each variable that is wrong.
    """

    def __init__(self, problems: Iterable[tuple[str, str, str]]) -> None:
        self.problems = tuple(problems)
        listed = "; ".join(f"{variable}: {why}. {remedy}" for variable, why, remedy in self.problems)
        super().__init__(f"OPTR cannot start with these settings: {listed}", remedy="See docs/configuration.md")

    def lines(self) -> list[str]:
        """One block for each variable."""
        lines = ["error: OPTR cannot start with these settings (docs/configuration.md)"]
        for variable, why, remedy in self.problems:
            lines += [f"  {variable}", f"    why: {why}", f"    what to do: {remedy}"]
        return lines


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it is not an http(s) URL")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("it would send tokens unencrypted")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("it must have no user, query or fragment")
    return text.rstrip("/")


def _postgresql(secret: SecretStr) -> SecretStr:
    if urlsplit(secret.get_secret_value()).scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError("it is not a PostgreSQL URL")
    return secret


def _dollars(text: str) -> str:
    dollars(text)
    return text


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Dollars = Annotated[str, AfterValidator(_dollars)]
Secret = Annotated[SecretStr, Field(min_length=WEBHOOK_SECRET_CHARACTERS_MIN)]


class LocalSettings(BaseModel):
    """What the command line needs. See `TABLE` for each member's meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    state: AbsolutePath = Field(default=Path("~/.local/state/optr"), validate_default=True)
    ledger_key_file: AbsolutePath | None = None
    timeout_ms: int | None = Field(default=None, ge=1, le=TIMEOUT_MS_MAX)
    sandbox: SandboxChoice = SandboxChoice.AUTO
    sandbox_image: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    container_engine: ContainerEngine = ContainerEngine.DOCKER
    log_level: LogLevel = LogLevel.INFO
    models_file: AbsolutePath | None = None
    policy_file: AbsolutePath | None = None
    capture: Capture = Capture.REDACTED

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables of `TABLE`; an empty one counts as unset.

        Raises:
            SettingsError: naming every wrong variable, why, and what to do; never a secret's value.
        """
        problems = list(_unknown(environ))
        given = {
            setting.field: environ[setting.variable]
            for setting in TABLE
            if setting.field in cls.model_fields and environ.get(setting.variable)
        }
        problems += _private_key(cls, given)
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError([*problems, *_explain(error)]) from None
        if problems:
            raise SettingsError(problems)
        return settings


class Settings(LocalSettings):
    """What the App needs. `private_key` is the content of `private_key_file`."""

    app_id: int = Field(ge=1)
    private_key_file: Path
    private_key: SecretStr = SecretStr("")
    webhook_secret: Secret
    webhook_secret_previous: Secret | None = None
    github_api: BaseUrl = "https://api.github.com"
    github_url: BaseUrl = "https://github.com"
    github_timeout_ms: int = Field(
        default=GITHUB_TIMEOUT_MS_DEFAULT, ge=GITHUB_TIMEOUT_MS_MIN, le=GITHUB_TIMEOUT_MS_MAX
    )
    write_interval_ms: int = Field(default=WRITE_INTERVAL_MS_DEFAULT, ge=0, le=WRITE_INTERVAL_MS_MAX)
    reconcile_ms: int = Field(default=RECONCILE_MS_DEFAULT, ge=RECONCILE_MS_MIN, le=RECONCILE_MS_MAX)
    anchors: Anchoring = Anchoring.OFF
    keep_days: int = Field(default=KEEP_DAYS_DEFAULT, ge=KEEP_DAYS_MIN, le=KEEP_DAYS_MAX)
    lease_ms: int = Field(default=LEASE_MS_DEFAULT, ge=LEASE_MS_MIN, le=LEASE_MS_MAX)
    metrics_token: Annotated[SecretStr, Field(min_length=METRICS_TOKEN_CHARACTERS_MIN)] | None = None
    otlp_endpoint: BaseUrl | None = None
    witness_policy: AbsolutePath | None = None
    budget_run: Dollars | None = None
    budget_repository: Dollars | None = None
    budget_installation: Dollars = INSTALLATION_DAY_DEFAULT
    budget_day: Dollars | None = None
    unmeasured: Unmeasured = Unmeasured.WORST
    runs_of_person: int = Field(default=RUNS_OF_PERSON_DEFAULT, ge=1, le=RUNS_OF_PERSON_MAX)
    host: str = Field(default="127.0.0.1", min_length=1, max_length=255)
    port: int = Field(default=PORT_DEFAULT, ge=0, le=65_535)
    database_url: Annotated[SecretStr, AfterValidator(_postgresql)] | None = None

    @property
    def webhook_secrets(self) -> tuple[bytes, ...]:
        """The secrets a delivery may be signed with, the current one first."""
        both = (self.webhook_secret, self.webhook_secret_previous)
        return tuple(secret.get_secret_value().encode() for secret in both if secret is not None)


def _unknown(environ: Mapping[str, str]) -> Iterable[tuple[str, str, str]]:
    known = [setting.variable for setting in TABLE]
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in known:
            close = get_close_matches(variable, known, n=1)
            yield variable, "there is no such setting", f"Did you mean {close[0]}?" if close else "Unset it"


def _private_key(model: type[LocalSettings], given: dict[str, str]) -> list[tuple[str, str, str]]:
    """Read the key file into `given["private_key"]`, or say why not."""
    if model is LocalSettings or "private_key_file" not in given:
        return []
    try:
        given["private_key"] = read_private_key(Path(given["private_key_file"])).get_secret_value()
    except (OSError, ValueError) as error:
        why = error.strerror or "unreadable" if isinstance(error, OSError) else str(error)
        setting = next(setting for setting in TABLE if setting.field == "private_key_file")
        return [(setting.variable, f"{given['private_key_file']}: {why}", setting.remedy)]
    return []


def read_private_key(path: Path) -> SecretStr:
    """The PEM text of an RSA private key that only its owner (and a reading group) can open.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, too open, too large, or no RSA key of 2,048 bits or more.
    """
    # Opened once and judged by descriptor, so that nobody swaps the file between the look and the read; non-blocking,
    # because a named pipe would hang the start.
    descriptor = os.open(path.expanduser(), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("it is not a regular file")
        if facts.st_mode & KEY_MODE_FORBIDDEN:
            raise ValueError(f"its mode {stat.S_IMODE(facts.st_mode):04o} lets others reach it")
        data = file.read(PRIVATE_KEY_BYTES_MAX + 1)
    if len(data) > PRIVATE_KEY_BYTES_MAX:
        raise ValueError(f"it is larger than {PRIVATE_KEY_BYTES_MAX} bytes")
    _judge_key(data)
    return SecretStr(data.decode("ascii"))


def _judge_key(data: bytes) -> None:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - `optr --version` must not wait for it
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("it is not an unencrypted PEM private key") from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < PRIVATE_KEY_BITS_MIN:
        raise ValueError(f"it is not an RSA key of at least {PRIVATE_KEY_BITS_MIN} bits")


def _explain(error: ValidationError) -> Iterable[tuple[str, str, str]]:
    by_field = {setting.field: setting for setting in TABLE}
    for found in error.errors(include_url=False, include_input=False):
        setting = by_field[str(found["loc"][0])]
        yield setting.variable, _why(found), setting.remedy


def _why(found: ErrorDetails) -> str:
    if found["type"] == "too_short":
        return f"it needs at least {found['ctx']['min_length']} characters"
    return _PLAIN_REASONS.get(found["type"]) or found["msg"].removeprefix("Value error, ")
