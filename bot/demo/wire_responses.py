"""The server side of `POST /v1/responses`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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


class ResponsesWire:
    """See wire.Wire. https://developers.openai.com/api/reference/resources/responses."""

    path = "/v1/responses"

    def check(self, headers: Mapping[str, str], body: Body) -> None:
        """See Wire."""
        if not headers.get("Authorization", "").startswith("Bearer "):
            raise UnauthenticatedError
        require(body.get("stream") is True, "stream must be true: a long answer without streaming is cut by proxies")
        require(body.get("store") is False, "store must be false: nothing may stay with the provider")
        include = body.get("include") or []
        require("reasoning.encrypted_content" in include, "include must ask for reasoning.encrypted_content")
        require(body.get("tool_choice") in {None, "auto"}, "tool_choice must not force a tool")
        require("previous_response_id" not in body, "previous_response_id needs a stored response")
        form = (body.get("text") or {}).get("format") or {}
        require(form.get("strict", True) is True, "text.format must be strict")
        names = [tool.get("name") for tool in body["tools"]] if "tools" in body else None
        require_tools(names, form.get("schema"))
        require(body.get("instructions"), "instructions must carry the system prompt")

    def results(self, body: Body) -> int:
        """See Wire."""
        return sum(item.get("type") == "function_call_output" for item in body["input"])

    def check_history(self, body: Body, turns: Sequence[RecordedTurn]) -> None:
        """See Wire."""
        model = str(body["model"])
        ours = [item for item in body["input"] if item.get("role") != "user"]
        got = [item for item in ours if item.get("type") != "function_call_output"]
        sent = [item for index, turn in enumerate(turns) for item in _output(model, index, turn)]
        same_history(got, sent)
        calls = [item["call_id"] for item in sent if item["type"] == "function_call"]
        answered = [item.get("call_id") for item in ours if item.get("type") == "function_call_output"]
        same_history(answered, calls)

    def events(self, model: str, index: int, turn: RecordedTurn) -> Pairs:
        """See Wire."""
        numbered = []
        for number, (name, data) in enumerate(_events(model, index, turn)):
            numbered.append((name, {"type": name, "sequence_number": number, **data}))
        return numbered

    def stream_error(self) -> tuple[str, Body]:
        """See Wire."""
        data = {"type": "error", "code": "server_error", "message": "recorded failure", "param": None}
        return "error", {**data, "sequence_number": 1}

    def error(self, kind: str, message: str) -> Body:
        """See Wire."""
        return {"error": {"type": kind, "code": kind, "message": message, "param": None}}


def _output(model: str, index: int, turn: RecordedTurn) -> list[Body]:
    items: list[Body] = []
    if turn.thinking:
        summary = [{"type": "summary_text", "text": turn.thinking}]
        encrypted = seal(f"{model}/{index}/{turn.thinking}")
        items.append({"type": "reasoning", "id": f"rs_{index}", "summary": summary, "encrypted_content": encrypted})
    if turn.text or turn.refusal:
        items.append(_message(index, [_content(turn)]))
    for number, command in enumerate(turn.commands):
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{index}_{number}",
                "call_id": f"call_{index}_{number}",
                "name": tool_name(command),
                "arguments": arguments(command),
                "status": "completed",
            }
        )
    return items


def _message(index: int, content: list[Body]) -> Body:
    return {"type": "message", "id": f"msg_{index}", "role": "assistant", "status": "completed", "content": content}


def _content(turn: RecordedTurn) -> Body:
    if turn.refusal:
        return {"type": "refusal", "refusal": turn.refusal}
    return {"type": "output_text", "text": turn.text, "annotations": [], "logprobs": []}


def _events(model: str, index: int, turn: RecordedTurn) -> Iterator[tuple[str, Body]]:
    output = _output(model, index, turn)
    yield "response.created", {"response": _response(model, index, "in_progress", [], turn)}
    for place, item in enumerate(output):
        yield "response.output_item.added", {"output_index": place, "item": _begun(item)}
        yield from _growth(place, item)
        yield "response.output_item.done", {"output_index": place, "item": item}
    status = "incomplete" if turn.truncated else "completed"
    yield f"response.{status}", {"response": _response(model, index, status, output, turn)}


def _begun(item: Body) -> Body:
    empty: dict[str, Any] = {
        "message": {"content": []},
        "function_call": {"arguments": ""},
        "reasoning": {"summary": []},
    }
    return {**item, **empty[item["type"]]} | ({"status": "in_progress"} if "status" in item else {})


def _growth(place: int, item: Body) -> Iterator[tuple[str, Body]]:
    where: Body = {"output_index": place, "item_id": item["id"]}
    if item["type"] == "function_call":
        yield "response.function_call_arguments.delta", {**where, "delta": item["arguments"]}
        yield "response.function_call_arguments.done", {**where, "arguments": item["arguments"], "name": item["name"]}
    if item["type"] == "message" and item["content"][0]["type"] == "output_text":
        part = item["content"][0]
        inside: Body = {**where, "content_index": 0}
        yield "response.content_part.added", {**inside, "part": {**part, "text": ""}}
        yield "response.output_text.delta", {**inside, "delta": part["text"], "logprobs": []}
        yield "response.output_text.done", {**inside, "text": part["text"], "logprobs": []}
        yield "response.content_part.done", {**inside, "part": part}


def _response(model: str, index: int, status: str, output: list[Body], turn: RecordedTurn) -> Body:
    usage = turn.usage
    read = usage.fresh + usage.cached + usage.cache_write
    final = status != "in_progress"
    return {
        "id": f"resp_{index}",
        "object": "response",
        "created_at": 1,
        "model": model,
        "status": status,
        "output": output,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + usage.output,
        }
        if final
        else None,
    }
