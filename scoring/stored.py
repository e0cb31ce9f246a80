"""Reading stored agent results: the original's shape (F1.27), strictly.

A stored result is a historical record, so what it states is taken as it stands. `hash` is kept and checked for form
only: the original never said which bytes it covers.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from scoring.evidence import Record

STORED_BYTES_MAX = 10 * 2**20  # bytes of one file
RESULTS_MAX = 1000  # results in one file
INTEGER_LIMIT = 2**53  # exclusive: the integers that every JSON reader keeps exact
INVARIANTS_MAX = 100  # invariants of one result
RECORD_VERSION = 1  # of OPTR's agent-outputs files
FIELDS = ("agent", "output", "admissible", "ttvEstimate", "invariants", "executionTime", "hash", "timestamp")

_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_INVARIANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")


class StoredError(ValueError):
    """The bytes are not stored results; the message says where and why."""


class StoredResult(Record):
    """One stored agent result.

    Attributes:
        agent: the agent's name.
        output: whatever the agent answered; `output.error` when it failed.
        admissible: as stored.
        ttv_ms: time to value, milliseconds; None only for a result that is not admissible.
        invariants: as stored, distinct.
        execution_ms: wall time, milliseconds.
        hash: 64 hex digits, not verified.
        timestamp: milliseconds since the epoch.
    """

    agent: str
    output: Any
    admissible: bool
    ttv_ms: int | None
    invariants: tuple[str, ...]
    execution_ms: int
    hash: str
    timestamp: int


def parse_results(data: bytes) -> tuple[StoredResult, ...]:
    """Read one result (an object) or several (a list of objects).

    Args:
        data: UTF-8 JSON, at most `STORED_BYTES_MAX` bytes.

    Raises:
        StoredError: naming line and column of bad JSON, or the result and the field that is wrong.
    """
    decoded = _decode(data)
    items = decoded if isinstance(decoded, list) else [decoded]
    if not 0 < len(items) <= RESULTS_MAX:
        raise StoredError(f"the file holds {len(items)} results; it must hold 1 to {RESULTS_MAX}")
    results = tuple(_result(item, f"results[{index}]") for index, item in enumerate(items))
    _refuse_namesakes(results)
    return results


def _refuse_namesakes(results: tuple[StoredResult, ...]) -> None:
    first: dict[str, int] = {}
    for index, result in enumerate(results):
        if result.agent in first:
            raise StoredError(
                f"results[{index}].agent: {result.agent!r} already stands in results[{first[result.agent]}]"
            )
        first[result.agent] = index


def _decode(data: bytes) -> Any:
    if len(data) > STORED_BYTES_MAX:
        raise StoredError(f"the file has {len(data)} bytes; at most {STORED_BYTES_MAX} are read")
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except UnicodeDecodeError as error:
        raise StoredError(f"byte {error.start}: the file is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise StoredError(f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise StoredError("the file nests objects too deeply to be read") from error
    except StoredError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise StoredError(f"a number is too long to be read: {error}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise StoredError(f"a member stands twice in one object: {next(n for n in names if names.count(n) > 1)!r}")
    return members


def _refuse_number(text: str) -> Any:
    raise StoredError(f"the number {text[:40]} is not a whole number; times are whole milliseconds")


def _result(item: Any, where: str) -> StoredResult:
    if not isinstance(item, dict):
        raise StoredError(f"{where}: must be an object, is {_kind(item)}")
    for name in FIELDS:
        if name not in item:
            raise StoredError(f"{where}.{name}: is missing")
    # OPTR's own `agent-outputs/<agent>.json` says `version` and carries evidence beside the original's members.
    unknown = [] if item.get("version") == RECORD_VERSION else sorted(item.keys() - set(FIELDS))
    if unknown:
        raise StoredError(f"{where}.{unknown[0][:80]}: is not a field of a result; fields are {', '.join(FIELDS)}")
    return _typed(item, where)


def _typed(item: Mapping[str, Any], where: str) -> StoredResult:
    admissible = item["admissible"]
    if not isinstance(admissible, bool):
        raise StoredError(f"{where}.admissible: must be true or false, is {_kind(admissible)}")
    if item["ttvEstimate"] is None and admissible:
        raise StoredError(f"{where}.ttvEstimate: null is only for a result that is not admissible")
    ttv = None if item["ttvEstimate"] is None else _milliseconds(item["ttvEstimate"], f"{where}.ttvEstimate")
    return StoredResult(
        agent=_text(item["agent"], _AGENT, f"{where}.agent"),
        output=item["output"],
        admissible=admissible,
        ttv_ms=ttv,
        invariants=_invariants(item["invariants"], f"{where}.invariants"),
        execution_ms=_milliseconds(item["executionTime"], f"{where}.executionTime"),
        hash=_text(item["hash"], _HASH, f"{where}.hash"),
        timestamp=_milliseconds(item["timestamp"], f"{where}.timestamp"),
    )


def _milliseconds(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise StoredError(f"{where}: must be a whole number of milliseconds, is {_kind(value)}")
    if not 0 <= value < INTEGER_LIMIT:
        raise StoredError(f"{where}: must be from 0 to {INTEGER_LIMIT - 1}")
    return value


def _text(value: Any, pattern: re.Pattern[str], where: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise StoredError(f"{where}: must be a string of the form {pattern.pattern}, is {_kind(value)}")
    return value


def _invariants(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > INVARIANTS_MAX:
        raise StoredError(f"{where}: must be a list of at most {INVARIANTS_MAX} names")
    names = tuple(_text(name, _INVARIANT, f"{where}[{index}]") for index, name in enumerate(value))
    if len(set(names)) != len(names):
        raise StoredError(f"{where}: names an invariant twice: {next(n for n in names if names.count(n) > 1)}")
    return names


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: f"the string {str(value)[:40]!r}", bool: str(value).lower()}
    return "null" if value is None else names.get(type(value), f"the number {str(value)[:40]}")
