"""What the three recorded wires share: how a request is refused, and how events are framed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Protocol

from bot.demo.cassette import RawCall, RecordedTurn

Body = dict[str, Any]
Pairs = Sequence[tuple[str, Body]]


class MalformedRequestError(Exception):
    """A request that the real service would refuse, or that edits history; answered with status 400."""


class UnauthenticatedError(Exception):
    """A request without credentials; answered with status 401."""


class Wire(Protocol):
    """One protocol, seen from the server."""

    path: str

    def check(self, headers: Mapping[str, str], body: Body) -> None:
        """Refuse a request that is not well formed.

        Raises:
            MalformedRequestError, UnauthenticatedError: says why.
        """
        ...

    def results(self, body: Body) -> int:
        """How many tool results the request carries."""
        ...

    def check_history(self, body: Body, turns: Sequence[RecordedTurn]) -> None:
        """Refuse a request whose history is not exactly what was sent for `turns`.

        Raises:
            MalformedRequestError: says where it differs.
        """
        ...

    def events(self, model: str, index: int, turn: RecordedTurn) -> Pairs:
        """The stream's events: name ("" for none) and data."""
        ...

    def stream_error(self) -> tuple[str, Body]:
        """An error event inside a stream."""
        ...

    def error(self, kind: str, message: str) -> Body:
        """The body of an error response."""
        ...


def require(condition: object, reason: str) -> None:
    """Refuse unless `condition` holds.

    Raises:
        MalformedRequestError: with the reason.
    """
    if not condition:
        raise MalformedRequestError(reason)


def refuse(reason: str) -> NoReturn:
    """Refuse.

    Raises:
        MalformedRequestError: with the reason.
    """
    raise MalformedRequestError(reason)


def require_tools(names: Sequence[object] | None, schema: object) -> None:
    """Refuse tools other than the one, bash, and an empty list of them; the answer's schema must be a strict one.

    Args:
        names: the tools' names; None when the request does not speak of tools.
        schema: the JSON schema of the answer, None when the request has none.

    Raises:
        MalformedRequestError: with the reason.
    """
    require(names is None or list(names) == ["bash"], "tools must be exactly one, bash, or not be sent")
    if schema is not None:
        _require_strict(schema, "the schema")


def _require_strict(schema: object, place: str) -> None:
    """The rules of strict structured output: objects closed, all members required."""
    require(isinstance(schema, dict) and "type" in schema, f"{place} is no JSON schema with a type")
    assert isinstance(schema, dict)  # noqa: S101 - for the type checker; refused above otherwise
    if schema["type"] == "object":
        members = schema.get("properties") or {}
        require(schema.get("additionalProperties") is False, f"{place} must set additionalProperties to false")
        require(sorted(schema.get("required") or []) == sorted(members), f"{place} must require all its members")
        for name, member in members.items():
            _require_strict(member, f"{place}.{name}")
    if schema["type"] == "array":
        _require_strict(schema.get("items"), f"{place}[]")


def same_history(got: Sequence[Any], expected: Sequence[Any]) -> None:
    """Refuse a history that differs from what was sent.

    Raises:
        MalformedRequestError: names the first difference.
    """
    for place, (one, other) in enumerate(zip(got, expected, strict=False)):
        require(one == other, f"history item {place} was edited: got {one!r}, sent {other!r}")
    require(len(got) == len(expected), f"history has {len(got)} items of ours, {len(expected)} were sent")


def frame(name: str, data: str) -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {data}\n\n".encode()


def arguments(command: str | RawCall) -> str:
    """The tool call's raw arguments."""
    return command.arguments if isinstance(command, RawCall) else json.dumps({"command": command})


def tool_name(command: str | RawCall) -> str:
    """The tool the call names."""
    return command.name if isinstance(command, RawCall) else "bash"


def seal(text: str) -> str:
    """What stands for an encrypted or signed reasoning block: opaque, and bound to its text."""
    return hashlib.sha256(text.encode()).hexdigest()
