"""Every environment variable that OPTR reads: the one table for the program, its documentation and its tests."""

from dataclasses import dataclass
from enum import StrEnum

from execution.spending import INSTALLATION_DAY_DEFAULT, Unmeasured
from governance.keeping import Capture

WEBHOOK_SECRET_CHARACTERS_MIN = 16
METRICS_TOKEN_CHARACTERS_MIN = 16
TIMEOUT_MS_MAX = 86_400_000
PORT_DEFAULT = 8080
GITHUB_TIMEOUT_MS_DEFAULT = 30_000
GITHUB_TIMEOUT_MS_MIN = 100
GITHUB_TIMEOUT_MS_MAX = 600_000
WRITE_INTERVAL_MS_DEFAULT = 1_000
WRITE_INTERVAL_MS_MAX = 60_000
RUNS_OF_PERSON_DEFAULT = 50
RUNS_OF_PERSON_MAX = 100_000
RECONCILE_MS_DEFAULT = 300_000
RECONCILE_MS_MIN = 100
RECONCILE_MS_MAX = 86_400_000
KEEP_DAYS_DEFAULT = 90
KEEP_DAYS_MIN = 7  # GitHub sends a delivery again for three days
KEEP_DAYS_MAX = 36_500
LEASE_MS_DEFAULT = 30_000
LEASE_MS_MIN = 1_000
LEASE_MS_MAX = 600_000


class SandboxChoice(StrEnum):
    """Which sandbox runs commands of agents and checks."""

    AUTO = "auto"
    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
    CONTAINER = "container"
    NONE = "none"


class ContainerEngine(StrEnum):
    """Whose command line runs containers."""

    DOCKER = "docker"
    PODMAN = "podman"
    NERDCTL = "nerdctl"


class Anchoring(StrEnum):
    """Whether tree heads go onto a branch that GitHub signs."""

    OFF = "off"
    ON = "on"


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
        "OPTR_GITHUB_TIMEOUT",
        "github_timeout_ms",
        "How long GitHub may take to answer one call, in milliseconds; git is given up when nothing moves for twice "
        "that",
        f"Give a whole number of milliseconds from {GITHUB_TIMEOUT_MS_MIN} to {GITHUB_TIMEOUT_MS_MAX}",
        default=str(GITHUB_TIMEOUT_MS_DEFAULT),
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
        "OPTR_METRICS_TOKEN",
        "metrics_token",
        f"Turns `GET /metrics` on for whoever sends it as a bearer token, at least {METRICS_TOKEN_CHARACTERS_MIN} "
        "characters; without it there is no such page",
        "Make one with `openssl rand -hex 32` and give it to the scraper, or unset it",
        secret=True,
    ),
    Setting(
        "OPTR_OTLP_ENDPOINT",
        "otlp_endpoint",
        "Where traces go by OTLP over HTTP (needs the extra `otel`); they hold ids, durations and token counts, never "
        "text. Unset: nowhere",
        "Give a URL such as `https://collector.example/v1/traces`, or unset it",
    ),
    Setting(
        "OPTR_DATABASE_URL",
        "database_url",
        "PostgreSQL URL for the state; without it a SQLite file in `OPTR_STATE`",
        "Give `postgresql://USER:PASSWORD@HOST/DATABASE`, or unset it to use SQLite",
        secret=True,
    ),
    Setting(
        "OPTR_KEEP_DAYS",
        "keep_days",
        "How long the engine's journal of finished work is kept (deliveries, steps of closed runs), in days; the "
        "ledger, the runs' rows and their accounts stay",
        f"Give a whole number of days from {KEEP_DAYS_MIN} to {KEEP_DAYS_MAX}",
        default=str(KEEP_DAYS_DEFAULT),
    ),
    Setting(
        "OPTR_LEASE",
        "lease_ms",
        "With PostgreSQL: how long a silent process counts as alive, in milliseconds; then the others take over its "
        "runs",
        f"Give a whole number of milliseconds from {LEASE_MS_MIN} to {LEASE_MS_MAX}",
        default=str(LEASE_MS_DEFAULT),
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
        "OPTR_WITNESS_POLICY",
        "witness_policy",
        "File (C2SP tlog-policy) whose witnesses with a URL are asked to cosign each ledger after it grew; unset: none",
        "Give a file that `optr witness collect --policy` takes, or unset it",
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
        f"Sandbox for the commands of agents and checks: {', '.join(SandboxChoice)}. `auto` takes bubblewrap, else "
        "Landlock, else refuses; `none` gives up isolation, and every run says so in its record",
        f"Give one of: {', '.join(SandboxChoice)}",
        default=SandboxChoice.AUTO.value,
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_SANDBOX_IMAGE",
        "sandbox_image",
        "Image that `OPTR_SANDBOX=container` runs commands in; it must be on this machine and hold `prlimit` and what "
        "the checks need",
        "Give an image's name, or choose another sandbox",
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_CONTAINER_ENGINE",
        "container_engine",
        f"Its engine: {', '.join(ContainerEngine)}",
        f"Give one of: {', '.join(ContainerEngine)}",
        default=ContainerEngine.DOCKER.value,
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
        "OPTR_BUDGET_RUN",
        "budget_run",
        "The most that one run may cost at worst, in US dollars: all attempts and reviews at their limits",
        "Give an amount such as 12.50, or unset it",
    ),
    Setting(
        "OPTR_BUDGET_REPOSITORY_DAY",
        "budget_repository",
        "The most that one repository may reserve and spend in 24 hours, in US dollars",
        "Give an amount such as 12.50, or unset it",
    ),
    Setting(
        "OPTR_BUDGET_INSTALLATION_DAY",
        "budget_installation",
        "The most that one installation may reserve and spend in 24 hours, in US dollars",
        "Give an amount such as 12.50, or unset it",
        default=INSTALLATION_DAY_DEFAULT,
    ),
    Setting(
        "OPTR_BUDGET_DAY",
        "budget_day",
        "The most that all installations together may reserve and spend in 24 hours, in US dollars",
        "Give an amount such as 12.50, or unset it",
    ),
    Setting(
        "OPTR_RUNS_OF_PERSON",
        "runs_of_person",
        "The most runs that one person may start through one installation in 24 hours",
        f"Give a whole number from 1 to {RUNS_OF_PERSON_MAX}",
        default=str(RUNS_OF_PERSON_DEFAULT),
    ),
    Setting(
        "OPTR_UNMEASURED",
        "unmeasured",
        "What an attempt counts as when nobody can tell its cost: `worst`, its whole limit, or `free`; a command "
        "without the network costs nothing either way",
        f"Give one of: {', '.join(Unmeasured)}",
        default=Unmeasured.WORST.value,
    ),
    Setting(
        "OPTR_POLICY_FILE",
        "policy_file",
        "File with the operator's own Cedar policy instead of the shipped one; a repository can only forbid more",
        "Give a file that only its owner can write, or unset it",
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_CAPTURE",
        "capture",
        f"The most that a run's record may keep of texts: {', '.join(Capture)}; a repository can keep less, never "
        "more. What each keeps: docs/record.md",
        f"Give one of: {', '.join(Capture)}",
        default=Capture.REDACTED.value,
        reader=Reader.BOTH,
    ),
    Setting(
        "OPTR_ANCHORS",
        "anchors",
        "Whether, once an hour at most, the ledger's newest tree head becomes a commit on `datalake-anchors` that "
        f"GitHub signs and dates: {', '.join(Anchoring)}. What that shows: docs/ledger.md",
        f"Give one of: {', '.join(Anchoring)}",
        default=Anchoring.OFF.value,
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
