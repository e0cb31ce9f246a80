"""What becomes of the pull request when people touch it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from execution.artifacts import Plan
from governance.settlement import Settlement, aggregate
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
    assert lake.types() == [
        "MAEG_CREATED",
        "OPTR_SELECTED",
        "PR_OPENED",
        *["HUMAN_REVIEW_RECORDED"] * 2,
        "WRAP_ORCH_REJECTED",
    ]
    reviews = [line for line in lake.lines() if line["type"] == "HUMAN_REVIEW_RECORDED"]
    assert [(one["actor"], one["decision"], one["head"], one["how"]) for one in reviews] == [
        ("grace", "approved", commit, "github_review") for commit in (head, pushed)
    ]
    assert all(one["submitted"] and one["pullRequest"] == pull["number"] for one in reviews)
    assert lake.lines()[-1]["actor"] == "grace"
    assert len(place.checks(place.base, "optr")) == 1


def forgets(settlements: list[Any]) -> None:
    """Drops what became of the only node."""
    settlements.clear()


def fails(settlements: list[Any]) -> None:
    """Says that the only node was rejected, as its aggregate does then."""
    settlements[0]["outcome"] = "REJECTED"


def rewrite_record(place: Place, issue: int, change: Callable[[list[Any]], None]) -> None:
    """Change what the App keeps of a run's settlements, as somebody with its database could."""
    engine = sa.create_engine(f"sqlite:///{place.service.home / 'state' / 'state.db'}")
    where = (
        "from optr_artifacts a join optr_runs r on r.id = a.run where r.repository = :repository and r.issue = :issue"
    )
    place_ = {"repository": place.repository.full_name, "issue": issue}
    with engine.begin() as connection:
        names = "a.run, a.name, a.data"
        rows = connection.execute(sa.text(f"select {names} {where} and a.name in ('plan', 'recorded')"), place_)
        found = {row.name: (row.run, row.data) for row in rows}
        plan, recorded = Plan.model_validate_json(found["plan"][1]), json.loads(found["recorded"][1])
        change(recorded["settlements"])
        if recorded["settlements"]:
            settled = [Settlement.model_validate_json(json.dumps(one)) for one in recorded["settlements"]]
            recorded["aggregate"] = aggregate(plan.graph, settled).model_dump(mode="json")
        update = "update optr_artifacts set data = :data where run = :run and name = 'recorded'"
        connection.execute(sa.text(update), {"data": json.dumps(recorded), "run": found["recorded"][0]})
    engine.dispose()


@pytest.mark.covers("F3.50", "F3.51")
@pytest.mark.parametrize(
    ("change", "code", "words"), [(forgets, "GS_205", "has no settlement of"), (fails, "GS_206", "no selected node")]
)
def test_a_merge_that_the_record_does_not_bear_ends_the_run_as_failed_by_the_rule(
    place: Place, change: Callable[[list[Any]], None], code: str, words: str
) -> None:
    issue = place.ask()
    pull = place.opened(issue)
    rewrite_record(place, issue, change)
    place.human("grace").put(f"{place.path}/pulls/{pull['number']}/merge", {})
    place.heard_all(issue, "closed: **failed**", words)
    lake = place.lake()
    lake.verified()
    last = lake.lines()[-1]
    assert (last["type"], last["code"], last["actor"], last["merged"]) == ("RUN_FAILED", code, "grace", "true")
    assert words in last["problem"]
    assert "wrap" not in last
