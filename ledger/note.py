"""Signed notes and verification keys (https://c2sp.org/signed-note), Ed25519 only.

A note is a text that ends in a line feed, an empty line, and signatures: name, then base64 of key id and signature.

    optr/octocat/hello
    34
    iZgiwjsEuqIEuas5csZWBCvUa2eSmImom15dQCgy4Pk=

    — optr/octocat/hello w9knyLq2w7a0g7enMTjINLJ0WtctdAmmgWQMxnN4z1O5xBBlD9unARunV2eZtjwvzyTBDuSQB2TtrPHcxjugSqDN8gs=

A key is its name, the first four bytes of SHA-256(name || 0x0a || 0x01 || public key) in hex, and base64 of 0x01 and
the public key:

    optr/octocat/hello+c3d927c8+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop

Parsers are strict: what they accept, they write back byte for byte.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ledger.errors import NoteError
from ledger.shown import quoted

ED25519 = b"\x01"  # signature type byte
COSIGNATURE = b"\x04"  # of a witness: Ed25519 over the note and a time (https://c2sp.org/tlog-cosignature)
NOTE_BYTES_MAX = 1_000_000  # bytes of a whole note
SIGNATURES_MAX = 64  # the standard asks for at least 16
NAME_CHARS_MAX = 200  # characters of a key name
KEY_ID_BYTES = 4
PUBLIC_KEY_BYTES = 32
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_MARK = "\N{EM DASH} "


@dataclass(frozen=True)
class VerifierKey:
    """A public key with the name of the ledger it signs for.

    Attributes:
        name: the ledger's origin.
        public: 32 bytes.
        kind: the signature type byte; both types are Ed25519.
    """

    name: str
    public: bytes
    kind: bytes = ED25519

    @property
    def key_id(self) -> str:
        """The first four bytes of SHA-256(name, line feed, kind, public key), hex."""
        return key_id(self.name, self.public, self.kind)

    @property
    def label(self) -> str:
        """`name+hex`, short enough for people."""
        return f"{self.name}+{self.key_id}"

    def __str__(self) -> str:
        """The vkey string: `name+hex+base64`."""
        return f"{self.label}+{base64.b64encode(self.kind + self.public).decode()}"


@dataclass(frozen=True)
class Signature:
    """One signature line.

    Attributes:
        name: the key's name.
        key_id: 8 hex digits.
        blob: the signature without the key id.
    """

    name: str
    key_id: str
    blob: bytes

    def __str__(self) -> str:
        encoded = base64.b64encode(bytes.fromhex(self.key_id) + self.blob).decode()
        return f"{_MARK}{self.name} {encoded}\n"


@dataclass(frozen=True)
class Note:
    """A parsed note: the text (with its final line feed) and the signatures. Nothing is verified yet."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """Return the note's bytes."""
        return f"{self.text}\n{''.join(map(str, self.signatures))}".encode()


def key_id(name: str, public: bytes, kind: bytes = ED25519) -> str:
    """Return the id of an Ed25519 key, 8 hex digits."""
    return hashlib.sha256(name.encode() + b"\n" + kind + public).hexdigest()[: 2 * KEY_ID_BYTES]


def check_name(name: str) -> str:
    """Return `name` if it can name a key and a ledger.

    Raises:
        NoteError: it is empty, too long, or holds a space, a plus or a control character.
    """
    if not 0 < len(name) <= NAME_CHARS_MAX or "+" in name or not name.isprintable() or any(map(str.isspace, name)):
        raise NoteError(
            f"ledger name {quoted(name)} is not allowed: use 1 to {NAME_CHARS_MAX} printable characters without "
            "spaces or plus signs"
        )
    return name


def parse_vkey(text: str, kind: bytes = ED25519) -> VerifierKey:
    """Read a vkey string, `name+hex+base64`, of a log (`ED25519`) or of a witness (`COSIGNATURE`).

    Raises:
        NoteError: malformed, of another type, or the id does not belong to the name and key.
    """
    parts = text.split("+", 2)
    if len(parts) != 3:  # noqa: PLR2004 - name, id and key
        raise NoteError("a verification key has the form name+hex+base64")
    blob = unbase64(parts[2], "verification key")
    if len(blob) != 1 + PUBLIC_KEY_BYTES or blob[:1] != kind:
        raise NoteError(f"the verification key is not an Ed25519 key (type byte 0x{kind.hex()} and 32 bytes)")
    key = VerifierKey(check_name(parts[0]), blob[1:], kind)
    if str(key) != text:
        raise NoteError(f"the verification key's id {quoted(parts[1])} does not belong to its name and bytes")
    return key


def parse_note(data: bytes) -> Note:
    """Read a signed note without verifying it.

    Raises:
        NoteError: not UTF-8, too long, control characters, no signature, or any line out of form.
    """
    if len(data) > NOTE_BYTES_MAX:
        raise NoteError(f"the note has {len(data)} bytes; at most {NOTE_BYTES_MAX} are allowed")
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError("the note is not UTF-8") from error
    text, blank, tail = content.rpartition("\n\n")
    if not blank or _CONTROL.search(content) or not tail.endswith("\n"):
        raise NoteError("the note must be text, an empty line and signature lines, without control characters")
    lines = tail[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise NoteError(f"the note has {len(lines)} signatures; at most {SIGNATURES_MAX} are read")
    note = Note(f"{text}\n", tuple(map(_parse_signature, lines)))
    if note.encode() != data:
        raise NoteError("the note's bytes are not in the one form that is allowed")
    return note


def verify_note(data: bytes, keys: Sequence[VerifierKey]) -> Note:
    """Read a note and check every signature made by one of `keys`; others are ignored, as the standard asks.

    Raises:
        NoteError: malformed, a signature by a known key is wrong, or no known key signed.
    """
    note = parse_note(data)
    known = {(key.name, key.key_id): key for key in keys}
    verified = 0
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is not None:
            check_signature(key, signature.blob, note.text.encode())
            verified += 1
    if not verified:
        wanted = ", ".join(key.label for key in keys) or "any known key"
        raise NoteError(f"the note is not signed by {wanted}")
    return note


def check_signature(key: VerifierKey, signature: bytes, message: bytes) -> None:
    """Check one Ed25519 signature (RFC 8032).

    Raises:
        NoteError: it is wrong.
    """
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise NoteError(f"the signature by {key.label} is wrong") from error


def unbase64(text: str, what: str) -> bytes:
    """Decode standard base64, accepting only the form that encodes back to the same text.

    Raises:
        NoteError: naming `what`.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"the {what} is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise NoteError(f"the {what} is not base64 in its only form")
    return data


def _parse_signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_MARK).partition(" ")
    if not line.startswith(_MARK) or not space:
        raise NoteError("a signature line has the form: em dash, space, key name, space, base64")
    blob = unbase64(encoded, "signature")
    if len(blob) <= KEY_ID_BYTES:
        raise NoteError("a signature line holds a key id of four bytes and a signature")
    return Signature(check_name(name), blob[:KEY_ID_BYTES].hex(), blob[KEY_ID_BYTES:])
