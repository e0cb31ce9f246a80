"""Files that survive power loss once the call returns: write aside, fsync, take the name, fsync the directory.

Without the first fsync a crash can leave the name on torn content; without the second it can lose the name.
After an fsync error nothing is retried: the kernel may have dropped the pages, so the error goes to the caller.

Everything goes through `FileSystem`, so that the tests can try every moment of losing power against what POSIX allows.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Protocol


class FileSystem(Protocol):
    """The calls that a durable write is made of; each as in `os`, on failure an OSError."""

    def create(self, path: Path, mode: int) -> int:
        """Create a file that is not there and return a handle to write it."""
        ...

    def open_directory(self, path: Path) -> int:
        """Return a handle to sync a directory."""
        ...

    def write(self, handle: int, data: bytes) -> None:
        """Write all of `data`."""
        ...

    def sync(self, handle: int) -> None:
        """Make what was written, or the directory's names, durable."""
        ...

    def close(self, handle: int) -> None:
        """Give the handle back."""
        ...

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name, one that is free."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Rename a file over whatever bears the name, or a directory to a name that is free or an empty directory's."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a name, if it is there."""
        ...

    def mkdir(self, path: Path, mode: int) -> None:
        """Make a directory that is not there."""
        ...


class Disk:
    """The machine's own file system."""

    def create(self, path: Path, mode: int) -> int:
        """See `FileSystem`."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def open_directory(self, path: Path) -> int:
        """See `FileSystem`."""
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def write(self, handle: int, data: bytes) -> None:
        """See `FileSystem`."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]

    def sync(self, handle: int) -> None:
        """See `FileSystem`."""
        os.fsync(handle)

    def close(self, handle: int) -> None:
        """See `FileSystem`."""
        os.close(handle)

    def link(self, source: Path, target: Path) -> None:
        """See `FileSystem`."""
        target.hardlink_to(source)

    def replace(self, source: Path, target: Path) -> None:
        """See `FileSystem`."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        """See `FileSystem`."""
        path.unlink(missing_ok=True)

    def mkdir(self, path: Path, mode: int) -> None:
        """See `FileSystem`."""
        path.mkdir(mode)


DISK = Disk()


def create(path: Path, data: bytes, mode: int = 0o600, disk: FileSystem = DISK) -> None:
    """Create `path` with exactly `data`, or leave nothing.

    Raises:
        FileExistsError: `path` is there already, whatever it holds.
        OSError: the file system refused.
    """
    _place(path, data, mode, disk, disk.link)


def replace(path: Path, data: bytes, mode: int = 0o600, disk: FileSystem = DISK) -> None:
    """Make `path` hold exactly `data`; a crash leaves either the old content or the new.

    Raises:
        OSError: the file system refused.
    """
    _place(path, data, mode, disk, disk.replace)


def move_directory(source: Path, target: Path, disk: FileSystem = DISK) -> None:
    """Give a directory another name on the same file system; a crash leaves it under the old name or the new.

    Raises:
        OSError: the file system refused; `target` is there and not empty, or `source` is not.
    """
    disk.replace(source, target)
    for parent in dict.fromkeys((target.parent, source.parent)):
        sync_directory(parent, disk)


def make_directory(path: Path, mode: int = 0o700, disk: FileSystem = DISK) -> None:
    """Make a directory and those above it that are missing.

    Raises:
        OSError: the file system refused.
    """
    if path.is_dir():
        return
    make_directory(path.parent, mode, disk)
    try:
        disk.mkdir(path, mode)
    except FileExistsError:
        if not path.is_dir():
            raise
    sync_directory(path.parent, disk)


def _place(path: Path, data: bytes, mode: int, disk: FileSystem, take_name: Callable[[Path, Path], None]) -> None:
    aside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    handle = disk.create(aside, mode)
    try:
        try:
            disk.write(handle, data)
            disk.sync(handle)
        finally:
            disk.close(handle)
        take_name(aside, path)
    finally:
        disk.unlink(aside)
    sync_directory(path.parent, disk)


def sync_directory(path: Path, disk: FileSystem = DISK) -> None:
    """Make the names in directory `path` durable."""
    handle = disk.open_directory(path)
    try:
        disk.sync(handle)
    finally:
        disk.close(handle)
