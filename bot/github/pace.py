"""How fast one installation's calls may go: writes apart, and nobody calls while GitHub asked us to wait.

GitHub asks for serial writes at least a second apart:
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#avoid-concurrent-requests
"""

import asyncio
from collections.abc import Awaitable, Callable

WRITE_INTERVAL_S = 1.0


class Pace:
    """Shared by all clients of one installation.

    Args:
        clock: seconds since the epoch.
        sleep: waits that many seconds.
        write_interval_s: least time between the starts of two writes.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        write_interval_s: float = WRITE_INTERVAL_S,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._interval_s = write_interval_s
        self._next_write_s = 0.0
        self._held_until_s = 0.0
        self._writing = asyncio.Lock()

    def hold(self, wait_s: float) -> None:
        """Let nobody call for `wait_s` seconds from now."""
        self._held_until_s = max(self._held_until_s, self._clock() + wait_s)

    def held_s(self) -> float:
        """Seconds until calls may go on, 0 when they may now."""
        return max(self._held_until_s - self._clock(), 0.0)

    async def turn(self, *, write: bool) -> None:
        """Return when this call may start."""
        if (held := self.held_s()) > 0:
            await self._sleep(held)
        if not write or self._interval_s <= 0:
            return
        async with self._writing:
            wait = self._next_write_s - self._clock()
            if wait > 0:
                await self._sleep(wait)
            self._next_write_s = max(self._clock(), self._next_write_s) + self._interval_s
