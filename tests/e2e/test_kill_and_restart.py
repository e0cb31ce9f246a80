"""A power cut at any moment: the run completes after the restart, everything is there once, nothing is asked twice."""

import os
import signal
import subprocess
from collections import Counter

import pytest

from bot.demo.cassette import demo_cassettes
from bot.demo.recorded import RecordedModel
from tests.e2e.conftest import MakeService
from tests.e2e.service import Place, Service, eventually, racing

# Where the process kills itself, and whether the ordinary lane tries it there (OPTR_CRASH_ALL=1 tries all). `before_x`
# is before the step x does anything, `after_x` when it has had its effect and nobody has noted that; the others are
# between two effects of one step.
POINTS = {
    "before_deliver": False,
    "after_deliver": True,
    "before_announce": False,
    "after_announce": False,
    "before_plan": False,
    "inside_plan": True,
    "after_plan": False,
    "before_record_plan": False,
    "after_record_plan": False,
    "after_baseline": False,
    "before_dispatch": False,
    "after_dispatch": False,
    "before_attempt": False,
    "after_attempt": True,
    "before_judge": False,
    "after_judge": False,
    "before_decide": False,
    "inside_decide": False,
    "after_decide": False,
    "before_record": False,
    "appended": True,
    "inside_record": False,
    "after_record": False,
    "before_publish": False,
    "after_publish": True,
}
CLOSING_POINTS = {"before_conclude": False, "after_conclude": True, "before_show_end": False, "after_show_end": False}
EVERYWHERE = os.environ.get("OPTR_CRASH_ALL") == "1"
MODEL = next(cassette for cassette in demo_cassettes() if cassette.model.startswith("gpt"))


def chosen(points: dict[str, bool]) -> list[str]:
    return [point for point, usual in points.items() if usual or EVERYWHERE]


@pytest.fixture
def place(make_service: MakeService, sample: dict[str, bytes]) -> Place:
    """A repository with one agent, which asks a model; its App is not started yet."""
    return make_service().settle(racing(sample, "codex"))


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


@pytest.mark.parametrize("point", chosen(POINTS))
def test_killed_on_the_way_to_the_pull_request(place: Place, model: RecordedModel, point: str) -> None:
    before = len(model.seen)
    place.service.start(OPTR_CRASH_AT=point)
    issue = place.ask()
    place.service.await_death()
    place.service.start()
    place.opened(issue)
    everything_once(place, issue, "MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED")
    asked = asked_since(model, before)
    assert set(asked) == set(range(len(MODEL.turns)))
    assert set(asked.values()) == {1}, f"a finished attempt is not made again: {asked}"
    reactions = place.reader.get(f"{place.path}/issues/{issue}/reactions")
    assert [one["content"] for one in reactions] == ["eyes"]
    place.service.stop()


@pytest.mark.parametrize("point", chosen(CLOSING_POINTS))
def test_killed_while_a_merge_is_recorded(place: Place, point: str) -> None:
    place.service.start(OPTR_CRASH_AT=point)
    issue = place.ask()
    pull = place.opened(issue)
    place.human("grace").put(f"{place.path}/pulls/{pull['number']}/merge", {"sha": pull["head"]["sha"]})
    place.service.await_death()
    place.service.start()
    place.heard(issue, "closed: **accepted**")
    everything_once(place, issue, "MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED", "WRAP_ORCH_ACCEPTED")
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
