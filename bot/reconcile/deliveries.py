"""Deliveries that got lost: GitHub is asked for those that never arrived, our own failures are taken up again.

GitHub does not send a failed delivery again by itself, and forgets it after three days
(https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries).
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from bot.github.hooks import HookDelivery
from execution.upkeep import FailedDelivery

ATTEMPTS_MAX = 6  # of one delivery, by GitHub, and again by us
LOOKED_AT_MAX = 500  # attempts of one pass
ASKED_MAX = 30  # redeliveries of one pass
RETRIED_MAX = 100  # failed handlings of one pass
KEPT_MS = 3 * 24 * 3600 * 1000


class Hooks(Protocol):
    """GitHub's side of deliveries."""

    async def deliveries(self, most: int) -> list[HookDelivery]:
        """The newest attempts, newest first."""
        ...

    async def redeliver(self, attempt: int) -> None:
        """Ask for an attempt again."""
        ...


class Inbox(Protocol):
    """Our side of deliveries."""

    async def failed_deliveries(self, since_ms: int, most: int) -> list[FailedDelivery]:
        """Those whose handling failed for good."""
        ...


class Taker(Protocol):
    """Where deliveries are taken."""

    async def deliver(self, guid: str, event: str, payload: bytes) -> bool:
        """Take a delivery; one that failed is handled anew, one that is done is left alone."""
        ...


def to_ask_again(
    attempts: Iterable[HookDelivery], handles: Callable[[str, str], bool], before: dt.datetime
) -> list[int]:
    """The newest attempt of each delivery that never arrived, oldest delivery first.

    Args:
        attempts: newest first, as GitHub lists them.
        handles: whether we want such a delivery at all.
        before: attempts since then are given time.
    """
    by_guid: dict[str, list[HookDelivery]] = {}
    for attempt in attempts:
        by_guid.setdefault(attempt.guid, []).append(attempt)
    lost = [tries[0] for tries in by_guid.values() if _is_lost(tries, handles, before)]
    return [attempt.id for attempt in reversed(lost)][:ASKED_MAX]


def _is_lost(tries: Sequence[HookDelivery], handles: Callable[[str, str], bool], before: dt.datetime) -> bool:
    newest = tries[0]
    return (
        handles(newest.event, newest.action or "")
        and not any(attempt.arrived or attempt.under_way for attempt in tries)
        and len(tries) < ATTEMPTS_MAX
        and newest.delivered_at <= before
    )


def to_retry(failed: Iterable[FailedDelivery], now_ms: int, wait_s: float) -> list[FailedDelivery]:
    """Failed handlings whose time has come again, `wait_s` after the first; each waits twice as long as the last."""
    wait_ms = int(wait_s * 1000)
    return [
        one
        for one in failed
        if one.attempts < ATTEMPTS_MAX and one.failed_ms + wait_ms * 2 ** (one.attempts - 1) <= now_ms
    ]


async def recover(hooks: Hooks, handles: Callable[[str, str], bool], now: dt.datetime, grace_s: float) -> int:
    """Ask GitHub for what never arrived; returns how many.

    Raises:
        GitHubError: GitHub did not answer; the next pass goes on.
    """
    lost = to_ask_again(await hooks.deliveries(LOOKED_AT_MAX), handles, now - dt.timedelta(seconds=grace_s))
    for attempt in lost:
        await hooks.redeliver(attempt)
    return len(lost)


async def retry(inbox: Inbox, taker: Taker, now_ms: int, wait_s: float) -> int:
    """Handle again what failed here; returns how many."""
    due = to_retry(await inbox.failed_deliveries(now_ms - KEPT_MS, RETRIED_MAX), now_ms, wait_s)
    taken = [await taker.deliver(one.guid, one.event, one.payload) for one in due]
    return sum(taken)
