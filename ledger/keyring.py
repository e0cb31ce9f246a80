"""The signing keys of one ledger: the present one, the one that waits to take over, and those that retired.

    key               the present key (see `ledger.keys`)
    key.next          the next key, and in a second line who asked for it, when and why; there while a rotation is due
    key.<key id>      a retired key: runs that began with it still need it; delete it when they have ended

`stage` makes the next key. The sequencer hands over at the next append and only then calls `promote`; until it has,
both files stay, so a crash at any point is finished by whoever appends next. Every file has mode 0600.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from ledger import canonical, durable
from ledger.entry import TEXT_CHARS_MAX, is_text
from ledger.errors import KeyFileError, LedgerError
from ledger.keys import SEED_BYTES, Signer, read_private

NEXT = ".next"


class Cause(StrEnum):
    """Why a key is rotated."""

    PLANNED = "planned"
    COMPROMISED = "compromised"


@dataclass(frozen=True)
class Asked:
    """A request for a rotation.

    Attributes:
        actor: who asked.
        asked_ms: when, milliseconds since the epoch; the line's time.
        cause: why.
    """

    actor: str
    asked_ms: int
    cause: Cause


@dataclass(frozen=True)
class Succession:
    """A key that waits to take over."""

    signer: Signer
    asked: Asked


class KeyRing:
    """The keys of one ledger.

    Args:
        signer: the present key.
        path: its file; None for a key that stands in no file and is never rotated.
        disk: where it is written.
    """

    def __init__(self, signer: Signer, path: Path | None = None, disk: durable.FileSystem = durable.DISK) -> None:
        self._signer = signer
        self._path = path
        self._disk = disk
        self._seen = _stamp(path) if path else None

    @classmethod
    def open(cls, path: Path) -> "KeyRing":
        """Read the present key.

        Raises:
            KeyFileError: as `Signer.load`.
        """
        return cls(Signer.load(path), path)

    @property
    def signer(self) -> Signer:
        """The present key, as this process knows it."""
        return self._signer

    def refresh(self) -> None:
        """Read the key again if another process has promoted the next one.

        Raises:
            KeyFileError: it cannot be read safely, or is another ledger's.
        """
        if self._path is None or (stamp := _stamp(self._path)) == self._seen:
            return
        signer = Signer.load(self._path)
        if signer.origin != self._signer.origin:
            raise KeyFileError(f"{self._path} was replaced by the key of {signer.origin}: put {self._signer} back")
        self._signer, self._seen = signer, stamp

    def pending(self) -> Succession | None:
        """Return the key that waits to take over, if there is one.

        Raises:
            KeyFileError: it cannot be read safely, or is another ledger's.
        """
        if self._path is None or not (path := _next(self._path)).exists():
            return None
        found = _parse(path)
        if found.signer.origin != self._signer.origin:
            raise KeyFileError(
                f"{path} is the key of {found.signer.origin}, not of {self._signer.origin}: move it away"
            )
        return None if found.signer.vkey == self._signer.vkey else found

    def stage(self, asked: Asked) -> Signer:
        """Make the next key; it takes over at the next append.

        Raises:
            KeyFileError: one waits already, the present one stands in no file, no line could say who asked, or the
                file system refused.
        """
        if self._path is None:
            raise KeyFileError(f"{self._signer} stands in no file: it cannot be rotated")
        if not is_text(asked.actor):  # no line could tell of it, so the ledger would stop at this key
            raise KeyFileError(f"who asked for the next key must be 1 to {TEXT_CHARS_MAX} printable characters")
        self.refresh()
        if (waiting := self.pending()) is not None:
            raise KeyFileError(f"{waiting.signer.vkey.label} waits already to take over: it does at the next append")
        self.tidy()
        ids = {one.vkey.key_id for one in self.held()}
        while (signer := Signer(self._signer.origin, os.urandom(SEED_BYTES))).vkey.key_id in ids:
            pass  # readers tell keys apart by these four bytes
        content = signer.secret_text() + canonical.encode(asdict(asked)).decode() + "\n"
        _write(durable.create, _next(self._path), content, self._disk)
        return signer

    def retire(self) -> None:
        """Keep the present key beside the next one, before anything is signed; idempotent.

        Once it returns both survive a loss of power, also where a process that was killed had made one of them.

        Raises:
            KeyFileError: the file system refused.
        """
        if self._path is None:
            return
        if (kept := _retired(self._path, self._signer)).exists():
            _sync(kept.parent, self._disk)
        else:
            _write(durable.replace, kept, self._signer.secret_text(), self._disk)

    def promote(self, successor: Succession) -> None:
        """Let the next key take the present one's place, after the hand-over stands on the branch; idempotent.

        Raises:
            KeyFileError: the file system refused. Nothing is lost; the next append tries again.
        """
        if self._path is None:
            raise KeyFileError(f"{self._signer} stands in no file: it cannot be rotated")
        self.retire()
        _write(durable.replace, self._path, successor.signer.secret_text(), self._disk)
        self._signer, self._seen = successor.signer, _stamp(self._path)
        self.tidy()

    def tidy(self) -> None:
        """Drop the next key's name when it has been promoted; idempotent.

        Raises:
            KeyFileError: the file system refused.
        """
        if self._path is None or not (path := _next(self._path)).exists() or self.pending() is not None:
            return
        _sync(path.parent, self._disk)  # or the name that it took may be lost, and this one with it
        try:
            self._disk.unlink(path)
        except OSError as error:
            raise KeyFileError(f"cannot remove {path}: {error.strerror}") from error
        _sync(path.parent, self._disk)

    def held(self) -> list[Signer]:
        """Return all keys that are here: the present one, the next, and those that retired.

        Raises:
            KeyFileError: one of them cannot be read safely.
        """
        self.refresh()
        if self._path is None:
            return [self._signer]
        waiting = self.pending()
        retired = sorted(self._path.parent.glob(f"{self._path.name}.{'[0-9a-f]' * 8}"))
        return [self._signer, *([waiting.signer] if waiting else []), *map(Signer.load, retired)]

    def find(self, public: str) -> Signer:
        """Return the key with this public key, hex.

        Raises:
            KeyFileError: it is not here.
        """
        if self._signer.vkey.public.hex() == public:
            return self._signer
        for signer in self.held():
            if signer.vkey.public.hex() == public:
                return signer
        raise KeyFileError(
            f"the key that this run began with is not here any more (public key {public[:16]}...): put the retired key "
            f"of {self._signer.origin} back beside the present one, or start the run again"
        )


def ring_of(keys: Signer | KeyRing) -> KeyRing:
    """Return `keys`, a lone key as a ring of its own."""
    return keys if isinstance(keys, KeyRing) else KeyRing(keys)


def _next(path: Path) -> Path:
    return path.with_name(f"{path.name}{NEXT}")


def _retired(path: Path, signer: Signer) -> Path:
    return path.with_name(f"{path.name}.{signer.vkey.key_id}")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _parse(path: Path) -> Succession:
    key, _, rest = read_private(path).partition("\n")
    signer = Signer.parse(f"{key}\n", str(path))
    try:
        told = json.loads(rest)
        asked = Asked(str(told["actor"]), int(told["asked_ms"]), Cause(told["cause"]))
        right = canonical.encode(asdict(asked)).decode() + "\n" == rest and is_text(asked.actor)
    except (LedgerError, ValueError, KeyError, TypeError):
        right = False
    if not right:
        raise KeyFileError(f"the second line of {path} does not say who asked for this key, when and why")
    return Succession(signer, asked)


def _write(how: Callable[..., None], path: Path, content: str, disk: durable.FileSystem) -> None:
    try:
        how(path, content.encode(), 0o600, disk)
    except OSError as error:
        raise KeyFileError(f"cannot write the signing key {path}: {error.strerror}") from error


def _sync(directory: Path, disk: durable.FileSystem) -> None:
    try:
        durable.sync_directory(directory, disk)
    except OSError as error:
        raise KeyFileError(f"cannot make the keys in {directory} durable: {error.strerror}") from error
