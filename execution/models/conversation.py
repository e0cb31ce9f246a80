"""What a driver is: a conversation with one model that can ask for commands, and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from execution import tracing
from execution.models.registry import ModelEntry, Prices
from execution.records import Record, Usage

TOOL_NAME = "bash"
TOOL_DESCRIPTION = (
    "Run a command with bash in the workspace. Every call is a fresh shell: directory and variables do not carry over."
)
TOOL_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"command": {"type": "string", "description": "What bash runs."}},
    "required": ["command"],
    "additionalProperties": False,
}
REPORT_NAME = "report"
REPORT_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        "summary": {"type": "string", "description": "What you changed and why, for a reviewer."},
        "invariants": {"type": "array", "items": {"type": "string"}, "description": "What you claim holds now."},
        "risks": {"type": "string", "description": "What a reviewer should look at."},
        "rollback": {"type": "string", "description": "How to undo the change."},
    },
    "required": ["summary", "invariants", "risks", "rollback"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class AnswerForm:
    """The form of one answer.

    Attributes:
        name: lower case, as the providers show it.
        schema: JSON schema of an object; every object in it closed and with all its members required, as strict
            structured output asks (https://developers.openai.com/api/docs/guides/structured-outputs).
    """

    name: str
    schema: dict[str, object]


REPORT_FORM = AnswerForm(REPORT_NAME, REPORT_SCHEMA)

CONNECT_SECONDS = 10.0
# Silence on an open stream for longer than this is a dead connection, however long the whole answer takes.
SILENCE_SECONDS = 180.0
SDK_RETRIES = 2
# A call that broke off reports no usage; tokens are longer than three bytes on average, so this errs on the dear side.
BYTES_PER_TOKEN = 3


class CommandRequest(Record):
    """One call of the `bash` tool.

    Attributes:
        id: what the result must name.
        command: what to run; empty when the call could not be understood.
        problem: why it could not be understood, for the model; None when it could.
    """

    id: str
    command: str = ""
    problem: str | None = None


class ToolResult(Record):
    """What a call came to, for the model."""

    id: str
    text: str


class Turn(Record):
    """One answer of the model.

    Attributes:
        text: what it says to us.
        thinking: its reasoning as far as the provider shows it.
        commands: commands it asks for, in order; none means that it is done.
        usage: this call's tokens, priced.
    """

    text: str = ""
    thinking: str = ""
    commands: tuple[CommandRequest, ...] = ()
    usage: Usage = Usage()


class Conversation(Protocol):
    """An append-only history with one model. A call that raises leaves the history as it was, so it can be repeated."""

    async def say(self, text: str) -> Turn:
        """Send a user message.

        Raises:
            ModelError: there is no usable answer.
        """
        ...

    async def answer(self, results: Sequence[ToolResult]) -> Turn:
        """Send the results of all commands of the last turn.

        Raises:
            ModelError: there is no usable answer.
        """
        ...

    async def ask(self, text: str, form: AnswerForm) -> Turn:
        """Send a user message whose answer is JSON of that form; no tool is offered.

        An endpoint that takes no schema is sent none: the text must describe the form, and the caller must check.

        Raises:
            ModelError: there is no usable answer.
        """
        ...


@dataclass(frozen=True)
class Line:
    """What a driver needs to open a conversation.

    Attributes:
        entry: the model.
        prices: what its tokens cost.
        base_url: where it is.
        key: the credential; never logged, never in a URL.
        system: the system prompt.
        connect_seconds, silence_seconds: timeouts of the HTTP layer.
        retries: how often the SDK repeats a call that failed before an answer began (408, 409, 429, 5xx, connection).
    """

    entry: ModelEntry
    prices: Prices
    base_url: str
    key: str
    system: str
    connect_seconds: float = CONNECT_SECONDS
    silence_seconds: float = SILENCE_SECONDS
    retries: int = SDK_RETRIES

    def __repr__(self) -> str:
        """Without the key."""
        return f"Line({self.entry.id!r})"

    def priced(self, usage: Usage) -> Usage:
        """One call's tokens with their price."""
        return usage.model_copy(update={"calls": 1, "cost_microusd": self.prices.cost_microusd(usage)})

    def estimate(self, sent: Any) -> Usage:
        """What a call is charged with that broke off before it told its usage."""
        size = len(json.dumps(sent, default=str)) + len(self.system)
        return self.priced(Usage(fresh=-(-size // BYTES_PER_TOKEN)))


def read_command(call_id: str, name: str, arguments: str) -> CommandRequest:
    """Make a request from a tool call's raw arguments; a malformed call is a request with a problem."""
    if name != TOOL_NAME:
        return CommandRequest(id=call_id, problem=f"there is no tool {name!r}; the only tool is {TOOL_NAME!r}")
    try:
        decoded = json.loads(arguments)
    except (ValueError, RecursionError) as error:
        return CommandRequest(
            id=call_id, problem=f"the arguments are not JSON ({error}); send an object with 'command'"
        )
    command = decoded.get("command") if isinstance(decoded, dict) else None
    if not isinstance(command, str) or not command.strip() or "\x00" in command:
        return CommandRequest(id=call_id, problem="the arguments need 'command', a non-empty string without NUL")
    return CommandRequest(id=call_id, command=command)


@asynccontextmanager
async def open_conversation(line: Line) -> AsyncIterator[Conversation]:
    """Open a conversation with the driver that the entry names; leaving the context closes its connections."""
    # A driver imports its SDK, which takes up to a second: off the event loop, and only what a run needs.
    driver: Any = await asyncio.to_thread(import_module, f"execution.models.{line.entry.driver}")
    async with driver.connect(line) as conversation:
        yield Traced(conversation, line.entry.model)


class Traced:
    """A conversation each of whose calls is a span (`execution.tracing`).

    Args:
        conversation: the driver's.
        model: as the provider names it.
    """

    def __init__(self, conversation: Conversation, model: str) -> None:
        self._conversation = conversation
        self._model = model

    async def say(self, text: str) -> Turn:
        """See Conversation."""
        return await self._call(self._conversation.say(text))

    async def answer(self, results: Sequence[ToolResult]) -> Turn:
        """See Conversation."""
        return await self._call(self._conversation.answer(results))

    async def ask(self, text: str, form: AnswerForm) -> Turn:
        """See Conversation."""
        return await self._call(self._conversation.ask(text, form))

    async def _call(self, call: Awaitable[Turn]) -> Turn:
        with tracing.chat(self._model) as span:
            turn = await call
            usage = turn.usage
            span.set_attribute("gen_ai.usage.input_tokens", usage.fresh + usage.cached + usage.cache_write)
            span.set_attribute("gen_ai.usage.output_tokens", usage.output)
        return turn
