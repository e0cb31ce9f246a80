"""Chat completions as OpenAI defined them and Gemini, Mistral, OpenRouter, vLLM and Ollama speak them.

Contract: https://developers.openai.com/api/reference/resources/chat
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import openai
from openai.types.chat import ChatCompletionChunk
from openai.types.completion_usage import CompletionUsage

from execution.models.conversation import (
    REPORT_FORM,
    TOOL_DESCRIPTION,
    TOOL_NAME,
    TOOL_SCHEMA,
    AnswerForm,
    Line,
    ToolResult,
    Turn,
    read_command,
)
from execution.models.errors import ModelError, ModelErrorKind, classify
from execution.models.openai_client import client_of
from execution.models.registry import Capability
from execution.records import Usage

TOOL = {
    "type": "function",
    "function": {"name": TOOL_NAME, "description": TOOL_DESCRIPTION, "parameters": TOOL_SCHEMA},
}
Messages = list[dict[str, Any]]


@asynccontextmanager
async def connect(line: Line) -> AsyncIterator["ChatConversation"]:
    """Open a client for one conversation."""
    async with client_of(line) as client:
        yield ChatConversation(client, line)


@dataclass
class _Answer:
    """An answer as its chunks add up."""

    text: str = ""
    refusal: str = ""
    finish: str = ""
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    usage: CompletionUsage | None = None

    def take(self, chunk: ChatCompletionChunk) -> None:
        self.usage = chunk.usage or self.usage
        for choice in chunk.choices[:1]:
            self.finish = choice.finish_reason or self.finish
            self.text += choice.delta.content or ""
            self.refusal += choice.delta.refusal or ""
            for piece in choice.delta.tool_calls or ():
                # Some endpoints send whole calls and leave the index out.
                index = getattr(piece, "index", None)
                self._call(len(self.calls) if index is None else index, piece.to_dict(mode="json"))

    def _call(self, index: int, piece: dict[str, Any]) -> None:
        blank = {"id": f"call_{index}", "type": "function", "function": {"name": "", "arguments": ""}}
        call = self.calls.setdefault(index, blank)
        function = piece.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""
        # Further members (Gemini's thought signature among them) must come back unedited.
        for key, value in piece.items():
            if key not in {"index", "type", "function"} and value is not None:
                call[key] = value

    def message(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.calls:
            message["tool_calls"] = [self.calls[index] for index in sorted(self.calls)]
        return message


class ChatConversation:
    """A linear list of messages, replayed verbatim."""

    def __init__(self, client: openai.AsyncOpenAI, line: Line) -> None:
        self._client = client
        self._line = line
        self._messages: Messages = [{"role": "system", "content": line.system}]

    async def say(self, text: str) -> Turn:
        """See Conversation."""
        return await self._turn([{"role": "user", "content": text}])

    async def answer(self, results: Sequence[ToolResult]) -> Turn:
        """See Conversation."""
        return await self._turn(
            [{"role": "tool", "tool_call_id": result.id, "content": result.text} for result in results]
        )

    async def ask(self, text: str, form: AnswerForm) -> Turn:
        """See Conversation."""
        return await self._turn([{"role": "user", "content": text}], form)

    async def _turn(self, new: Messages, form: AnswerForm | None = None) -> Turn:
        sent = [*self._messages, *new]
        charge = self._line.estimate(sent)
        try:
            answer = await self._send(sent, form)
            turn = self._read(answer, charge)
        except ModelError:
            raise
        except Exception as error:  # SDK, HTTP layer and odd answers raise several families; all become one
            raise classify(error, self._line.entry.id, charge) from error
        self._messages = [*sent, answer.message()]
        return turn

    async def _send(self, sent: Messages, form: AnswerForm | None) -> _Answer:
        answer = _Answer()
        stream = await self._client.chat.completions.create(**self._request(sent, form))
        async with stream:
            async for chunk in stream:
                answer.take(chunk)
        return answer

    def _request(self, sent: Messages, form: AnswerForm | None) -> dict[str, Any]:
        entry = self._line.entry
        legacy = Capability.LEGACY_MAX_TOKENS in entry.capabilities
        request: dict[str, Any] = {
            "model": entry.model,
            "messages": sent,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens" if legacy else "max_completion_tokens": entry.max_output_tokens,
        }
        if form is None:
            request["tools"] = [TOOL]
        if entry.effort and Capability.REASONING in entry.capabilities:
            request["reasoning_effort"] = entry.effort
        if Capability.STRUCTURED_OUTPUT in entry.capabilities:
            told = form or REPORT_FORM
            schema = {"name": told.name, "schema": told.schema, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": schema}
        return request

    def _read(self, answer: _Answer, charge: Usage) -> Turn:
        model = self._line.entry.id
        usage = self._usage(answer.usage, charge)
        if not answer.finish:
            raise ModelError(ModelErrorKind.UNREACHABLE, model, "the stream ended early", usage)
        if answer.refusal or answer.finish == "content_filter":
            raise ModelError(ModelErrorKind.REFUSAL, model, answer.refusal, usage)
        if answer.finish == "length":
            raise ModelError(ModelErrorKind.BAD_OUTPUT, model, "the answer is incomplete: max_output_tokens", usage)
        calls = [answer.calls[index] for index in sorted(answer.calls)]
        commands = tuple(
            read_command(str(call.get("id")), call["function"]["name"], call["function"]["arguments"]) for call in calls
        )
        return Turn(text=answer.text, commands=commands, usage=usage)

    def _usage(self, raw: CompletionUsage | None, charge: Usage) -> Usage:
        # As in the Responses API, prompt_tokens includes what came from the cache.
        if raw is None:
            return charge
        cached = (raw.prompt_tokens_details and raw.prompt_tokens_details.cached_tokens) or 0
        written = (raw.prompt_tokens_details and raw.prompt_tokens_details.cache_write_tokens) or 0
        fresh = max(raw.prompt_tokens - cached - written, 0)
        return self._line.priced(Usage(fresh=fresh, cached=cached, cache_write=written, output=raw.completion_tokens))
