"""Each format is stated in its module by an example and its source; the examples are what the golden files hold."""

import base64
import hashlib
import inspect
import re
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from ledger import (
    attestation,
    chain,
    checkpoint,
    cosignature,
    cosigned,
    entry,
    merkle,
    note,
    policy,
    receipt,
    rotation,
    tiles,
)

GOLDEN = Path(__file__).parent / "golden"
SOURCES = {
    attestation: ("in-toto/attestation", "slsa.dev/spec/v1.0/provenance", "secure-systems-lab/dsse"),
    checkpoint: ("c2sp.org/tlog-checkpoint",),
    cosignature: ("c2sp.org/tlog-witness", "c2sp.org/tlog-cosignature"),
    entry: ("rfc8785",),
    merkle: ("RFC 6962", "RFC 9162"),
    note: ("c2sp.org/signed-note",),
    policy: ("c2sp.org/tlog-policy", "c2sp.org/tlog-cosignature"),
    receipt: ("c2sp.org/tlog-proof",),
    rotation: ("c2sp.org/signed-note",),
    tiles: ("c2sp.org/tlog-tiles",),
}


def examples(module: ModuleType) -> list[str]:
    """The indented parts of a module's docstring; an empty line inside a note belongs to it."""
    found = re.findall(r"(?:^    .+\n|^\n(?=    — ))+", f"{inspect.getdoc(module)}\n", re.MULTILINE)
    return [textwrap.dedent(part).removeprefix("\n") for part in found]


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def unhexed(name: str) -> bytes:
    return bytes.fromhex(golden(name).decode())


@pytest.mark.parametrize("module", SOURCES, ids=lambda module: str(module.__name__))
def test_each_format_names_its_source(module: ModuleType) -> None:
    assert [source for source in SOURCES[module] if source not in str(module.__doc__)] == []
    assert examples(module)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (checkpoint, ["checkpoint"]),
        (note, ["checkpoint", "keys__c3d927c8.vkey"]),
        (rotation, ["keys__35cdfd16.rotation"]),
        (cosigned, ["cosigned", "witnesses"]),
    ],
    ids=lambda given: str(getattr(given, "__name__", "")),
)
def test_notes_and_keys_stand_there_byte_for_byte(module: ModuleType, names: list[str]) -> None:
    assert [part.encode() for part in examples(module)] == [golden(name) for name in names]


def test_receipts_and_requests_stand_there_byte_for_byte() -> None:
    assert "\n".join(examples(receipt)).encode() == golden("entry-33.tlog-proof")
    asked, over, answer = examples(cosignature)
    assert f"{asked}\n{over}".encode() == golden("add-checkpoint")
    assert answer.encode() == golden("cosignature")


def test_the_policy_stands_there_with_what_its_witness_signed() -> None:
    rules, signed = examples(policy)
    assert rules.encode() == golden("policy")
    read = policy.parse_policy(rules.encode())
    (witness,) = read.witnesses.values()
    seconds = policy.cosigned(golden("cosigned"), witness)
    assert seconds is not None
    assert signed.encode() == policy.cosigned_text(note.parse_note(golden("cosigned")).text, seconds)


def test_the_line_stands_there_broken_for_the_eye() -> None:
    (broken,) = examples(entry)
    line = broken.replace("\n", "").encode()
    assert line == golden("ledger.jsonl").splitlines()[1]
    assert entry.parse(line).seq == 33


def test_the_attestation_stands_there_with_its_envelope() -> None:
    statement, envelope = (part.replace("\n", "") for part in examples(attestation))
    payload = base64.b64encode(statement.encode()).decode()
    assert envelope.replace('"payload":"..."', f'"payload":"{payload}"').encode() == golden("attestation.json")


def test_the_chain_stands_there_by_two_lines() -> None:
    told = re.findall(r"(?:previousHash|hash) +([0-9a-f]+)\n", examples(chain)[0])
    lines = [entry.parse(line) for line in golden("ledger__000__000__000.jsonl").splitlines()[:2]]
    assert told == [word for line in lines for word in (line.previous_hash, line.hash)]
    assert told[1] == told[2]


def test_the_tree_stands_there_by_three_leaves() -> None:
    told = [bytes.fromhex(row.split()[-1]) for row in examples(merkle)[0].splitlines()]
    leaves = [hashlib.sha256(b"\x00" + line).digest() for line in (b"a", b"b", b"c")]
    pair = hashlib.sha256(b"\x01" + leaves[0] + leaves[1]).digest()
    assert told == [*leaves, pair, hashlib.sha256(b"\x01" + pair + leaves[2]).digest()]
    frontier = merkle.Frontier()
    for leaf in told[:3]:
        frontier.append(leaf)
    assert frontier.root() == told[4]


def test_tiles_and_bundles_stand_there_by_their_first_bytes() -> None:
    _, hashes, start = examples(tiles)
    assert unhexed("tile__0__000.p__34").startswith(bytes.fromhex(hashes))
    bundle = unhexed("two-lines.bundle")
    assert bundle.startswith(bytes.fromhex(start))
    assert tiles.parse_bundle(bundle)[0] == golden("ledger__000__000__000.jsonl").splitlines()[0]
    assert len(tiles.parse_bundle(bundle)[0]) == int.from_bytes(bytes.fromhex(start)[:2]) == 264
