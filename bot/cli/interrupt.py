"""Running to the end, or to the person's Ctrl-C: what is under way is closed in the open first."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from bot.cli.output import say

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CLOSING = "closing the run, which is recorded as cancelled; once more to leave at once"


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, where the first Ctrl-C, SIGTERM or SIGHUP cancels and the second one ends the process.

    Raises:
        KeyboardInterrupt: it was interrupted; what `work` does when it is cancelled was done.
    """
    try:
        return asyncio.run(_interruptible(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    asked: list[int] = []

    def stop(number: int) -> None:
        if asked:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        asked.append(number)
        say(CLOSING)
        task.cancel()

    # One that is ignored stays ignored: nohup, and background jobs of a shell script, mean it.
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    finally:
        for number in heard:
            loop.remove_signal_handler(number)
