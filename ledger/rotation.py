"""Hand-over of a ledger's signing key, and which key signs which tree heads.

A hand-over is a file `keys/<id of the new key>.rotation` that the ledger's line of type KEY_ROTATED speaks for: a
signed note (https://c2sp.org/signed-note), signed by the old key and then by the new one. Its six lines are a title,
the ledger, the number of lines before the hand-over's own, their root (RFC 6962), the old key and the new key:

    OPTR ledger key rotation v1
    optr/octocat/hello
    34
    iZgiwjsEuqIEuas5csZWBCvUa2eSmImom15dQCgy4Pk=
    optr/octocat/hello+c3d927c8+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop
    optr/octocat/hello+35cdfd16+AQFOTZIsWWo4Ct/J7tci6DWCLxI2dhaT5Lq7YeGvuwTx

    — optr/octocat/hello w9knyMZCUIwzSvHT5+xVuqFf1Zfg55zhgGeTxSRaz/3K6Fkr3r9H4QoF2P6r+l9naQTkqrVY9OqJK5HP/1DharQSUw8=
    — optr/octocat/hello Nc39FnSv7QB+5+5aA8UzO8Zd6+Y4kIY2vsJZCRVYZ4FzqejDxcIm6X3cu2dUQW+UNQvV41At/8DYzZGv4gRr22HMOAI=

The old key signs every tree head up to that size, the new one every larger one. The root binds the hand-over to one
history: whoever has the new key alone cannot rewrite what the old one signed. No ledger's name holds a space, so this
text can be taken for no checkpoint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ledger.checkpoint import Checkpoint, parse_checkpoint, parse_text, verify_checkpoint
from ledger.errors import NoteError, RotationError
from ledger.keys import Signer
from ledger.layout import KEYS, key_path
from ledger.note import Note, Signature, VerifierKey, check_signature, parse_note, parse_vkey

TITLE = "OPTR ledger key rotation v1"
KEY_ROTATED = "KEY_ROTATED"  # type of the line that speaks for a hand-over
SUFFIX = ".rotation"
_LINES = 6


@dataclass(frozen=True)
class Rotation:
    """A hand-over whose two signatures were checked.

    Attributes:
        before: the tree that the old key closes; the hand-over's own line is the next.
        old: the key that retires.
        new: the key that takes over.
    """

    before: Checkpoint
    old: VerifierKey
    new: VerifierKey

    def text(self) -> str:
        """Return the note text that both keys sign."""
        return f"{TITLE}\n{self.before.text()}{self.old}\n{self.new}\n"

    @property
    def path(self) -> str:
        """Where it stands, relative to `datalake/`."""
        return rotation_path(self.new.key_id)


@dataclass(frozen=True)
class Term:
    """The tree heads that one key signs.

    Attributes:
        key: the verification key.
        first: the smallest size it signs.
        last: the largest; None for the present key.
    """

    key: VerifierKey
    first: int
    last: int | None

    def record(self) -> dict[str, str | int | None]:
        """Return it for machines: `key` (the vkey string), `id`, `first` and `last`."""
        return {"key": str(self.key), "id": self.key.key_id, "first": self.first, "last": self.last}


def rotation_path(key_id: str) -> str:
    """Return the path of the hand-over to the key whose id is `key_id` (8 hex digits), relative to `datalake/`."""
    return f"{KEYS}{key_id}{SUFFIX}"


def hand_over(old: Signer, new: Signer, size: int, root: bytes) -> bytes:
    """Return the signed hand-over after `size` lines with `root`; the same arguments always give the same bytes."""
    text = Rotation(Checkpoint(old.origin, size, root), old.vkey, new.vkey).text()
    signatures = (Signature(one.origin, one.vkey.key_id, one.sign(text.encode())) for one in (old, new))
    return Note(text, tuple(signatures)).encode()


def parse_rotation(data: bytes) -> Rotation:
    """Read a hand-over and check both signatures.

    Raises:
        RotationError: out of form, or not signed by exactly the two keys that it names, the old one first.
    """
    try:
        return _parsed(data)
    except NoteError as error:
        raise RotationError(str(error)) from error


def _parsed(data: bytes) -> Rotation:
    note = parse_note(data)
    title, *lines = note.text.split("\n")
    if title != TITLE or len(lines) != _LINES:
        raise NoteError(f"a hand-over has six lines and begins with {TITLE!r}")
    before = parse_text("".join(f"{line}\n" for line in lines[:3]))
    rotation = Rotation(before, parse_vkey(lines[3]), parse_vkey(lines[4]))
    if {rotation.old.name, rotation.new.name} != {before.origin}:
        raise NoteError(f"the keys of a hand-over are not both of {before.origin}")
    signers = [(one.name, one.key_id) for one in (rotation.old, rotation.new)]
    if [(one.name, one.key_id) for one in note.signatures] != signers:
        raise NoteError("a hand-over is signed by the old key and then by the new one, and by nobody else")
    for key, signature in zip((rotation.old, rotation.new), note.signatures, strict=True):
        check_signature(key, signature.blob, note.text.encode())
    return rotation


def rotations(files: Mapping[str, bytes]) -> list[Rotation]:
    """Return the hand-overs among the files under `keys/` that can be read, in the order of their sizes."""
    found = []
    for path, content in files.items():
        if path.endswith(SUFFIX):
            try:
                found.append(parse_rotation(content))
            except RotationError:
                continue  # `lineage` says what is wrong with it
    return sorted(found, key=lambda one: one.before.size)


def lineage(files: Mapping[str, bytes]) -> tuple[Term, ...]:
    """Return whose turn it was, oldest first, from everything under `keys/`.

    Args:
        files: content by path relative to `datalake/`.

    Raises:
        NoteError: a file is out of form.
        RotationError: a hand-over is, or is missing, or they do not lead from one key to the newest.
    """
    keys = {path: _key(path, content) for path, content in sorted(files.items()) if not path.endswith(SUFFIX)}
    given = [_rotation(path, content) for path, content in sorted(files.items()) if path.endswith(SUFFIX)]
    given.sort(key=lambda one: one.before.size)
    order = [given[0].old, *(one.new for one in given)] if given else list(keys.values())[:1]
    for one, following in pairwise(given):
        if one.new != following.old or one.before.size >= following.before.size:
            raise RotationError(f"{following.path} is out of order: it does not hand over from {one.new.label}")
    if len({key.public for key in order}) != len(order):
        raise RotationError("a hand-over leads back to a key that was retired")
    odd = sorted(set(keys) ^ {key_path(key.key_id) for key in order})
    if not order or odd:
        raise RotationError(f"{odd[0] if odd else KEYS}: no unbroken line of hand-overs leads to this key")
    sizes = [0, *(one.before.size for one in given)]
    return tuple(
        Term(key, first + (1 if at else 0), sizes[at + 1] if at + 1 < len(sizes) else None)
        for at, (key, first) in enumerate(zip(order, sizes, strict=True))
    )


def term_at(size: int, terms: Sequence[Term]) -> Term:
    """Return whose term a tree head of `size` lines is in; `terms` is not empty."""
    return next(one for one in reversed(terms) if one.first <= size or one is terms[0])


def verify_head(data: bytes, terms: Sequence[Term], trusted: VerifierKey | None = None) -> Checkpoint:
    """Check that the key whose term it is signed a checkpoint.

    Args:
        data: the signed note.
        terms: of the ledger, from `lineage`.
        trusted: a key that must be one of them, the present one or one before it, or must have signed as well.

    Raises:
        NoteError: it is not so.
    """
    size = parse_checkpoint(data).size
    term = term_at(size, terms)
    try:
        head = verify_checkpoint(data, [term.key])
    except NoteError:
        for other in terms:
            if other != term and _signed(data, other.key):
                raise NoteError(
                    f"signed by {other.key.label} outside its term: from {term.first} lines on {term.key.label} signs"
                ) from None
        raise
    if trusted is not None and trusted not in [one.key for one in terms]:
        verify_checkpoint(data, [trusted])
    return head


def newest(terms: Sequence[Term], trusted: VerifierKey) -> VerifierKey:
    """Follow the hand-overs from a key that is trusted to the present one.

    Raises:
        NoteError: `trusted` is none of these keys.
    """
    if trusted not in [term.key for term in terms]:
        raise NoteError(f"{trusted.label} is not a key of this ledger, and none of its keys took over from it")
    return terms[-1].key


def _signed(data: bytes, key: VerifierKey) -> bool:
    try:
        verify_checkpoint(data, [key])
    except NoteError:
        return False
    return True


def _key(path: str, content: bytes) -> VerifierKey:
    try:
        key = parse_vkey(content.decode("utf-8").removesuffix("\n"))
    except (NoteError, UnicodeDecodeError) as error:
        raise NoteError(f"{path!a}: {error}") from error
    if content != f"{key}\n".encode() or path != key_path(key.key_id):
        raise NoteError(f"{path!a} does not hold the key it is named for")
    return key


def _rotation(path: str, content: bytes) -> Rotation:
    try:
        rotation = parse_rotation(content)
    except RotationError as error:
        raise RotationError(f"{path!a}: {error}") from error
    if path != rotation.path:
        raise RotationError(f"{path!a} does not hold the hand-over it is named for")
    return rotation
