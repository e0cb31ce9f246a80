"""How fast one installation's calls may go: writes apart, and nobody calls while GitHub asked us to wait.

GitHub asks for serial writes at least a second apart:
https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#avoid-concurrent-requests
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext

WRITE_INTERVAL_S = 1.0
HELD_S_MAX = 900.0


class HeldError(Exception):
    """GitHub asked for a longer wait than a call should sit through.

    Attributes:
        wait_s: seconds until calls may go on.
    """

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"GitHub asked us to wait {wait_s:.0f} s")
        self.wait_s = wait_s


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

    async def until_free(self) -> None:
        """Wait until a write need not wait any more; somebody else's may be faster all the same."""
        if (wait := self._wait_s(write=True)) > 0:
            await self._sleep(min(wait, HELD_S_MAX))

    @asynccontextmanager
    async def turn(self, *, write: bool) -> AsyncIterator[None]:
        """Held for one attempt of one call: reads go side by side, writes one after the other.

        Raises:
            HeldError: it would have to wait too long; nothing was waited for.
        """
        async with self._writing if write else nullcontext():
            while (wait := self._wait_s(write=write)) > 0:
                if (held := self.held_s()) > HELD_S_MAX:
                    raise HeldError(held)
                await self._sleep(wait)
            if write:
                self._next_write_s = self._clock() + self._interval_s
            yield

    def _wait_s(self, *, write: bool) -> float:
        return max(self.held_s(), self._next_write_s - self._clock() if write else 0.0)
