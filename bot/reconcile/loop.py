"""The loop: once at the start, then every few minutes; bounded, and quiet while GitHub asks for quiet."""

import asyncio
import datetime as dt
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot import logs
from bot.github.errors import GitHubError, GitHubErrorCode
from bot.github.git import NameRefusedError
from bot.github.survey import Place, Survey
from bot.ports import Context
from bot.reconcile import checks, deliveries, labels
from bot.reconcile.runs import RunKeeper
from execution.gitcmd import GitError
from ledger.errors import LedgerError

PLACES_MAX = 100  # repositories of one pass; the next pass goes on with the rest
CALLS_RESERVED = 500  # of GitHub's hourly limit, left to the runs themselves

_LOG = logging.getLogger("optr.reconcile")


@dataclass(frozen=True)
class Pass:
    """What one pass did, for the log.

    Attributes:
        asked_again: deliveries that GitHub was asked for.
        retried: deliveries whose handling failed here and was begun anew.
        mended: runs that were started, ended or closed.
        started: runs that labels asked for.
        orphans: checks that were ended.
        anchored: tree heads that were anchored.
    """

    asked_again: int = 0
    retried: int = 0
    mended: int = 0
    started: int = 0
    orphans: int = 0
    anchored: int = 0


@dataclass(frozen=True)
class Sides:
    """Both sides of the comparison.

    Attributes:
        survey, hooks: GitHub.
        inbox, taker, keeper: ours.
        handles: whether we want a delivery of (event, action).
        anchor: anchors the ledger of one repository when it is time; None where the operator did not ask for it.
        look_at: has a look at the ledger of (installation, repository) soon: what a failure or a restart left undone.
    """

    survey: Survey
    hooks: deliveries.Hooks
    inbox: deliveries.Inbox
    taker: deliveries.Taker
    keeper: RunKeeper
    handles: Callable[[str, str], bool]
    anchor: Callable[[Place], Awaitable[int]] | None = None
    look_at: Callable[[int, str], None] = lambda _installation, _repository: None


class Reconciler:
    """Compares GitHub with what we know.

    Args:
        context: what handlers may reach.
        sides: see there.
        interval_s: seconds between two passes, and how long a delivery is given to arrive by itself.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        context: Context,
        sides: Sides,
        interval_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._context = context
        self._sides = sides
        self._interval_s = interval_s
        self._sleep = sleep
        self._next_place = 0
        self._first = True

    async def forever(self) -> None:
        """Pass after pass, until cancelled; a pass that fails is told of and is followed by the next one."""
        while True:
            try:
                done = await self.once()
            except Exception:  # noqa: BLE001 - the loop that repairs must outlive what it could not repair
                logs.event(_LOG, logging.ERROR, "reconciling failed")
            else:
                if done != Pass():
                    logs.event(_LOG, logging.INFO, "reconciled", **vars(done))
            await self._sleep(self._interval_s)

    async def once(self) -> Pass:
        """One pass. What GitHub refuses is left for the next one."""
        now_ms = self._context.clock_ms()
        now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
        grace_s = 0.0 if self._first else self._interval_s  # what failed while we were away is not on the way
        self._first = False
        retried = await deliveries.retry(self._sides.inbox, self._sides.taker, now_ms, self._interval_s)
        asked = await self._tolerant(deliveries.recover(self._sides.hooks, self._sides.handles, now, grace_s))
        mended = await self._sides.keeper.keep()
        started = orphans = anchored = 0
        places = await self._places()
        mended += await self._sides.keeper.pay(places)
        for place in places:
            self._sides.look_at(place.installation, place.name)
            if self._is_tight(place):
                continue
            started += await self._tolerant(
                labels.grant(self._context, self._sides.survey, place, now, self._interval_s)
            )
            orphans += await self._tolerant(checks.close_orphans(self._context, self._sides.survey, place, now))
            if self._sides.anchor is not None:
                anchored += await self._tolerant(self._sides.anchor(place))
        return Pass(asked, retried, mended, started, orphans, anchored)

    async def _places(self) -> list[Place]:
        """The repositories of this pass: each pass goes on where the last one ended."""
        every: list[Place] = []
        try:
            for installation in await self._sides.survey.installations():
                every += await self._sides.survey.repositories(installation)
        except GitHubError as error:
            self._tell(error)
        if not every:
            return []
        begin = self._next_place % len(every)
        self._next_place = begin + PLACES_MAX
        return list(itertools.islice(itertools.cycle(every), begin, begin + min(PLACES_MAX, len(every))))

    def _is_tight(self, place: Place) -> bool:
        remaining = self._sides.survey.remaining(place.installation)
        return remaining is not None and remaining < CALLS_RESERVED

    async def _tolerant(self, work: Awaitable[int]) -> int:
        """A repository that GitHub refuses, or whose copy here is damaged, must not keep the others waiting."""
        try:
            return await work
        except (GitHubError, NameRefusedError, GitError, LedgerError, OSError) as error:
            self._tell(error)
            return 0

    def _tell(self, error: Exception) -> None:
        usual = isinstance(error, GitHubError) and error.code in {
            GitHubErrorCode.RATE_LIMITED,
            GitHubErrorCode.NOT_FOUND,
        }
        logs.event(_LOG, logging.INFO if usual else logging.WARNING, "left for the next pass", why=str(error))
