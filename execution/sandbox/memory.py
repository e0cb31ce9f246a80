"""A file that exists in memory alone, to hand something to a launcher that is none of the host's business."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def in_memory(content: bytes) -> Iterator[int]:
    """A descriptor at the start of a file that holds `content`; closed at the end."""
    descriptor = os.memfd_create("optr-sandbox")
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
