"""What an agent may not say: claims of wrap, closure or authority in its report (GS_130 to GS_133).

Only the names of members are judged. Their values are text, data like any other.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping

from governance.codes import ReasonCode

DEPTH_MAX = 16  # nested objects and lists
MEMBERS_MAX = 10_000  # members and items, all levels together
KEY_SHOWN = 80  # characters of a member's name shown

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATORS = re.compile(r"[^a-z0-9]+")

_CLOSURE = frozenset(
    {"ber", "closed", "closes", "closure", "finalised", "finalized", "merged", "pdo", "settled", "settlement"}
)
_CLOSURE_NAMES = frozenset({"final_state", "is_final"})
_AUTHORITY = frozenset(
    {
        "approval",
        "approvals",
        "approve",
        "approved",
        "approver",
        "approves",
        "authorisation",
        "authorised",
        "authority",
        "authorization",
        "authorized",
        "certification",
        "certified",
        "ratification",
        "ratified",
        "reviewer",
        "verdict",
        "winner",
    }
)
_AUTHORITY_NAMES = frozenset({"human_review", "reviewed_by", "selected", "selected_agent", "selected_by"})

Violation = tuple[str, str]


class _TooMuchError(Exception):
    """The report is nested too deeply, holds too much, or is not plain data."""


def forbidden_claims(claims: Mapping[str, object]) -> tuple[Violation, ...]:
    """Code and sentence for each member name that claims what an agent cannot give itself; at any depth.

    A report that is not plain JSON data, or too deep or too large to be read, is GS_130.
    """
    try:
        names = list(dict.fromkeys(_names(claims)))
    except _TooMuchError as error:
        return ((ReasonCode.GS_130.value, str(error)),)
    judged = ((name, _judged(name)) for name in names)
    return tuple(
        (code.value, f"the report carries {name[:KEY_SHOWN]!a}: {what}") for name, (code, what) in _only(judged)
    )


_Finding = tuple[ReasonCode, str]


def _only(judged: Iterator[tuple[str, _Finding | None]]) -> Iterator[tuple[str, _Finding]]:
    return ((name, finding) for name, finding in judged if finding is not None)


def _judged(name: str) -> _Finding | None:
    folded = unicodedata.normalize("NFKC", name)
    if not folded.isascii():
        return ReasonCode.GS_130, "member names are plain ASCII"
    plain = _SEPARATORS.sub("_", _CAMEL.sub("_", folded).lower()).strip("_")
    words = set(plain.split("_"))
    if plain.startswith("wrap") or "wrap" in words:
        return ReasonCode.GS_131, "only the closing record of a run wraps it"
    if words & _CLOSURE or plain in _CLOSURE_NAMES:
        return ReasonCode.GS_132, "an agent cannot close its own work"
    if words & _AUTHORITY or plain in _AUTHORITY_NAMES:
        return ReasonCode.GS_133, "an agent's word approves nothing"
    return None


def _names(claims: Mapping[str, object]) -> Iterator[str]:
    waiting: list[tuple[object, int]] = [(claims, 0)]
    members = 0
    while waiting:
        value, depth = waiting.pop()
        inner = _inner(value)
        members += len(inner)
        if depth > DEPTH_MAX or members > MEMBERS_MAX:
            raise _TooMuchError(f"the report nests deeper than {DEPTH_MAX} or holds more than {MEMBERS_MAX} members")
        if isinstance(value, Mapping):
            yield from _keys(value)
        waiting.extend((item, depth + 1) for item in inner)


def _keys(value: Mapping[object, object]) -> Iterator[str]:
    for key in value:
        if not isinstance(key, str):
            raise _TooMuchError("a member's name in the report is not a string")
        yield key


def _inner(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, (list, tuple)):
        return list(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return []
    raise _TooMuchError(f"the report holds a {type(value).__name__}, which is not plain data")
