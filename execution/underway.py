"""The workflows that run in this process now, so that a stop can interrupt them cleanly.

An interrupted workflow keeps its journal as it is and goes on from there at the next start. Without this, whatever runs
while the engine goes down would see its thread pool vanish, and take that for a failure of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

INTERRUPT_SECONDS_MAX = 15.0

P = ParamSpec("P")
R = TypeVar("R")


class UnderWay:
    """Counts workflows from their first step until their outcome is stored."""

    def __init__(self) -> None:
        self._inside: set[asyncio.Task[Any]] = set()
        self._unfinished: set[asyncio.Task[Any]] = set()
        self._stopping = False

    def counted(self, flow: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        """`flow`, counted while it runs; once the process is stopping it is cancelled before it begins."""

        @wraps(flow)
        async def counting(*args: P.args, **kwargs: P.kwargs) -> R:
            task = asyncio.current_task()
            if task is None or self._stopping:
                raise asyncio.CancelledError
            self._inside.add(task)
            self._unfinished.add(task)
            task.add_done_callback(self._unfinished.discard)  # when the flow has ended its outcome is yet to be stored
            try:
                return await flow(*args, **kwargs)
            finally:
                self._inside.discard(task)

        return counting

    async def interrupt(self) -> None:
        """Interrupt all of them and wait until they have let go of what they hold."""
        self._stopping = True
        for task in self._inside:
            task.cancel()
        if self._unfinished:
            await asyncio.wait(self._unfinished, timeout=INTERRUPT_SECONDS_MAX)
