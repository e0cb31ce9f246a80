"""The signing key: one Ed25519 key per ledger, in a file that only its owner can read.

The file holds one line in the form of Go's sumdb/note package: `PRIVATE+KEY+<name>+<hex id>+<base64>`. The name is the
ledger's origin, so a key cannot sign for another ledger by mistake.
"""

import base64
import os
import stat
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ledger import durable
from ledger.checkpoint import Checkpoint
from ledger.errors import KeyFileError, NoteError
from ledger.note import ED25519, Note, Signature, VerifierKey, check_name, unbase64

SEED_BYTES = 32
KEY_FILE_BYTES_MAX = 4096  # bytes read from a key file
_DERIVED = b"optr/derived-key/1"  # the salt keeps these keys apart from any other use of the seed
_PREFIX = "PRIVATE+KEY+"


class Signer:
    """Signs checkpoints and attestations of one ledger.

    Args:
        name: the ledger's origin, such as `optr/<owner>/<repo>`.
        seed: 32 secret bytes.

    Attributes:
        vkey: the verification key; `str(signer.vkey)` is what others pin.
    """

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.vkey = VerifierKey(check_name(name), self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"Signer({self.vkey.label})"

    @property
    def origin(self) -> str:
        """The ledger's name."""
        return self.vkey.name

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature over `message`, 64 bytes; the same message always gives the same bytes."""
        return self._key.sign(message)

    def derive(self, purpose: str) -> "Signer":
        """A further key that only the holder of this one can make: HKDF-SHA256 (RFC 5869) of the seed and `purpose`.

        The same purpose gives the same key. Neither the derived keys nor their signatures tell anything about this key.
        """
        hkdf = HKDF(algorithm=SHA256(), length=SEED_BYTES, salt=_DERIVED, info=purpose.encode())
        return Signer(self.origin, hkdf.derive(self._key.private_bytes_raw()))

    def sign_checkpoint(self, size: int, root: bytes) -> bytes:
        """Return the signed note over the tree head of this ledger."""
        text = Checkpoint(self.origin, size, root).text()
        return Note(text, (Signature(self.origin, self.vkey.key_id, self.sign(text.encode())),)).encode()

    def secret_text(self) -> str:
        """Return what this key's file holds; secret."""
        seed = self._key.private_bytes_raw()
        return f"{_PREFIX}{self.vkey.label}+{base64.b64encode(ED25519 + seed).decode()}\n"

    @classmethod
    def generate(cls, path: Path, name: str) -> "Signer":
        """Make a new key and store it durably at `path`, mode 0600; the directory must exist.

        Raises:
            KeyFileError: the file is there already, or cannot be written.
            NoteError: `name` cannot name a ledger.
        """
        signer = cls(name, os.urandom(SEED_BYTES))
        try:
            durable.create(path, signer.secret_text().encode(), 0o600)
        except FileExistsError as error:
            raise KeyFileError(f"{path} exists already: load it, or move it away to make a new key") from error
        except OSError as error:
            raise KeyFileError(f"cannot write the signing key {path}: {error.strerror}") from error
        return signer

    @classmethod
    def begin(cls, path: Path, name: str, under: Path, disk: durable.FileSystem = durable.DISK) -> "Signer":
        """Read the key at `path`; where there is none make it, with its directories (mode 0700), also beside others.

        The key's name is durable before anything can be signed with it, whoever made it: a process that was killed
        between making and syncing it may have left that to this one.

        Args:
            path: the key's file, somewhere below `under`.
            name: what a new key is for.
            under: the directory that is there for good.
            disk: where it is written.

        Raises:
            KeyFileError: as `load`, or it cannot be written.
            NoteError: `name` cannot name a ledger.
        """
        signer = cls(name, os.urandom(SEED_BYTES))
        try:
            durable.make_directory(path.parent, disk=disk)
            if not path.exists():
                with suppress(FileExistsError):
                    durable.create(path, signer.secret_text().encode(), 0o600, disk)
            for directory in path.parents[: len(path.relative_to(under).parts)]:
                durable.sync_directory(directory, disk)
        except OSError as error:
            raise KeyFileError(f"cannot write the signing key {path}: {error.strerror}") from error
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> "Signer":
        """Read the key that `generate` stored.

        Raises:
            KeyFileError: missing, readable by others than its owner, or malformed.
        """
        return cls.parse(read_private(path), str(path))

    @classmethod
    def parse(cls, text: str, source: str = "the signing key") -> "Signer":
        """Read a key from the text of its file; `source` names it in errors, which never show the text.

        Raises:
            KeyFileError: malformed.
        """
        try:
            name, key_id, encoded = text.removeprefix(_PREFIX).removesuffix("\n").split("+", 2)
            blob = unbase64(encoded, "key")
            signer = cls(name, blob[1:])
        except (NoteError, ValueError):
            raise KeyFileError(f"{source} is not a ledger signing key") from None
        if not text.startswith(_PREFIX) or blob[:1] != ED25519 or signer.vkey.key_id != key_id:
            raise KeyFileError(f"{source} is damaged: its id does not belong to its name and bytes")
        return signer


def read_private(path: Path) -> str:
    """Return the text of a key file.

    Raises:
        KeyFileError: missing, or readable by others than its owner.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(KEY_FILE_BYTES_MAX)
    except OSError as error:
        raise KeyFileError(f"cannot read the signing key {path}: {error.strerror}") from error
    if not stat.S_ISREG(mode) or mode & 0o077:
        raise KeyFileError(
            f"the signing key {path} can be read by others (mode {stat.S_IMODE(mode):04o}): run chmod 600 on it, "
            "and make a new key if somebody may have seen it"
        )
    return content.decode("utf-8", "replace")
