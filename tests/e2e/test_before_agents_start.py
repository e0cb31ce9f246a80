"""Between the plan and the first agent: a person is asked, money is reserved."""

import json

import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.service import Place, Service, racing

ASK = b"\nreview: {plan_approval: always}\n"
NOT_GRACE = b"""permit (principal, action, resource);
@id("not-grace") forbid (principal == Human::"grace", action == Action::"approve", resource);
"""
ONLINE = "type: command\nnetwork: true"


@pytest.fixture
def place(service: Service, sample: dict[str, bytes]) -> Place:
    """A repository that has every plan approved."""
    files = racing(sample, "regex-order")
    return service.settle({**files, ".github/optr.yml": files[".github/optr.yml"] + ASK})


def test_nothing_starts_before_somebody_else_approves_the_plan(place: Place) -> None:
    issue = place.ask("ada")
    place.heard(issue, "Waiting for a maintainer's approval")
    check = place.concluded(place.base, "optr", "action_required")
    place.say(issue, "/optr plan")
    place.heard_all(issue, "It waits", f"/optr approve {place.base[:12]}")
    place.say(issue, "/optr approve")
    place.heard(issue, "does not approve its plan")
    place.say(issue, "/optr approve 0123456", place.human("grace"))
    place.heard(issue, "another commit")
    place.say(issue, "/optr approve", place.reader)
    place.heard(issue, "takes write permission")
    assert place.lake().types() == ["MAEG_CREATED"]

    knob = place.service.github.knob
    button = {"check_run_id": check["id"], "identifier": f"approve:{check['external_id'][:12]}", "login": "grace"}
    knob("press-button", repository=place.repository.full_name, **button)
    place.opened(issue)
    place.concluded(place.base, "optr", "success")
    assert len(place.checks(place.base, "optr")) == 1
    lake = place.lake()
    lake.verified()
    assert lake.types() == ["MAEG_CREATED", "HUMAN_REVIEW_RECORDED", "OPTR_SELECTED", "PR_OPENED"]
    assert lake.lines()[1]["actor"] == "grace"
    place.say(issue, "/optr approve", place.human("grace"))
    place.drained()
    assert len(place.pulls()) == 1


def test_the_repository_s_policy_says_who_approves_a_plan(service: Service, sample: dict[str, bytes]) -> None:
    files = racing(sample, "regex-order")
    rules = files[".github/optr.yml"] + b"\nreview: {plan_approval: always, two_person: false}\n"
    place = service.settle({**files, ".github/optr.yml": rules, ".github/optr/policy.cedar": NOT_GRACE})
    issue = place.ask("ada")
    place.heard(issue, "Waiting for a maintainer's approval")
    place.say(issue, "/optr approve", place.human("grace"))
    place.heard_all(issue, "Nothing was approved", "not-grace", "`POLICY_DENIED`", "The run waits on")
    place.say(issue, "/optr approve")
    place.opened(issue)
    approved = place.lake().lines()[1]
    assert (approved["type"], approved["actor"], approved["ownRequest"]) == ("HUMAN_REVIEW_RECORDED", "ada", True)
    policy = json.loads((place.lake().workflow(f"issue-{issue}") / "policy.json").read_text())
    assert approved["policy"] == policy["digest"]


def test_a_rejected_plan_ends_the_run_and_a_waiting_one_can_be_cancelled(place: Place) -> None:
    issue, other = place.ask(), place.ask()
    for one in (issue, other):
        place.heard(one, "Waiting for a maintainer's approval")
    place.say(issue, "/optr reject", place.human("grace"))
    place.heard(issue, "no agent was started")
    place.heard(issue, "closed: **refused**")
    place.say(other, "/optr cancel")
    place.heard(other, "closed: **cancelled**")
    lake = place.lake()
    lake.verified()
    assert sorted(lake.types()) == ["MAEG_CREATED", "MAEG_CREATED", "RUN_CANCELLED", "RUN_REFUSED"]
    assert next(line for line in lake.lines() if line["type"] == "RUN_REFUSED")["actor"] == "grace"
    assert place.branches() == {"main", "datalake"}


def test_a_run_that_could_cost_too_much_is_refused_before_anything_starts(
    make_service: MakeService, sample: dict[str, bytes]
) -> None:
    service = make_service()
    service.start(OPTR_BUDGET_RUN="4.99", OPTR_AGENT_NETWORK="1")
    files = racing(sample, "online", online=["false"])
    profile = ".github/agents/online.agent.md"
    online = files[profile].replace(b"type: command", ONLINE.encode())
    rules = files[".github/optr.yml"] + b"\nreview: {plan_approval: never}\n"
    place = service.settle({**files, profile: online, ".github/optr.yml": rules})
    issue = place.ask()
    place.heard_all(issue, "closed: **refused**", "\\$5.00 at worst", "\\$4.99 are left")
    check = place.concluded(place.base, "optr", "action_required")
    assert "nothing was started" in check["output"]["summary"]
    place.say(issue, "/optr budget")
    place.heard_all(issue, "at worst $5.00, reserved $0, spent so far $0", "limit of one run: $4.99")
    lake = place.lake()
    lake.verified()
    assert lake.types() == ["MAEG_CREATED", "RUN_REFUSED"]
    assert lake.lines()[-1]["code"] == "BUDGET_DENIED"
    service.stop()


def test_an_edit_supersedes_a_plan_that_waits(place: Place) -> None:
    issue = place.ask()
    place.heard(issue, "Waiting for a maintainer's approval")
    place.human("ada").patch(f"{place.path}/issues/{issue}", {"body": "Something else."})
    place.heard_all(issue, f"· issue-{issue} ·", "closed: **superseded**")
    place.heard(issue, "A new run has begun")
    place.heard_all(issue, f"· issue-{issue}.2 ·", "Waiting for a maintainer's approval")
    place.say(issue, "/optr cancel")
    place.heard_all(issue, f"· issue-{issue}.2 ·", "closed: **cancelled**")
    assert sorted(place.lake().types()) == ["MAEG_CREATED", "MAEG_CREATED", "RUN_CANCELLED", "RUN_SUPERSEDED"]
