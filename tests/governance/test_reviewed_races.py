"""A race with reviewers: its graph, its mandates and its settlements."""

from typing import Any

import pytest

from governance.gates import dispatch_gate
from governance.graph import Capability, EdgeType, Graph, race
from governance.mandate import issue
from governance.reasons import ReasonCode, RefusedError
from governance.report import Report, block, judge
from governance.settlement import Outcome, Settlement, aggregate, settle
from governance.wrap import WrapStatus, wrap

LIMITS = {"budget_microusd": 1, "tokens": 1, "steps": 1, "deadline_ms": 1}
A = "a" * 64
HEAD = "c" * 40


@pytest.fixture
def reviewed() -> Graph:
    return race("run", ["codex", "claude"], ["claude", "judge"])


def reports(graph: Graph, intent: Any, *, bad: tuple[str, ...] = ()) -> dict[str, Report]:
    made = {}
    for mandate in issue(graph, intent, paths=("**",), inputs={}, **LIMITS):
        violations = [("CHECK_FAILED", "x")] if mandate.node in bad else []
        made[mandate.node] = judge(
            mandate, candidate_digest=A, evidence_digest=A, violations=violations, touched_paths=(), claims={}
        )
    return made


def settled(graph: Graph, intent: Any, outcomes: dict[str, Outcome]) -> tuple[Settlement, ...]:
    bad = tuple(node for node, outcome in outcomes.items() if outcome is Outcome.REJECTED)
    made = reports(graph, intent, bad=bad)
    mandates = issue(graph, intent, paths=("**",), inputs={}, **LIMITS)
    return tuple(settle(mandate, made[mandate.node], outcomes[mandate.node]) for mandate in mandates)


def test_a_race_without_reviewers_is_what_it_always_was() -> None:
    # Recorded before reviewers existed; ledgers hold such digests.
    assert race("run", ["codex", "claude"]).digest == "d7e9a2e27103729db310b2d1bb58f1f3084ab83398192341818c9e2b330ff687"
    assert race("run", ["codex", "claude"], []) == race("run", ["codex", "claude"])


def test_reviewers_stand_between_the_candidates_and_the_join(reviewed: Graph) -> None:
    assert [node.id for node in reviewed.racers] == ["A1", "A2"]
    assert [(node.id, node.agent) for node in reviewed.reviewers] == [("R1", "claude"), ("R2", "judge")]
    assert reviewed.order == ("ROOT", "A1", "A2", "VERIFIED", "R1", "R2", "SELECT", "END")
    assert reviewed.predecessors("R1") == ("VERIFIED",)
    assert reviewed.predecessors("SELECT") == ("A1", "A2", "R1", "R2")
    kinds = {(edge.source, edge.target): edge.type for edge in reviewed.edges}
    assert kinds["VERIFIED", "R1"] is EdgeType.DATA_FLOW


def test_a_reviewer_may_only_read(reviewed: Graph, intent: Any) -> None:
    mandates = {one.node: one for one in issue(reviewed, intent, paths=("**",), inputs={}, **LIMITS)}
    assert mandates["R1"].capabilities == (Capability.READ.value,)
    assert Capability.WRITE.value in mandates["A1"].capabilities


@pytest.mark.parametrize("reviewers", [["judge", "judge"], ["not a name"]])
def test_reviewers_are_distinct_names(reviewers: list[str]) -> None:
    with pytest.raises((RefusedError, ValueError)):
        race("run", ["codex"], reviewers)


def test_a_reviewer_waits_for_one_candidate_that_passes(reviewed: Graph, intent: Any) -> None:
    made = reports(reviewed, intent, bad=("A1",))
    dispatch_gate(reviewed, "R1", {node: made[node] for node in ("A1", "A2")})
    with pytest.raises(RefusedError) as error:
        dispatch_gate(reviewed, "R1", {"A1": made["A1"]})
    assert error.value.code is ReasonCode.GS_203
    mandate = next(one for one in issue(reviewed, intent, paths=("**",), inputs={}, **LIMITS) if one.node == "R1")
    assert settle(mandate, block(mandate, by=[made["A1"]]), Outcome.REJECTED).outcome is Outcome.REJECTED


def test_racers_are_selected_and_reviewers_complete(reviewed: Graph, intent: Any) -> None:
    outcomes = {"A1": Outcome.SELECTED, "A2": Outcome.REJECTED, "R1": Outcome.COMPLETE, "R2": Outcome.REJECTED}
    done = settled(reviewed, intent, outcomes)
    combined = aggregate(reviewed, done)
    assert combined.selected == done[0].id
    accepted = wrap(reviewed, combined, done, accepted=True, by="ada", head_commit=HEAD, when_ms=1)
    assert accepted.status is WrapStatus.ACCEPTED
    with pytest.raises(RefusedError) as error:
        wrap(reviewed, combined, done, accepted=True, by="judge", head_commit=HEAD, when_ms=1)
    assert error.value.code is ReasonCode.WRAP_NOT_HUMAN


@pytest.mark.parametrize(
    "outcomes",
    [
        {"A1": Outcome.COMPLETE, "A2": Outcome.REJECTED, "R1": Outcome.COMPLETE, "R2": Outcome.COMPLETE},
        {"A1": Outcome.REJECTED, "A2": Outcome.REJECTED, "R1": Outcome.SELECTED, "R2": Outcome.COMPLETE},
        {"A1": Outcome.SELECTED, "A2": Outcome.REJECTED, "R1": Outcome.NOT_SELECTED, "R2": Outcome.COMPLETE},
    ],
)
def test_nobody_gets_the_other_parts_outcome(reviewed: Graph, intent: Any, outcomes: dict[str, Outcome]) -> None:
    with pytest.raises(RefusedError) as error:
        aggregate(reviewed, settled(reviewed, intent, outcomes))
    assert error.value.code is ReasonCode.OUTCOME_UNEARNED


def test_a_run_that_only_reviewers_completed_cannot_be_accepted(reviewed: Graph, intent: Any) -> None:
    outcomes = {"A1": Outcome.REJECTED, "A2": Outcome.REJECTED, "R1": Outcome.COMPLETE, "R2": Outcome.COMPLETE}
    done = settled(reviewed, intent, outcomes)
    combined = aggregate(reviewed, done)
    assert combined.selected is None
    with pytest.raises(RefusedError) as error:
        wrap(reviewed, combined, done, accepted=True, by="ada", head_commit=HEAD, when_ms=1)
    assert error.value.code is ReasonCode.GS_206
