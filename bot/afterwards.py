"""What is done about a ledger after lines were published, off the path of any run.

A run is over when its lines are on GitHub; what others say of them may come later, and may fail. Nothing is lost by a
failure: whether something is owed is read from the ledger itself, so every pass of the reconcile loop asks again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from bot import logs
from bot.github.errors import GitHubError
from bot.github.git import NameRefusedError
from execution.whose import working_for
from ledger.errors import LedgerError

HOLDER = "afterwards"  # whose tokens those of this work are
SETTLE_S = 5.0  # seconds that are given to the next lines: GitHub asks for at most six pushes a minute
AT_ONCE_MAX = 4  # ledgers that are worked on at the same time

_LOG = logging.getLogger("optr.afterwards")


class Chore(Protocol):
    """Something that is due once a ledger has grown."""

    def owed(self, repository: str) -> bool:
        """Whether it is due, by our copy of the branch; blocking, and may fail with LedgerError or OSError."""
        ...

    async def do(self, installation: int, repository: str) -> None:
        """Do it; may be done twice. May fail with GitHubError, LedgerError or OSError, and is then owed still."""
        ...


class Afterwards:
    """Does the chores of every ledger that has grown.

    Args:
        chores: in this order.
        revoke: takes back the tokens of a holder.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        chores: Sequence[Chore],
        revoke: Callable[[str], Awaitable[int]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._chores = chores
        self._revoke = revoke
        self._sleep = sleep
        self._due: set[tuple[int, str]] = set()
        self._woken = asyncio.Event()
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)

    def published(self, installation: int, repository: str) -> None:
        """Have a look at a ledger soon; costs nothing when nothing is owed there."""
        if self._chores:
            self._due.add((installation, repository))
            self._woken.set()

    async def forever(self) -> None:
        """Work until cancelled."""
        with working_for(HOLDER):
            while True:
                await self._woken.wait()
                await self._sleep(SETTLE_S)
                await self.once()

    async def once(self) -> None:
        """Do what is owed now; what fails is told of and waits for the next look."""
        self._woken.clear()
        due, self._due = self._due, set()
        worked = await asyncio.gather(*(self._visit(*one) for one in sorted(due)))
        if any(worked):
            await self._revoke(HOLDER)

    async def _visit(self, installation: int, repository: str) -> bool:
        worked = False
        async with self._turns:
            for chore in self._chores:
                try:
                    if await asyncio.to_thread(chore.owed, repository):
                        worked = True
                        await chore.do(installation, repository)
                except (GitHubError, NameRefusedError, LedgerError, OSError) as error:
                    logs.event(_LOG, logging.WARNING, "left for later", repository=repository, why=str(error))
                except Exception:  # noqa: BLE001 - the others' turn must come whatever one of them met
                    logs.event(_LOG, logging.ERROR, "a chore failed", repository=repository)
        return worked
