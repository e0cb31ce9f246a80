"""A power cut at any moment: the run completes after the restart, everything is there once, nothing is asked twice.

One App and one database live through all kills of a test, run after run. The ordinary lane tries some points, each with
one kill; OPTR_CRASH_ALL=1 (`make crash`) tries all, each twice in one run, on both databases, and writes a table.

Where the process kills itself: around every step of a run and of its end, between two effects of one step, after each
write to GitHub's API and each push. `before_x` is before the step x does anything, `after_x` when it has had its effect
and nobody has noted that.
"""

import os
import random
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from bot.demo.recorded import RecordedModel
from tests.e2e.conftest import MakeService
from tests.e2e.kills import (
    LEASE_MS,
    MODEL,
    OPENED,
    POSTGRESQL,
    SQLITE,
    Noted,
    asked_since,
    checkpointed,
    everything_once,
    measured,
    note,
    under_way,
)
from tests.e2e.measured import publish
from tests.e2e.service import ROOT, WAIT_SECONDS_MAX, Place, Service, eventually, racing

EVERYWHERE = os.environ.get("OPTR_CRASH_ALL") == "1"
KILLS = int(os.environ.get("OPTR_CRASH_KILLS", "4"))
KILLS_PER_RUN = 8
MOMENT_SECONDS_MAX = 3.0
IN_START_EVERY = 4  # of so many random kills one falls while the App starts

BEFORE_AGENTS = ("deliver", "announce", "plan", "record_plan", "admit", "baseline", "executing", "show_start")
OF_A_NODE = ("dispatch", "attempt", "show_attempt", "judge", "show_verdict")
AFTER_AGENTS = ("cross_vote", "decide", "record", "publish", "show", "let_go")
STEPS = (*BEFORE_AGENTS, *OF_A_NODE, *AFTER_AGENTS)
CLOSING = ("conclude", "show_end")
ASKING = ("show_waiting",)
INSIDE = ("inside_plan", "inside_decide", "inside_record", "appended")
# Steps that a race of one agent does not have, and where the tests stand that run them; these are not killed here.
ELSEWHERE = {
    "enough": "test_race_in_waves.py",
    "verifying": "test_reviewers.py",
    "admit_reviewer": "test_reviewers.py",
    "review": "test_reviewers.py",
    "show_review": "test_reviewers.py",
    "attempts": "test_flow_resume.py",
    "show_layer": "test_flow_resume.py",
    "work": "test_flow_resume.py",
    "record_correction": "test_corrections.py",
}
WRITES_MAX, PUSHES_MAX = 30, 4  # a run makes fewer writes than that: those that it does not reach kill nothing
ROAD = tuple(f"{when}_{step}" for step in STEPS for when in ("before", "after")) + INSIDE
NUMBERED = tuple(f"github_write.{n}" for n in range(1, WRITES_MAX + 1)) + tuple(
    f"git_push.{n}" for n in range(1, PUSHES_MAX + 1)
)
USUAL = {
    SQLITE: ("after_deliver", "inside_plan", "appended", "github_write.4", "after_publish", "after_conclude"),
    POSTGRESQL: ("after_attempt",),
}
# Of a run in review whose repository is not ours any more, because the next trial has its own.
TOLD = ("run left for the next pass", "progress is not shown")
RANDOM = "random"
ONE = "one of everything"
NOT_REACHED = "not reached"
STEP = re.compile(r"""\bstep\(\s*["'](\w+)["']""")


def test_no_step_is_without_a_place_where_the_app_is_killed() -> None:
    found = {name for path in (ROOT / "execution").rglob("*.py") for name in STEP.findall(path.read_text("utf-8"))}
    assert found == {*STEPS, *CLOSING, *ASKING, *ELSEWHERE}
    assert all((ROOT / "tests/e2e" / name).is_file() for name in ELSEWHERE.values())


@dataclass
class Life:
    """One App on one database, and the runs it lives through, one after the other."""

    service: Service
    model: RecordedModel
    files: Mapping[str, bytes]
    noted: Noted = field(default_factory=dict)
    place: Place | None = None
    prepared: Place | None = None

    def settle(self, more: bytes = b"") -> Place:
        """A new repository in place of the last one, so that each start looks after one only."""
        if self.place is not None:
            self.service.github.knob("installations/remove", installation_id=self.place.installed.id)
        rules = self.files[".github/optr.yml"] + more
        self.place = self.service.settle({**self.files, ".github/optr.yml": rules})
        self.service.github.knob("webhooks/drain")
        return self.place

    def remember(self) -> None:
        """Take up what the engine has noted by now, of which nothing may ever change."""
        now = checkpointed(self.service)
        assert self.noted.items() <= now.items(), "a step that was noted as done is never done again"
        self.noted = now

    def rest(self) -> None:
        """Wait until no workflow is under way, then end the process."""
        quiet(self.service)
        self.service.kill()
        self.remember()

    def ready_for(self, more: bytes = b"") -> Place:
        """A place of which the App, which does not run, has been told: the last trial left one, or it is made now."""
        if self.prepared is None or more:
            self.service.start()
            self.settle(more)
            self.rest()
        place, self.prepared = self.place, None
        assert place is not None
        return place

    def rest_and_prepare(self) -> None:
        """The end of a trial: one start less for the next, when its place is made while the App still runs."""
        self.prepared = self.settle()
        self.rest()

    def dies(self, until: Callable[[], object]) -> bool:
        """Whether the App has killed itself before something happened."""
        process = self.service.process
        assert process is not None
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < deadline:
            if process.poll() is not None:
                self.service.await_death()
                self.remember()
                return True
            if until():
                return False
            time.sleep(0.1)
        pytest.fail(f"neither killed nor done:\n{self.service.tail()}")

    def attempts_noted(self) -> int:
        return sum(value.startswith("('attempt',") for value in self.noted.values())


def quiet(service: Service) -> None:
    """Wait until no workflow is under way."""
    eventually(lambda: under_way(service) == 0, lambda: f"nothing is under way:\n{service.tail()}")


def waits_for_a_human(place: Place, issue: int) -> bool:
    return place.our_comment(issue, "waits for a human") is not None


@pytest.fixture
def life(
    make_service: MakeService,
    model: RecordedModel,
    sample: dict[str, bytes],
    database: str,
    request: pytest.FixtureRequest,
) -> Iterator[Life]:
    service = make_service()
    service.tolerated += TOLD
    if database == POSTGRESQL:
        service.environ |= {"OPTR_DATABASE_URL": request.getfixturevalue("postgres").database(), "OPTR_LEASE": LEASE_MS}
    yield Life(service, model, racing(sample, "codex"))
    service.kill()


def killed_on_the_way(life: Life, point: str) -> str:
    """A run that is killed at `point`, and in the long form again there while it recovers; what became of it."""
    service, place = life.service, life.ready_for()
    before = len(life.model.seen)
    service.launch(OPTR_CRASH_AT=point)
    issue = place.ask()
    again = point if "." not in point else "before_show"
    reached = life.dies(lambda: waits_for_a_human(place, issue) and under_way(service) == 0)
    if reached and EVERYWHERE:
        service.launch(OPTR_CRASH_AT=again)
        life.dies(lambda: waits_for_a_human(place, issue) and under_way(service) == 0)
    service.kill()
    service.start()
    place.opened(issue)
    quiet(service)
    everything_once(place, issue, *OPENED)
    asked = asked_since(life.model, before)
    assert asked == dict.fromkeys(range(len(MODEL.turns)), 1), f"a finished attempt is not made again: {asked}"
    life.rest_and_prepare()
    return ONE if reached else NOT_REACHED


def killed_at_the_end(life: Life, point: str) -> str:
    """A merge whose record is interrupted at `point`."""
    service, place = life.service, life.ready_for()
    service.start()
    issue = place.ask()
    pull = place.opened(issue)
    life.rest()
    service.start(OPTR_CRASH_AT=point)
    place.human("grace").put(f"{place.path}/pulls/{pull['number']}/merge", {"sha": pull["head"]["sha"]})
    assert life.dies(lambda: False)
    if EVERYWHERE:
        service.launch(OPTR_CRASH_AT=point)
        assert life.dies(lambda: False)
    service.start()
    place.heard(issue, "closed: **accepted**")
    quiet(service)
    everything_once(place, issue, *OPENED, "WRAP_ORCH_ACCEPTED")
    life.rest_and_prepare()
    return ONE


def killed_while_asking(life: Life, point: str) -> str:
    """A plan that a person has to approve; the App is killed while it says so."""
    service, place = life.service, life.ready_for(b"\nreview: {plan_approval: always}\n")
    service.start(OPTR_CRASH_AT=point)
    issue = place.ask()
    assert life.dies(lambda: False)
    if EVERYWHERE:
        service.launch(OPTR_CRASH_AT=point)
        assert life.dies(lambda: False)
    service.start()
    place.heard(issue, "Waiting for a maintainer's approval")
    place.say(issue, "/optr approve", place.human("grace"))
    place.opened(issue)
    quiet(service)
    everything_once(place, issue, OPENED[0], "HUMAN_REVIEW_RECORDED", *OPENED[1:], answers=1)
    life.rest_and_prepare()
    return ONE


Trial = Callable[[Life, str], str]
TRIALS: Mapping[str, Trial] = {
    **dict.fromkeys((*ROAD, *NUMBERED), killed_on_the_way),
    **{f"{when}_{step}": killed_at_the_end for step in CLOSING for when in ("before", "after")},
    **{f"{when}_{step}": killed_while_asking for step in ASKING for when in ("before", "after")},
}


@pytest.mark.parametrize("database", [SQLITE, POSTGRESQL])
def test_killed_at_points(life: Life, database: str) -> None:
    beyond: set[str] = set()  # kinds of numbered points of which a run has no more
    known = measured().get(database, {}) if EVERYWHERE else {}
    for point in TRIALS if EVERYWHERE else USUAL[database]:
        kind = point.partition(".")[0]
        if kind in beyond or point in known:
            continue
        outcome = TRIALS[point](life, point)
        if outcome == NOT_REACHED:
            assert "." in point, f"{point} was not reached"
            beyond.add(kind)
        elif EVERYWHERE:
            note(database, point, outcome)
            publish("kills", points_table())


@pytest.mark.parametrize("database", [SQLITE, POSTGRESQL] if EVERYWHERE else [SQLITE])
def test_killed_at_random_moments(life: Life, database: str, record_property: Callable[[str, object], None]) -> None:
    """OPTR_CRASH_KILLS kills, KILLS_PER_RUN to a run, at moments that a seed decides, the App's start among them."""
    seed = secrets.randbits(32)
    record_property("seed", seed)
    moments = random.Random(seed)
    done, runs = so_far(database) if EVERYWHERE else (0, 0)
    while done < KILLS:
        kills = min(KILLS_PER_RUN, KILLS - done)
        a_run_with_kills(life, moments, kills)
        done, runs = done + kills, runs + 1
        if EVERYWHERE:
            note(database, RANDOM, f"{done} kills in {runs} runs")
            publish("random kills", random_table())


def a_run_with_kills(life: Life, moments: random.Random, kills: int) -> None:
    """One run that is killed so often; afterwards it is there once, and no finished attempt was made again."""
    service, place = life.service, life.ready_for()
    before, attempts, last = len(life.model.seen), life.attempts_noted(), None
    started = time.monotonic()
    service.start()
    booting = time.monotonic() - started
    issue = place.ask()
    for _ in range(kills):
        time.sleep(moments.uniform(0.0, MOMENT_SECONDS_MAX))
        service.kill()
        life.remember()
        if last is None and life.attempts_noted() > attempts:
            last = len(life.model.seen)
        service.launch()
        if moments.randrange(IN_START_EVERY):
            eventually(service.ready, lambda: f"the App is ready:\n{service.tail()}", 60)
        else:
            time.sleep(moments.uniform(0.0, booting))
    service.kill()
    service.start()
    place.opened(issue)
    quiet(service)
    everything_once(place, issue, *OPENED)
    life.rest_and_prepare()
    assert set(asked_since(life.model, before)) == set(range(len(MODEL.turns)))
    assert last is None or len(life.model.seen) == last, "a finished attempt is not made again"


def so_far(database: str) -> tuple[int, int]:
    """Random kills and their runs, of a lane that was stopped."""
    done, runs = re.findall(r"\d+", measured().get(database, {}).get(RANDOM, "0 0"))
    return int(done), int(runs)


def points_table() -> list[str]:
    """Point by database; of the numbered points those that were reached."""
    found = measured()
    reached = {point for points in found.values() for point in points} - {RANDOM}
    named = [point for point in TRIALS if point not in NUMBERED or point in reached]
    cells = [[found.get(database, {}).get(point, "not run") for database in (SQLITE, POSTGRESQL)] for point in named]
    rows = [f"| `{point}` | {' | '.join(row)} |" for point, row in zip(named, cells, strict=True)]
    return ["| killed at, twice | SQLite | PostgreSQL |", "|---|---|---|", *rows]


def random_table() -> list[str]:
    """What was killed at random, by database."""
    found = {name: measured().get(key, {}) for key, name in ((SQLITE, "SQLite"), (POSTGRESQL, "PostgreSQL"))}
    rows = [f"| {name} | {points.get(RANDOM, 'not run')} |" for name, points in found.items()]
    return [f"| database | of {KILLS} random kills; each run left one of everything |", "|---|---|", *rows]
