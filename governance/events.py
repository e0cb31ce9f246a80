"""The run's own chain of events (`events.jsonl`): written once, replayed by anyone.

A line is canonical JSON with `seq` (from 0), `run`, the event's fields, `previousHash` ("0" on the first line) and
`hash`, the hex SHA-256 of the canonical line without `hash`; the same rule as for ledger lines. Replay reconstructs the
states of nodes from the lines; it runs no model again.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from governance.codes import ReasonCode, RefusedError
from governance.entry_types import ENDED, MOVES, NODE_TYPES, WRAP_TYPES, EntryType, NodeState
from governance.record import Count, Record
from ledger import canonical
from ledger.errors import CanonicalError

__all__ = ["EntryType", "NodeEvent", "NodeState", "chain", "read", "replay"]

GENESIS = "0"
_OWN = ("seq", "run", "previousHash", "hash")
_ORDER: Mapping[EntryType, int] = {type_: index for index, type_ in enumerate(EntryType)}
_DIGITS = re.compile(r"(\d+)")


class NodeEvent(Record):
    """Something that happened in a run.

    Attributes:
        type: see EntryType.
        timestamp: milliseconds since the epoch.
        node: the node's id; events of the whole run may leave it empty.
        attempt: from 1 for events of nodes; 0 for events of the whole run.
        actor: who caused it.
        facts: further facts, digests rather than content.
    """

    type: EntryType
    timestamp: Count
    node: str = ""
    attempt: Count = 0
    actor: str = Field(min_length=1)
    facts: dict[str, str | int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_node(self) -> Self:
        if self.type in NODE_TYPES and not (self.node and self.attempt):
            raise ValueError(f"{self.type} is an event of a node: it names the node and the attempt, from 1")
        return self


def chain(run: str, events: Iterable[NodeEvent]) -> bytes:
    """The events as chained lines, each with its line feed; empty bytes for no events.

    The order is that of timestamp, then node, attempt and type: the order of the input does not matter. At one moment
    the graph's event comes first and other events of the whole run come last; nodes are in natural order (A2 < A10).
    """
    lines: list[bytes] = []
    previous = GENESIS
    for seq, event in enumerate(sorted(events, key=_place)):
        body = {**event.model_dump(mode="json"), "seq": seq, "run": run, "previousHash": previous}
        previous = hashlib.sha256(canonical.encode(body)).hexdigest()
        lines.append(canonical.encode({**body, "hash": previous}) + b"\n")
    return b"".join(lines)


def replay(lines: bytes) -> dict[str, NodeState]:
    """The state of every node, by id, after these lines.

    Raises:
        RefusedError: EVENT_CHAIN_BROKEN when a line is not canonical, not in sequence or does not fit its hash;
            EVENT_OUT_OF_ORDER when an event cannot follow what was before. Both name the line, from 1.
    """
    past = _Past()
    for number, event in enumerate(_verified(lines), 1):
        problem = past.problem(event)
        if problem:
            raise RefusedError(ReasonCode.EVENT_OUT_OF_ORDER, f"line {number}: {event.type}: {problem}")
        past.add(event)
    return {node: attempt.state for node, attempt in past.attempts.items()}


def read(lines: bytes) -> list[NodeEvent]:
    """The events of these lines, in order; whether each can follow the one before is for `replay` to say.

    Raises:
        RefusedError: EVENT_CHAIN_BROKEN, as `replay`.
    """
    return list(_verified(lines))


def _place(event: NodeEvent) -> tuple[int, int, list[tuple[int, str]], int, int]:
    if event.type in NODE_TYPES:
        return (event.timestamp, 1, _natural(event.node), event.attempt, _ORDER[event.type])
    moment = 0 if event.type == EntryType.MAEG_CREATED else 2
    return (event.timestamp, moment, [], 0, _ORDER[event.type])


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(name) if part]


def _verified(lines: bytes) -> Iterable[NodeEvent]:
    *complete, rest = lines.split(b"\n")
    if rest or not complete:
        raise RefusedError(ReasonCode.EVENT_CHAIN_BROKEN, "the events are empty or the last line is not complete")
    previous, run = GENESIS, None
    for seq, line in enumerate(complete):
        members = _decoded(line, seq)
        run = members.get("run") if run is None else run
        expected = {"seq": seq, "run": run, "previousHash": previous, "hash": _line_hash(members)}
        for name, value in expected.items():
            if value is None or members.get(name) != value or isinstance(members[name], bool):
                raise _broken(seq, f"`{name}` is not what the lines before and its own content make it")
        previous = str(members["hash"])
        yield _event(members, seq)


def _decoded(line: bytes, seq: int) -> dict[str, Any]:
    try:
        return canonical.decode(line)
    except CanonicalError as error:
        raise _broken(seq, str(error)) from error


def _line_hash(members: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical.without(members, "hash")).hexdigest()


def _event(members: Mapping[str, Any], seq: int) -> NodeEvent:
    own = {name: value for name, value in members.items() if name not in _OWN}
    try:
        return NodeEvent.model_validate_json(canonical.encode(own))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the event"
        raise _broken(seq, f"{where}: {first['msg']}") from error


def _broken(seq: int, what: str) -> RefusedError:
    return RefusedError(ReasonCode.EVENT_CHAIN_BROKEN, f"line {seq + 1}: {what}")


@dataclass
class _Attempt:
    number: int
    state: NodeState
    corrected: bool = False  # a correction allows the next attempt, once


@dataclass
class _Past:
    """What the lines so far say."""

    attempts: dict[str, _Attempt] = field(default_factory=dict)
    started: bool = False
    wrapped: bool = False
    latest: int = 0

    def problem(self, event: NodeEvent) -> str | None:
        """Why this event cannot come next; None when it can."""
        if event.timestamp < self.latest:
            return "its timestamp is before that of the line before"
        if self.started == (event.type == EntryType.MAEG_CREATED):
            return "the graph is recorded once, and before everything else"
        if self.wrapped and (event.type in NODE_TYPES or event.type in WRAP_TYPES):
            return "the run was already wrapped"
        return self._node_problem(event) if event.type in NODE_TYPES else None

    def add(self, event: NodeEvent) -> None:
        """Take an event without a problem into account."""
        self.latest = event.timestamp
        self.started = True
        self.wrapped = self.wrapped or event.type in WRAP_TYPES
        if event.type == EntryType.SUB_PAC_ISSUED:
            self.attempts[event.node] = _Attempt(event.attempt, NodeState.ISSUED)
        elif event.type == EntryType.CORRECTION_ISSUED:
            self.attempts[event.node].corrected = True
        elif event.type in MOVES:
            attempt = self.attempts[event.node]
            attempt.state = MOVES[event.type][attempt.state]

    def _node_problem(self, event: NodeEvent) -> str | None:
        attempt = self.attempts.get(event.node)
        if event.type == EntryType.SUB_PAC_ISSUED:
            expected = 1 if attempt is None else attempt.number + 1
            allowed = attempt is None or attempt.corrected
            return (
                None
                if allowed and event.attempt == expected
                else f"node {event.node} has no correction that asks for it"
            )
        if attempt is None:
            return f"node {event.node} was never issued"
        if event.type == EntryType.CORRECTION_ISSUED:
            allowed = attempt.state in ENDED and not attempt.corrected and event.attempt == attempt.number + 1
            return None if allowed else f"node {event.node} is {attempt.state} in attempt {attempt.number}"
        if event.attempt != attempt.number or attempt.state not in MOVES[event.type]:
            return f"node {event.node} is {attempt.state} in attempt {attempt.number}"
        return None
