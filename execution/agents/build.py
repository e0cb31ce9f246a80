"""From a profile to an agent that can be asked, or one sentence that says what is missing."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from execution.agents.command import CommandAgent
from execution.agents.loop import ModelAgent
from execution.agents.profiles import AgentType, Profile
from execution.models.conversation import (
    CONNECT_SECONDS,
    SDK_RETRIES,
    SILENCE_SECONDS,
    Conversation,
    Line,
    open_conversation,
)
from execution.models.registry import Driver, ModelEntry, Registry, RegistryError, checked_base_url, load_registry
from execution.ports import Agent
from execution.records import Limits

TIMEOUT_VARIABLE = "OPTR_TIMEOUT"
TIMEOUT_MS_MAX = 86_400_000
AGENT_ENV_VARIABLE = "OPTR_AGENT_ENV"
AGENT_NETWORK_VARIABLE = "OPTR_AGENT_NETWORK"
# Never granted to a command, whatever the operator lists: our own secrets, the forge's, and the loader's switches.
FORBIDDEN_ENV_PREFIXES = ("OPTR_", "GITHUB_", "GH_", "LD_", "BASH_ENV")
FENCE_BYTES = 12

DRIVERS = {
    AgentType.OPENAI_CODEX: frozenset({Driver.OPENAI_RESPONSES, Driver.OPENAI_CHAT}),
    AgentType.ANTHROPIC_CLAUDE: frozenset({Driver.ANTHROPIC_MESSAGES}),
}
NOT_BUILT = {
    AgentType.GITHUB_COPILOT: "the Copilot SDK and an installation token with copilot_requests: write",
    AgentType.MS_COPILOT_STRIDE: "Work IQ and a signed-in Microsoft 365 user (MICROSOFT_GRAPH_TOKEN)",
}


class AgentUnavailableError(Exception):
    """The agent cannot be asked here; the text says what is missing and what runs without it."""


class AgentSettingError(ValueError):
    """A variable of the operator's environment is wrong; the text names it."""


def _random_fence() -> str:
    return secrets.token_hex(FENCE_BYTES)


@dataclass(frozen=True)
class ModelAccess:
    """What the operator grants: the environment that holds keys and addresses, and the models that may be asked.

    Attributes:
        environ: the operator's environment; never passed on whole.
        registry: the models.
        fence: makes a random word per attempt.
        retries, connect_seconds, silence_seconds: see models.conversation.Line.
    """

    environ: Mapping[str, str] = field(repr=False)
    registry: Registry = field(default_factory=load_registry, repr=False)
    fence: Callable[[], str] = field(default=_random_fence, repr=False)
    retries: int = SDK_RETRIES
    connect_seconds: float = CONNECT_SECONDS
    silence_seconds: float = SILENCE_SECONDS

    def line(self, entry: ModelEntry, agent: str, system: str) -> Line:
        """What a driver needs.

        Raises:
            AgentUnavailableError: no key, or no usable address.
        """
        return Line(
            entry=entry,
            prices=self.registry.prices(entry),
            base_url=self._base_url(entry, agent),
            key=self._key(entry, agent),
            system=system,
            connect_seconds=self.connect_seconds,
            silence_seconds=self.silence_seconds,
            retries=self.retries,
        )

    def _key(self, entry: ModelEntry, agent: str) -> str:
        if entry.key_env is None:
            return ""
        key = self.environ.get(entry.key_env, "").strip()
        if key:
            return key
        raise AgentUnavailableError(_missing(agent, entry.key_env, "the key"))

    def _base_url(self, entry: ModelEntry, agent: str) -> str:
        told = self.environ.get(entry.base_url_env, "").strip() if entry.base_url_env else ""
        url = told or entry.base_url
        if not url:
            raise AgentUnavailableError(_missing(agent, entry.base_url_env or "", "the address"))
        try:
            return checked_base_url(url)
        except ValueError as error:
            raise AgentUnavailableError(f"Agent '{agent}' cannot be asked: {entry.base_url_env}: {error}.") from None


def build_agent(profile: Profile, access: ModelAccess) -> Agent:
    """An agent for the profile; makes no connection yet.

    Raises:
        AgentUnavailableError: a key, an address, a model, a grant or the whole backend is missing.
    """
    if profile.type in NOT_BUILT:
        raise AgentUnavailableError(
            f"Agent '{profile.name}' needs {NOT_BUILT[profile.type]}, which this version of OPTR cannot use yet; "
            "agents of type openai-codex, anthropic-claude and command run without it."
        )
    if profile.type is AgentType.COMMAND:
        return _command_agent(profile, access.environ)
    return _model_agent(profile, access)


def limits_for(profile: Profile, environ: Mapping[str, str]) -> Limits:
    """The profile's limits over the defaults; OPTR_TIMEOUT (milliseconds per agent) overrides the wall clock.

    Raises:
        AgentSettingError: OPTR_TIMEOUT is not a whole number of milliseconds within a day.
    """
    limits = profile.limits.over(Limits())
    told = environ.get(TIMEOUT_VARIABLE, "").strip()
    if not told:
        return limits
    if not (told.isascii() and told.isdigit() and 1 <= int(told[:20]) <= TIMEOUT_MS_MAX):
        raise AgentSettingError(
            f"{TIMEOUT_VARIABLE} is {told[:40]!r}; it must be milliseconds per agent, a whole number from 1 to "
            f"{TIMEOUT_MS_MAX}"
        )
    return limits.model_copy(update={"wall_seconds": int(told) / 1000})


def _model_agent(profile: Profile, access: ModelAccess) -> Agent:
    try:
        entry = access.registry.entry(profile.model or "")
    except RegistryError as error:
        raise AgentUnavailableError(f"Agent '{profile.name}' cannot be asked: {error}.") from None
    if entry.driver not in DRIVERS[profile.type]:
        raise AgentUnavailableError(
            f"Agent '{profile.name}' is of type {profile.type}, but model {entry.id} speaks {entry.driver}; "
            "choose a model that fits the type."
        )
    access.line(entry, profile.name, "")  # says now, not in the middle of a run, what is missing

    def connect(system: str) -> AbstractAsyncContextManager[Conversation]:
        return open_conversation(access.line(entry, profile.name, system))

    return ModelAgent(profile.name, connect, profile.instructions, access.fence)


def _command_agent(profile: Profile, environ: Mapping[str, str]) -> Agent:
    allowed = {name.strip() for name in environ.get(AGENT_ENV_VARIABLE, "").split(",")}
    for name in profile.env:
        if name.startswith(FORBIDDEN_ENV_PREFIXES):
            raise AgentUnavailableError(f"Agent '{profile.name}' asks for {name}, which no command may ever see.")
        if name not in allowed:
            raise AgentUnavailableError(
                f"Agent '{profile.name}' asks for the variable {name}; the operator has to allow it in "
                f"{AGENT_ENV_VARIABLE}, agents that ask for none run without it."
            )
        if name not in environ:
            raise AgentUnavailableError(_missing(profile.name, name, "a variable"))
    if profile.network and environ.get(AGENT_NETWORK_VARIABLE, "").strip() != "1":
        raise AgentUnavailableError(
            f"Agent '{profile.name}' asks for network; the operator has to allow it with {AGENT_NETWORK_VARIABLE}=1, "
            "agents that ask for none run without it."
        )
    granted = {name: environ[name] for name in profile.env}
    return CommandAgent(profile.name, profile.command, granted, network=profile.network)


def _missing(agent: str, variable: str, what: str) -> str:
    return (
        f"Agent '{agent}' needs {what} in {variable}, which is not set; agents of type command and `optr demo` run "
        "without it."
    )
