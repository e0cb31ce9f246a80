"""What stands in place of a text that is not kept, and what a node may hand to the next: the exact values."""

import hashlib
import json

import pytest

from governance.graph import CANDIDATE_CAPABILITIES
from governance.keeping import Capture, Missing, digested, instead, least, missing
from governance.nodes import Node, NodeType
from governance.outputs import STRING_CHARS_MAX, STRINGS_MAX, FieldValue, checked, chosen, field_digest, plain, shown

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_text_that_is_not_kept_is_named_by_its_size_and_digest() -> None:
    assert instead(b"abc") == {"notKept": {"bytes": 3, "sha256": ABC_SHA256}}
    assert digested("abc", []) == instead(b"abc")
    assert digested("", []) == ""
    assert digested("\ud800", []) == instead(b"?")


def test_numbers_and_truth_values_are_kept_and_objects_nobody_thought_of_are_not() -> None:
    value = {"a": {"n": 3, "yes": True, "none": None, "word": "abc"}, "b": {"ö": 2, "a": 1}, "c": {}}
    assert digested(value, ["a.n"]) == {
        "a": {"n": 3, "yes": True, "none": None, "word": instead(b"abc")},
        "b": instead('{"a": 1, "ö": 2}'.encode()),
        "c": {},
    }
    assert digested({"alone": "abc"}, []) == instead(b'{"alone": "abc"}')


def test_only_the_named_place_or_any_name_beside_it_keeps_its_words() -> None:
    assert digested({"a": {"x": "abc", "y": "abc"}}, ["a.x"]) == {"a": {"x": "abc", "y": instead(b"abc")}}
    assert digested({"a": {"x": "abc", "y": "abc"}}, ["a.*"]) == {"a": {"x": "abc", "y": "abc"}}
    assert digested({"a": ["abc", ["abc", "abc"]]}, ["a.1"]) == {"a": [instead(b"abc"), [instead(b"abc"), "abc"]]}
    assert digested({"a": ("abc",)}, ["a"]) == {"a": ["abc"]}


def test_what_is_missing_is_listed_with_its_place() -> None:
    content = json.dumps({"a": [{"b": instead(b"abc")}, 1], "c": instead(b"")}).encode()
    assert missing("out.json", content) == [
        Missing("out.json a.0.b", ABC_SHA256, 3),
        Missing("out.json c", EMPTY_SHA256, 0),
    ]
    assert missing("out.json", json.dumps(instead(b"abc")).encode()) == [Missing("out.json", ABC_SHA256, 3)]


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"[" * 100_000,
        b'{"notKept": "abc"}',
        b'{"notKept": {"bytes": "3", "sha256": "abc"}}',
        b'{"notKept": {"bytes": 3, "sha256": 5}}',
        b'{"notKept": {"bytes": 3, "sha256": "abc"}, "more": 1}',
    ],
)
def test_what_is_no_marker_is_not_listed(content: bytes) -> None:
    assert missing("out.json", content) == []


def test_the_least_of_several_wishes_counts() -> None:
    assert least(Capture.FULL, Capture.DIGEST, Capture.REDACTED) is Capture.DIGEST
    assert least(Capture.FULL, Capture.REDACTED) is Capture.REDACTED
    assert least(Capture.FULL) is Capture.FULL


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (True, True),
        (2**53 - 1, 2**53 - 1),
        (1 - 2**53, 1 - 2**53),
        (2**53, None),
        (-(2**53), None),
        ("a\ud800b", "a?b"),
        ("a" * STRING_CHARS_MAX, "a" * STRING_CHARS_MAX),
        ("a" * (STRING_CHARS_MAX + 1), None),
        (["a", "\udfff"], ("a", "?")),
        (("a",), ("a",)),
        (["a"] * STRINGS_MAX, ("a",) * STRINGS_MAX),
        (["a"] * (STRINGS_MAX + 1), None),
        (["a" * (STRING_CHARS_MAX + 1)], None),
        (["a", 1], None),
        ({"a": "b"}, None),
        ({"a"}, None),
        (1.5, None),
        (None, None),
    ],
)
def test_a_field_holds_plain_values_whole_or_none(value: object, kept: FieldValue | None) -> None:
    found = plain(value)
    assert (found, type(found)) == (kept, type(kept))


NODE = Node(
    id="N1",
    type=NodeType.AGENT_NODE,
    agent="ada",
    capabilities=CANDIDATE_CAPABILITIES,
    output={"vote": "approve|reject", "why": "string", "steps": "strings", "sure": "boolean", "count": "integer"},
)
GOOD: dict[str, FieldValue] = {"vote": "reject", "why": "it breaks", "steps": ("a", "b"), "sure": False, "count": 0}


def test_declared_fields_are_kept_and_others_flow_nowhere() -> None:
    assert checked(NODE, {**GOOD, "more": "words"}) == (GOOD, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vote", "maybe"),
        ("vote", ("approve",)),
        ("why", 3),
        ("why", ("a",)),
        ("steps", "a"),
        ("sure", 1),
        ("sure", "true"),
        ("count", True),
        ("count", "1"),
    ],
)
def test_a_field_of_another_type_is_a_violation(name: str, value: FieldValue) -> None:
    kept, wrong = checked(NODE, {**GOOD, name: value})
    assert name not in kept
    assert len(kept) == len(GOOD) - 1
    ((code, text),) = wrong
    assert code == "OUTPUT_INVALID"
    assert f"handed back {name} as" in text


def test_a_missing_field_is_a_violation_that_names_it() -> None:
    kept, wrong = checked(NODE, {name: value for name, value in GOOD.items() if name != "why"})
    assert "why" not in kept
    ((code, text),) = wrong
    assert code == "OUTPUT_INVALID"
    assert "no why (string)" in text


def test_only_fixed_words_decide_between_ways() -> None:
    assert chosen(NODE, {**GOOD, "unknown": "x"}) == {"vote": "reject"}


def test_lists_are_shown_numbered_from_one() -> None:
    assert shown(("a", "b")) == "1. a\n2. b"
    assert shown("a") == "a"
    assert shown(5) == "5"


def test_a_value_is_named_by_the_digest_of_its_canonical_form() -> None:
    def named(value: str) -> str:
        return hashlib.sha256(f'{{"kind":"optr/field/1","value":{value}}}'.encode()).hexdigest()

    assert field_digest("a") == named('"a"')
    assert field_digest(("a", "b")) == named('["a","b"]')
    assert field_digest(7) == named("7")
