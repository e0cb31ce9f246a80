import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical
from ledger.errors import CanonicalError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=6)


@given(VALUES)
def test_the_bytes_are_those_of_an_independent_rfc_8785_implementation(value: Any) -> None:
    assert canonical.encode(value) == rfc8785.dumps(value)


@given(OBJECTS)
def test_what_is_encoded_decodes_to_the_same_value(value: dict[str, Any]) -> None:
    assert canonical.decode(canonical.encode(value)) == value


@given(st.binary(max_size=60) | OBJECTS.map(lambda value: json.dumps(value).encode()))
def test_what_is_accepted_is_canonical_and_nothing_else_escapes(line: bytes) -> None:
    try:
        value = canonical.decode(line)
    except CanonicalError:
        return
    assert canonical.encode(value) == line
    assert rfc8785.dumps(value) == line


def test_keys_sort_by_utf_16_code_units_not_by_code_points() -> None:
    assert canonical.encode({"\uffff": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\uffff":1}'.encode()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"a":1,"a":1}', "duplicate key 'a'"),
        (b'{"b":1,"a":1}', "not sorted"),
        (b'{"a":1.0}', "float 1.0"),
        (b'{"a":1e2}', "float 1e2"),
        (b'{"a":NaN}', "float NaN"),
        (b'{"a":-0}', "differ from the canonical form"),
        (b'{"a": 1}', "differ from the canonical form"),
        (b'{"a":"\\u0041"}', "differ from the canonical form"),
        (b'{"a":"\\ud800"}', "lone surrogate"),
        (b'{"a":9007199254740992}', "out of range"),
        (b'{"a":' + b"9" * 5000 + b"}", "out of range"),
        (b"[1]", "a list"),
        (b"1", "a int"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{}\n", "differ from the canonical form"),
        (b'{"a":' + b"[" * 65 + b"]" * 65 + b"}", "nested deeper than 64"),
        (b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "nests deeper than 64"),
        (b'{"a":"' + b"x" * 65_530 + b'"}', "65538 bytes"),
        (b"", "not JSON"),
    ],
)
def test_lines_out_of_form_are_refused_by_name(line: bytes, words: str) -> None:
    with pytest.raises(CanonicalError, match=words.replace("(", r"\(")):
        canonical.decode(line)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": {"b": [0.5]}}, r"\$\.a\.b\[0\]: a float"),
        ({"a": 2**53}, r"\$\.a: the integer is out of range"),
        ({1: "a"}, "key 1 is a int"),
        ({"a": b"x"}, "a bytes"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({"a": {1, 2}}, "a set"),
    ],
)
def test_values_out_of_form_are_refused_with_their_place(value: object, words: str) -> None:
    with pytest.raises(CanonicalError, match=words):
        canonical.encode(value)


def test_the_longest_line_allowed_is_read() -> None:
    line = b'{"a":"' + b"x" * (canonical.LINE_BYTES_MAX - 8) + b'"}'
    assert len(line) == canonical.LINE_BYTES_MAX
    assert canonical.decode(line)["a"][0] == "x"


def test_digest_is_sha_256_of_the_canonical_bytes() -> None:
    assert canonical.digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
