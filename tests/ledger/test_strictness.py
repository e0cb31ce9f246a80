"""The borders of what parsers accept, one step on either side, and the words that name what is wrong."""

import base64
import json
from hashlib import sha256
from typing import Any

import pytest

from ledger import canonical, entry
from ledger.chain import Chain
from ledger.checkpoint import parse_checkpoint, verify_checkpoint
from ledger.entry import seal
from ledger.errors import CanonicalError, EntryError, NoteError, ProofError
from ledger.faults import Fault, FaultFound
from ledger.keys import Signer
from ledger.merkle import consistency_proof, leaf_hash, nodes_of, verify_consistency, verify_inclusion
from ledger.merkle import root as root_of
from ledger.note import NOTE_BYTES_MAX, SIGNATURES_MAX, Note, Signature, check_name, parse_note, parse_vkey, verify_note
from tests.ledger.conftest import draft

SIGNER = Signer("optr/octocat/hello", bytes(range(32)))
OTHER = Signer("optr/octocat/other", bytes(32))


def line_of(size: int) -> bytes:
    frame = len(seal(draft(0, body={"pad": ""}), 0, "0"))
    return seal(draft(0, body={"pad": "x" * (size - frame)}), 0, "0")


def test_a_line_may_have_exactly_the_bytes_allowed() -> None:
    assert len(line_of(canonical.LINE_BYTES_MAX)) == canonical.LINE_BYTES_MAX
    with pytest.raises(EntryError, match="65536 bytes, at most 65535"):
        line_of(canonical.LINE_BYTES_MAX + 1)
    with pytest.raises(CanonicalError, match="has 65536 bytes"):
        canonical.decode(b"x" * (canonical.LINE_BYTES_MAX + 1))


@pytest.mark.parametrize("opened", ['{"a":', "["])
def test_nesting_is_allowed_up_to_its_limit(opened: str) -> None:
    closed = "}" if opened[0] == "{" else "]"

    def nested(depth: int) -> bytes:
        inner = opened * (depth - 1) + '""' + closed * (depth - 1)
        return ('{"a":' + inner + "}").encode()

    assert canonical.decode(nested(canonical.DEPTH_MAX))
    with pytest.raises(CanonicalError, match=r"\$\.a.*nested deeper than 64"):
        canonical.decode(nested(canonical.DEPTH_MAX + 2))


def test_the_key_that_is_repeated_is_the_one_named() -> None:
    with pytest.raises(CanonicalError, match="duplicate key 'b'"):
        canonical.decode(b'{"a":1,"b":1,"b":2}')


def test_what_a_line_says_is_what_is_read() -> None:
    line = seal(draft(3, body={"files": {"workflows/issue-3/a": "0" * 64}}), 7, "1" * 64)
    record, read = json.loads(line), entry.parse(line)
    assert (read.line, read.seq, read.id, read.timestamp) == (line, 7, "run3/OPTR_SELECTED", 1_764_000_000_003)
    assert (read.previous_hash, read.hash, read.files) == ("1" * 64, record["hash"], record["files"])
    assert read.true_hash() == read.hash


@pytest.mark.parametrize("files", [[], {"workflows/issue-3/a": "0" * 63}, {"tile/0/000": "0" * 64}, {"a": 1}])
def test_files_must_be_digests_by_path(files: object) -> None:
    with pytest.raises(EntryError, match="field files"):
        seal(draft(3, body={"files": files}), 0, "0")


def test_texts_may_have_exactly_the_characters_allowed() -> None:
    assert seal(draft(0, id="i" * 200), 0, "0")
    for bad in ("i" * 201, "", "a\tb"):
        with pytest.raises(EntryError, match="field id must be 1 to 200 printable"):
            seal(draft(0, id=bad), 0, "0")
    assert check_name("n" * 200) == "n" * 200
    for name in ("n" * 201, "", "a b", "a+b", "a\u2003b", "a\x07"):
        with pytest.raises(NoteError, match="is not allowed"):
            check_name(name)


def note(text: str, signatures: int = 1) -> bytes:
    one = Signature(SIGNER.origin, SIGNER.vkey.key_id, SIGNER.sign(text.encode()))
    return Note(text, (one,) * signatures).encode()


def test_a_note_may_have_exactly_the_size_and_the_signatures_allowed() -> None:
    frame = len(note("\n"))
    full = note("x" * (NOTE_BYTES_MAX - frame) + "\n")
    assert len(full) == NOTE_BYTES_MAX
    assert parse_note(full)
    with pytest.raises(NoteError, match=f"{NOTE_BYTES_MAX + 1} bytes"):
        parse_note(full[:1] + full)
    assert len(verify_note(note("a\n", SIGNATURES_MAX), [SIGNER.vkey]).signatures) == SIGNATURES_MAX
    with pytest.raises(NoteError, match="65 signatures; at most 64"):
        parse_note(note("a\n", SIGNATURES_MAX + 1))


def test_the_text_of_a_note_may_hold_empty_lines() -> None:
    assert verify_note(note("a\n\nb\n"), [SIGNER.vkey]).text == "a\n\nb\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff", "not UTF-8"),
        (note("a\x01b\n"), "control characters"),
        (note("a\n")[:-1], "must be text, an empty line"),
        (b"a\n", "must be text, an empty line"),
        (note("a\n").replace("\N{EM DASH} ".encode(), b"- "), "a signature line has the form"),
        ("a\n\n\N{EM DASH} name\n".encode(), "a signature line has the form"),
        ("a\n\n\N{EM DASH} name AAAAAA==\n".encode(), "holds a key id of four bytes and a signature"),
        ("a\n\n\N{EM DASH} name !!!!\n".encode(), "the signature is not base64"),
        ("a\n\n\N{EM DASH} name AAAAAAB=\n".encode(), "the signature is not base64 in its only form"),
        ("a\n\n\N{EM DASH} name AA\u00e9A\n".encode(), "the signature is not base64"),
    ],
)
def test_a_note_out_of_form_is_named(data: bytes, words: str) -> None:
    with pytest.raises(NoteError, match=words):
        parse_note(data)


def test_signatures_by_keys_that_are_not_known_are_ignored_and_known_ones_checked() -> None:
    text = "a\n"
    ours = Signature(SIGNER.origin, SIGNER.vkey.key_id, SIGNER.sign(b"a\n"))
    theirs = Signature(OTHER.origin, OTHER.vkey.key_id, bytes(64))
    both = Note(text, (theirs, ours)).encode()
    assert verify_note(both, [SIGNER.vkey])
    with pytest.raises(NoteError, match=rf"signature by {OTHER.origin}\+{OTHER.vkey.key_id} is wrong"):
        verify_note(both, [SIGNER.vkey, OTHER.vkey])
    with pytest.raises(
        NoteError, match=f"^the note is not signed by {SIGNER.origin}.{SIGNER.vkey.key_id}, {OTHER.origin}"
    ):
        verify_note(Note(text, (Signature("x", "00000000", b"x"),)).encode(), [SIGNER.vkey, OTHER.vkey])
    with pytest.raises(NoteError, match=r"^the note is not signed by any known key$"):
        verify_note(both, [])


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (b"\x02" + bytes(32), "not an Ed25519 key"),
        (b"\x01" + bytes(31), "not an Ed25519 key"),
        (b"\x01" + bytes(33), "not an Ed25519 key"),
    ],
)
def test_verification_keys_of_other_kinds_are_named(blob: bytes, words: str) -> None:
    digest = sha256(b"name\n" + blob).hexdigest()[:8]
    with pytest.raises(NoteError, match=words):
        parse_vkey(f"name+{digest}+{base64.b64encode(blob).decode()}")


@pytest.mark.parametrize("text", ["", "a+b", "name+00000000", "name+00000000+!", "na me+00000000+AAAA"])
def test_verification_keys_out_of_form_are_named(text: str) -> None:
    with pytest.raises(NoteError, match=r"form name\+hex\+base64|verification key is not base64|not an Ed25519 key"):
        parse_vkey(text)
    good = str(SIGNER.vkey)
    with pytest.raises(NoteError, match="id '00000000' does not belong"):
        parse_vkey(good.replace(SIGNER.vkey.key_id, "00000000"))


def test_checkpoints_out_of_form_are_named() -> None:
    root = base64.b64encode(bytes(32)).decode()
    for text, words in (
        (f"o\n1\n{root}\nmore\n", "three lines"),
        (f"o\n01\n{root}\n", "leading zeroes"),
        (f"o\n-1\n{root}\n", "not a decimal number"),
        (f"o\n{'1' * 17}\n{root}\n", "not a decimal number"),
        (f"o\n\u0661\n{root}\n", "not a decimal number"),
        ("o\n1\nAAAA\n", "root does not have 32 bytes"),
        ("o\n1\n!\n", "the checkpoint's root is not base64"),
        (f"a b\n1\n{root}\n", "is not allowed"),
    ):
        with pytest.raises(NoteError, match=words):
            parse_checkpoint(note(text))
    assert parse_checkpoint(note(f"o\n{'1' * 16}\n{root}\n")).size == int("1" * 16)
    foreign = Note(f"o\n1\n{root}\n", (Signature(SIGNER.origin, SIGNER.vkey.key_id, SIGNER.sign(b"x")),)).encode()
    with pytest.raises(NoteError, match="not signed by any known key"):
        verify_checkpoint(foreign, [SIGNER.vkey])


def chained(count: int) -> tuple[Chain, list[bytes]]:
    chain, lines = Chain(), []
    for number in range(count):
        lines.append(seal(draft(number), number, chain.previous_hash))
        chain.accept(lines[-1])
    return chain, lines


def test_a_chain_keeps_what_the_next_line_needs() -> None:
    chain, lines = chained(3)
    assert (chain.size, chain.timestamp, chain.block) == (3, 1_764_000_000_002, lines)
    assert chain.places == {f"run{n}/OPTR_SELECTED": n for n in range(3)}
    assert chain.previous_hash == json.loads(lines[-1])["hash"]
    assert chain.tree.root() == root_of([leaf_hash(line) for line in lines])
    twin = chain.fork()
    twin.accept(seal(draft(3), 3, twin.previous_hash))
    assert (chain.size, len(chain.block), chain.edge.leaves(), twin.places) == (
        3,
        3,
        [leaf_hash(line) for line in lines],
        {"run3/OPTR_SELECTED": 3},
    )


def resealed(line: bytes, **changes: Any) -> bytes:
    record = {**json.loads(line), **changes}
    del record["hash"]
    return canonical.encode({**record, "hash": changes.get("hash", canonical.digest(record))})


@pytest.mark.parametrize(
    ("changes", "fault", "words"),
    [
        ({"hash": "0" * 64}, Fault.HASH, ""),
        ({"seq": 4}, Fault.SEQUENCE, "seq is 4, its place is 3"),
        ({"seq": 2}, Fault.SEQUENCE, "seq is 2, its place is 3"),
        ({"previousHash": "0" * 64}, Fault.CHAIN, ""),
        ({"id": "run1/OPTR_SELECTED"}, Fault.DUPLICATE, "entry 2 has it too"),
        ({"timestamp": 1_764_000_000_001}, Fault.TIME, ""),
        ({"v": 2}, Fault.VERSION, "format version 2 is newer"),
        ({"v": 0}, Fault.SHAPE, "field v must be the integer 1"),
        ({"type": "lower"}, Fault.SHAPE, "field type must be an UPPER_CASE word"),
    ],
)
def test_a_line_that_does_not_follow_is_named(changes: dict[str, Any], fault: Fault, words: str) -> None:
    chain, _ = chained(3)
    line = resealed(seal(draft(3), 3, chain.previous_hash), **changes)
    with pytest.raises(FaultFound) as caught:
        chain.accept(line)
    assert (caught.value.fault, caught.value.entry) == (fault, 4)
    assert caught.value.detail.startswith(words)
    assert bool(words) == bool(caught.value.detail)
    assert chain.size == 3
    with pytest.raises(FaultFound) as caught:
        chain.accept(line + b" ")
    assert (caught.value.fault, caught.value.entry) == (Fault.CANONICAL, 4)


def test_the_same_time_twice_is_no_step_back() -> None:
    chain, _ = chained(3)
    chain.accept(seal(draft(3, timestamp=chain.timestamp), 3, chain.previous_hash))
    assert chain.size == 4


def test_a_block_becomes_a_bundle_when_it_is_full() -> None:
    chain, lines = chained(255)
    line = seal(draft(255), 255, chain.previous_hash)
    _, full = chain.accept(line)
    assert sorted(full) == ["tile/0/000", "tile/entries/000"]
    assert full["tile/entries/000"].endswith(len(line).to_bytes(2, "big") + line)
    assert full["tile/0/000"] == b"".join(leaf_hash(one) for one in [*lines, line])
    assert len(chain.block) == 256
    _, full = chain.accept(seal(draft(256), 256, chain.previous_hash))
    assert (full, len(chain.block)) == ({}, 1)


def test_a_fork_carries_the_newest_lines() -> None:
    chain, lines = chained(40)
    assert chain.fork().block == lines
    with pytest.raises(FaultFound, match="the bytes differ from the canonical form"):
        chain.accept(lines[-1] + b" ")


@pytest.mark.parametrize("old", range(1, 18))
def test_every_small_tree_is_consistent_with_every_larger_one(old: int) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(20)]
    for new in range(old, 21):
        proof = consistency_proof(old, new, nodes_of(leaves[:new]))
        verify_consistency(old, new, root_of(leaves[:old]), root_of(leaves[:new]), proof)


def test_proofs_have_at_most_sixty_four_hashes() -> None:
    one = bytes(32)
    with pytest.raises(ProofError, match="does not lead to the root"):
        verify_inclusion(0, 2**64, one, [one] * 64, one)
    with pytest.raises(ProofError, match="more than 64 hashes"):
        verify_inclusion(0, 2**64, one, [one] * 65, one)
