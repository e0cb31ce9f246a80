"""What of a run's words its record keeps: pure, from JSON values to JSON values and back to what is missing.

Under `digest` nothing stands in the record that a person, an agent or a tool wrote: in place of each text stands
`{"notKept": {"bytes": <UTF-8 bytes>, "sha256": <hex>}}`. Whoever has the text can show that it is the one.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

NOT_KEPT = "notKept"
ANY = "*"


class Capture(StrEnum):
    """How much of a run's texts its record keeps, the words users see; the first keeps most."""

    FULL = "full"  # as they were, without the values of live secrets
    REDACTED = "redacted"  # also without what has the shape of a known credential
    DIGEST = "digest"  # their SHA-256 and size only


@dataclass(frozen=True)
class Missing:
    """A text that a record names and does not hold.

    Attributes:
        place: file and member, such as `agent-outputs/codex.json output.trajectory.0.thought`.
        sha256: hex digest of its UTF-8 bytes, the values of live secrets taken out.
        size: bytes.
    """

    place: str
    sha256: str
    size: int


def least(*wishes: Capture) -> Capture:
    """The wish that keeps least."""
    return max(wishes, key=list(Capture).index)


def instead(data: bytes) -> dict[str, object]:
    """What stands in place of a text."""
    return {NOT_KEPT: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}}


def digested(value: object, ours: Iterable[str]) -> object:
    """A JSON value with everything but numbers, truth values and our own words replaced by its digest.

    Args:
        value: what would be recorded.
        ours: places whose strings code wrote, members with dots between, `*` for any name; items of a list have their
            list's place, of a list in a list also their index. An object with no such place inside is replaced whole,
            so that a member nobody thought of cannot carry words.
    """
    return _digested(value, "", frozenset(ours))


def missing(name: str, content: bytes) -> list[Missing]:
    """What a recorded file (of this name) names and does not hold; nothing when it is not JSON."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return []
    return list(_missing(value, name, " "))


def _digested(value: object, place: str, ours: frozenset[str]) -> object:
    if isinstance(value, str):
        return value if not value or _is_ours(place, ours) else instead(value.encode("utf-8", "replace"))
    if isinstance(value, Mapping):
        return _object(value, place, ours)
    if isinstance(value, list | tuple):
        return [_item(item, place, ours) for item in value]
    return value


def _item(item: object, place: str, ours: frozenset[str]) -> object:
    if not isinstance(item, list | tuple):
        return _digested(item, place, ours)
    return [_digested(one, f"{place}.{index}", ours) for index, one in enumerate(item)]


def _object(value: Mapping[str, object], place: str, ours: frozenset[str]) -> object:
    prefix = f"{place}." if place else ""
    if value and not any(one.startswith(prefix) for one in ours):
        return instead(json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace"))
    return {name: _digested(member, f"{prefix}{name}", ours) for name, member in value.items()}


def _is_ours(place: str, ours: frozenset[str]) -> bool:
    return place in ours or f"{place.rpartition('.')[0]}.{ANY}" in ours


def _missing(value: object, place: str, joint: str) -> Iterable[Missing]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _missing(item, f"{place}{joint}{index}", ".")
    elif isinstance(value, dict):
        if (one := _marker(value, place)) is not None:
            yield one
            return
        for name, member in value.items():
            yield from _missing(member, f"{place}{joint}{name}", ".")


def _marker(value: Mapping[str, object], place: str) -> Missing | None:
    inner = value.get(NOT_KEPT)
    if len(value) != 1 or not isinstance(inner, dict):
        return None
    size, sha256 = inner.get("bytes"), inner.get("sha256")
    return Missing(place, sha256, size) if isinstance(size, int) and isinstance(sha256, str) else None
