"""Anthropic Messages API: adaptive thinking, content replayed unedited, the cache marked, no tool ever forced.

Contract: https://platform.claude.com/docs/en/api/messages
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import httpx2
from anthropic.types import Message
from anthropic.types import Usage as RawUsage

from execution.models.conversation import (
    REPORT_FORM,
    TOOL_DESCRIPTION,
    TOOL_NAME,
    TOOL_SCHEMA,
    AnswerForm,
    CommandRequest,
    Line,
    ToolResult,
    Turn,
    read_command,
)
from execution.models.errors import ModelError, ModelErrorKind, classify
from execution.models.registry import Capability
from execution.records import Usage

TOOL = {"name": TOOL_NAME, "description": TOOL_DESCRIPTION, "input_schema": TOOL_SCHEMA}
CACHE = {"type": "ephemeral"}
Messages = list[dict[str, Any]]


@asynccontextmanager
async def connect(line: Line) -> AsyncIterator["MessagesConversation"]:
    """Open a client for one conversation."""
    async with anthropic.AsyncAnthropic(
        api_key=line.key,
        base_url=line.base_url,
        timeout=httpx2.Timeout(line.silence_seconds, connect=line.connect_seconds),
        max_retries=line.retries,
    ) as client:
        yield MessagesConversation(client, line)


class MessagesConversation:
    """A linear list of messages; thinking blocks are bound to their prefix, so nothing is ever edited."""

    def __init__(self, client: anthropic.AsyncAnthropic, line: Line) -> None:
        self._client = client
        self._line = line
        self._messages: Messages = []

    async def say(self, text: str) -> Turn:
        """See Conversation."""
        return await self._turn([{"type": "text", "text": text}])

    async def answer(self, results: Sequence[ToolResult]) -> Turn:
        """See Conversation."""
        return await self._turn(
            [{"type": "tool_result", "tool_use_id": result.id, "content": result.text} for result in results]
        )

    async def ask(self, text: str, form: AnswerForm) -> Turn:
        """See Conversation."""
        return await self._turn([{"type": "text", "text": text}], form)

    async def _turn(self, content: Messages, form: AnswerForm | None = None) -> Turn:
        sent: Messages = [*self._messages, {"role": "user", "content": content}]
        charge = self._line.estimate(sent)
        try:
            message = await self._send(sent, form)
            turn = self._read(message, charge)
        except ModelError:
            raise
        except Exception as error:  # SDK, HTTP layer and odd answers raise several families; all become one
            raise classify(error, self._line.entry.id, charge) from error
        replay = [block.to_dict(mode="json") for block in message.content]
        self._messages = [*sent, {"role": "assistant", "content": replay}]
        return turn

    async def _send(self, sent: Messages, form: AnswerForm | None) -> Message:
        async with self._client.messages.stream(**self._request(sent, form)) as stream:
            return await stream.get_final_message()

    def _request(self, sent: Messages, form: AnswerForm | None) -> dict[str, Any]:
        entry = self._line.entry
        output: dict[str, Any] = {"effort": entry.effort or "medium"}
        if Capability.STRUCTURED_OUTPUT in entry.capabilities:
            output["format"] = {"type": "json_schema", "schema": (form or REPORT_FORM).schema}
        request: dict[str, Any] = {
            "model": entry.model,
            "system": self._line.system,
            "messages": sent,
            "max_tokens": entry.max_output_tokens,
            "cache_control": CACHE,
            "output_config": output,
        }
        if form is None:
            request["tools"] = [TOOL]
        if Capability.REASONING in entry.capabilities:
            request["thinking"] = {"type": "adaptive", "display": "summarized"}
        return request

    def _read(self, message: Message, charge: Usage) -> Turn:
        model = self._line.entry.id
        usage = self._line.priced(_usage(message.usage))
        if message.stop_reason is None:
            raise ModelError(ModelErrorKind.UNREACHABLE, model, "the stream ended early", _larger(usage, charge))
        if message.stop_reason == "refusal":
            details = message.stop_details
            raise ModelError(ModelErrorKind.REFUSAL, model, (details and details.explanation) or "", usage)
        if message.stop_reason == "model_context_window_exceeded":
            raise ModelError(ModelErrorKind.CONTEXT_EXCEEDED, model, "", usage)
        if message.stop_reason not in {"end_turn", "tool_use"}:
            raise ModelError(
                ModelErrorKind.BAD_OUTPUT, model, f"the answer is incomplete: {message.stop_reason}", usage
            )
        return Turn(
            text="\n".join(block.text for block in message.content if block.type == "text"),
            thinking="\n".join(block.thinking for block in message.content if block.type == "thinking"),
            commands=tuple(_command(block) for block in message.content if block.type == "tool_use"),
            usage=usage,
        )


def _command(block: anthropic.types.ToolUseBlock) -> CommandRequest:
    return read_command(block.id, block.name, json.dumps(block.input))


def _usage(raw: RawUsage) -> Usage:
    # This API counts cached and cache-write tokens beside input_tokens.
    return Usage(
        fresh=raw.input_tokens,
        cached=raw.cache_read_input_tokens or 0,
        cache_write=raw.cache_creation_input_tokens or 0,
        output=raw.output_tokens,
    )


def _larger(told: Usage, charge: Usage) -> Usage:
    return told if told.cost_microusd >= charge.cost_microusd else charge
