"""What got lost while the App was away is found when it is back, once."""

from datetime import datetime, timedelta

import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.service import Place, Service, eventually, racing

DAYS = 24 * 3600
OFTEN = {"OPTR_RECONCILE_INTERVAL": "500"}


@pytest.fixture
def away(make_service: MakeService, sample: dict[str, bytes]) -> Place:
    """A repository with one quick agent, whose App is not running."""
    return make_service().settle(racing(sample, "regex-order"))


def lost(service: Service) -> None:
    """Wait until GitHub has given up on every delivery."""
    service.github.knob("webhooks/drain")


def ran_once(place: Place, issue: int) -> None:
    """One run, by every trace that it leaves."""
    place.opened(issue)
    place.drained()
    assert len(place.ours(issue)) == 1
    assert len(place.checks(place.base, "optr")) == 1
    assert len(place.pulls()) == 1
    lake = place.lake()
    lake.verified()
    assert lake.types() == ["MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED"]


def test_a_label_set_while_the_app_was_down_is_asked_for_again_and_runs_once(away: Place) -> None:
    service, issue = away.service, away.ask()
    lost(service)
    assert away.nothing_happened(issue)
    service.start(**OFTEN)
    ran_once(away, issue)
    sent = [one for one in service.github.deliveries(away.repository, "issues") if one["action"] == "labeled"]
    assert [one["redelivery"] for one in sent] == [False, True]
    service.stop()


def test_a_label_whose_delivery_github_has_forgotten_still_becomes_one_run(away: Place) -> None:
    service, issue = away.service, away.ask()
    bystander = away.open_issue()
    away.label(bystander, name="bug")
    lost(service)
    service.github.knob("advance", seconds=4 * DAYS)
    service.start(**OFTEN)
    ran_once(away, issue)
    assert away.ours(bystander) == []
    # the delivery turns up after all
    (delivery,) = [
        one
        for one in service.github.deliveries(away.repository, "issues")
        if one["action"] == "labeled" and one["request"]["payload"]["issue"]["number"] == issue
    ]
    away.human("grace").patch(f"{away.path}/pulls/{away.pulls()[0]['number']}", {"state": "closed"})
    away.heard(issue, "closed: **rejected**")
    service.github.knob("webhooks/redeliver", id=delivery["id"])
    service.github.knob("webhooks/drain")
    away.drained()
    assert len(away.ours(issue)) == 1, "what a run has granted is not asked for again"
    service.stop()


def test_a_reader_s_label_and_an_issue_edited_since_start_nothing(away: Place) -> None:
    service = away.service
    # triage sets labels without being allowed to write
    away.human("tess", "triage")
    refused = away.open_issue()
    away.label(refused, away.human("tess", "triage"))
    suspicious = int(away.reader.post(f"{away.path}/issues", {"title": "Harmless", "body": "As it reads."})["number"])
    away.label(suspicious)
    lost(service)
    service.github.knob("advance", seconds=4 * DAYS)
    eventually(lambda: _edited_later(away, suspicious), "the issue's time has moved on")
    service.start(**OFTEN)
    away.heard(refused, "takes write permission")
    away.heard(suspicious, "set the label again")
    assert (away.checks(away.base, "optr"), away.pulls()) == ([], [])
    service.stop()


def test_a_delivery_that_could_not_be_handled_is_handled_again_without_anybody_asking(away: Place) -> None:
    service = away.service
    service.tolerated += [
        "handler failed",
        "left for the next pass",
        "DBOSMaxStepRetriesExceeded",
        "Step being automatically retried",
    ]
    service.start(**OFTEN)
    service.github.fault("bad_gateway", path=f"{away.path}/collaborators/.*/permission", times=1000)
    issue = away.ask()
    eventually(lambda: "DBOSMaxStepRetriesExceeded" in service.tail(), "the handling is given up")
    assert away.nothing_happened(issue)
    service.github.knob("faults/clear")
    ran_once(away, issue)
    assert not any(one["redelivery"] for one in service.github.deliveries(away.repository, "issues"))
    service.stop()


def _edited_later(place: Place, issue: int) -> bool:
    """Edit until GitHub's clock, in whole seconds, is past the label's by more than the label itself explains."""
    path = f"{place.path}/issues/{issue}"
    place.reader.patch(path, {"body": "Now something else."})
    (label,) = [one for one in place.reader.get(f"{path}/events") if one["event"] == "labeled"]
    times = place.reader.get(path)["updated_at"], label["created_at"]
    edited, labelled = (datetime.fromisoformat(text) for text in times)
    return edited - labelled > timedelta(seconds=3)


def test_a_pull_request_closed_while_the_app_was_down_ends_its_run_and_orphans_are_cancelled(away: Place) -> None:
    service = away.service
    service.start()
    issue = away.ask()
    pull = away.opened(issue)
    service.stop()
    away.human("grace").patch(f"{away.path}/pulls/{pull['number']}", {"state": "closed"})
    lost(service)
    service.github.knob("advance", seconds=4 * DAYS)
    bot = service.github.as_installation(service.app, away.installed)
    orphan = {"name": "optr", "head_sha": away.base, "status": "in_progress", "external_id": "feedfeedfeedfeed"}
    bot.post(f"{away.path}/check-runs", orphan)
    service.start(**OFTEN)
    away.heard(issue, "closed: **rejected**")
    check = away.concluded(away.base, "optr", "cancelled")
    assert "no record of this run" in check["output"]["summary"]
    lake = away.lake()
    lake.verified()
    assert lake.types()[-1] == "WRAP_ORCH_REJECTED"
    service.stop()
