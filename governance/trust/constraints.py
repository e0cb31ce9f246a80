"""Typed constraints with a decidable order: which is tighter, and what both together allow.

| type | value | tighter is | an act must show |
|---|---|---|---|
| `maximum` | integer | smaller or equal | an integer not above it |
| `minimum` | integer | larger or equal | an integer not below it |
| `budget` | integer | smaller or equal, and siblings share it | what is spent with this act, not above it |
| `allowed` | strings | a subset | strings, all of them in it |
| `forbidden` | strings | a superset | strings, none of them in it |
| `paths` | globs | each covered by one of the other | paths, each inside one of them |
| `window` | two moments | inside the other | nothing: the act's own moment counts, the second one excluded |
| `required` | boolean | true where the other is | true, when the value is true |

A type that is not in this table is comparable with nothing and allows nothing. Equally, a value of the wrong shape.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, TypeAlias

from pydantic import Field

from governance import globs
from governance.record import INTEGER_LIMIT, Record

CONSTRAINTS_MAX = 50  # of one envelope
MEMBERS_MAX = 1000  # strings of one constraint

_Integer = Annotated[int, Field(gt=-INTEGER_LIMIT, lt=INTEGER_LIMIT)]
Value: TypeAlias = (
    bool | _Integer | tuple[_Integer, _Integer] | Annotated[tuple[str, ...], Field(max_length=MEMBERS_MAX)]
)
Fact: TypeAlias = bool | int | str | tuple[str, ...]

MAXIMUM = "maximum"
MINIMUM = "minimum"
BUDGET = "budget"
ALLOWED = "allowed"
FORBIDDEN = "forbidden"
PATHS = "paths"
WINDOW = "window"
REQUIRED = "required"


class Constraint(Record):
    """One limit. Its name stands in the envelope.

    Attributes:
        type: one of the table above; any other word can be carried and read, and denies.
        value: as the type asks.
    """

    type: Annotated[str, Field(min_length=1, max_length=40)]
    value: Value


@dataclass(frozen=True)
class Kind:
    """What a type means; every function may rely on values for which `sound` holds.

    Attributes:
        sound: whether a value has the shape of this type.
        within: whether the first value is at least as tight as the second.
        meet: the loosest value we know that is at least as tight as both.
        admits: whether a fact is allowed; a fact of the wrong shape is not.
    """

    sound: Callable[[Value], bool]
    within: Callable[[Value, Value], bool]
    meet: Callable[[Value, Value], Value]
    admits: Callable[[Value, Fact | None], bool]


def kind_of(constraint: Constraint) -> Kind | None:
    """The meaning of a constraint; None when its type is unknown or its value has not the type's shape."""
    kind = KINDS.get(constraint.type)
    return kind if kind is not None and kind.sound(constraint.value) else None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _integers(*values: object) -> tuple[int, ...]:
    return tuple(value for value in values if isinstance(value, int))


def _strings(value: object) -> tuple[str, ...]:
    members = (value,) if isinstance(value, str) else value
    return tuple(one for one in members if isinstance(one, str)) if isinstance(members, tuple) else ()


def _are_strings(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(member, str) for member in value)


def _named(fact: object) -> bool:
    return isinstance(fact, str) or _are_strings(fact)


def _sorted(members: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(members)))


def _not_above(value: Value, other: object) -> bool:
    return _is_integer(other) and _integers(value)[0] <= _integers(other)[0]


def _not_below(value: Value, other: object) -> bool:
    return _is_integer(other) and _integers(value)[0] >= _integers(other)[0]


def _subset(value: Value, other: Value) -> bool:
    return set(_strings(value)) <= set(_strings(other))


def _is_window(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == len(("from", "until")) and all(map(_is_integer, value))


def _ends(value: Value) -> tuple[int, int]:
    start, end = _integers(*value) if isinstance(value, tuple) else (0, 0)
    return start, end


def _inside(value: Value, other: Value) -> bool:
    (start, end), (first, last) = _ends(value), _ends(other)
    return start >= first and end <= last


def _overlap(value: Value, other: Value) -> Value:
    (start, end), (first, last) = _ends(value), _ends(other)
    return (max(start, first), min(end, last))


def _during(value: Value, fact: Fact | None) -> bool:
    start, end = _ends(value)
    return isinstance(fact, int) and not isinstance(fact, bool) and start <= fact < end


def _covered(value: Value, other: Value) -> bool:
    return all(any(globs.covers(outer, inner) for outer in _strings(other)) for inner in _strings(value))


def _common_paths(value: Value, other: Value) -> Value:
    """Globs of either side that the other covers: two that only overlap have no glob for what they share."""
    sides = ((value, other), (other, value))
    return _sorted(inner for one, rest in sides for inner in _strings(one) if _covered((inner,), rest))


def _on_paths(value: Value, fact: Fact | None) -> bool:
    return _named(fact) and all(any(globs.matches(glob, path) for glob in _strings(value)) for path in _strings(fact))


def _are_globs(value: object) -> bool:
    return _are_strings(value) and all(map(globs.is_plain, _strings(value)))


_MOST = Kind(
    _is_integer, _not_above, lambda a, b: min(_integers(a, b)), lambda v, f: _is_integer(f) and _not_below(v, f)
)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        MAXIMUM: _MOST,
        BUDGET: _MOST,
        MINIMUM: Kind(
            _is_integer, _not_below, lambda a, b: max(_integers(a, b)), lambda v, f: _is_integer(f) and _not_above(v, f)
        ),
        ALLOWED: Kind(
            _are_strings,
            _subset,
            lambda a, b: _sorted(set(_strings(a)) & set(_strings(b))),
            lambda v, f: _named(f) and set(_strings(f)) <= set(_strings(v)),
        ),
        FORBIDDEN: Kind(
            _are_strings,
            lambda a, b: _subset(b, a),
            lambda a, b: _sorted((*_strings(a), *_strings(b))),
            lambda v, f: _named(f) and set(_strings(f)).isdisjoint(_strings(v)),
        ),
        PATHS: Kind(_are_globs, _covered, _common_paths, _on_paths),
        WINDOW: Kind(_is_window, _inside, _overlap, _during),
        REQUIRED: Kind(
            lambda v: isinstance(v, bool),
            lambda a, b: bool(a) or not b,
            lambda a, b: bool(a) or bool(b),
            lambda v, f: f is True or not v,
        ),
    }
)
