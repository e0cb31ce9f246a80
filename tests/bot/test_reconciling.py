"""The decisions of the reconcile loop, without GitHub."""

import asyncio
import datetime as dt
from typing import Any, cast

import pytest

from bot.github.errors import Call, GitHubError, GitHubErrorCode
from bot.github.hooks import HookDelivery
from bot.github.objects import Account, AppRef, CheckRunObject
from bot.github.survey import Labelling
from bot.reconcile.checks import RUNS_S_MAX, closing
from bot.reconcile.deliveries import ATTEMPTS_MAX, to_ask_again, to_retry
from bot.reconcile.labels import CLOCKS_APART_S_MAX, WISH_AGE_S_MAX, Wish, judge
from bot.reconcile.loop import Reconciler
from bot.reconcile.runs import ending_of
from execution.gitcmd import GitError
from execution.runs import Run, Source
from execution.upkeep import FailedDelivery, Working
from governance.states import RunOutcome, RunState
from ledger.errors import GitError as LedgerGitError

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
GRACE_S = 300.0


def tried(number: int, guid: str, status: str = "timed out", age_s: float = 9, event: str = "issues") -> HookDelivery:
    when = NOW - dt.timedelta(seconds=age_s)
    return HookDelivery(id=number, guid=guid, delivered_at=when, status=status, event=event, action="labeled")


def asked(*attempts: HookDelivery) -> list[int]:
    return to_ask_again(attempts, lambda event, action: (event, action) == ("issues", "labeled"), NOW)


def test_a_delivery_is_asked_for_by_its_newest_attempt_oldest_delivery_first() -> None:
    assert asked(tried(4, "b"), tried(3, "a"), tried(2, "a"), tried(1, "a")) == [3, 4]


@pytest.mark.parametrize(
    "attempts",
    [
        (tried(2, "a", "OK"), tried(1, "a")),
        (tried(2, "a"), tried(1, "a", "OK")),
        (tried(2, "a", "pending"), tried(1, "a")),
        (tried(1, "a", age_s=-5),),
        (tried(1, "a", event="star"),),
        tuple(tried(number, "a") for number in range(ATTEMPTS_MAX)),
    ],
    ids=["arrived later", "arrived before", "on the way", "too young", "not wanted", "tried often enough"],
)
def test_what_is_not_lost_is_left_alone(attempts: tuple[HookDelivery, ...]) -> None:
    assert asked(*attempts) == []


def test_failed_handlings_wait_twice_as_long_each_time_and_not_for_ever() -> None:
    def failed(attempts: int, ago_s: int) -> FailedDelivery:
        return FailedDelivery("g", "issues", b"{}", attempts, 1_000_000_000 - ago_s * 1000)

    def due(one: FailedDelivery) -> bool:
        return bool(to_retry([one], 1_000_000_000, 60))

    assert [due(failed(1, 59)), due(failed(1, 60)), due(failed(3, 239)), due(failed(3, 240))] == [False, True] * 2
    assert not due(failed(ATTEMPTS_MAX, 10**6))


def run(created_s_ago: float, state: RunState = RunState.CLOSED) -> Run:
    return Run(
        id="0" * 16,
        source=Source.GITHUB,
        repository="octo/site",
        workflow="issue-7",
        requester="maria",
        title="t",
        intent_sha256="0" * 64,
        state=state,
        created_ms=int((NOW.timestamp() - created_s_ago) * 1000),
    )


def label(age_s: float, login: str = "maria", kind: str = "User") -> Labelling:
    return Labelling(id=1, actor=Account(id=1, login=login, type=kind), created_at=NOW - dt.timedelta(seconds=age_s))


@pytest.mark.parametrize(
    ("runs", "given", "wish"),
    [
        ([], label(1000), Wish.OPEN),
        ([], label(10), Wish.YOUNG),
        ([], label(WISH_AGE_S_MAX + 1), Wish.OLD),
        ([], None, Wish.UNSIGNED),
        ([], label(1000, "renovate[bot]", "Bot"), Wish.UNSIGNED),
        ([], Labelling(id=1, actor=None, created_at=NOW), Wish.UNSIGNED),
        ([run(5000, RunState.IN_REVIEW)], label(1000), Wish.GRANTED),
        ([run(999)], label(1000), Wish.GRANTED),
        ([run(1000 + CLOCKS_APART_S_MAX - 1)], label(1000), Wish.GRANTED),
        ([run(1000 + CLOCKS_APART_S_MAX + 1)], label(1000), Wish.OPEN),
    ],
)
def test_a_label_asks_for_one_run(runs: list[Run], given: Labelling | None, wish: Wish) -> None:
    assert judge(runs, given, NOW, GRACE_S) is wish


@pytest.mark.parametrize(
    ("working", "young", "ending"),
    [
        (Working.UNDER_WAY, False, None),
        (Working.CANCELLED, False, RunOutcome.CANCELLED),
        (Working.BROKEN, True, RunOutcome.EXPIRED),
        (Working.ENDED, True, None),
        (Working.ENDED, False, RunOutcome.EXPIRED),
    ],
)
def test_only_what_nobody_works_on_is_ended(working: Working, *, young: bool, ending: RunOutcome | None) -> None:
    assert ending_of(working, young=young) is ending


@pytest.mark.parametrize(("age_s", "conclusion"), [(60, "cancelled"), (RUNS_S_MAX + 1, "timed_out")])
def test_an_orphaned_check_is_never_green(age_s: float, conclusion: str) -> None:
    started = NOW - dt.timedelta(seconds=age_s)
    check = CheckRunObject(id=1, name="optr", status="in_progress", app=AppRef(id=1), started_at=started)
    assert closing(check, NOW)["conclusion"] == conclusion


@pytest.mark.parametrize(
    "trouble",
    [
        GitHubError(GitHubErrorCode.FORBIDDEN, Call("GET", "/"), "no"),
        GitError(["log"], 128, "bad object"),  # our copy of one repository is damaged
        LedgerGitError("git failed"),
        OSError("no space left"),
    ],
)
def test_what_one_repository_meets_does_not_keep_the_others_waiting(trouble: Exception) -> None:
    async def anchor() -> int:
        raise trouble

    nobody = cast("Any", None)
    assert asyncio.run(Reconciler(nobody, nobody, 1.0)._tolerant(anchor())) == 0
