"""People are their account's number: a new login lets nobody approve their own request, and loses no approval."""

from typing import Any

import pytest

from tests.e2e.service import Place, Service, eventually, racing
from tests.github.server import unique_name


@pytest.fixture
def place(service: Service, sample: dict[str, bytes]) -> Place:
    """A repository with one quick agent."""
    return service.settle(racing(sample, "regex-order"))


def test_a_renamed_requester_stays_the_requester_and_a_renamed_reviewer_s_approval_stands(place: Place) -> None:
    service, (asker, reviewer) = place.service, (unique_name("asker"), unique_name("reviewer"))
    ada, grace = place.human(asker), place.human(reviewer)
    issue = place.ask(asker)
    pull = place.opened(issue)
    head, reviews = pull["head"]["sha"], f"{place.path}/pulls/{pull['number']}/reviews"

    service.github.knob("users/rename", login=asker, to=f"{asker}-new")
    # somebody else takes the name that is free now
    impostor = service.github.as_user(asker, place.repository, "write")
    ada.post(reviews, {"event": "APPROVE"}, status=200)

    def summary() -> str:
        (gate,) = place.checks(head, "optr/gate")
        return str(gate["output"]["summary"])

    eventually(lambda: f"{asker}-new asked for the change" in summary(), summary)
    (gate,) = place.checks(head, "optr/gate")
    assert gate["conclusion"] != "success"

    grace.post(reviews, {"event": "APPROVE"}, status=200)
    place.concluded(head, "optr/gate", "success")
    service.github.knob("users/rename", login=reviewer, to=f"{reviewer}-new")
    ada.post(reviews, {"event": "COMMENT", "body": "Judge it again, please."}, status=200)
    eventually(lambda: f"{reviewer}-new" in summary(), summary)
    place.concluded(head, "optr/gate", "success")

    impostor.post(reviews, {"event": "APPROVE"}, status=200)
    eventually(lambda: "2 of 1 approvals" in summary(), summary)
    ada.put(f"{place.path}/pulls/{pull['number']}/merge", {})
    place.heard(issue, "closed: **accepted**")
    lines: list[Any] = place.lake().lines()
    kept = {line["actor"]: line for line in lines if line["type"] == "HUMAN_REVIEW_RECORDED"}
    assert asker in kept, "the account that has the login now is another person"
    assert kept[asker]["reviewer"] == _id(place, asker)
    assert kept[asker]["ownRequest"] is False


def _id(place: Place, login: str) -> int:
    return int(place.reader.get(f"/users/{login}")["id"])
