"""Of several updates that wait for one check run or one comment, GitHub is sent the newest alone."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bot.github.checks import CheckRuns
from bot.github.client import GitHubClient
from bot.github.comments import Comments
from bot.github.errors import GitHubError
from bot.github.newest import Newest
from bot.render.check_run import CheckRun, CheckStatus, Conclusion
from tests.bot.api_server import Asked, Clock, Reply, client_of, serving
from tests.bot.seeded_loop import run_seeded

MARKER = "<!-- optr:run -->"
APP_ID = 7
LOGIN = "optr[bot]"
UPDATES = 30


class Board:
    """A check run and a comment as GitHub keeps them; a reader sees what was written last."""

    def __init__(self) -> None:
        self.check: dict[str, Any] | None = None
        self.comment: dict[str, Any] | None = None
        self.writes: list[str] = []
        self.refusing = False

    def __call__(self, asked: Asked) -> Reply:
        if asked.method == "GET":
            if "check-runs" in asked.path:
                return Reply(body={"total_count": 1, "check_runs": [self.check] if self.check else []})
            return Reply(body=[self.comment] if self.comment else [])
        self.writes.append(asked.method)
        if self.refusing:
            return Reply(403, {"message": "Resource not accessible by integration"})
        if "check-runs" in asked.path:
            self.check = {"id": 1, "html_url": "page", "app": {"id": APP_ID}, **(self.check or {}), **asked.body}
            return Reply(201, self.check)
        self.comment = {"id": 1, "user": {"login": LOGIN, "id": 5, "type": "Bot"}, "body": asked.body["body"]}
        return Reply(201, self.comment)


def on(board: Board, use: Callable[[GitHubClient], Awaitable[None]]) -> Clock:
    clock = Clock()

    async def whole() -> None:
        async with serving(board) as server, client_of(server, clock, write_interval_s=1.0) as client:
            await use(client)

    asyncio.run(whole())
    return clock


def check(title: str, conclusion: Conclusion | None = None) -> CheckRun:
    status = CheckStatus.IN_PROGRESS if conclusion is None else CheckStatus.COMPLETED
    return CheckRun("optr", "a" * 40, "run", status, conclusion, title, "summary", "")


async def login() -> str:
    return LOGIN


def test_updates_that_wait_for_one_check_run_become_one() -> None:
    board, checks = Board(), CheckRuns(str(APP_ID), Clock())

    async def use(client: GitHubClient) -> None:
        await checks.put(client, "o/r", check("start"))
        pages = await asyncio.gather(*(checks.put(client, "o/r", check(f"{n} done")) for n in range(UPDATES)))
        assert set(pages) == {"page"}

    clock = on(board, use)
    assert board.check is not None
    assert board.check["output"]["title"] == f"{UPDATES - 1} done"
    assert board.writes == ["POST", "PATCH"]
    assert clock.slept == [1.0]


def test_updates_that_wait_for_one_comment_become_one_and_those_of_another_do_not() -> None:
    board, comments = Board(), Comments(login)

    async def use(client: GitHubClient) -> None:
        await comments.put(client, "o/r", 1, MARKER, f"{MARKER}\nstart")
        bodies = [f"{MARKER}\n{n}" for n in range(UPDATES)]
        await asyncio.gather(*(comments.put(client, "o/r", 1, MARKER, body) for body in bodies))
        assert board.comment is not None
        assert board.comment["body"] == bodies[-1]
        assert board.writes == ["POST", "PATCH"]
        await asyncio.gather(*(comments.put(client, "o/r", issue, MARKER, bodies[0]) for issue in (1, 2)))
        assert board.writes == ["POST", "PATCH", "PATCH", "PATCH"]

    on(board, use)


def test_late_news_never_takes_the_turn_of_the_last_word() -> None:
    board, checks = Board(), CheckRuns(str(APP_ID), Clock())

    async def use(client: GitHubClient) -> None:
        await checks.put(client, "o/r", check("start"))
        said = [check("waits", Conclusion.ACTION_REQUIRED), check("goes on"), check("won", Conclusion.SUCCESS)]
        await asyncio.gather(*(checks.put(client, "o/r", one) for one in [*said, check("old news")]))

    on(board, use)
    assert board.check is not None
    assert (board.check["conclusion"], board.check["output"]["title"]) == ("success", "won")


def test_whoever_shared_a_refused_write_is_told() -> None:
    board, checks = Board(), CheckRuns(str(APP_ID), Clock())
    board.refusing = True

    async def use(client: GitHubClient) -> None:
        titles = (check(f"{n}") for n in range(5))
        met = await asyncio.gather(*(checks.put(client, "o/r", one) for one in titles), return_exceptions=True)
        assert all(isinstance(error, GitHubError) for error in met)
        board.refusing = False
        await checks.put(client, "o/r", check("at last"))
        assert board.check is not None

    on(board, use)


class Notes:
    """A place whose writes take a while, and who asked for what in which order."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.places: Newest[str, int] = Newest()
        self.asked: list[int] = []
        self.written: list[int] = []

    async def pause(self, turns: int) -> None:
        for _ in range(self.draw.randrange(turns)):
            await asyncio.sleep(0)

    async def ask(self, number: int) -> int:
        await self.pause(12)
        self.asked.append(number)
        return await self.places.put("place", lambda: self.write(number), lambda: self.pause(3))

    async def write(self, number: int) -> int:
        await self.pause(4)
        self.written.append(number)
        return number

    async def everybody(self) -> list[int | BaseException]:
        tasks = [asyncio.create_task(self.ask(number)) for number in range(12)]
        for task in self.draw.sample(tasks, 3):
            await asyncio.sleep(0)
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("seed", range(40))
def test_in_any_order_the_newest_stands_and_nobody_is_forgotten(seed: int) -> None:
    notes = Notes(seed)
    answers = run_seeded(seed, notes.everybody())
    order = {number: place for place, number in enumerate(notes.asked)}
    served = [(number, answer) for number, answer in enumerate(answers) if isinstance(answer, int)]
    assert len(served) >= 9
    assert all(order[answer] >= order[number] for number, answer in served), "as new as what was asked"
    places = [order[number] for number in notes.written]
    assert places == sorted(set(places)), "nothing is written twice, and nothing old over something new"
    assert len(places) < len(order)
