"""A run whose repository goes out of reach ends, once; its line waits here until the repository is back."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.access import ACCESS_WAITS_MS
from tests.e2e.conftest import MakeService
from tests.e2e.service import Place, Service, eventually, racing

OFTEN = {"OPTR_RECONCILE_INTERVAL": "500"}


@pytest.fixture
def place(make_service: MakeService, sample: dict[str, bytes]) -> Iterator[Place]:
    """A repository with one quick agent, whose App looks around twice a second."""
    made = make_service()
    made.tolerated += ["left for the next pass", "unicorn", "is not shown"]
    made.start(**OFTEN)
    yield made.settle(racing(sample, "regex-order"))
    made.stop()


def database(service: Service) -> Path:
    return service.home / "state" / "state.db"


def run_of(place: Place, issue: int) -> dict[str, Any]:
    with closing(sqlite3.connect(database(place.service), timeout=10)) as connection:
        rows = connection.execute(
            "select data from optr_runs where repository = ? and issue = ?", (place.repository.full_name, issue)
        ).fetchall()
    (row,) = rows
    return dict(json.loads(row[0]))


def owed(place: Place) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(database(place.service), timeout=10)) as connection:
        found = connection.execute("select data from optr_artifacts where name = 'owed'").fetchall()
    return [json.loads(row[0]) for row in found]


def ended(place: Place, issue: int) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        run = run_of(place, issue)
        return run if run["state"] == "closed" else None

    return eventually(look, lambda: f"{run_of(place, issue)}\n{place.service.tail()}")


def asked(place: Place, *starts: str) -> int:
    """How many requests GitHub got whose path begins with one of `starts`."""
    log = place.service.github.knob("requests")["requests"]
    return sum(one["kind"] in {"app", "installation"} and one["path"].startswith(starts) for one in log)


def in_review(place: Place) -> int:
    """A run whose pull request is open, and nothing left to be done about it."""
    issue = place.ask()
    place.opened(issue)
    place.drained()
    return issue


def is_left_alone(place: Place) -> None:
    """While the App looks around three times more, it asks nothing about the repository or its installation."""
    about = (place.path, f"/app/installations/{place.installed.id}/")
    looks_around(place, 2)  # the pass that was under way had its list of repositories already

    def is_quiet() -> bool:
        before = asked(place, *about)
        looks_around(place, 3)
        return asked(place, *about) == before

    # A delivery of before may be handled once more; nothing is asked for ever.
    assert any(is_quiet() for _ in range(3)), "it goes on asking"


def looks_around(place: Place, passes: int) -> None:
    """Wait until the App has begun so many passes more."""
    look = "/app/hook/deliveries"
    looks = asked(place, look)
    eventually(lambda: asked(place, look) >= looks + passes, "it looks around")


def remove(place: Place, **how: Any) -> None:
    place.service.github.knob("installations/remove", installation_id=place.installed.id, **how)


def test_a_repository_taken_from_the_app_ends_its_run_and_the_line_is_written_when_it_is_back(place: Place) -> None:
    issue = in_review(place)
    lines = place.lake().types()
    remove(place, repository=place.repository.full_name)
    run = ended(place, issue)
    assert (run["outcome"], run["code"]) == ("cancelled", "ACCESS_ENDED")
    assert "taken from the App" in run["problem"]
    (kept,) = owed(place)
    assert (kept["type"], kept["body"]["code"]) == ("RUN_CANCELLED", "ACCESS_ENDED")
    assert place.lake().types() == lines, "nothing was pushed to it"
    place.service.github.install(place.service.app, place.repository)
    eventually(lambda: not owed(place), "the kept line is written")
    lake = place.lake()
    lake.verified()
    assert lake.types() == [*lines, "RUN_CANCELLED"]
    assert lake.lines()[-1]["actor"] == place.repository.owner


def test_an_uninstalled_app_ends_the_runs_there(place: Place) -> None:
    issue = in_review(place)
    remove(place)
    run = ended(place, issue)
    assert (run["outcome"], run["code"]) == ("cancelled", "ACCESS_ENDED")
    assert "uninstalled" in run["problem"]
    is_left_alone(place)


@pytest.mark.parametrize("action", ["deleted", "transferred"])
def test_a_repository_deleted_or_transferred_ends_its_run(place: Place, action: str) -> None:
    issue = in_review(place)
    name, _ = place.repository.full_name, place.human("grace")
    payload: dict[str, Any] = {"action": action}
    if action == "transferred":
        account = place.human("ada").get(f"/users/{place.repository.owner}")
        payload["changes"] = {"owner": {"from": {"user": account}}}
    place.service.github.knob("webhooks/emit", event="repository", repository=name, payload=payload, login="grace")
    run = ended(place, issue)
    assert (run["outcome"], run["code"]) == ("cancelled", "ACCESS_ENDED")
    assert action in run["problem"]


def test_what_no_event_told_of_ends_after_three_days_and_not_before(place: Place) -> None:
    issue = in_review(place)
    remove(place, repository=place.repository.full_name, silent=True)

    def since() -> int | None:
        with closing(sqlite3.connect(database(place.service), timeout=10)) as connection:
            row = connection.execute("select data from optr_artifacts where name = 'unreached'").fetchone()
        return json.loads(row[0])["since_ms"] if row else None

    noticed = eventually(since, lambda: f"it is noticed\n{place.service.tail()}")
    assert run_of(place, issue)["state"] == "in_review"
    with closing(sqlite3.connect(database(place.service), timeout=10)) as connection, connection:
        earlier = json.dumps({"since_ms": noticed - ACCESS_WAITS_MS})
        connection.execute("update optr_artifacts set data = ? where name = 'unreached'", (earlier,))
    run = ended(place, issue)
    assert (run["outcome"], run["code"]) == ("cancelled", "ACCESS_ENDED")
    assert "three days" in run["problem"]
    is_left_alone(place)
