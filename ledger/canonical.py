"""Canonical JSON: RFC 8785, restricted so that every JSON parser reads the same value.

Allowed: objects, arrays, strings without lone surrogates, integers below 2^53 in magnitude, booleans, null.
Not allowed: floats (write a decimal string), duplicate keys, nesting deeper than `DEPTH_MAX`.
Keys are sorted by their UTF-16 code units, as RFC 8785 section 3.2.3 asks.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from ledger.errors import CanonicalError
from ledger.shown import cut, quoted

LINE_BYTES_MAX = 65_535  # bytes; what a tlog-tiles entry bundle can carry (its length prefix is a uint16)
INTEGER_MAX = 2**53 - 1  # magnitude; the last integer that every IEEE 754 parser keeps exact
DEPTH_MAX = 64  # nested objects and arrays
_INTEGER_DIGITS_MAX = 17  # characters with sign; longer ones are refused before they are converted


def encode(value: object) -> bytes:
    """Return the canonical bytes of `value`.

    Raises:
        CanonicalError: naming the place and what is not allowed there.
    """
    return _dump(_checked(value, "$", 0))


def digest(value: object) -> str:
    """Return the hex SHA-256 of `encode(value)`."""
    return hashlib.sha256(encode(value)).hexdigest()


def decode(line: bytes) -> dict[str, Any]:
    """Return the object that one canonical line holds; its keys keep the canonical order.

    Raises:
        CanonicalError: too long, not UTF-8, not JSON, not an object, duplicate or unsorted keys, floats, integers out
            of range, nested too deep, or bytes that differ from the canonical ones in any other way.
    """
    if len(line) > LINE_BYTES_MAX:
        raise CanonicalError(f"the line has {len(line)} bytes; at most {LINE_BYTES_MAX} are allowed")
    value = _parse(line)
    if not isinstance(value, dict):
        raise CanonicalError(f"the line holds {_name(value)}; it must hold an object")
    if line.count(b"{") + line.count(b"[") > DEPTH_MAX:
        _checked(value, "$", 0)
    if _dump(value) != line:
        raise CanonicalError("the bytes differ from the canonical form of the same value (spacing, escapes or numbers)")
    return value


def without(value: Mapping[str, Any], key: str) -> bytes:
    """Return the canonical bytes of a decoded object with one member left out."""
    return _dump({name: member for name, member in value.items() if name != key})


def _parse(line: bytes) -> Any:
    try:
        return _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CanonicalError(f"the line is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise CanonicalError(f"the line is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise CanonicalError(f"the line nests deeper than {DEPTH_MAX}") from error


def _ordered(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    members = dict(pairs)
    if len(members) != len(keys):
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise CanonicalError(f"duplicate key {quoted(repeated)}")
    # Among ASCII keys both orders are the same, and nearly all keys are ASCII.
    if keys != (sorted(keys) if "".join(keys).isascii() else sorted(keys, key=_utf16)):
        raise CanonicalError("keys are not sorted by UTF-16 code units")
    return members


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS_MAX or abs(int(digits)) > INTEGER_MAX:
        raise CanonicalError(f"integer {cut(digits, 20)} is out of range; magnitudes stay below 2^53")
    return int(digits)


def _no_float(digits: str) -> NoReturn:
    raise CanonicalError(f"float {cut(digits, 20)}; write a decimal string or an integer")


def _dump(value: object) -> bytes:
    # With sorted keys and no floats, the standard encoder's escapes are exactly those of RFC 8785 section 3.2.2.2.
    try:
        return _ENCODER.encode(value).encode("utf-8")
    except UnicodeEncodeError as error:
        raise CanonicalError("a string holds a lone surrogate; it has no UTF-8 form") from error


def _checked(value: object, place: str, depth: int) -> object:
    if depth > DEPTH_MAX:
        raise CanonicalError(f"{cut(place)}: nested deeper than {DEPTH_MAX}")
    if isinstance(value, Mapping):
        return _object(value, place, depth)
    if isinstance(value, (list, tuple)):
        return [_checked(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value)]
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise CanonicalError(f"{cut(place)}: the integer is out of range; magnitudes stay below 2^53")
        return value
    raise CanonicalError(f"{cut(place)}: {_name(value)} is not allowed; use a string, an integer, a list or an object")


def _object(value: Mapping[Any, object], place: str, depth: int) -> dict[str, object]:
    for key in value:
        if not isinstance(key, str):
            raise CanonicalError(f"{cut(place)}: key {cut(ascii(key))} is {_name(key)}; keys are strings")
    return {key: _checked(value[key], f"{place}.{key}", depth + 1) for key in sorted(value, key=_utf16)}


def _name(value: object) -> str:
    return f"a {type(value).__name__}"


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder(
    object_pairs_hook=_ordered, parse_int=_integer, parse_float=_no_float, parse_constant=_no_float
)
