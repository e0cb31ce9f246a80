"""Attestation of the winning patch: in-toto Statement v1 with SLSA provenance v1, in a DSSE envelope.

Sources: https://github.com/in-toto/attestation (spec/v1/statement.md), https://slsa.dev/spec/v1.0/provenance,
https://github.com/secure-systems-lab/dsse. The statement names two subjects, because a digest set speaks of one
artifact: the patch by its SHA-256, and the commit by gitCommit and gitTree. The signature is over the DSSE
pre-authentication encoding of the payload's bytes, so a reader needs no canonical JSON to check it.

A statement and its envelope, both broken here for the eye only; `payload` is base64 of the statement:

    {"_type":"https://in-toto.io/Statement/v1","predicate":{"buildDefinition":{"buildType":"urn:example"},
    "runDetails":{"builder":{"id":"urn:example"}}},"predicateType":"https://slsa.dev/provenance/v1","subject":[{
    "digest":{"sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    "name":"workflows/issue-33/patches/codex.patch"},{"digest":{
    "gitCommit":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","gitTree":"cccccccccccccccccccccccccccccccccccccccc"},
    "name":"git+commit:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}]}

    {"payload":"...","payloadType":"application/vnd.in-toto+json","signatures":[{
    "keyid":"optr/octocat/hello+c3d927c8",
    "sig":"zw2N3tCKoT5m3bEYpCY06wuHsi48/WeEzDnNfJNxzhuak0zkm/6b0IStxNcaBPpxNP7ebPnte8jnrbmtpPS5Dw=="}]}
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from ledger import canonical
from ledger.errors import AttestationError, NoteError
from ledger.keys import Signer
from ledger.note import check_signature, parse_vkey, unbase64

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
ENVELOPE_BYTES_MAX = 1_000_000  # bytes
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that a DSSE signature covers."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def attest(
    signer: Signer,
    *,
    subject: str,
    patch_sha256: str,
    git_commit: str,
    git_tree: str,
    predicate: Mapping[str, object],
) -> bytes:
    """Return the signed envelope, JSON.

    Args:
        signer: the ledger's key.
        subject: the patch's name, such as its path in the record.
        patch_sha256: hex digest of the patch's bytes.
        git_commit: hex id of the commit that carries it.
        git_tree: hex id of that commit's tree.
        predicate: SLSA provenance v1, with `buildDefinition` and `runDetails`; no floats.

    Raises:
        AttestationError: a digest or the predicate is out of form.
        CanonicalError: the predicate holds what canonical JSON here does not allow.
    """
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": subject, "digest": {"sha256": patch_sha256}},
            {"name": f"git+commit:{git_commit}", "digest": {"gitCommit": git_commit, "gitTree": git_tree}},
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": dict(predicate),
    }
    _check_statement(statement)
    payload = canonical.encode(statement)
    signature = signer.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    return canonical.encode(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": signer.vkey.label, "sig": base64.b64encode(signature).decode()}],
        }
    )


def verify_attestation(envelope: bytes, vkey: str) -> dict[str, Any]:
    """Check an envelope's signature by `vkey`, and return the statement. The key id in it is a hint and not believed.

    Raises:
        AttestationError: malformed, signed by another key, or not a statement of this kind.
        NoteError: `vkey` is malformed.
    """
    key = parse_vkey(vkey)
    members = _object(envelope)
    if set(members) != {"payload", "payloadType", "signatures"} or members["payloadType"] != PAYLOAD_TYPE:
        raise AttestationError(f"not a DSSE envelope of type {PAYLOAD_TYPE}")
    signatures = members["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise AttestationError("an envelope has exactly one signature here")
    try:
        payload = unbase64(str(members["payload"]), "payload")
        signature = unbase64(str(signatures[0].get("sig")), "signature")
        check_signature(key, signature, pre_authentication_encoding(PAYLOAD_TYPE, payload))
    except NoteError as error:
        raise AttestationError(str(error)) from error
    statement = _object(payload)
    _check_statement(statement)
    return statement


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > ENVELOPE_BYTES_MAX:
        raise AttestationError(f"more than {ENVELOPE_BYTES_MAX} bytes")
    try:
        value = json.loads(data, object_pairs_hook=_members)
    except AttestationError:
        raise
    except (ValueError, RecursionError) as error:
        raise AttestationError("not JSON") from error
    if not isinstance(value, dict):
        raise AttestationError("not a JSON object")
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two equal keys one parser keeps the first and another the last: two readers would see two statements."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise AttestationError("a key stands there twice")
    return members


def _check_statement(statement: Mapping[str, Any]) -> None:
    if statement.get("_type") != STATEMENT_TYPE or statement.get("predicateType") != PREDICATE_TYPE:
        raise AttestationError(f"not a {STATEMENT_TYPE} with predicate {PREDICATE_TYPE}")
    predicate = statement.get("predicate")
    if not isinstance(predicate, Mapping) or not {"buildDefinition", "runDetails"} <= set(predicate):
        raise AttestationError("the predicate needs buildDefinition and runDetails (SLSA provenance v1)")
    digests = _digests(statement.get("subject"))
    if not _SHA256.fullmatch(digests.get("sha256", "")):
        raise AttestationError("the patch's sha256 must be 64 hex digits")
    if not all(_OBJECT_ID.fullmatch(digests.get(name, "")) for name in ("gitCommit", "gitTree")):
        raise AttestationError("gitCommit and gitTree must be hex object ids")


def _digests(subjects: object) -> dict[str, str]:
    if not isinstance(subjects, list) or not all(isinstance(item, Mapping) for item in subjects):
        raise AttestationError("the statement has no list of subjects")
    found: dict[str, str] = {}
    for subject in subjects:
        digest = subject.get("digest")
        if not isinstance(digest, Mapping) or not isinstance(subject.get("name"), str):
            raise AttestationError("a subject needs a name and a digest set")
        found |= {str(name): str(value) for name, value in digest.items()}
    return found
