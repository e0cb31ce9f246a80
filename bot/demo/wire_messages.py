"""The server side of `POST /v1/messages`."""

import json
from collections.abc import Iterator, Mapping, Sequence

from bot.demo.cassette import RecordedTurn
from bot.demo.wire import (
    Body,
    Pairs,
    UnauthenticatedError,
    arguments,
    require,
    require_tools,
    same_history,
    seal,
    tool_name,
)

SAMPLING = ("temperature", "top_p", "top_k")


class MessagesWire:
    """See wire.Wire. https://platform.claude.com/docs/en/api/messages."""

    path = "/v1/messages"

    def check(self, headers: Mapping[str, str], body: Body) -> None:
        """See Wire."""
        # The service takes a key in either header; SDKs before 2.x used the first.
        if not headers.get("X-Api-Key") and not headers.get("Authorization", "").startswith("Bearer "):
            raise UnauthenticatedError
        require(headers.get("anthropic-version"), "the header anthropic-version is missing")
        require(body.get("stream") is True, "stream must be true: long answers are refused without it")
        choice = body.get("tool_choice") or {"type": "auto"}
        require(choice.get("type") == "auto", "tool_choice must not force a tool: this model refuses it")
        thinking = body.get("thinking") or {"type": "adaptive"}
        require(thinking.get("type") == "adaptive", "thinking is always adaptive on this model")
        require(not any(name in body for name in SAMPLING), "sampling parameters are refused by this API version")
        require(body.get("cache_control") == {"type": "ephemeral"}, "cache_control must mark the cache")
        require(isinstance(body.get("max_tokens"), int), "max_tokens is missing")
        form = (body.get("output_config") or {}).get("format") or {}
        names = [tool.get("name") for tool in body["tools"]] if "tools" in body else None
        require_tools(names, form.get("schema"))
        require(body.get("system"), "system must carry the system prompt")

    def results(self, body: Body) -> int:
        """See Wire."""
        return len(_answered(body))

    def check_history(self, body: Body, turns: Sequence[RecordedTurn]) -> None:
        """See Wire."""
        model = str(body["model"])
        roles = [message.get("role") for message in body["messages"]]
        require(roles == ["user", "assistant"] * len(turns) + ["user"], f"roles do not alternate: {roles}")
        got = [message["content"] for message in body["messages"] if message["role"] == "assistant"]
        sent = [_content(model, index, turn) for index, turn in enumerate(turns)]
        same_history(got, sent)
        calls = [block["id"] for content in sent for block in content if block["type"] == "tool_use"]
        same_history(_answered(body), calls)

    def events(self, model: str, index: int, turn: RecordedTurn) -> Pairs:
        """See Wire."""
        return [(name, {"type": name, **data}) for name, data in _events(model, index, turn)]

    def stream_error(self) -> tuple[str, Body]:
        """See Wire."""
        return "error", {"type": "error", "error": {"type": "overloaded_error", "message": "recorded failure"}}

    def error(self, kind: str, message: str) -> Body:
        """See Wire."""
        return {"type": "error", "error": {"type": kind, "message": message}}


def _answered(body: Body) -> list[str]:
    contents = [message["content"] for message in body["messages"] if message.get("role") == "user"]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    return [str(block.get("tool_use_id")) for block in blocks if block.get("type") == "tool_result"]


def _content(model: str, index: int, turn: RecordedTurn) -> list[Body]:
    blocks: list[Body] = []
    if turn.thinking:
        signature = seal(f"{model}/{index}/{turn.thinking}")
        blocks.append({"type": "thinking", "thinking": turn.thinking, "signature": signature})
    if turn.text:
        blocks.append({"type": "text", "text": turn.text})
    for number, command in enumerate(turn.commands):
        name = tool_name(command)
        blocks.append(
            {"type": "tool_use", "id": f"toolu_{index}_{number}", "name": name, "input": _input(turn, number)}
        )
    return blocks


def _input(turn: RecordedTurn, number: int) -> Body:
    try:
        decoded = json.loads(arguments(turn.commands[number]))
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _events(model: str, index: int, turn: RecordedTurn) -> Iterator[tuple[str, Body]]:
    usage = turn.usage
    counts = {
        "input_tokens": usage.fresh,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": 1,
    }
    message = {"id": f"msg_{index}", "type": "message", "role": "assistant", "model": model, "content": []}
    yield "message_start", {"message": {**message, "stop_reason": None, "stop_sequence": None, "usage": counts}}
    calls = iter(turn.commands)
    for place, block in enumerate(_content(model, index, turn)):
        raw = arguments(next(calls)) if block["type"] == "tool_use" else ""
        yield "content_block_start", {"index": place, "content_block": _begun(block)}
        for delta in _deltas(block, raw):
            yield "content_block_delta", {"index": place, "delta": delta}
        yield "content_block_stop", {"index": place}
    yield "message_delta", {"delta": _ending(turn), "usage": {"output_tokens": usage.output}}
    yield "message_stop", {}


def _begun(block: Body) -> Body:
    empty: dict[str, Body] = {
        "thinking": {"thinking": "", "signature": ""},
        "text": {"text": ""},
        "tool_use": {"input": {}},
    }
    return {**block, **empty[block["type"]]}


def _deltas(block: Body, raw: str) -> list[Body]:
    if block["type"] == "thinking":
        thinking = {"type": "thinking_delta", "thinking": block["thinking"]}
        return [thinking, {"type": "signature_delta", "signature": block["signature"]}]
    if block["type"] == "text":
        return [{"type": "text_delta", "text": block["text"]}]
    return [{"type": "input_json_delta", "partial_json": raw}]


def _ending(turn: RecordedTurn) -> Body:
    if turn.refusal:
        details = {"type": "refusal", "category": "general_harms", "explanation": turn.refusal}
        return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    reason = "max_tokens" if turn.truncated else "tool_use" if turn.commands else "end_turn"
    return {"stop_reason": reason, "stop_sequence": None}
