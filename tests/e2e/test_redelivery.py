"""The same delivery again: nothing once it is done, everything when its handling failed."""

from typing import Any

from tests.e2e.service import Place, Service, eventually, racing

FAILED = "handler failed"
GIVEN_UP = "DBOSMaxStepRetriesExceeded"


def labeled(place: Place) -> dict[str, Any]:
    """The delivery that asked for the run."""
    sent = place.service.github.deliveries(place.repository, "issues")
    found: dict[str, Any] = next(one for one in sent if one["action"] == "labeled")
    return found


def seen(place: Place, issue: int) -> object:
    """Everything that people see, and where every branch stands."""
    branches = {branch["name"]: branch["commit"]["sha"] for branch in place.reader.get(f"{place.path}/branches")}
    comments = [(c["id"], c["body"], c["updated_at"]) for c in place.ours(issue)]
    checks = [(c["id"], c["conclusion"], c["output"]["summary"]) for c in place.checks(place.base, "optr")]
    return branches, comments, checks, [(p["number"], p["body"]) for p in place.pulls()]


def test_a_finished_delivery_changes_nothing_and_a_failed_one_is_handled_anew(
    service: Service, sample: dict[str, bytes]
) -> None:
    files = racing(sample, "regex-order")
    place, unlucky = service.settle(files), service.settle(files)

    # GitHub cannot say who may write to one of the repositories, for longer than anybody tries
    github = service.github
    service.tolerated += [FAILED, GIVEN_UP, "Step being automatically retried"]
    github.fault("bad_gateway", path=f"{unlucky.path}/collaborators/.*/permission", times=1000)
    lost = unlucky.ask()

    # meanwhile, elsewhere
    issue = place.ask()
    place.opened(issue)
    github.knob("webhooks/drain")
    before = seen(place, issue)
    delivery = labeled(place)
    for _ in range(2):
        github.knob("webhooks/redeliver", guid=delivery["guid"])
    github.knob("webhooks/drain")
    again = [one for one in github.deliveries(place.repository, "issues") if one["guid"] == delivery["guid"]]
    assert [one["status_code"] for one in again] == [202, 200, 200]
    place.drained()
    assert seen(place, issue) == before

    # a delivery that nobody could handle starts nothing by half, and is taken when it comes again
    eventually(lambda: GIVEN_UP in service.log.read_text(encoding="utf-8"), "the handling is given up")
    assert unlucky.nothing_happened(lost)
    github.knob("faults/clear")
    github.knob("webhooks/redeliver", guid=labeled(unlucky)["guid"])
    unlucky.opened(lost)
    assert len(unlucky.ours(lost)) == 1
    assert unlucky.lake().types() == ["MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED"]
