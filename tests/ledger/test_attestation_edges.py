"""Attestations that somebody signed rightly and made wrongly: each is refused by what is wrong with it."""

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from ledger.attestation import ENVELOPE_BYTES_MAX, PAYLOAD_TYPE, attest, pre_authentication_encoding, verify_attestation
from ledger.errors import AttestationError, NoteError
from ledger.keys import Signer

SIGNER = Signer("optr/o/r", bytes(32))
VKEY = str(SIGNER.vkey)
STATEMENT: dict[str, Any] = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [
        {"name": "codex.patch", "digest": {"sha256": "0123456789abcdef" * 4}},
        {"name": "commit", "digest": {"gitCommit": "b" * 40, "gitTree": "c" * 40}},
    ],
    "predicateType": "https://slsa.dev/provenance/v1",
    "predicate": {"buildDefinition": {}, "runDetails": {}},
}


def signed(payload: bytes) -> dict[str, Any]:
    """An envelope as any DSSE library makes it."""
    encoded = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)
    signature = {"keyid": "whatever", "sig": base64.b64encode(SIGNER.sign(encoded)).decode()}
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [signature],
    }


def read(envelope: object) -> dict[str, Any]:
    return verify_attestation(json.dumps(envelope).encode(), VKEY)


def test_what_is_signed_is_the_standards_encoding() -> None:
    assert pre_authentication_encoding("a/b", b"x y") == b"DSSEv1 3 a/b 3 x y"
    assert pre_authentication_encoding("\u00e9", b"") == b"DSSEv1 2 \xc3\xa9 0 "
    assert read(signed(json.dumps(STATEMENT).encode())) == STATEMENT


def test_our_envelope_names_its_key_and_subjects() -> None:
    made = attest(
        SIGNER,
        subject="p",
        patch_sha256="d" * 64,
        git_commit="b" * 64,
        git_tree="c" * 64,
        predicate={"buildDefinition": {"n": 1}, "runDetails": {}, "more": []},
    )
    envelope = json.loads(made)
    assert (set(envelope), envelope["payloadType"]) == ({"payload", "payloadType", "signatures"}, PAYLOAD_TYPE)
    assert [sorted(one) for one in envelope["signatures"]] == [["keyid", "sig"]]
    assert envelope["signatures"][0]["keyid"] == SIGNER.vkey.label
    assert verify_attestation(made, VKEY) == {
        **STATEMENT,
        "subject": [
            {"name": "p", "digest": {"sha256": "d" * 64}},
            {"name": f"git+commit:{'b' * 64}", "digest": {"gitCommit": "b" * 64, "gitTree": "c" * 64}},
        ],
        "predicate": {"buildDefinition": {"n": 1}, "runDetails": {}, "more": []},
    }


def put(*path: Any, value: object) -> Callable[[dict[str, Any]], None]:
    def change(statement: dict[str, Any]) -> None:
        at: Any = statement
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    return change


KIND, PREDICATE = "not a https://in-toto.io/Statement/v1 with predicate", "needs buildDefinition and runDetails"
SUBJECTS, SUBJECT = "has no list of subjects", "a subject needs a name and a digest set"
PATCH, IDS = "sha256 must be 64 hex digits", "gitCommit and gitTree must be hex object ids"
ODD: list[tuple[tuple[Any, ...], object, str]] = [
    (("_type",), "https://in-toto.io/Statement/v0.1", KIND),
    (("predicateType",), "https://slsa.dev/provenance/v0.2", KIND),
    (("predicate",), ["buildDefinition", "runDetails"], PREDICATE),
    (("predicate",), {"buildDefinition": {}}, PREDICATE),
    (("predicate",), {"runDetails": {}}, PREDICATE),
    (("subject",), None, SUBJECTS),
    (("subject",), {}, SUBJECTS),
    (("subject", 1), "commit", SUBJECTS),
    (("subject", 0, "name"), 7, SUBJECT),
    (("subject", 0, "digest"), "a" * 64, SUBJECT),
    (("subject",), [], PATCH),
    (("subject", 0, "digest"), {}, PATCH),
    (("subject", 0, "digest", "sha256"), "a" * 63, PATCH),
    (("subject", 0, "digest", "sha256"), "a" * 65, PATCH),
    (("subject", 0, "digest", "sha256"), "a" * 64 + "\n", PATCH),
    (("subject", 1, "digest"), {"gitCommit": "b" * 40}, IDS),
    (("subject", 1, "digest"), {"gitTree": "b" * 40}, IDS),
    (("subject", 1, "digest", "gitCommit"), "b" * 41, IDS),
    (("subject", 1, "digest", "gitTree"), "B" * 40, IDS),
]


@pytest.mark.parametrize(("path", "value", "words"), ODD)
def test_a_statement_out_of_form_is_refused_whoever_signed_it(path: tuple[Any, ...], value: object, words: str) -> None:
    statement = copy.deepcopy(STATEMENT)
    put(*path, value=value)(statement)
    with pytest.raises(AttestationError, match=words):
        read(signed(json.dumps(statement).encode()))


@pytest.mark.parametrize(
    ("payload", "words"), [(b"[]", "not a JSON object"), (b"{", "not JSON"), (b"\xff", "not JSON")]
)
def test_a_signed_payload_that_is_no_object_is_refused(payload: bytes, words: str) -> None:
    with pytest.raises(AttestationError, match=words):
        read(signed(payload))


GOOD = signed(json.dumps(STATEMENT).encode())
ONE = "an envelope has exactly one signature here"
ENVELOPES: list[tuple[dict[str, Any], str]] = [
    ({"more": 1}, "not a DSSE envelope of type application/vnd.in-toto"),
    ({"payloadType": "application/json"}, "not a DSSE envelope of type application/vnd.in-toto"),
    ({"signatures": {}}, ONE),
    ({"signatures": []}, ONE),
    ({"signatures": GOOD["signatures"] * 2}, ONE),
    ({"signatures": ["x"]}, ONE),
    ({"signatures": [{"keyid": SIGNER.vkey.label}]}, "the signature by optr/o/r.* is wrong"),
    ({"signatures": [{"sig": "AAAA"}]}, "the signature by optr/o/r.* is wrong"),
    ({"payload": 7}, "the payload is not base64"),
    ({"payload": GOOD["payload"] + "\n"}, "the payload is not base64"),
]


@pytest.mark.parametrize(("change", "words"), ENVELOPES)
def test_an_envelope_out_of_form_is_refused_by_what_is_wrong(change: dict[str, Any], words: str) -> None:
    with pytest.raises(AttestationError, match=words):
        read(GOOD | change)
    for name in ("payload", "payloadType", "signatures"):
        with pytest.raises(AttestationError, match="not a DSSE envelope"):
            read({key: value for key, value in GOOD.items() if key != name})
    assert read(GOOD) == STATEMENT


def test_an_envelope_is_read_up_to_its_limit() -> None:
    envelope = json.dumps(GOOD).encode()
    assert ENVELOPE_BYTES_MAX == 1_000_000
    assert verify_attestation(envelope.ljust(ENVELOPE_BYTES_MAX), VKEY) == STATEMENT
    with pytest.raises(AttestationError, match="more than 1000000 bytes"):
        verify_attestation(envelope.ljust(ENVELOPE_BYTES_MAX + 1), VKEY)
    with pytest.raises(NoteError):
        verify_attestation(envelope, "no key")
