import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import entry
from ledger.entry import Draft
from ledger.errors import CanonicalError, DraftError, EntryError, VersionError
from ledger.layout import check_file, check_workflow_name, segment_path

GOOD = Draft("r/X", "X", "issue-1", "r", "octocat", 5, {"text": "hé"})


def test_a_sealed_line_states_its_own_hash_over_the_rest() -> None:
    line = entry.seal(GOOD, 0, entry.GENESIS)
    record = json.loads(line)
    stated = record.pop("hash")
    rest = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert stated == hashlib.sha256(rest).hexdigest()
    assert entry.parse(line).true_hash() == stated
    assert record["previousHash"] == "0"
    assert record["v"] == 1


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(0, 9), max_size=4))
def test_every_allowed_body_survives_sealing_and_parsing(body: dict[str, int]) -> None:
    members = {name: value for name, value in body.items() if name not in entry.COMMON | {"files"}}
    read = entry.parse(entry.seal(replace(GOOD, body=members), 7, "a" * 64))
    assert {name: read.record[name] for name in members} == members
    assert (read.seq, read.previous_hash) == (7, "a" * 64)


@pytest.mark.parametrize("name", sorted(entry.COMMON))
def test_a_body_cannot_shadow_a_common_field(name: str) -> None:
    with pytest.raises(EntryError, match=f"must not carry the common fields {name}"):
        entry.seal(replace(GOOD, body={name: "x"}), 0, entry.GENESIS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": ""}, "field id"),
        ({"id": "x" * 201}, "field id"),
        ({"id": "a\nb"}, "field id"),
        ({"type": "lower"}, "field type"),
        ({"workflow": "../up"}, "field workflow"),
        ({"run": ""}, "field run"),
        ({"actor": "\x07"}, "field actor"),
        ({"timestamp": -1}, "field timestamp"),
        ({"timestamp": True}, "field timestamp"),
        ({"body": {"files": {"workflows/x/../y": "a" * 64}}}, "field files"),
        ({"body": {"files": {"workflows/x/y": "short"}}}, "field files"),
        ({"body": {"files": []}}, "field files"),
        ({"body": {"big": "x" * 70_000}}, "at most 65535"),
    ],
)
def test_odd_drafts_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(EntryError, match=words):
        entry.seal(replace(GOOD, **change), 0, entry.GENESIS)  # type: ignore[arg-type]


def test_a_float_in_the_body_is_refused_with_its_place() -> None:
    with pytest.raises(CanonicalError, match=r"\$\.score: a float"):
        entry.seal(replace(GOOD, body={"score": 207.3}), 0, entry.GENESIS)


def test_each_common_field_is_required() -> None:
    record = json.loads(entry.seal(GOOD, 0, entry.GENESIS))
    for name in entry.COMMON:
        rest = {key: value for key, value in record.items() if key != name}
        line = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        with pytest.raises(EntryError, match=f"field {name} is missing"):
            entry.parse(line)


def test_a_newer_version_is_told_apart_from_damage() -> None:
    line = entry.seal(GOOD, 0, entry.GENESIS).replace(b'"v":1', b'"v":2')
    with pytest.raises(VersionError, match="version 2 is newer"):
        entry.parse(line)


@pytest.mark.parametrize("name", ["issue-7", "issue-7.2", "a", "0", "a" * 64, "release_1.0"])
def test_workflow_names_allowed(name: str) -> None:
    assert check_workflow_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", ".a", "a..b", "a.", "a.lock", "a/b", "a" * 65, "é", "a\n", "a b"])
def test_workflow_names_refused(name: str) -> None:
    with pytest.raises(DraftError, match="is not allowed"):
        check_workflow_name(name)


@pytest.mark.parametrize(
    "path",
    [
        "workflows/a/x",
        "datalake/workflows/b/x",
        "datalake/workflows/a",
        "datalake/workflows/a/",
        "datalake/workflows/a/../b/x",
        "datalake/workflows/a/.git/config",
        "datalake/workflows/a/x\ny",
        'datalake/workflows/a/"x"',
        "datalake/ledger.jsonl",
        "datalake/checkpoint",
        "/datalake/workflows/a/x",
        "datalake/workflows/ab/x",
        "datalake/workflows/a/" + "x/" * 300 + "x",
    ],
)
def test_file_paths_refused(path: str) -> None:
    with pytest.raises(DraftError, match="is not allowed"):
        check_file(path, 1, ["a"])


def test_a_file_path_is_made_relative_and_its_size_limited() -> None:
    assert check_file("datalake/workflows/a/patches/x.patch", 1, ["a"]) == "workflows/a/patches/x.patch"
    with pytest.raises(DraftError, match="at most 33554432"):
        check_file("datalake/workflows/a/x", 33_554_433, ["a"])


def test_segment_names_fan_out() -> None:
    assert segment_path(0) == "ledger/000/000/000.jsonl"
    assert segment_path(1_234_567) == "ledger/001/234/567.jsonl"


def test_the_draft_contract_holds(make_draft: Callable[..., Draft]) -> None:
    assert [*Draft.__dataclass_fields__] == ["id", "type", "workflow", "run", "actor", "timestamp", "body"]
    assert make_draft(1).body["n"] == 1
