"""What passes between a ledger and its witnesses: https://c2sp.org/tlog-witness, version 1, Ed25519 cosignatures.

The ledger posts a request to `<witness>/add-checkpoint`: the size that the witness is thought to have seen, a
consistency proof from there (RFC 6962, may be empty), an empty line, and the signed checkpoint.

    old 32
    fKispTKqkOYLgiABmwV+hKAap2gKPz4Nyg9VIBV8+ZE=

    optr/octocat/hello
    34
    iZgiwjsEuqIEuas5csZWBCvUa2eSmImom15dQCgy4Pk=

    — optr/octocat/hello w9knyLq2w7a0g7enMTjINLJ0WtctdAmmgWQMxnN4z1O5xBBlD9unARunV2eZtjwvzyTBDuSQB2TtrPHcxjugSqDN8gs=

The witness answers with lines of https://c2sp.org/tlog-cosignature: its name, then base64 of key id, eight bytes of
time and a signature.

    — w.example GI1QEwAAAABpJIFk2YoHnQvR0DgjcYQfIgcZjz0Y4IPQu3b7N+NVXgPlBlUg140cdVJUUj7L1u6DSwfAz0V/oPoamLBpGIH7ea0sDQ==
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.checkpoint import Checkpoint, parse_text
from ledger.errors import NoteError
from ledger.keys import Signer
from ledger.merkle import HASH_BYTES
from ledger.note import COSIGNATURE, Note, Signature, VerifierKey, parse_note, unbase64
from ledger.policy import cosigned, cosigned_text

PATH = "/add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"  # of an answer that says how far the witness is
PROOF_LINES_MAX = 63
REQUEST_BYTES_MAX = 65_536  # bytes; 63 hashes and a checkpoint with many signatures need some 10,000
ANSWER_BYTES_MAX = 65_536  # bytes of a witness's answer
AHEAD_SECONDS_MAX = 300  # seconds that a witness's clock may be ahead of ours
TIME_BYTES = 8
_OLD = re.compile(r"old (0|[1-9][0-9]{0,15})")
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,15})\n")


@dataclass(frozen=True)
class Request:
    """A request for a cosignature.

    Attributes:
        old: the size that the witness is thought to have cosigned last; 0 when it is not known to have any.
        proof: from `old` to the checkpoint's size, 32 bytes each.
        note: the checkpoint with its signatures; nothing is verified yet.
    """

    old: int
    proof: tuple[bytes, ...]
    note: Note

    @property
    def checkpoint(self) -> Checkpoint:
        """The tree head that is to be cosigned."""
        return parse_text(self.note.text)

    def encode(self) -> bytes:
        """Return the body to post."""
        hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in self.proof)
        return f"old {self.old}\n{hashes}\n".encode() + self.note.encode()


def parse_request(body: bytes) -> Request:
    """Read the body of a request; what is accepted encodes back to the same bytes.

    Raises:
        NoteError: out of form.
    """
    head, blank, rest = body.partition(b"\n\n")
    first, *hashes = head.decode("ascii", "replace").split("\n")
    found = _OLD.fullmatch(first)
    if found is None or not blank:
        raise NoteError("the request must begin with the line 'old SIZE', proof lines and an empty line")
    if len(hashes) > PROOF_LINES_MAX:
        raise NoteError(f"the request has {len(hashes)} proof lines; at most {PROOF_LINES_MAX} are read")
    proof = tuple(unbase64(one, "proof line") for one in hashes)
    if any(len(one) != HASH_BYTES for one in proof):
        raise NoteError(f"a proof line does not hold {HASH_BYTES} bytes")
    note = parse_note(rest)
    parse_text(note.text)
    return Request(int(found[1]), proof, note)


def witness_key(signer: Signer) -> VerifierKey:
    """Return the verification key of the cosignatures that `cosign` makes with `signer`."""
    return VerifierKey(signer.vkey.name, signer.vkey.public, COSIGNATURE)


def cosign(signer: Signer, text: str, seconds: int) -> Signature:
    """Return the cosignature over a checkpoint's text, made at `seconds` since the epoch."""
    key = witness_key(signer)
    blob = seconds.to_bytes(TIME_BYTES, "big") + signer.sign(cosigned_text(text, seconds))
    return Signature(key.name, key.key_id, blob)


def read_cosignature(note: Note, witness: VerifierKey, body: bytes, now: float) -> Signature:
    """Return the cosignature that `witness` gave to `note`; lines by other keys are ignored, as the standard asks.

    Args:
        note: what was to be cosigned.
        witness: whose answer it is.
        body: the answer.
        now: seconds since the epoch.

    Raises:
        NoteError: the answer is out of form, holds nothing by this witness or something wrong by it, or its time has
            not come yet.
    """
    if len(body) > ANSWER_BYTES_MAX:
        raise NoteError(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
    answer = parse_note(f"{note.text}\n".encode() + body)
    mine = [one for one in answer.signatures if (one.name, one.key_id) == (witness.name, witness.key_id)]
    if answer.text != note.text or not mine:
        raise NoteError(f"the answer holds no cosignature by {witness.label}")
    time = cosigned(Note(note.text, (mine[0],)).encode(), witness)
    if time is None or time > now + AHEAD_SECONDS_MAX:
        raise NoteError(f"{witness.label} cosigned in the future: its clock or ours is wrong")
    return mine[0]


def read_size(body: bytes) -> int:
    """Read how far a witness says it is.

    Raises:
        NoteError: it is not a number and a line feed.
    """
    found = _SIZE.fullmatch(body)
    if found is None:
        raise NoteError("the witness did not say which size it cosigned last")
    return int(found[1])


def signed_by(note: Note, keys: Sequence[VerifierKey]) -> Note:
    """Return `note` with those of its signatures only that claim one of `keys`."""
    known = {(key.name, key.key_id) for key in keys}
    return Note(note.text, tuple(one for one in note.signatures if (one.name, one.key_id) in known))
