"""One at a time under a name: among the tasks of this process, and among the processes that share a state."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakValueDictionary

POLL_S = 0.05
SUFFIX = ".turn"


class Turns:
    """Turns by name, each a lock that the kernel takes back from a process that dies.

    Args:
        root: a directory of the state, on a file system whose locks work (a local one, or NFS of version 4); None
            where no other process shares the work.
        sleep: waits that many seconds.
    """

    def __init__(self, root: Path | None = None, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._root = root
        self._sleep = sleep
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Held while anything of that name is written; `name` has been checked and is a relative path.

        Raises:
            OSError: the lock file cannot be made.
        """
        async with self._locks.setdefault(name, asyncio.Lock()):
            if self._root is None:
                yield
                return
            held = _opened(self._root / f"{name}{SUFFIX}")
            try:
                while not _taken(held):
                    await self._sleep(POLL_S)
                yield
            finally:
                os.close(held)


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
