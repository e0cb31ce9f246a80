"""Group commit: callers that come while an append is under way share the next one.

Requests are taken in the order they came, as many as fit, so nobody waits for more than those before. One that cannot
be written fails alone. An append that fails as a whole (refused, busy, git, network) fails for those who were in it,
and appends are idempotent: each of them may simply ask again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass

from ledger.errors import LedgerError
from ledger.request import Request
from ledger.sequencer import Appended

ENTRIES_MAX = 128  # lines in one commit, unless one request alone has more
BYTES_MAX = 64 * 2**20  # bytes of files in one commit, unless one request alone has more

Commit = Callable[[Sequence[Request]], Awaitable[Sequence[Appended | LedgerError]]]
"""Appends requests in one commit and returns an outcome for each, as `Sequencer.append_all`."""


@dataclass(frozen=True)
class _Waiting:
    request: Request
    outcome: "asyncio.Future[Appended]"
    context: Context


class Group:
    """Gathers the concurrent appends of one ledger. Belongs to one event loop.

    Args:
        commit: see `Commit`; never called twice at a time, and always in the context of one of its own callers.
    """

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._queue: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def append(self, request: Request) -> Appended:
        """Append with whoever else is waiting. A caller that is cancelled before its turn is left out.

        Raises:
            LedgerError: what is wrong with this request.
            Exception: what made the whole commit fail.
        """
        waiting = _Waiting(request, asyncio.get_running_loop().create_future(), copy_context())
        self._queue.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await waiting.outcome

    async def _work(self) -> None:
        while self._queue:
            taken = self._take()
            if taken:
                await self._append(taken)

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        entries = size = 0
        while self._queue:
            waiting = self._queue[0]
            if not waiting.outcome.done():  # done already: cancelled
                entries += len(waiting.request.drafts)
                size += waiting.request.size
                if taken and (entries > ENTRIES_MAX or size > BYTES_MAX):
                    break
                taken.append(waiting)
            self._queue.popleft()
        return taken

    async def _committed(self, requests: Sequence[Request]) -> Sequence[Appended | LedgerError]:
        return await self._commit(requests)

    async def _append(self, taken: Sequence[_Waiting]) -> None:
        try:
            # For one who still waits, never for whoever came first of all: what that one held may be given back by now.
            commit = self._committed([waiting.request for waiting in taken])
            outcomes = await asyncio.create_task(commit, context=taken[0].context)
        except BaseException as error:  # carried to each caller; the worker goes on for the next
            for waiting in taken:
                if not waiting.outcome.done():
                    waiting.outcome.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for waiting, outcome in zip(taken, outcomes, strict=True):
            if waiting.outcome.done():
                continue
            if isinstance(outcome, LedgerError):
                waiting.outcome.set_exception(outcome)
            else:
                waiting.outcome.set_result(outcome)
