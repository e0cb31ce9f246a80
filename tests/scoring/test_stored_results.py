import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.stored import RESULTS_MAX, STORED_BYTES_MAX, StoredError, parse_results

SEED = json.loads((Path(__file__).parents[2] / "examples/seed-results.json").read_text(encoding="utf-8"))


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def one(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (SEED[0] | changes).items() if value is not ...}


def failure(data: bytes) -> str:
    with pytest.raises(StoredError) as caught:
        parse_results(data)
    return str(caught.value)


def test_a_list_and_a_single_object_are_read() -> None:
    assert [result.agent for result in parse_results(encoded(SEED))] == ["codex", "claude", "copilot", "mscopilot"]
    (result,) = parse_results(encoded(one()))
    assert (result.agent, result.ttv_ms, result.execution_ms, result.admissible) == ("codex", 2000, 1853, True)
    assert result.invariants == ("type_safe", "tested", "documented", "secure")


def test_a_failed_result_has_no_time_to_value() -> None:
    failed = one(admissible=False, ttvEstimate=None, invariants=[], output={"error": "Agent 'codex' timed out"})
    (result,) = parse_results(encoded(failed))
    assert (result.ttv_ms, result.output) == (None, {"error": "Agent 'codex' timed out"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"agent": ...}, "results[1].agent: is missing"),
        ({"hash": ...}, "results[1].hash: is missing"),
        ({"score": 999}, "results[1].score: is not a field"),
        ({"agent": "../x"}, "results[1].agent: must be a string of the form"),
        ({"agent": 7}, "results[1].agent: must be a string"),
        ({"admissible": "true"}, "results[1].admissible: must be true or false, is the string 'true'"),
        ({"admissible": 1}, "results[1].admissible: must be true or false, is the number 1"),
        ({"ttvEstimate": None}, "results[1].ttvEstimate: null is only for"),
        ({"ttvEstimate": "2000"}, "results[1].ttvEstimate: must be a whole number"),
        ({"ttvEstimate": True}, "results[1].ttvEstimate: must be a whole number of milliseconds, is true"),
        ({"executionTime": -1}, "results[1].executionTime: must be from 0"),
        ({"executionTime": 2**53}, "results[1].executionTime: must be from 0"),
        ({"timestamp": []}, "results[1].timestamp: must be a whole number of milliseconds, is a list"),
        ({"invariants": "tested"}, "results[1].invariants: must be a list"),
        ({"invariants": ["a"] * 2}, "results[1].invariants: names an invariant twice: a"),
        ({"invariants": ["a", 2]}, "results[1].invariants[1]: must be a string"),
        ({"invariants": [f"i{n}" for n in range(101)]}, "results[1].invariants: must be a list of at most"),
        ({"hash": "ABC"}, "results[1].hash: must be a string of the form"),
        ({"agent": "claude"}, "results[1].agent: 'claude' already stands in results[0]"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, Any], words: str) -> None:
    assert words in failure(encoded([SEED[1], one(**changes)]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'[\n  {"agent": }]', "line 2, column 13"),
        (b"", "line 1, column 1"),
        (b"\xff\xfe", "byte 0: the file is not UTF-8"),
        (b"[]", "holds 0 results"),
        (b"7", "results[0]: must be an object, is the number 7"),
        (b"null", "results[0]: must be an object, is null"),
        (b'{"agent": "a", "agent": "b"}', "stands twice in one object: 'agent'"),
        (b'{"x": 1.5}', "the number 1.5 is not a whole number"),
        (b'{"x": 1e3}', "the number 1e3"),
        (b'{"x": Infinity}', "the number Infinity"),
        (b'{"x": NaN}', "the number NaN"),
        (b'{"x": ' + b"9" * 5000 + b"}", "too long"),
        (b"[" * 200_000, "too deep"),
        (b" " * (STORED_BYTES_MAX + 1), "at most"),
        (b"[" + b"1," * RESULTS_MAX + b"1]", "holds 1001 results"),
    ],
    ids=range(15),
)
def test_a_wrong_file_is_named(data: bytes, words: str) -> None:
    assert words in failure(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*SEED[0], "x"]), inner),
    max_leaves=20,
)


@given(json_values)
def test_arbitrary_json_is_read_or_refused(value: Any) -> None:
    try:
        results = parse_results(encoded(value))
    except StoredError as error:
        assert str(error)  # noqa: PT017 - both ends are explored
    else:
        assert results


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        parse_results(data)
    except StoredError as error:
        assert str(error)  # noqa: PT017 - both ends are explored
