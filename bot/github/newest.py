"""Of everything that waits to be written in one place only the newest is: GitHub counts writes and wants them apart.

https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#pause-between-mutative-requests
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


@dataclass
class _Waiting(Generic[R]):
    """What is written next in a place; whoever comes while it waits puts theirs here instead."""

    write: Callable[[], Awaitable[R]]
    over: bool = False
    made: R | None = None
    error: Exception | None = None


class Newest(Generic[K, R]):
    """Places, each with at most one write under way and one that waits: for that, and for a client to be free."""

    def __init__(self) -> None:
        self._waiting: dict[K, _Waiting[R]] = {}
        self._writing: WeakValueDictionary[K, asyncio.Lock] = WeakValueDictionary()

    async def put(self, place: K, write: Callable[[], Awaitable[R]], free: Callable[[], Awaitable[None]]) -> R:
        """Carry out `write`, or what took its turn because it is newer; returns or raises what that does.

        Args:
            place: where it is written.
            write: writes, and is only begun when `free` has returned.
            free: waits until a write may start.
        """
        turn = self._waiting.setdefault(place, _Waiting(write))
        turn.write = write
        async with self._writing.setdefault(place, asyncio.Lock()):
            # Its first writer may have been cancelled on the way; then the next one in the same turn writes.
            if not turn.over:
                await free()
                if self._waiting.get(place) is turn:
                    del self._waiting[place]
                await self._carry_out(turn)
        if turn.error is not None:
            raise turn.error
        return turn.made  # type: ignore[return-value]  # over and no error: it is what `write` returned

    async def _carry_out(self, turn: _Waiting[R]) -> None:
        try:
            turn.made = await turn.write()
        except Exception as error:  # noqa: BLE001 - raised by all who share the turn
            turn.error = error
        turn.over = True
