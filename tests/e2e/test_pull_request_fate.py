"""What becomes of the pull request when people touch it."""

from typing import Any

import pytest

from tests.e2e.service import Place, Service, eventually, racing


@pytest.fixture
def place(service: Service, sample: dict[str, bytes]) -> Place:
    """A repository with one quick agent."""
    return service.settle(racing(sample, "regex-order"))


def approve(place: Place, pull: dict[str, Any], login: str) -> None:
    reviews = f"{place.path}/pulls/{pull['number']}/reviews"
    place.human(login).post(reviews, {"event": "APPROVE"}, status=200)


def gate_of(place: Place, commit: str) -> dict[str, Any]:
    (gate,) = place.checks(commit, "optr/gate")
    return dict(gate)


def test_a_push_by_somebody_closes_the_gate_and_closing_unmerged_is_recorded_as_rejected(place: Place) -> None:
    issue = place.ask()
    pull = place.opened(issue)
    branch, head = pull["head"]["ref"], pull["head"]["sha"]
    approve(place, pull, "grace")
    place.concluded(head, "optr/gate", "success")

    pushed = place.push(branch, "README.md", b"# Something nobody verified\n", "mallory")
    gate = place.concluded(pushed, "optr/gate", "failure")
    assert "head_not_recorded" in gate["output"]["summary"]
    assert "grace approved an older head" in gate["output"]["summary"]
    approve(place, pull, "grace")
    # people approve now, but the tree is still not the recorded one
    eventually(lambda: "1 of 1 approvals" in gate_of(place, pushed)["output"]["summary"], "the approval is counted")
    assert gate_of(place, pushed)["conclusion"] == "failure"

    place.human("grace").patch(f"{place.path}/pulls/{pull['number']}", {"state": "closed"})
    final = place.heard(issue, "closed: **rejected**")
    assert [comment["id"] for comment in place.ours(issue)] == [final["id"]]
    lake = place.lake()
    lake.verified()
    assert lake.types() == ["MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED", "WRAP_ORCH_REJECTED"]
    assert lake.lines()[-1]["actor"] == "grace"
    assert len(place.checks(place.base, "optr")) == 1
