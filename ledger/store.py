"""The memory of what was signed last, kept outside the repository: it notices a branch that was rolled back."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from ledger import durable
from ledger.checkpoint import parse_checkpoint
from ledger.errors import LedgerError


class CheckpointStore(Protocol):
    """Holds the last signed checkpoint of each ledger. `swap` is the one point of commitment of an append.

    Trusted: whoever can change it can make the sequencer sign a second history. It must be durable once `swap` returns.
    """

    def load(self, origin: str) -> bytes | None:
        """Return the signed note last stored for `origin`, durable when it returns; None when there never was one."""
        ...

    def swap(self, origin: str, old: bytes | None, new: bytes) -> bool:
        """Store `new` if what is stored is exactly `old`, in one atomic and durable step; tell whether it was."""
        ...


class FileCheckpoints:
    """A `CheckpointStore` in a directory of one machine, for the command line.

    Args:
        directory: made if it is missing, mode 0700; one file per ledger, named by the hash of its origin.
        disk: where it is written.
    """

    def __init__(self, directory: Path, disk: durable.FileSystem = durable.DISK) -> None:
        self._directory = directory
        self._disk = disk
        self._durable: dict[str, bytes] = {}  # by origin

    def load(self, origin: str) -> bytes | None:
        """Return what is stored for `origin`.

        Raises:
            LedgerError: the file is damaged or belongs to another ledger.
            OSError: it cannot be read, or not be made durable.
        """
        path = self._path(origin)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            right = parse_checkpoint(data).origin == origin
        except ValueError as error:
            raise LedgerError(f"{path} is damaged: {error}; restore it from a backup") from error
        if not right:
            raise LedgerError(f"{path} holds the checkpoint of another ledger, not of {origin}")
        if self._durable.get(origin) != data:  # its writer may have been killed before it synced the name
            durable.sync_directory(self._directory, self._disk)
            self._durable[origin] = data
        return data

    def swap(self, origin: str, old: bytes | None, new: bytes) -> bool:
        """Store `new` durably if `old` is what is stored, under a lock that spans processes."""
        with self._locked():
            if self.load(origin) != old:
                return False
            durable.replace(self._path(origin), new, disk=self._disk)
            self._durable[origin] = new
            return True

    def _path(self, origin: str) -> Path:
        return self._directory / f"{sha256(origin.encode()).hexdigest()}.checkpoint"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        durable.make_directory(self._directory, disk=self._disk)
        handle = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
