"""Two processes look after the same runs: what one of them has done meanwhile does not stop the other."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from execution.owed import owe, owing, pay
from execution.upkeep import UNREACHED, Unreached, Upkeep
from execution.world import World
from ledger.entry import Draft
from ledger.extract import entries
from tests.execution.worlds import BASE, RUN, a_repository, a_run, a_store, a_world

TABLE = "optr_artifacts"


def change(home: Path, statement: str) -> None:
    """As somebody else at the same database."""
    with closing(sqlite3.connect(home / "state.db")) as connection, connection:
        connection.execute(statement)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    a_repository(tmp_path)
    store = a_store(tmp_path)
    store.add(a_run(base_commit=BASE))
    yield a_world(tmp_path, store)
    store.close()


def test_a_line_that_the_other_has_paid_is_left_to_it(world: World, tmp_path: Path) -> None:
    owe(world, world.run(RUN), Draft(f"{RUN}/WRAP", "RUN_CANCELLED", "w", RUN, "ada", 1, {"code": "ACCESS_ENDED"}))
    (mine,) = owing(world)
    (theirs,) = owing(world)
    assert asyncio.run(pay(world, theirs, 1))
    assert not asyncio.run(pay(world, mine, 1))
    assert owing(world) == []
    assert [line.id for line in entries(tmp_path / "r.git", lambda _entry: True)] == [f"{RUN}/WRAP"]


def test_a_repository_that_the_other_reaches_at_this_moment_was_out_of_reach_from_now(
    world: World, tmp_path: Path
) -> None:
    keeper = Upkeep(world)
    # The other process forgets the moment as soon as it is noted.
    change(tmp_path, f"CREATE TRIGGER other AFTER INSERT ON {TABLE} BEGIN DELETE FROM {TABLE}; END")
    assert asyncio.run(keeper.unreached(RUN, 5)) == 5
    change(tmp_path, "DROP TRIGGER other")
    assert world.store.find(RUN, UNREACHED, Unreached) is None
    assert [asyncio.run(keeper.unreached(RUN, now_ms)) for now_ms in (7, 9)] == [7, 7], "the first moment stands"
    asyncio.run(keeper.reached(RUN))
    assert asyncio.run(keeper.unreached(RUN, 11)) == 11
