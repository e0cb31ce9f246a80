"""Signed tree heads (https://c2sp.org/tlog-checkpoint).

The three lines of text are origin, size and root; extension lines, not recommended by the standard, are not accepted:

    optr/octocat/hello
    34
    iZgiwjsEuqIEuas5csZWBCvUa2eSmImom15dQCgy4Pk=

    — optr/octocat/hello w9knyLq2w7a0g7enMTjINLJ0WtctdAmmgWQMxnN4z1O5xBBlD9unARunV2eZtjwvzyTBDuSQB2TtrPHcxjugSqDN8gs=
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.errors import NoteError
from ledger.merkle import HASH_BYTES
from ledger.note import VerifierKey, check_name, parse_note, unbase64, verify_note

_LINES = 3
_SIZE_DIGITS_MAX = 16


@dataclass(frozen=True)
class Checkpoint:
    """A tree head.

    Attributes:
        origin: the ledger's name.
        size: lines in the tree.
        root: 32 bytes, RFC 6962.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the note text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_text(text: str) -> Checkpoint:
    """Read a checkpoint's note text.

    Raises:
        NoteError: out of form; what is accepted encodes back to the same text.
    """
    lines = text.split("\n")
    if len(lines) != _LINES + 1:
        raise NoteError("a checkpoint has three lines: origin, size and root")
    origin, digits, encoded, _ = lines
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _SIZE_DIGITS_MAX):
        raise NoteError("the checkpoint's size is not a decimal number")
    root = unbase64(encoded, "checkpoint's root")
    if len(root) != HASH_BYTES:
        raise NoteError(f"the checkpoint's root does not have {HASH_BYTES} bytes")
    checkpoint = Checkpoint(check_name(origin), int(digits), root)
    if checkpoint.text() != text:
        raise NoteError("the checkpoint's size has leading zeroes")
    return checkpoint


def parse_checkpoint(data: bytes) -> Checkpoint:
    """Read a signed checkpoint without verifying signatures.

    Raises:
        NoteError: out of form.
    """
    return parse_text(parse_note(data).text)


def verify_checkpoint(data: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Read a signed checkpoint; at least one of `keys` whose name is the origin must have signed it.

    Raises:
        NoteError: out of form or not signed by such a key.
    """
    checkpoint = parse_checkpoint(data)
    verify_note(data, [key for key in keys if key.name == checkpoint.origin])
    return checkpoint
