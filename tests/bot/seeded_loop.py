"""An event loop whose order of events is drawn from a seed: the same seed replays the same interleaving.

It overrides a private method of asyncio, so it belongs to tests, and to the Python versions they run on.
"""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SeededLoop(asyncio.SelectorEventLoop):
    """Runs what is ready in an order drawn anew at each turn."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]
        if len(ready) > 1:
            shuffled = list(ready)
            self._random.shuffle(shuffled)
            ready.clear()
            ready.extend(shuffled)
        super()._run_once()  # type: ignore[misc]


def run_seeded(seed: int, work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end under the order that `seed` draws."""
    loop = SeededLoop(seed)
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
