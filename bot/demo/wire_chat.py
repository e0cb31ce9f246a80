"""The server side of `POST /v1/chat/completions`."""

from collections.abc import Iterator, Mapping, Sequence

from bot.demo.cassette import RecordedTurn
from bot.demo.wire import Body, Pairs, UnauthenticatedError, arguments, require, require_tools, same_history, tool_name


class ChatWire:
    """See wire.Wire. https://developers.openai.com/api/reference/resources/chat."""

    path = "/v1/chat/completions"

    def check(self, headers: Mapping[str, str], body: Body) -> None:
        """See Wire."""
        if not headers.get("Authorization", "").startswith("Bearer "):
            raise UnauthenticatedError
        require(body.get("stream") is True, "stream must be true")
        require((body.get("stream_options") or {}).get("include_usage"), "stream_options must ask for the usage")
        require(body.get("tool_choice") in {None, "auto"}, "tool_choice must not force a tool")
        names = [(tool.get("function") or {}).get("name") for tool in body["tools"]] if "tools" in body else None
        form = (body.get("response_format") or {}).get("json_schema") or {}
        require(form.get("strict", True) is True, "response_format must be strict")
        require_tools(names, form.get("schema"))
        messages = body.get("messages") or [{}]
        require(messages[0].get("role") == "system", "the first message must be the system prompt")

    def results(self, body: Body) -> int:
        """See Wire."""
        return sum(message.get("role") == "tool" for message in body["messages"])

    def check_history(self, body: Body, turns: Sequence[RecordedTurn]) -> None:
        """See Wire."""
        got = [message for message in body["messages"] if message.get("role") == "assistant"]
        sent = [_message(index, turn) for index, turn in enumerate(turns)]
        same_history(got, sent)
        calls = [call["id"] for message in sent for call in message.get("tool_calls", [])]
        answered = [message.get("tool_call_id") for message in body["messages"] if message.get("role") == "tool"]
        same_history(answered, calls)

    def events(self, model: str, index: int, turn: RecordedTurn) -> Pairs:
        """See Wire."""
        head = {"id": f"chatcmpl_{index}", "object": "chat.completion.chunk", "created": 1, "model": model}
        return [("", {**head, **chunk}) for chunk in _chunks(index, turn)]

    def stream_error(self) -> tuple[str, Body]:
        """See Wire."""
        return "", self.error("server_error", "recorded failure")

    def error(self, kind: str, message: str) -> Body:
        """See Wire."""
        return {"error": {"type": kind, "code": kind, "message": message, "param": None}}


def _message(index: int, turn: RecordedTurn) -> Body:
    message: Body = {"role": "assistant", "content": turn.text or None}
    if turn.commands:
        message["tool_calls"] = _calls(index, turn)
    return message


def _calls(index: int, turn: RecordedTurn) -> list[Body]:
    return [
        {
            "id": f"call_{index}_{number}",
            "type": "function",
            "function": {"name": tool_name(command), "arguments": arguments(command)},
        }
        for number, command in enumerate(turn.commands)
    ]


def _chunks(index: int, turn: RecordedTurn) -> Iterator[Body]:
    yield _delta({"role": "assistant", "content": ""})
    if turn.refusal:
        yield _delta({"refusal": turn.refusal})
    elif turn.text:
        yield _delta({"content": turn.text})
    for number, call in enumerate(_calls(index, turn)):
        function = call["function"]
        half = len(function["arguments"]) // 2
        first = {**function, "arguments": function["arguments"][:half]}
        yield _delta({"tool_calls": [{**call, "index": number, "function": first}]})
        rest = {"arguments": function["arguments"][half:]}
        yield _delta({"tool_calls": [{"index": number, "function": rest}]})
    finish = "length" if turn.truncated else "tool_calls" if turn.commands else "stop"
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": finish, "logprobs": None}]}
    usage = turn.usage
    read = usage.fresh + usage.cached + usage.cache_write
    details = {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write}
    counts = {"prompt_tokens": read, "completion_tokens": usage.output, "total_tokens": read + usage.output}
    yield {"choices": [], "usage": {**counts, "prompt_tokens_details": details}}


def _delta(delta: Body) -> Body:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None, "logprobs": None}]}
