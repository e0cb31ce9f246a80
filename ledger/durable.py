"""Files that survive power loss once the call returns: write aside, fsync, take the name, fsync the directory.

Without the first fsync a crash can leave the name on torn content; without the second it can lose the name.
After an fsync error nothing is retried: the kernel may have dropped the pages, so the error goes to the caller.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def create(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Create `path` with exactly `data`, or leave nothing.

    Raises:
        FileExistsError: `path` is there already, whatever it holds.
        OSError: the file system refused.
    """
    _place(path, data, mode, os.link)


def replace(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Make `path` hold exactly `data`; a crash leaves either the old content or the new.

    Raises:
        OSError: the file system refused.
    """
    _place(path, data, mode, os.replace)


def _place(path: Path, data: bytes, mode: int, take_name: Callable[[Path, Path], None]) -> None:
    aside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        take_name(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in directory `path` durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
