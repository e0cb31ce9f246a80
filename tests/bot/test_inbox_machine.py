"""Deliveries between an unreliable GitHub and an App that comes and goes: each is effective exactly once."""

import asyncio
import datetime as dt
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot.github.hooks import HookDelivery
from bot.reconcile.deliveries import ATTEMPTS_MAX, recover, retry
from execution.upkeep import FailedDelivery

START = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
WAIT_S = 300.0


@dataclass
class App:
    """Our side: a delivery is received, failed or done; it is never handled again once it is done."""

    up: bool = True
    healthy: bool = True
    now: dt.datetime = START
    done: Counter[str] = field(default_factory=Counter)
    failures: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, guid: str) -> bool:
        if self.done[guid]:
            return False
        if self.healthy:
            self.done[guid] += 1
            self.failures.pop(guid, None)
        else:
            attempts, _ = self.failures.get(guid, (0, 0))
            self.failures[guid] = attempts + 1, int(self.now.timestamp() * 1000)
        return True

    async def deliver(self, guid: str, event: str, payload: bytes) -> bool:
        return self.take(guid)

    async def failed_deliveries(self, since_ms: int, most: int) -> list[FailedDelivery]:
        found = [
            FailedDelivery(guid, "issues", b"", attempts, failed_ms)
            for guid, (attempts, failed_ms) in self.failures.items()
            if failed_ms >= since_ms
        ]
        return found[:most]


@dataclass
class Hooks:
    """GitHub's side: it tells what it tried, and tries again only when it is asked."""

    app: App
    tried: list[HookDelivery] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)

    def send(self, guid: str, *, lost: bool) -> None:
        arrived = self.app.up and not lost
        if arrived:
            self.app.take(guid)
        status = "OK" if arrived else "timed out"
        number = len(self.tried) + 1
        self.tried.append(
            HookDelivery(
                id=number, guid=guid, delivered_at=self.app.now, status=status, event="issues", action="labeled"
            )
        )

    async def deliveries(self, most: int) -> list[HookDelivery]:
        return self.tried[::-1][:most]

    async def redeliver(self, attempt: int) -> None:
        guid = self.tried[attempt - 1].guid
        self.asked[guid] += 1
        self.send(guid, lost=False)


class Post(RuleBasedStateMachine):
    """What people do, what breaks, and passes of the reconcile loop in between."""

    def __init__(self) -> None:
        super().__init__()
        self.app = App()
        self.hooks = Hooks(self.app)

    @rule(lost=st.booleans())
    def somebody_does_something(self, *, lost: bool) -> None:
        self.hooks.send(f"guid-{len(self.hooks.tried)}", lost=lost)

    @precondition(lambda self: self.hooks.tried)
    @rule(data=st.data())
    def somebody_presses_redeliver(self, data: st.DataObject) -> None:
        self.hooks.send(data.draw(st.sampled_from(self.hooks.tried)).guid, lost=False)

    @rule()
    def the_app_goes_or_comes(self) -> None:
        self.app.up = not self.app.up

    @rule()
    def handling_breaks_or_heals(self) -> None:
        self.app.healthy = not self.app.healthy

    @rule(minutes=st.integers(1, 30))
    def time_passes(self, minutes: int) -> None:
        self.app.now += dt.timedelta(minutes=minutes)

    @precondition(lambda self: self.app.up)
    @rule()
    def reconcile(self) -> None:
        asyncio.run(self.one_pass())

    async def one_pass(self) -> None:
        now_ms = int(self.app.now.timestamp() * 1000)
        await retry(self.app, self.app, now_ms, WAIT_S)
        await recover(self.hooks, lambda *_: True, self.app.now, WAIT_S)

    @invariant()
    def nothing_is_effective_twice(self) -> None:
        assert set(self.app.done.values()) <= {0, 1}

    @invariant()
    def nobody_is_asked_without_end(self) -> None:
        assert all(count < ATTEMPTS_MAX for count in self.hooks.asked.values())

    def teardown(self) -> None:
        """All is well again: whatever was not given up by then gets through."""
        self.app.up = self.app.healthy = True
        for _ in range(2 * ATTEMPTS_MAX):
            self.app.now += dt.timedelta(seconds=WAIT_S * 2**ATTEMPTS_MAX)
            asyncio.run(self.one_pass())
        tries = Counter(one.guid for one in self.hooks.tried)
        given_up = {guid for guid, count in tries.items() if count >= ATTEMPTS_MAX}
        given_up |= {guid for guid, (attempts, _) in self.app.failures.items() if attempts >= ATTEMPTS_MAX}
        assert {guid for guid in tries if not self.app.done[guid]} <= given_up


TestPost = Post.TestCase
TestPost.settings = hypothesis_settings(max_examples=20, stateful_step_count=30, deadline=None)
