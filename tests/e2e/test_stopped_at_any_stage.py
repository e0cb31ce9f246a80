"""A person stops a run while it writes or opens something: the effect is whole and the end stands after it."""

import os

import pytest

from tests.e2e.service import Place, Service, eventually, racing

COMMAND = ["python3", "bots/regex_order.py", "duration"]
SLOW_SECONDS = 4.0
LONG = pytest.mark.skipif("OPTR_CRASH_ALL" not in os.environ, reason="SKIPPED: `make crash` stops a run at every stage")
PUSH = ("POST", r"/git-receive-pack$")
STAGES = {
    "plan": (("POST", r"/git-upload-pack$"), 0),
    "record_plan": (PUSH, 0),
    "record": (PUSH, 1),
    "publish": (("POST", r"/pulls$"), 0),
}


@pytest.fixture
def place(service: Service, sample: dict[str, bytes]) -> Place:
    """A repository whose one agent finds an answer at once."""
    return service.settle(racing(sample, "worker", worker=COMMAND))


def caught(place: Place, stage: str) -> int:
    """The issue of a run that is in the middle of that stage."""
    github, ((method, path), skip) = place.service.github, STAGES[stage]
    pattern = f"/{place.repository.full_name}(\\.git)?{path}"
    rule = github.fault("slow", method=method, path=pattern, skip=skip, seconds=SLOW_SECONDS)
    issue = place.ask()

    def met() -> bool:
        rules = github.knob("faults/list")["rules"]
        return bool(next(one["hits"] for one in rules if one["id"] == rule))

    eventually(met, lambda: f"{stage} is reached\n{place.service.tail()}")
    return issue


def close(place: Place, issue: int) -> None:
    place.human("ada").patch(f"{place.path}/issues/{issue}", {"state": "closed"})


@pytest.mark.parametrize(
    ("stage", "types"),
    [
        pytest.param("plan", ["RUN_CANCELLED"], marks=LONG),
        ("record_plan", ["MAEG_CREATED", "RUN_CANCELLED"]),
        pytest.param("record", ["MAEG_CREATED", "OPTR_SELECTED", "RUN_CANCELLED"], marks=LONG),
        ("publish", ["MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED", "RUN_CANCELLED"]),
    ],
)
def test_closing_the_issue_ends_it_after_what_it_was_about(place: Place, stage: str, types: list[str]) -> None:
    issue = caught(place, stage)
    close(place, issue)
    place.heard(issue, "closed: **cancelled**")
    lake = place.lake()
    assert lake.types() == types
    assert lake.lines()[-1]["actor"] == "ada"
    lake.verified()
    eventually(lambda: all(pull["state"] == "closed" for pull in place.pulls()), "nothing is left open")
    place.drained()
    assert place.lake().types() == types, "nothing comes after the end"
    assert len(place.ours(issue)) == 1


@LONG
def test_a_cancelled_run_that_was_just_opening_its_pull_request_names_it(place: Place) -> None:
    issue = caught(place, "publish")
    place.say(issue, "/optr cancel")
    place.heard(issue, "closed: **cancelled**")
    (pull,) = place.pulls()
    place.heard(issue, f"Pull request #{pull['number']} stays open")
    assert place.lake().types() == ["MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED", "RUN_CANCELLED"]
