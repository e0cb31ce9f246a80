"""Kill switches, limits of one person, and agents that keep failing."""

import json

from execution.breaker import FAILURES_MAX
from tests.e2e.conftest import MakeService
from tests.e2e.service import Place, Service, racing
from tests.github.server import unique_name

SLOW = ["sleep", "977"]


def test_pausing_a_repository_stops_what_works_and_what_would_start(service: Service, sample: dict[str, bytes]) -> None:
    place = service.settle(racing(sample, "sleeper", sleeper=SLOW))
    elsewhere = service.settle(racing(sample, "regex-order"))
    root = place.human("root", "admin")
    issue = place.ask()
    place.heard(issue, "**executing**")
    place.say(issue, "/optr pause")
    place.heard(issue, "takes admin permission")
    place.say(issue, "/optr pause", root)
    place.heard_all(issue, "paused in this repository by root", "1 runs at work were cancelled")
    place.heard(issue, "closed: **cancelled**")
    place.label(issue)
    place.heard(issue, "root has paused OPTR")
    elsewhere.opened(elsewhere.ask())
    place.say(issue, "/optr resume", root)
    place.heard(issue, "not paused in this repository any more")
    place.label(issue)
    place.heard_all(issue, f"issue-{issue}.2", "**executing**")
    place.say(issue, "/optr cancel")
    place.heard_all(issue, f"issue-{issue}.2", "closed: **cancelled**")
    assert place.lake().types().count("RUN_CANCELLED") == 2


def test_the_operator_s_switch_and_the_limit_of_one_person(make_service: MakeService, sample: dict[str, bytes]) -> None:
    service = make_service()
    service.start(OPTR_RUNS_OF_PERSON="1")
    place = service.settle(racing(sample, "regex-order"))
    switch = service.home / "state/paused"
    switch.write_text("the model provider is down")
    issue = place.ask()
    place.heard_all(issue, "operator has paused it", "the model provider is down")
    assert place.checks(place.base, "optr") == []
    switch.unlink()
    place.label(issue)
    place.opened(issue)
    other = place.ask()
    place.heard(other, "has started 1 runs in the last 24 hours")
    grace = place.human("grace")
    place.label(other, grace)
    place.opened(other)

    # A new login gives nobody more, and whoever takes the old one gets what is theirs.
    asker = unique_name("asker")
    person = place.human(asker)
    place.opened(place.ask(asker))
    service.github.knob("users/rename", login=asker, to=f"{asker}-new")
    late = place.open_issue("grace")
    place.label(late, person)
    place.heard(late, f"{asker}-new has started 1 runs in the last 24 hours")
    place.label(late, service.github.as_user(asker, place.repository, "write"))
    place.opened(late)
    service.stop()


def test_an_agent_that_keeps_failing_sits_out_and_the_plan_says_so(service: Service, sample: dict[str, bytes]) -> None:
    place: Place = service.settle(racing(sample, "broken", "regex-order", broken=["false"]))
    issue = place.open_issue()
    for number in range(1, FAILURES_MAX + 2):
        workflow = f"issue-{issue}" if number == 1 else f"issue-{issue}.{number}"
        place.label(issue)
        comment = place.heard_all(issue, f"· {workflow} ·", "waits for a human")
        place.say(issue, "/optr cancel")
        place.heard_all(issue, f"· {workflow} ·", "closed: **cancelled**")
    assert "sits out: it failed 5 times in a row" in comment["body"]
    plan = json.loads((place.lake().workflow(workflow) / "plan.json").read_text())
    assert [node["agent"] for node in plan["graph"]["nodes"] if node["agent"] == "broken"] == []
