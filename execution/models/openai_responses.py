"""OpenAI Responses API, stateless: nothing is stored there, encrypted reasoning travels with every request.

Contract: https://developers.openai.com/api/reference/resources/responses
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import openai
from openai.types.responses import Response

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
from execution.models.errors import ModelError, ModelErrorKind, by_stream_code, classify
from execution.models.openai_client import client_of
from execution.models.registry import Capability
from execution.records import Usage

TOOL = {
    "type": "function",
    "name": TOOL_NAME,
    "description": TOOL_DESCRIPTION,
    "parameters": TOOL_SCHEMA,
    "strict": True,
}
Items = list[dict[str, Any]]


@asynccontextmanager
async def connect(line: Line) -> AsyncIterator["ResponsesConversation"]:
    """Open a client for one conversation."""
    async with client_of(line) as client:
        yield ResponsesConversation(client, line)


class ResponsesConversation:
    """A linear history of input and output items, replayed verbatim."""

    def __init__(self, client: openai.AsyncOpenAI, line: Line) -> None:
        self._client = client
        self._line = line
        self._items: Items = []

    async def say(self, text: str) -> Turn:
        """See Conversation."""
        return await self._turn([{"role": "user", "content": [{"type": "input_text", "text": text}]}])

    async def answer(self, results: Sequence[ToolResult]) -> Turn:
        """See Conversation."""
        return await self._turn(
            [{"type": "function_call_output", "call_id": result.id, "output": result.text} for result in results]
        )

    async def ask(self, text: str, form: AnswerForm) -> Turn:
        """See Conversation."""
        return await self._turn([{"role": "user", "content": [{"type": "input_text", "text": text}]}], form)

    async def _turn(self, new: Items, form: AnswerForm | None = None) -> Turn:
        sent = [*self._items, *new]
        charge = self._line.estimate(sent)
        try:
            response, output = await self._send(sent, form)
            turn = self._read(response, output, charge)
        except ModelError:
            raise
        except Exception as error:  # SDK, HTTP layer and odd answers raise several families; all become one
            raise classify(error, self._line.entry.id, charge) from error
        self._items = [*sent, *output]
        return turn

    async def _send(self, sent: Items, form: AnswerForm | None) -> tuple[Response, Items]:
        output: Items = []
        ended: Response | None = None
        stream = await self._client.responses.create(**self._request(sent, form))
        async with stream:
            async for event in stream:
                if event.type == "response.output_item.done":
                    # The finished item alone carries the whole encrypted reasoning.
                    output.append(event.item.to_dict(mode="json"))
                elif event.type in {"response.completed", "response.incomplete", "response.failed"}:
                    # Read on to the end: what is left half-read is closed by the collector, in whatever thread it runs.
                    ended = event.response
                elif event.type == "error":
                    kind = by_stream_code(event.code or "")
                    raise ModelError(kind, self._line.entry.id, event.message, self._line.estimate(sent))
        if ended is not None:
            return ended, output
        raise ModelError(
            ModelErrorKind.UNREACHABLE, self._line.entry.id, "the stream ended early", self._line.estimate(sent)
        )

    def _request(self, sent: Items, form: AnswerForm | None) -> dict[str, Any]:
        entry = self._line.entry
        request: dict[str, Any] = {
            "model": entry.model,
            "instructions": self._line.system,
            "input": sent,
            "stream": True,
            "store": False,
            "max_output_tokens": entry.max_output_tokens,
        }
        if form is None:
            request["tools"] = [TOOL]
        if Capability.REASONING in entry.capabilities:
            request["include"] = ["reasoning.encrypted_content"]
            request["reasoning"] = {"effort": entry.effort or "medium", "summary": "auto"}
        if Capability.PROMPT_CACHE_KEY in entry.capabilities:
            request["prompt_cache_key"] = hashlib.sha256(self._line.system.encode()).hexdigest()[:32]
        if Capability.STRUCTURED_OUTPUT in entry.capabilities:
            told = form or REPORT_FORM
            request["text"] = {
                "format": {"type": "json_schema", "name": told.name, "schema": told.schema, "strict": True}
            }
        return request

    def _read(self, response: Response, output: Items, charge: Usage) -> Turn:
        usage = self._usage(response, charge)
        model = self._line.entry.id
        if response.status == "failed":
            code, message = (response.error.code, response.error.message) if response.error else ("", "")
            raise ModelError(by_stream_code(code), model, message, usage)
        if response.status == "incomplete":
            reason = (response.incomplete_details and response.incomplete_details.reason) or "unknown"
            kind = ModelErrorKind.REFUSAL if reason == "content_filter" else ModelErrorKind.BAD_OUTPUT
            raise ModelError(kind, model, f"the answer is incomplete: {reason}", usage)
        if refusal := _parts(output, "refusal", "refusal"):
            raise ModelError(ModelErrorKind.REFUSAL, model, refusal, usage)
        return Turn(
            text=_parts(output, "output_text", "text"),
            thinking="\n".join(
                part["text"] for item in output if item["type"] == "reasoning" for part in item.get("summary") or ()
            ),
            commands=tuple(_command(item) for item in output if item["type"] == "function_call"),
            usage=usage,
        )

    def _usage(self, response: Response, charge: Usage) -> Usage:
        # This API counts cached and cache-write tokens inside input_tokens.
        if (raw := response.usage) is None:
            return charge
        details = raw.input_tokens_details
        cached = getattr(details, "cached_tokens", None) or 0
        written = getattr(details, "cache_write_tokens", None) or 0
        fresh = max(raw.input_tokens - cached - written, 0)
        return self._line.priced(Usage(fresh=fresh, cached=cached, cache_write=written, output=raw.output_tokens))


def _command(item: dict[str, Any]) -> CommandRequest:
    return read_command(str(item.get("call_id")), str(item.get("name")), str(item.get("arguments")))


def _parts(output: Items, kind: str, field: str) -> str:
    contents = (part for item in output if item["type"] == "message" for part in item.get("content") or ())
    return "\n".join(part[field] for part in contents if part.get("type") == kind)
