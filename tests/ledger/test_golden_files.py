"""The formats as they were written once, kept in `golden/`: the same bytes are made today, and read back to the same.

A change of these files is a change of the format; `python -m tests.ledger.test_golden_files` writes them anew.
"""

import base64
import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ledger import canonical
from ledger.attestation import PAYLOAD_TYPE, attest, pre_authentication_encoding, verify_attestation
from ledger.bundle import check, pack
from ledger.checkpoint import parse_checkpoint
from ledger.cosignature import Request, cosign, parse_request, read_cosignature, witness_key
from ledger.cosigned import files, parse_witnesses
from ledger.entry import Draft, parse, seal
from ledger.errors import AttestationError, LedgerError, QuorumError
from ledger.extract import extract
from ledger.faults import Fault
from ledger.keys import Signer
from ledger.merkle import Frontier, consistency_proof, leaf_hash, verify_consistency
from ledger.note import Note, parse_note, parse_vkey
from ledger.policy import parse_policy
from ledger.receipt import parse_receipt, prove
from ledger.rotation import hand_over, parse_rotation, rotation_path
from ledger.tiles import TileNodes, bundle, parse_bundle
from ledger.verify import verify_stream
from tests.ledger.conftest import ORIGIN, World, draft, make_world

GOLDEN = Path(__file__).parent / "golden"
LINES = 34  # one sealed segment and two lines more
SIGNER = Signer(ORIGIN, bytes(32))
SUCCESSOR = Signer(ORIGIN, b"n" * 32)
WITNESS = Signer("w.example", b"w" * 32)
SECONDS = 1_764_000_100  # when the witness cosigned
BINARY = ("tile/", ".bundle", ".tar")  # kept as hex, 64 digits to a line


def _world(directory: Path) -> World:
    world = replace(make_world(directory), fixed=SIGNER)
    plan = {"datalake/workflows/issue-33/plan.md": b"plan\n"}
    world.sequencer().append([draft(number) for number in range(LINES)], plan)
    return world


def _attestation() -> bytes:
    predicate = {"buildDefinition": {"buildType": "urn:example"}, "runDetails": {"builder": {"id": "urn:example"}}}
    return attest(
        SIGNER,
        subject="workflows/issue-33/patches/codex.patch",
        patch_sha256="a" * 64,
        git_commit="b" * 40,
        git_tree="c" * 40,
        predicate=predicate,
    )


def _handed_over(checkpoint: bytes) -> dict[str, bytes]:
    head = parse_checkpoint(checkpoint)
    return {rotation_path(SUCCESSOR.vkey.key_id): hand_over(SIGNER, SUCCESSOR, head.size, head.root)}


def _cosigned(world: World, checkpoint: bytes) -> dict[str, bytes]:
    """What passes between the ledger and a witness that has seen 32 lines, and what is kept of it."""
    note, key = parse_note(checkpoint), witness_key(WITNESS)
    nodes = TileNodes(LINES, lambda path: world.show(f"datalake/{path}"))
    proof = consistency_proof(LINES - 2, LINES, nodes.node)
    said = cosign(WITNESS, note.text, SECONDS)
    policy = f"log {SIGNER.vkey}\nwitness w {key} https://w.example\ngroup all-of-them all w\nquorum all-of-them\n"
    return {
        "add-checkpoint": Request(LINES - 2, tuple(proof), note).encode(),
        "cosignature": str(said).encode(),
        "policy": policy.encode(),
        **files(checkpoint, {key: said}),
    }


def made(directory: Path) -> dict[str, bytes]:
    """Every format that the package writes, made now, by the name of its golden file."""
    world = _world(directory)
    found = {path.removeprefix("datalake/"): world.show(path) for path in world.paths()}
    found |= _handed_over(found["checkpoint"]) | _cosigned(world, found["checkpoint"])
    found["entry-33.tlog-proof"] = prove(world.git_dir, 33)
    found["attestation.json"] = _attestation()
    found["two-lines.bundle"] = bundle(world.lines()[:2])
    found["optr-audit.tar"] = pack(world.git_dir, extract(world.git_dir, lambda entry: entry.seq == 33))
    return found


def _stored(name: str, content: bytes) -> bytes:
    if not any(part in name for part in BINARY):
        return content
    digits = content.hex()
    return "".join(f"{digits[at : at + 64]}\n" for at in range(0, len(digits), 64)).encode()


def _golden(name: str) -> bytes:
    content = (GOLDEN / name.replace("/", "__")).read_bytes()
    return bytes.fromhex(content.decode()) if any(part in name for part in BINARY) else content


def test_the_formats_are_written_byte_for_byte_as_they_were(tmp_path: Path) -> None:
    now = made(tmp_path)
    assert {name.replace("/", "__") for name in now} == {path.name for path in GOLDEN.iterdir()}
    assert [name for name, content in now.items() if content != _golden(name)] == []


def _own(name: str, data: bytes) -> bytes:
    """What a reader must give back: of a line all but its hash, as sealing always makes the right one."""
    return canonical.without(canonical.decode(data), "hash") if name == "line" else data


def _again(line: bytes) -> bytes:
    entry = parse(line)
    common = {name: entry.record[name] for name in ("id", "type", "workflow", "run", "actor", "timestamp")}
    own = {*common, "v", "seq", "previousHash", "hash"}
    body = {name: value for name, value in entry.record.items() if name not in own}
    return seal(Draft(**common, body=body), entry.seq, entry.previous_hash)


ROUNDS: dict[str, tuple[Callable[[], bytes], Callable[[bytes], bytes]]] = {
    "line": (lambda: _golden("ledger.jsonl").splitlines()[1], _again),
    "canonical JSON": (
        lambda: _golden("ledger.jsonl").splitlines()[0],
        lambda data: canonical.encode(canonical.decode(data)),
    ),
    "checkpoint's note": (lambda: _golden("checkpoint"), lambda data: parse_note(data).encode()),
    "checkpoint's text": (
        lambda: _golden("checkpoint"),
        lambda data: parse_checkpoint(data).text().encode() + data[data.index(b"\n\n") + 1 :],
    ),
    "verification key": (
        lambda: str(SIGNER.vkey).encode(),
        lambda data: str(parse_vkey(data.decode("utf-8", "replace"))).encode(),
    ),
    "receipt": (lambda: _golden("entry-33.tlog-proof"), lambda data: parse_receipt(data).encode()),
    "hand-over": (
        lambda: _golden(rotation_path(SUCCESSOR.vkey.key_id)),
        lambda data: Note(parse_rotation(data).text(), parse_note(data).signatures).encode(),
    ),
    "request for a cosignature": (lambda: _golden("add-checkpoint"), lambda data: parse_request(data).encode()),
    "cosigned checkpoint": (lambda: _golden("cosigned"), lambda data: parse_note(data).encode()),
    "witnesses' keys": (
        lambda: _golden("witnesses"),
        lambda data: "".join(f"{key}\n" for key in parse_witnesses(data)).encode(),
    ),
    "entry bundle": (lambda: _golden("two-lines.bundle"), lambda data: bundle(parse_bundle(data))),
}


@pytest.mark.parametrize("name", ROUNDS)
def test_what_is_read_is_written_back_the_same_or_refused(name: str) -> None:
    content, around = ROUNDS[name][0](), ROUNDS[name][1]
    assert around(content) == content
    for at in range(len(content)):
        for other in (content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], content[:at] + content[at + 1 :]):
            try:
                back = around(other)
            except LedgerError:
                continue
            assert _own(name, back) == _own(name, other)


def test_the_golden_attestation_and_bundle_are_verified() -> None:
    vkey = str(SIGNER.vkey)
    assert verify_attestation(_golden("attestation.json"), vkey)["predicateType"] == "https://slsa.dev/provenance/v1"
    found = check(_golden("optr-audit.tar"), vkey)
    assert (found.origin, found.size, found.files) == (ORIGIN, LINES, 2)


def test_the_golden_policy_is_met_by_the_golden_cosignature_and_by_nothing_less() -> None:
    policy = parse_policy(_golden("policy"))
    assert policy.check(_golden("cosigned")) == ("w",)
    with pytest.raises(QuorumError):
        policy.check(_golden("checkpoint"))
    note = parse_note(_golden("checkpoint"))
    said = read_cosignature(note, witness_key(WITNESS), _golden("cosignature"), SECONDS)
    assert Note(note.text, (*note.signatures, said)).encode() == _golden("cosigned")


def test_the_golden_request_leads_from_what_the_witness_saw_to_the_checkpoint() -> None:
    request, lines = parse_request(_golden("add-checkpoint")), _SEALED.read_bytes().splitlines()
    assert (request.old, request.note) == (len(lines), parse_note(_golden("checkpoint")))
    seen = Frontier()
    for line in lines:
        seen.append(leaf_hash(line))
    head = request.checkpoint
    verify_consistency(request.old, head.size, seen.root(), head.root, request.proof)


def test_an_attestation_that_two_readers_read_differently_is_refused() -> None:
    envelope = _golden("attestation.json")
    assert envelope.startswith(b'{"payload":')
    with pytest.raises(AttestationError, match="twice"):
        verify_attestation(b'{"payload":"e30=",' + envelope[1:], str(SIGNER.vkey))
    payload = b'{"subject":[],' + base64.b64decode(canonical.decode(envelope)["payload"])[1:]
    signature = SIGNER.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    made = canonical.decode(envelope) | {
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": "k", "sig": base64.b64encode(signature).decode()}],
    }
    with pytest.raises(AttestationError, match="twice"):
        verify_attestation(canonical.encode(made), str(SIGNER.vkey))


_SEALED = GOLDEN / "ledger__000__000__000.jsonl"
_THIRD = _SEALED.read_bytes().splitlines()[2] if _SEALED.exists() else b""  # not there while they are written anew
ODD: dict[str, tuple[bytes, Fault]] = {
    "not canonical": (_THIRD.replace(b",", b", ", 1), Fault.CANONICAL),
    "keys out of order": (b'{"z":1,' + _THIRD[1:], Fault.CANONICAL),
    "a key twice": (_THIRD.replace(b'"n":2', b'"n":2,"n":2'), Fault.CANONICAL),
    "a float": (_THIRD.replace(b'"n":2', b'"n":2.5'), Fault.CANONICAL),
    "a number too large": (_THIRD.replace(b'"n":2', b'"n":9007199254740992'), Fault.CANONICAL),
    "one byte too long": (_THIRD.replace(b'"codex"', b'"' + b"x" * (65_536 - len(_THIRD) + 5) + b'"'), Fault.CANONICAL),
    "a version to come": (_THIRD.replace(b'"v":1', b'"v":2'), Fault.VERSION),
    "no version": (_THIRD.replace(b'"v":1,', b""), Fault.SHAPE),
}


@pytest.mark.parametrize("name", ODD)
def test_a_line_out_of_form_is_named_by_its_number(name: str) -> None:
    line, fault = ODD[name]
    assert line != _THIRD
    lines = _SEALED.read_bytes().splitlines()
    stream = b"".join(one + b"\n" for one in [*lines[:2], line, *lines[3:]])
    found = verify_stream("-", io.BytesIO(stream)).problem
    assert found is not None
    assert (found.fault, found.entry) == (fault, 3)


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x05abc", b"\x00\x00", base64.b64decode("AAFhAA==")])
def test_bundles_out_of_form_are_refused(data: bytes) -> None:
    with pytest.raises(LedgerError):
        parse_bundle(data)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        for each, data in made(Path(place)).items():
            (GOLDEN / each.replace("/", "__")).write_bytes(_stored(each, data))
    sys.exit(0)
