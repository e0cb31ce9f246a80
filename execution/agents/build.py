"""From a profile to an agent that can be asked, or one sentence that says what is missing."""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from execution.agents.adviser import AdviserAgent
from execution.agents.command import CommandAgent
from execution.agents.copilot import CopilotAccess, CopilotAgent, CopilotToken
from execution.agents.copilot_sdk import SDK_MODULE, TOKEN_VARIABLE
from execution.agents.history import ReadHistory
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
from execution.models.workiq import DEFAULT_URL, WorkIQChat, WorkIQLine, open_chat
from execution.ports import Agent
from execution.records import Limits
from governance.codes import ReasonCode

TIMEOUT_VARIABLE = "OPTR_TIMEOUT"
TIMEOUT_MS_MAX = 86_400_000
AGENT_ENV_VARIABLE = "OPTR_AGENT_ENV"
AGENT_NETWORK_VARIABLE = "OPTR_AGENT_NETWORK"
WORKIQ_ALLOW_VARIABLE = "OPTR_ALLOW_WORKIQ"
WORKIQ_URL_VARIABLE = "OPTR_WORKIQ_URL"
WORKIQ_TOKEN_VARIABLES = ("WORKIQ_TOKEN", "MICROSOFT_GRAPH_TOKEN")
RUNTIME_VARIABLE = "COPILOT_CLI_PATH"
# Never granted to a command, whatever the operator lists: our own secrets, the forge's, and the loader's switches.
FORBIDDEN_ENV_PREFIXES = ("OPTR_", "GITHUB_", "GH_", "LD_", "BASH_ENV")
FENCE_BYTES = 12

DRIVERS = {
    AgentType.OPENAI_CODEX: frozenset({Driver.OPENAI_RESPONSES, Driver.OPENAI_CHAT}),
    AgentType.ANTHROPIC_CLAUDE: frozenset({Driver.ANTHROPIC_MESSAGES}),
}


class AgentUnavailableError(Exception):
    """The agent cannot be asked here; the text says what is missing and what runs without it.

    Attributes:
        code: the reason's code.
    """

    code = ReasonCode.AGENT_UNAVAILABLE


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
        copilot_token: mints tokens for Copilot agents; None takes the operator's COPILOT_GITHUB_TOKEN.
        history: reads commits for Copilot agents.
        sleep: waits that many seconds.
    """

    environ: Mapping[str, str] = field(repr=False)
    registry: Registry = field(default_factory=load_registry, repr=False)
    fence: Callable[[], str] = field(default=_random_fence, repr=False)
    retries: int = SDK_RETRIES
    connect_seconds: float = CONNECT_SECONDS
    silence_seconds: float = SILENCE_SECONDS
    copilot_token: CopilotToken | None = field(default=None, repr=False)
    history: ReadHistory | None = field(default=None, repr=False)
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, repr=False)

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
    if profile.type is AgentType.COMMAND:
        return _command_agent(profile, access.environ)
    if profile.type is AgentType.GITHUB_COPILOT:
        return _copilot_agent(profile, access)
    if profile.type is AgentType.MS_COPILOT_STRIDE:
        return _adviser_agent(profile, access)
    return _model_agent(profile, access)


def grants(profile: Profile, access: ModelAccess) -> tuple[str, ...]:
    """What the operator granted to an agent that can run and readers of the run should know, one sentence each."""
    if profile.type is AgentType.COMMAND:
        return tuple(_command_grants(profile))
    if profile.type is not AgentType.MS_COPILOT_STRIDE:
        return ()
    told = (
        f"Agent '{profile.name}' sends the request, the names of the repository's files and the files that the request "
        f"or the checks name to Microsoft 365 Copilot at {_workiq_url(profile, access.environ)}; "
        f"the operator allows it with {WORKIQ_ALLOW_VARIABLE}=1."
    )
    return (told,)


def _command_grants(profile: Profile) -> Iterator[str]:
    if profile.network:
        yield (
            f"Agent '{profile.name}' worked with the network, and could send out whatever it saw; "
            f"the operator allows it with {AGENT_NETWORK_VARIABLE}=1."
        )
    if profile.env:
        names = ", ".join(profile.env)
        yield f"Agent '{profile.name}' was handed {names}; the operator allows it with {AGENT_ENV_VARIABLE}."


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


def model_entry(profile: Profile, access: ModelAccess) -> ModelEntry:
    """The model that a profile of a model type names.

    Raises:
        AgentUnavailableError: there is none, it does not fit the type, or its key or address is missing.
    """
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
    return entry


def _model_agent(profile: Profile, access: ModelAccess) -> Agent:
    entry = model_entry(profile, access)

    def connect(system: str) -> AbstractAsyncContextManager[Conversation]:
        return open_conversation(access.line(entry, profile.name, system))

    return ModelAgent(profile.name, connect, profile.instructions, access.fence)


def _copilot_agent(profile: Profile, access: ModelAccess) -> Agent:
    token = access.copilot_token
    if token is None:
        told = access.environ.get(TOKEN_VARIABLE, "").strip()
        if not told:
            raise AgentUnavailableError(
                f"Agent '{profile.name}' needs a GitHub token that may ask Copilot (copilot_requests: write) in "
                f"{TOKEN_VARIABLE}, which is not set; other agents run without it."
            )

        async def token(_repository: str) -> str:
            return told

    if find_spec(SDK_MODULE) is None:
        raise AgentUnavailableError(
            f"Agent '{profile.name}' needs the Copilot SDK: run `pip install 'optr[copilot]'`; others run without it."
        )
    return CopilotAgent(
        profile.name,
        CopilotAccess(
            runtime=_runtime(profile, access.environ),
            token=token,
            history=access.history,
            environ=access.environ,
            prices=access.registry.dearest,
        ),
        profile.instructions,
        access.fence,
    )


def _runtime(profile: Profile, environ: Mapping[str, str]) -> Path:
    """The SDK would download it in the middle of a run; what runs beside the keys is the operator's choice."""
    path = Path(environ.get(RUNTIME_VARIABLE, "").strip() or "/nonexistent")
    if path.is_absolute() and path.is_file() and os.access(path, os.X_OK):
        return path
    raise AgentUnavailableError(
        f"Agent '{profile.name}' needs the Copilot runtime: run `python -m copilot download-runtime` and set "
        f"{RUNTIME_VARIABLE} to the absolute path that it prints; other agents run without it."
    )


def _adviser_agent(profile: Profile, access: ModelAccess) -> Agent:
    environ = access.environ
    url = _workiq_url(profile, environ)
    token = next((told for name in WORKIQ_TOKEN_VARIABLES if (told := environ.get(name, "").strip())), "")
    if environ.get(WORKIQ_ALLOW_VARIABLE, "").strip() != "1" or not token:
        raise AgentUnavailableError(
            f"Agent '{profile.name}' sends source text to Microsoft 365 Copilot (Work IQ): the operator has to allow "
            f"it with {WORKIQ_ALLOW_VARIABLE}=1 and give the token of a signed-in user in "
            f"{' or '.join(WORKIQ_TOKEN_VARIABLES)}; other agents run without it."
        )
    line = WorkIQLine(
        base_url=url,
        token=token,
        prices=access.registry.dearest,
        sleep=access.sleep,
        connect_seconds=access.connect_seconds,
        silence_seconds=access.silence_seconds,
        retries=access.retries,
    )

    def connect() -> AbstractAsyncContextManager[WorkIQChat]:
        return open_chat(line)

    return AdviserAgent(profile.name, connect, profile.instructions, access.fence)


def _workiq_url(profile: Profile, environ: Mapping[str, str]) -> str:
    told = environ.get(WORKIQ_URL_VARIABLE, "").strip()
    try:
        return checked_base_url(told or DEFAULT_URL)
    except ValueError as error:
        where = f"{WORKIQ_URL_VARIABLE}: {error}"
        raise AgentUnavailableError(f"Agent '{profile.name}' cannot be asked: {where}.") from None


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
