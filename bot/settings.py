"""Settings from the environment; the page of record is docs/configuration.md, generated from the table below.

The process refuses to start on doubt: a missing secret, a key that others can read, a misspelt variable.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from bot.errors import OptrError

PREFIX = "OPTR_"
WEBHOOK_SECRET_CHARACTERS_MIN = 16
PRIVATE_KEY_BYTES_MAX = 65_536
PRIVATE_KEY_BITS_MIN = 2048
KEY_MODE_FORBIDDEN = 0o037  # group may read (a mounted secret), nobody else may do anything
TIMEOUT_MS_MAX = 86_400_000
PORT_DEFAULT = 8080
WRITE_INTERVAL_MS_DEFAULT = 1_000
WRITE_INTERVAL_MS_MAX = 60_000
RECONCILE_MS_DEFAULT = 300_000
RECONCILE_MS_MIN = 100
RECONCILE_MS_MAX = 86_400_000


class SandboxChoice(StrEnum):
    """Which sandbox runs commands of agents and checks."""

    AUTO = "auto"
    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Reader(StrEnum):
    """Who reads a setting."""

    BOTH = "App, command line"
    APP = "App"
    LOCAL = "command line"
    MODELS = "model SDKs"
    TESTS = "OPTR's own tests"


@dataclass(frozen=True)
class Setting:
    """One environment variable.

    Attributes:
        variable: its name.
        field: the attribute of `Settings`; empty for variables that an SDK reads.
        meaning: what it does, for the documentation.
        remedy: what to do when it is missing or wrong.
        default: as shown; empty when there is none.
        reader: who reads it.
        required: whether the App refuses to start without it.
        secret: whether its value must never be shown.
    """

    variable: str
    field: str
    meaning: str
    remedy: str
    default: str = ""
    reader: Reader = Reader.APP
    required: bool = False
    secret: bool = False


TABLE: tuple[Setting, ...] = (
    Setting(
        "OPTR_APP_ID",
        "app_id",
        "The GitHub App's numeric id",
        "Copy the App ID from the App's settings page on GitHub",
        required=True,
    ),
    Setting(
        "OPTR_PRIVATE_KEY_FILE",
        "private_key_file",
        "File with the App's RSA private key in PEM form, not readable by others",
        "Generate a private key on the App's settings page, save it to a file and run `chmod 600` on it",
        required=True,
    ),
    Setting(
        "OPTR_WEBHOOK_SECRET",
        "webhook_secret",
        f"The App's webhook secret, at least {WEBHOOK_SECRET_CHARACTERS_MIN} characters",
        "Make one with `openssl rand -hex 32` and enter it on the App's settings page too",
        required=True,
        secret=True,
    ),
    Setting(
        "OPTR_WEBHOOK_SECRET_PREVIOUS",
        "webhook_secret_previous",
        "The former webhook secret, accepted as well while you change it",
        "Leave it unset when no change of secret is under way",
        secret=True,
    ),
    Setting(
        "OPTR_GITHUB_API",
        "github_api",
        "Base URL of GitHub's REST API; for GitHub Enterprise Server `https://HOST/api/v3`",
        "Give an https URL without user, query or fragment (http only for this machine)",
        default="https://api.github.com",
    ),
    Setting(
        "OPTR_GITHUB_URL",
        "github_url",
        "Base URL of GitHub's pages and of git over https",
        "Give an https URL without user, query or fragment (http only for this machine)",
        default="https://github.com",
    ),
    Setting(
        "OPTR_WRITE_INTERVAL",
        "write_interval_ms",
        "Least time between two writes to GitHub through one installation, in milliseconds; GitHub asks for a second, "
        "a GitHub Enterprise Server without limits needs less",
        f"Give a whole number of milliseconds from 0 to {WRITE_INTERVAL_MS_MAX}",
        default=str(WRITE_INTERVAL_MS_DEFAULT),
    ),
    Setting(
        "OPTR_RECONCILE_INTERVAL",
        "reconcile_ms",
        "Time between two comparisons of GitHub with what OPTR knows (lost deliveries, labels without a run, checks, "
        "pull requests), in milliseconds; the first comes at the start",
        f"Give a whole number of milliseconds from {RECONCILE_MS_MIN} to {RECONCILE_MS_MAX}",
        default=str(RECONCILE_MS_DEFAULT),
    ),
    Setting(
        "OPTR_HOST",
        "host",
        "Address to listen on; `0.0.0.0` in a container",
        "Give an address of this machine",
        default="127.0.0.1",
    ),
    Setting(
        "OPTR_PORT",
        "port",
        "TCP port to listen on; `0` takes a free one",
        "Give a number from 0 to 65535",
        default=str(PORT_DEFAULT),
    ),
    Setting(
        "OPTR_DATABASE_URL",
        "database_url",
        "PostgreSQL URL for the state; without it a SQLite file in `OPTR_STATE`",
        "Give `postgresql://USER:PASSWORD@HOST/DATABASE`, or unset it to use SQLite",
        secret=True,
    ),
    Setting(
        "OPTR_STATE",
        "state",
        "Directory for the state: database, ledger keys, repository caches",
        "Give a directory that this user may write",
        default="~/.local/state/optr",
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_LEDGER_KEY_FILE",
        "ledger_key_file",
        "File with the ledger's signing key, for `optr execute`; without it each repository's own in `OPTR_STATE`",
        "Give a key file that OPTR made and only you can read, or unset it",
        reader=Reader.LOCAL,
    ),
    Setting(
        "OPTR_TIMEOUT",
        "timeout_ms",
        "Wall clock of one agent's attempt, in milliseconds; without it each agent's profile says",
        f"Give a whole number of milliseconds from 1 to {TIMEOUT_MS_MAX}",
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_SANDBOX",
        "sandbox",
        f"Sandbox for the commands of agents and checks: {', '.join(SandboxChoice)}",
        f"Give one of: {', '.join(SandboxChoice)}",
        default=SandboxChoice.AUTO.value,
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_LOG_LEVEL",
        "log_level",
        f"Least severity that is logged: {', '.join(LogLevel)}",
        f"Give one of: {', '.join(LogLevel)}",
        default=LogLevel.INFO.value,
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_MODELS_FILE",
        "models_file",
        "TOML file with models that add to the shipped ones or replace them by id, in the form of "
        "`execution/models/models.toml`",
        "Give a file that only its owner can write, or unset it",
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_AGENT_ENV",
        "",
        "Names of variables, with commas between, that agents of type `command` may ask for in their profiles",
        "Give names with commas between, or unset it",
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_AGENT_NETWORK",
        "",
        "`1` lets agents of type `command` have the network when their profiles ask for it",
        "Give `1`, or unset it",
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_PREPARE_NETWORK",
        "",
        "`1` lets `prepare` of a repository's configuration have the network; it never sees a candidate",
        "Give `1`, or unset it",
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_ALLOW_WORKIQ",
        "",
        "`1` lets agents of type `ms-copilot-stride` send the request and the files it names to Microsoft 365 Copilot",
        "Give `1`, or unset it",
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_WORKIQ_URL",
        "",
        "Where Work IQ is for those agents, when not at `https://workiq.svc.cloud.microsoft`",
        "Give an https URL without `/rest`, or unset it",
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_CRASH_AT",
        "",
        "Name of the crash point at which the process kills itself; never set it",
        "Unset it",
        reader=Reader.TESTS,
    ),
    Setting(
        "OPENAI_API_KEY",
        "",
        "Key for agents of type `openai-codex`",
        "Set it, or leave those agents out",
        reader=Reader.MODELS,
        secret=True,
    ),
    Setting(
        "OPENAI_BASE_URL",
        "",
        "Where those agents' model is, when not at OpenAI",
        "Give a base URL that ends in `/v1`",
        reader=Reader.MODELS,
    ),
    Setting(
        "ANTHROPIC_API_KEY",
        "",
        "Key for agents of type `anthropic-claude`",
        "Set it, or leave those agents out",
        reader=Reader.MODELS,
        secret=True,
    ),
    Setting(
        "ANTHROPIC_BASE_URL",
        "",
        "Where those agents' model is, when not at Anthropic",
        "Give a base URL without `/v1`",
        reader=Reader.MODELS,
    ),
    Setting(
        "COPILOT_CLI_PATH",
        "",
        "Absolute path of the Copilot runtime, for agents of type `github-copilot`; "
        "`python -m copilot download-runtime` fetches it and prints the path",
        "Set it, or leave those agents out",
        reader=Reader.MODELS,
    ),
    Setting(
        "COPILOT_GITHUB_TOKEN",
        "",
        "Token those agents ask Copilot with on the command line; the App mints its own (`copilot_requests: write`)",
        "Set it, or leave those agents out",
        reader=Reader.MODELS,
        secret=True,
    ),
    Setting(
        "WORKIQ_TOKEN",
        "",
        "Token of a signed-in user with `WorkIQAgent.Ask`, for agents of type `ms-copilot-stride`",
        "Set it, or leave those agents out",
        reader=Reader.MODELS,
        secret=True,
    ),
    Setting(
        "MICROSOFT_GRAPH_TOKEN",
        "",
        "The same under its older name; `WORKIQ_TOKEN` comes first",
        "Set one of the two, or leave those agents out",
        reader=Reader.MODELS,
        secret=True,
    ),
)

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


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Secret = Annotated[SecretStr, Field(min_length=WEBHOOK_SECRET_CHARACTERS_MIN)]


class LocalSettings(BaseModel):
    """What the command line needs. See `TABLE` for each member's meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    state: AbsolutePath = Field(default=Path("~/.local/state/optr"), validate_default=True)
    ledger_key_file: AbsolutePath | None = None
    timeout_ms: int | None = Field(default=None, ge=1, le=TIMEOUT_MS_MAX)
    sandbox: SandboxChoice = SandboxChoice.AUTO
    log_level: LogLevel = LogLevel.INFO
    models_file: AbsolutePath | None = None

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
    write_interval_ms: int = Field(default=WRITE_INTERVAL_MS_DEFAULT, ge=0, le=WRITE_INTERVAL_MS_MAX)
    reconcile_ms: int = Field(default=RECONCILE_MS_DEFAULT, ge=RECONCILE_MS_MIN, le=RECONCILE_MS_MAX)
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
        why = _PLAIN_REASONS.get(found["type"]) or found["msg"].removeprefix("Value error, ")
        yield setting.variable, why, setting.remedy
