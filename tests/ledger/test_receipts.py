import json
from typing import Any

import pytest

from ledger.attestation import attest, verify_attestation
from ledger.errors import AttestationError, NoteError, ProofError
from ledger.keys import Signer
from ledger.receipt import parse_receipt, prove, verify_receipt


def test_receipts_prove_their_line_and_no_other(seventy: Any) -> None:
    lines, vkey = seventy.lines(), str(seventy.signer.vkey)
    for seq in (0, 31, 32, 63, 69):
        receipt = prove(seventy.git_dir, seq)
        assert verify_receipt(receipt, lines[seq], vkey).size == 70
        assert parse_receipt(receipt).encode() == receipt
        with pytest.raises(ProofError):
            verify_receipt(receipt, lines[seq - 1], vkey)
    receipt = prove(seventy.git_dir, 33)
    assert receipt.startswith(b"c2sp.org/tlog-proof@v1\nindex 33\n")
    for at in range(len(receipt)):
        with pytest.raises((ProofError, NoteError)):
            verify_receipt(bytes([*receipt[:at], receipt[at] ^ 1, *receipt[at + 1 :]]), lines[33], vkey)
    with pytest.raises(ProofError, match="no entry 70"):
        prove(seventy.git_dir, 70)
    with pytest.raises(ProofError, match="no ledger"):
        prove(seventy.git_dir, 0, "refs/heads/none")


PREDICATE = {
    "buildDefinition": {"buildType": "https://example.com/optr/v1", "externalParameters": {"intent": "a" * 64}},
    "runDetails": {"builder": {"id": "https://example.com/optr"}},
}


def attestation(signer: Signer, **changes: object) -> bytes:
    facts: dict[str, Any] = {
        "subject": "workflows/issue-0/patches/codex.patch",
        "patch_sha256": "a" * 64,
        "git_commit": "b" * 40,
        "git_tree": "c" * 40,
        "predicate": PREDICATE,
    }
    return attest(signer, **(facts | changes))


def test_attestations_verify_under_their_key_only() -> None:
    signer, other = Signer("optr/o/r", bytes(32)), Signer("optr/o/r", b"x" * 32)
    envelope = attestation(signer)
    statement = verify_attestation(envelope, str(signer.vkey))
    assert statement["subject"][0]["digest"] == {"sha256": "a" * 64}
    assert statement["subject"][1]["digest"] == {"gitCommit": "b" * 40, "gitTree": "c" * 40}
    assert statement["predicate"] == PREDICATE
    with pytest.raises(AttestationError, match="is wrong"):
        verify_attestation(envelope, str(other.vkey))
    payload = json.loads(envelope)["payload"].encode()
    for at in (0, len(payload) // 2, len(payload) - 1):
        changed = bytes([*payload[:at], payload[at] ^ 1, *payload[at + 1 :]])
        with pytest.raises(AttestationError):
            verify_attestation(envelope.replace(payload, changed), str(signer.vkey))


@pytest.mark.parametrize(
    "change",
    [{"patch_sha256": "a"}, {"git_commit": "z" * 40}, {"git_tree": ""}, {"predicate": {}}, {"patch_sha256": "A" * 64}],
)
def test_attestations_out_of_form_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(AttestationError):
        attestation(Signer("optr/o/r", bytes(32)), **change)


@pytest.mark.parametrize(
    "envelope",
    [b"", b"[]", b"{}", b'{"payload":"","payloadType":"x","signatures":[]}', b"[" * 99_999, b" " * 1_000_001],
)
def test_bytes_that_are_no_envelope_are_refused(envelope: bytes) -> None:
    with pytest.raises(AttestationError):
        verify_attestation(envelope, str(Signer("optr/o/r", bytes(32)).vkey))
