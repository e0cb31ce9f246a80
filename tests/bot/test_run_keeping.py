"""How a run ends that nobody works on, as the one who keeps runs says it."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.ports import Context
from bot.reconcile.runs import Pulls, RunKeeper
from execution.runs import Run, Source
from execution.stages.admit import APPROVAL_WAITS_MS
from execution.upkeep import Working
from governance.states import RunOutcome, RunState

DAY_MS = 86_400_000
NOW_MS = 30 * DAY_MS


class Book:
    """The engine's view of one run, and what was done to it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.ended: list[tuple[str, RunOutcome, Mapping[str, str]]] = []

    async def open_runs(self) -> list[Run]:
        return [self.run]

    async def closed_since(self, since_ms: int, most: int) -> list[Run]:
        return []

    async def working(self, run_id: str) -> Working:
        return Working.BROKEN

    async def end(self, run_id: str, outcome: RunOutcome, facts: Mapping[str, str]) -> None:
        self.ended.append((run_id, outcome, facts))

    async def show(self, run_id: str) -> None:
        raise AssertionError("nothing is closed here")

    async def unreached(self, run_id: str, now_ms: int) -> int:
        raise AssertionError("everything is within reach here")

    async def reached(self, run_id: str) -> None:
        assert run_id == self.run.id

    async def owing(self) -> list[Run]:
        return []

    async def pay(self, run: Run, installation: int) -> bool:
        raise AssertionError("nothing is owed here")


@pytest.mark.parametrize(
    ("state", "age_ms"),
    [(RunState.AWAITING_APPROVAL, APPROVAL_WAITS_MS + 1), (RunState.EXECUTING, DAY_MS)],
)
def test_what_nobody_answers_or_works_on_expires_by_its_code(state: RunState, age_ms: int) -> None:
    run = Run(
        id="0123456789abcdef",
        source=Source.GITHUB,
        repository="o/r",
        workflow="issue-1",
        requester="ada",
        title="t",
        intent_sha256="a" * 64,
        state=state,
        created_ms=NOW_MS - age_ms,
    )
    book = Book(run)
    context = cast("Context", SimpleNamespace(clock_ms=lambda: NOW_MS))
    keeper = RunKeeper(context, book, cast("Pulls", cast("Any", None)))
    assert asyncio.run(keeper.keep()) == 1
    ((ended, outcome, facts),) = book.ended
    assert (ended, outcome, facts["code"]) == (run.id, RunOutcome.EXPIRED, "RUN_EXPIRED")
