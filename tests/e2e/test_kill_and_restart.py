"""A power cut at any moment: the run completes after the restart, everything is there once, nothing is asked twice."""

import os
import random
import secrets
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
import sqlalchemy as sa

from bot.demo.cassette import demo_cassettes
from bot.demo.recorded import RecordedModel
from tests.e2e.conftest import MakeService
from tests.e2e.service import Place, Service, eventually, racing
from tests.postgres import as_sqlalchemy

# Where the process kills itself: around every step of a run, between two effects of one step, after each write to
# GitHub's API and each push. `before_x` is before the step x does anything, `after_x` when it has had its effect and
# nobody has noted that. The ordinary lane tries USUAL; OPTR_CRASH_ALL=1 (`make crash`) tries all, each twice in one
# run, on both databases.
BEFORE_AGENTS = ("deliver", "announce", "plan", "record_plan", "admit", "baseline", "executing", "show_start")
OF_A_NODE = ("dispatch", "attempt", "show_attempt", "judge", "show_verdict")
AFTER_AGENTS = ("cross_vote", "decide", "record", "publish", "show", "let_go")
STEPS = (*BEFORE_AGENTS, *OF_A_NODE, *AFTER_AGENTS)
INSIDE = ("inside_plan", "inside_decide", "inside_record", "appended")
WRITES = tuple(f"github_write.{n}" for n in range(1, 8)) + tuple(f"git_push.{n}" for n in range(1, 5))
POINTS = tuple(f"{when}_{step}" for step in STEPS for when in ("before", "after")) + INSIDE + WRITES
CLOSING_POINTS = ("before_conclude", "after_conclude", "before_show_end", "after_show_end")
SQLITE, POSTGRESQL = "sqlite", "postgresql"
USUAL = {
    ("after_deliver", SQLITE, 1),
    ("inside_plan", SQLITE, 1),
    ("after_attempt", POSTGRESQL, 2),
    ("appended", SQLITE, 2),
    ("github_write.4", SQLITE, 1),
    ("after_publish", SQLITE, 1),
    ("after_conclude", SQLITE, 1),
}
EVERYWHERE = os.environ.get("OPTR_CRASH_ALL") == "1"
KILLS = int(os.environ.get("OPTR_CRASH_KILLS", "4"))
KILLS_PER_RUN = 4
LEASE_MS = "2000"  # a boot of its own name takes over when this has run out
MODEL = next(cassette for cassette in demo_cassettes() if cassette.model.startswith("gpt"))


def chosen(points: Sequence[str]) -> list[tuple[str, str, int]]:
    """What to try: a point, a database, how many kills."""
    if EVERYWHERE:
        return [(point, database, 2) for point in points for database in (SQLITE, POSTGRESQL)]
    return sorted(one for one in USUAL if one[0] in points)


def second(point: str) -> str:
    """Where to kill again while the run recovers: the same point, which is reached again unless it counts."""
    return point if "." not in point else "before_show"


@pytest.fixture
def place(
    make_service: MakeService, sample: dict[str, bytes], database: str, request: pytest.FixtureRequest
) -> Iterator[Place]:
    """A repository with one agent, which asks a model; its App is not started yet."""
    service = make_service()
    if database == POSTGRESQL:
        url = request.getfixturevalue("postgres").database()
        service.environ |= {"OPTR_DATABASE_URL": url, "OPTR_LEASE": LEASE_MS}
    yield service.settle(racing(sample, "codex"))
    service.kill()


def checkpointed(service: Service) -> dict[tuple[str, int], str]:
    """Every step that the engine has noted as done, with what it noted."""
    url = service.environ.get("OPTR_DATABASE_URL")
    schema = "dbos." if url else ""
    made = as_sqlalchemy(url) if url else f"sqlite:///{service.home / 'state' / 'engine.db'}"
    query = f"SELECT workflow_uuid, function_id, function_name, output, error FROM {schema}operation_outputs"
    engine = sa.create_engine(made, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        return {(row[0], row[1]): repr(row[2:]) for row in connection.execute(sa.text(query))}


def everything_once(place: Place, issue: int, *types: str) -> None:
    """One comment, one check run, one pull request, one line for each milestone, and the ledger verifies."""
    assert len(place.ours(issue)) == 1
    assert len(place.checks(place.base, "optr")) == 1
    (pull,) = place.pulls()
    assert len(place.checks(pull["head"]["sha"], "optr/gate")) == 1
    lake = place.lake()
    assert lake.types() == list(types)
    lake.verified()


def asked_since(model: RecordedModel, before: int) -> Counter[int]:
    """How often the model was asked for each turn."""
    return Counter(seen.turn or 0 for seen in model.seen[before:] if seen.model == MODEL.model)


@pytest.mark.parametrize(("point", "database", "kills"), chosen(POINTS))
def test_killed_on_the_way_to_the_pull_request(place: Place, model: RecordedModel, point: str, kills: int) -> None:
    before = len(model.seen)
    place.service.start(OPTR_CRASH_AT=point)
    issue = place.ask()
    place.service.await_death()
    done = checkpointed(place.service)
    for _ in range(kills - 1):
        place.service.launch(OPTR_CRASH_AT=second(point))
        place.service.await_death()
        done |= checkpointed(place.service)
    place.service.start()
    place.opened(issue)
    everything_once(place, issue, "MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED")
    asked = asked_since(model, before)
    assert set(asked) == set(range(len(MODEL.turns)))
    assert set(asked.values()) == {1}, f"a finished attempt is not made again: {asked}"
    assert done.items() <= checkpointed(place.service).items(), "a step that was noted as done is never done again"
    reactions = place.reader.get(f"{place.path}/issues/{issue}/reactions")
    assert [one["content"] for one in reactions] == ["eyes"]
    place.service.stop()


@pytest.mark.parametrize(("point", "database", "kills"), chosen(CLOSING_POINTS))
def test_killed_while_a_merge_is_recorded(place: Place, point: str, kills: int) -> None:
    place.service.start(OPTR_CRASH_AT=point)
    issue = place.ask()
    pull = place.opened(issue)
    place.human("grace").put(f"{place.path}/pulls/{pull['number']}/merge", {"sha": pull["head"]["sha"]})
    place.service.await_death()
    for _ in range(kills - 1):
        place.service.launch(OPTR_CRASH_AT=point)
        place.service.await_death()
    place.service.start()
    place.heard(issue, "closed: **accepted**")
    everything_once(place, issue, "MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED", "WRAP_ORCH_ACCEPTED")
    place.service.stop()


@pytest.mark.parametrize("database", [SQLITE, POSTGRESQL] if EVERYWHERE else [SQLITE])
def test_killed_at_random_moments(place: Place, record_property: Callable[[str, object], None]) -> None:
    """OPTR_CRASH_KILLS kills in all, KILLS_PER_RUN to a run, at moments that a seed decides."""
    seed = secrets.randbits(32)
    record_property("seed", seed)
    moments = random.Random(seed)
    for _ in range(max(1, KILLS // KILLS_PER_RUN // (2 if EVERYWHERE else 1))):
        done: dict[tuple[str, int], str] = {}
        place.service.start()
        issue = place.ask()
        for _ in range(KILLS_PER_RUN):
            time.sleep(moments.uniform(0.05, 2.5))
            place.service.kill()
            done |= checkpointed(place.service)
            place.service.start()
        pull = place.opened(issue)
        assert len(place.ours(issue)) == 1
        assert len(place.checks(pull["head"]["sha"], "optr/gate")) == 1
        assert done.items() <= checkpointed(place.service).items(), "a step that was noted as done is never done again"
        lake = place.lake()
        lines = [line["type"] for line in lake.lines() if line["workflow"] == f"issue-{issue}"]
        assert lines == ["MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED"]
        lake.verified()
        place.service.stop()


def test_a_stop_in_the_middle_is_clean_and_a_kill_leaves_no_process(
    make_service: MakeService, sample: dict[str, bytes]
) -> None:
    """SIGTERM ends the process with status 0; after SIGKILL no agent goes on alone; both times the run goes on."""
    nap = "4.125"
    command = ["sh", "-c", f"sleep {nap}; python3 bots/regex_order.py duration"]
    service: Service = make_service()
    place = service.settle(racing(sample, "napper", napper=command))
    service.start()
    issue = place.ask()
    eventually(lambda: sleeping(nap), "the agent is at work")
    service.stop()
    assert not sleeping(nap), "a stop takes the agents' processes with it"
    service.start()
    eventually(lambda: sleeping(nap), "the agent is at work again")
    assert service.process is not None
    service.process.send_signal(signal.SIGKILL)
    service.process.wait(10)
    eventually(lambda: not sleeping(nap), "no agent outlives the App", 20)
    service.start()
    place.opened(issue)
    everything_once(place, issue, "MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED")
    service.stop()


def sleeping(seconds: str) -> bool:
    """Whether a program of that name and argument runs."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return f"sleep {seconds}" in [line.strip() for line in listed.stdout.splitlines()]
