"""Who and what starts no run."""

import pytest

from tests.e2e.service import Place, Service, eventually, racing

SLEEP = ["sleep", "977"]


@pytest.fixture
def place(service: Service, sample: dict[str, bytes]) -> Place:
    """A repository where a run goes on until somebody ends it."""
    return service.settle(racing(sample, "sleeper", sleeper=SLEEP))


def test_without_write_permission_one_polite_refusal_and_no_run(place: Place) -> None:
    issue, eve = place.open_issue(), place.human("eve", "triage")
    place.label(issue, eve)
    place.label(issue, eve)
    refusal = place.heard(issue, "takes write permission")
    assert "@eve" in refusal["body"]
    place.drained()
    assert len(place.ours(issue)) == 1
    assert place.checks(place.base, "optr") == []
    assert place.branches() == {"main"}


def test_bots_and_our_own_events_start_nothing(place: Place) -> None:
    github, issue = place.service.github, place.open_issue()
    other = github.create_app(None, None, {"issues": "write"}, [])
    bot = github.as_installation(other, github.install(other, place.repository))
    ourselves = github.as_installation(place.service.app, place.installed)
    for client in (bot, ourselves):
        place.label(issue, client)
        place.say(issue, "/optr run", client)
    place.drained()
    assert [comment["body"] for comment in place.ours(issue)] == ["/optr run"], "only what the test said in our name"
    assert place.checks(place.base, "optr") == []
    assert place.branches() == {"main"}


def test_another_label_starts_nothing(place: Place) -> None:
    issue = place.open_issue()
    place.label(issue, name="bug")
    place.label(issue, name="optr-workflow-later")
    place.drained()
    assert place.nothing_happened(issue)


def test_a_label_on_a_closed_issue_says_so_and_starts_nothing(place: Place) -> None:
    issue = place.open_issue()
    place.human("ada").patch(f"{place.path}/issues/{issue}", {"state": "closed"})
    place.label(issue)
    place.heard(issue, "This issue is closed")
    place.drained()
    assert len(place.ours(issue)) == 1
    assert place.checks(place.base, "optr") == []


def test_while_a_run_is_active_another_label_says_so_once_and_closing_the_issue_ends_it(place: Place) -> None:
    issue = place.ask()
    place.heard(issue, "**executing**")
    place.label(issue)
    place.label(issue)
    place.heard(issue, "no second one was started")
    place.drained()
    assert len(place.ours(issue)) == 2, "the run's own, and one answer to both labels"
    assert len(place.checks(place.base, "optr")) == 1
    place.human("ada").patch(f"{place.path}/issues/{issue}", {"state": "closed"})
    place.concluded(place.base, "optr", "cancelled")
    eventually(lambda: place.lake().types() == ["MAEG_CREATED", "RUN_CANCELLED"], "the ledger's closing line")
    assert place.pulls() == []
