"""Processes that share a PostgreSQL: a dollar is reserved once, and a failing agent is counted and tried as by one."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from execution.breaker import FAILURES_MAX, Breakers
from execution.reservations import Reservations
from execution.store import Store
from tests.execution.budget_worker import AGENT
from tests.postgres import Postgres, as_sqlalchemy

ROOT = Path(__file__).parents[2]
RUNS, AMOUNT, ROOM = 60, 7, 20
CAP = AMOUNT * ROOM + AMOUNT - 1  # the last bit is too little for one more


def together(url: str, *plans: Mapping[str, object]) -> list[dict[str, Any]]:
    """What each process was given; all begin at once."""
    command = [sys.executable, "-m", "tests.execution.budget_worker", url]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen([*command, json.dumps(plan)], cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for plan in plans
    ]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    told = [one.communicate("go\n")[0] for one in started]
    assert [one.returncode for one in started] == [0] * len(plans)
    return [json.loads(text) for text in told]


def rows(store: Store, query: str) -> list[sa.Row[Any]]:
    with store.database.connect() as connection:
        return list(connection.execute(sa.text(query)))


def test_two_processes_never_reserve_more_than_there_is_and_each_run_once(postgres: Postgres) -> None:
    """Each has runs of its own, and both have some in common, as after a takeover."""
    url = as_sqlalchemy(postgres.database())
    own = [[f"{which}{n}" for n in range(RUNS)] for which in "ab"]
    shared = [f"both{n}" for n in range(ROOM // 2)]
    plans = [{"reserve": [*shared, *names], "amount": AMOUNT, "cap": CAP} for names in own]
    told = together(url, *plans)
    assert all(set(shared) <= set(one["reserved"]) for one in told), "who asks again for a run is given the same"
    store = Store(url)
    found = rows(store, "SELECT run, reserved FROM optr_reservations")
    assert {row.run for row in found} == {name for one in told for name in one["reserved"]}
    assert [row.reserved for row in found] == [AMOUNT] * ROOM, "all that there is, and not one more"
    for name in shared:
        Reservations(store).settle(name, 0)
    store.close()
    plans = [{"reserve": [f"later-{name}" for name in names], "amount": AMOUNT, "cap": CAP} for names in own]
    assert sum(len(one["reserved"]) for one in together(url, *plans)) == len(shared), (
        "what was given back is there again"
    )


def test_failures_that_two_processes_meet_are_all_counted_and_one_of_them_gets_the_one_try(postgres: Postgres) -> None:
    url = as_sqlalchemy(postgres.database())
    together(url, {"fail": FAILURES_MAX}, {"fail": FAILURES_MAX})
    store = Store(url)
    assert [tuple(row) for row in rows(store, "SELECT agent, failures FROM optr_breakers")] == [
        (AGENT, 2 * FAILURES_MAX)
    ]
    assert not Breakers(store).admit(AGENT, 1)
    store.close()
    told = together(url, {"try": 20}, {"try": 20})
    assert sorted(one["admitted"] for one in told) == [0, 1]
