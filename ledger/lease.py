"""Taking turns: one process at a time appends to a git directory, as long as everybody is quick.

A courtesy, not a safeguard: it keeps sequencers of one machine from staging commits that lose their race. What makes
appending safe is the store's compare-and-swap and the branch's. So a holder that hangs is passed by after a while, and
the kernel ends the lease of one that dies.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LEASE_WAIT_S = 30.0  # seconds before a holder that hangs, in a push say, is passed by
_POLL_S = 0.005  # seconds


class Lease:
    """A lock file.

    Args:
        path: the file; its directory is made when missing.
        clock: seconds, monotone.
        sleep: pauses for so many seconds.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._path = path
        self._clock = clock
        self._sleep = sleep

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Hold the lease for the block; the value tells whether it was to be had.

        Raises:
            OSError: the file cannot be made.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield self._wait(handle)
        finally:
            os.close(handle)

    def _wait(self, handle: int) -> bool:
        end = self._clock() + LEASE_WAIT_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._clock() >= end:
                    return False
                self._sleep(_POLL_S)
            else:
                return True
