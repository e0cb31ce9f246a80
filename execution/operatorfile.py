"""Reading a file that only the operator may have written, because it decides what everybody may do."""

import os
import stat
from pathlib import Path

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def read_operators(path: Path, bytes_max: int) -> bytes:
    """The file's bytes, at most `bytes_max` and one more, so that the caller can tell a longer file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or others may write it.
    """
    # Opened once and judged by descriptor; non-blocking, because a named pipe would hang the start.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("it is not a regular file")
        if facts.st_mode & _OTHERS_MAY_WRITE:
            raise ValueError(f"its mode {stat.S_IMODE(facts.st_mode):04o} lets others write it: `chmod go-w` it")
        return file.read(bytes_max + 1)
