"""Proofs, receipts and single lines: what is refused, and by which words."""

import hashlib
import json
from typing import Any

import pytest

from ledger import canonical, entry
from ledger.chain import Chain
from ledger.entry import Draft
from ledger.errors import NoteError, ProofError
from ledger.faults import Fault, FaultFound
from ledger.keys import Signer
from ledger.merkle import (
    EMPTY_ROOT,
    PROOF_HASHES_MAX,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    nodes_of,
    root,
    verify_consistency,
    verify_inclusion,
)
from ledger.receipt import parse_receipt, prove, verify_receipt
from tests.ledger.conftest import ORIGIN, World

LEAVES = [leaf_hash(b"%d" % number) for number in range(11)]
HEAD = root(LEAVES)
ZERO = bytes(32)


def included(index: int, proof: list[bytes], size: int = 11, leaf: bytes | None = None, head: bytes = HEAD) -> str:
    try:
        verify_inclusion(index, size, LEAVES[index % 11] if leaf is None else leaf, proof, head)
    except ProofError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("index", range(11))
def test_an_inclusion_proof_has_exactly_the_hashes_it_needs(index: int) -> None:
    proof = inclusion_proof(index, 11, nodes_of(LEAVES))
    assert included(index, proof) == ""
    assert included(index, [*proof, ZERO]) == "the inclusion proof is too long"
    assert included(index, proof[:-1]) == "the inclusion proof is too short"
    assert included(index, [ZERO, *proof[1:]]) == f"the inclusion proof of entry {index} does not lead to the root"
    assert included(index, proof, leaf=ZERO).endswith("does not lead to the root")
    assert included(index, proof, head=ZERO).endswith("does not lead to the root")


def test_a_proof_is_of_an_entry_of_its_tree_and_of_whole_hashes() -> None:
    for index, size in ((-1, 11), (11, 11), (0, 0)):
        assert included(index, [], size) == f"there is no entry {index} in a tree of {size}"
        with pytest.raises(ProofError, match=f"there is no entry {index} in a tree of {size}"):
            inclusion_proof(index, size, nodes_of(LEAVES))
    odd = "a hash in the proof does not have 32 bytes"
    assert included(0, [ZERO[1:]]) == included(0, [], leaf=b"") == included(0, [], head=ZERO + b"x") == odd
    assert included(0, [ZERO] * PROOF_HASHES_MAX) == "the inclusion proof is too long"
    assert included(0, [ZERO] * (PROOF_HASHES_MAX + 1)) == "the proof has more than 64 hashes"
    assert included(0, [], 1, LEAVES[0], LEAVES[0]) == ""


def extended(old: int, proof: list[bytes], old_root: bytes | None = None, new: int = 11, head: bytes = HEAD) -> str:
    try:
        verify_consistency(old, new, root(LEAVES[:old]) if old_root is None else old_root, head, proof)
    except ProofError as error:
        return str(error)
    return ""


NOT = "the consistency proof does not lead to the roots"


@pytest.mark.parametrize("old", range(1, 11))
def test_a_consistency_proof_has_exactly_the_hashes_it_needs(old: int) -> None:
    proof = consistency_proof(old, 11, nodes_of(LEAVES))
    assert extended(old, proof) == ""
    assert extended(old, [*proof, ZERO]) == "the consistency proof is too long"
    assert extended(old, proof[:-1]) in ("the consistency proof is too short", "the consistency proof is empty")
    assert extended(old, [*proof[:-1], ZERO]) == extended(old, proof, ZERO) == extended(old, proof, head=ZERO) == NOT
    assert extended(old, []) == f"the consistency proof is {'too short' if old & (old - 1) == 0 else 'empty'}"


def test_a_tree_extends_itself_and_nothing_by_no_proof_at_all() -> None:
    assert consistency_proof(0, 11, nodes_of(LEAVES)) == consistency_proof(11, 11, nodes_of(LEAVES)) == []
    assert extended(0, []) == extended(11, []) == extended(0, [], EMPTY_ROOT, 0, EMPTY_ROOT) == ""
    assert extended(0, [ZERO]) == extended(11, [ZERO]) == extended(0, [], ZERO) == extended(11, [], ZERO) == NOT
    for old in (12, -1):
        assert extended(old, [], ZERO) == f"a tree of 11 cannot extend a tree of {old}"
        with pytest.raises(ProofError, match=f"a tree of 11 cannot extend a tree of {old}"):
            consistency_proof(old, 11, nodes_of(LEAVES))
    assert extended(3, [ZERO[1:]]) == "a hash in the proof does not have 32 bytes"


def test_a_receipt_is_made_where_there_is_a_ledger_and_leads_to_its_root(world: World) -> None:
    world.append(0, 1, 2)
    receipt, line, vkey = prove(world.git_dir, 1), world.lines()[1], str(world.signer.vkey)
    found = verify_receipt(receipt, line, vkey)
    assert (found.origin, found.size) == (ORIGIN, 3)
    with pytest.raises(ProofError, match="the inclusion proof of entry 1 does not lead to the root"):
        verify_receipt(receipt, line + b" ", vkey)
    with pytest.raises(NoteError, match="is not signed by"):
        verify_receipt(receipt, line, str(Signer(ORIGIN, ZERO).vkey))
    tip = world.tip()
    world.commit({"datalake/tile/0/000.p/3": bytes(96)})
    with pytest.raises(ProofError, match="does not lead to the root"):
        prove(world.git_dir, 1)
    world.git("update-ref", "refs/heads/datalake", tip)
    world.commit({"datalake/tile/0/000.p/3": None})
    with pytest.raises(ProofError, match="has 0 bytes; it must have 96"):
        prove(world.git_dir, 1)
    world.commit({"datalake/checkpoint": None})
    with pytest.raises(ProofError, match=f"there is no ledger on refs/heads/datalake in {world.git_dir}"):
        prove(world.git_dir, 1)


def test_a_receipt_out_of_form_is_refused_by_what_is_wrong(world: World) -> None:
    world.append(0, 1, 2)
    good = prove(world.git_dir, 1)
    start = "a receipt starts with the lines 'c2sp.org/tlog-proof@v1' and 'index <seq>'"
    rule = "the receipt's index or proof is out of range"
    form = "the receipt's bytes are not in the one form that is allowed"
    step = good.split(b"\n")[2] + b"\n"
    cases = [
        (b"", start),
        (good.replace(b"@v1", b"@v2"), start),
        (good.replace(b"index", b"Index", 1), start),
        (good.partition(b"\n\n")[0], start),
        (good.replace(b"index 1", b"index x"), rule),
        (good.replace(b"index 1", b"index -1"), rule),
        (good.replace(b"index 1", b"index " + b"1" * 17), rule),
        (good.replace(b"index 1", "index \u0661".encode()), rule),
        (good.replace(step, step * (PROOF_HASHES_MAX + 1), 1), rule),
        (good.replace(b"index 1", b"index 01"), form),
        (good.replace(step, b"x\n", 1), "the receipt's proof is not base64"),
    ]
    for data, words in cases:
        with pytest.raises((ProofError, NoteError)) as found:
            parse_receipt(data)
        assert str(found.value) == words
    assert parse_receipt(good.replace(b"index 1", b"index " + b"1" * 16)).index == 1111111111111111
    assert len(parse_receipt(good.replace(step, step * (PROOF_HASHES_MAX - 1), 1)).proof) == PROOF_HASHES_MAX


def lines(at: int, **members: Any) -> list[bytes]:
    """Twelve lines with members of one changed, and every hash and link from there on made to fit."""
    found: list[bytes] = []
    previous = entry.GENESIS
    for n in range(12):
        line = entry.seal(Draft(f"run{n}/X", "X", "issue-1", "run", "ada", n, {"n": n}), n, previous)
        record = json.loads(line) | (members if n == at else {})
        record.pop("hash")
        previous = hashlib.sha256(canonical.encode(record)).hexdigest()
        found.append(canonical.encode({**record, "hash": previous}))
    return found


def judged(given: list[bytes]) -> tuple[Fault, int | None, str] | None:
    chain = Chain()
    try:
        for line in given:
            chain.accept(line)
    except FaultFound as found:
        return found.fault, found.entry, found.detail
    return None


CASES: list[tuple[dict[str, Any], Fault, str]] = [
    ({"seq": 8}, Fault.SEQUENCE, "seq is 8, its place is 9"),
    ({"seq": 10}, Fault.SEQUENCE, "seq is 10, its place is 9"),
    ({"previousHash": "f" * 64}, Fault.CHAIN, ""),
    ({"previousHash": "0"}, Fault.CHAIN, ""),
    ({"id": "run3/X"}, Fault.DUPLICATE, "entry 4 has it too"),
    ({"timestamp": 7}, Fault.TIME, ""),
    ({"v": 2}, Fault.VERSION, "format version 2 is newer than this verifier: use a newer one"),
    ({"v": 0}, Fault.SHAPE, "field v must be the integer 1"),
    ({"type": "x"}, Fault.SHAPE, "field type must be an UPPER_CASE word"),
    ({"run": ""}, Fault.SHAPE, "field run must be 1 to 200 printable characters"),
]


@pytest.mark.parametrize(("members", "fault", "detail"), CASES)
def test_a_line_that_fits_but_for_one_thing_is_named_by_it(members: dict[str, Any], fault: Fault, detail: str) -> None:
    assert judged(lines(9, **members)) == (fault, 10, detail)
    assert judged(lines(9, timestamp=8)) is None


def test_a_line_whose_bytes_were_changed_is_named_by_that_first() -> None:
    good = lines(9)
    changed = good[9].replace(b'"n":9', b'"n":8')
    assert judged([*good[:9], changed, *good[10:]]) == (Fault.HASH, 10, "")
    chain = Chain()
    for line in good[:9]:
        chain.accept(line)
    with pytest.raises(FaultFound):
        chain.accept(changed)
    assert chain.size == 9, "what is wrong is not taken in"
    chain.accept(good[9])
    spaced = judged([*good[:9], good[9] + b" "])
    assert spaced is not None
    assert spaced[:2] == (Fault.CANONICAL, 10)
