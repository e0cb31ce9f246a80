"""A workflow without a result, and a person's correction of one node of it."""

import json
from pathlib import Path

import pytest

from bot.local_request import LocalCorrection
from execution.problems import RunProblem
from governance.entry_types import NodeState
from governance.events import replay
from governance.settlement import Aggregate, Settlement
from governance.states import RunState
from ledger.verify import verify_branch
from tests.e2e.flow_kit import FIX, NOTE, NOTHING, Workshop, says, verdicts

PIPELINE = json.dumps(
    {
        "version": 1,
        "pattern": "plan_pipeline",
        "roles": {"planner": "ann", "writers": ["bob"], "tester": "cat", "auditor": "dan"},
    }
)
PLAN = says("Plan the change", steps=["Turn minus into plus"])
WRITE = says("Carry out the plan", FIX)
BAD_TEST = says("Add the tests", "echo 'assert False' > tests/test_more.py", notes="They pass.")
AUDIT = says("Look for what is wrong", opinion="sound", findings=[])
REASON = "The new test asserts nothing but False"
# Played only for who is told the reason.
GOOD_TEST = says(REASON, NOTE, notes="Now they do.")


@pytest.mark.covers("F3.28", "F3.34", "F3.38", "F3.39", "F3.40", "F3.44")
def test_a_failed_node_is_corrected_and_nothing_that_had_finished_runs_again(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    before, called = shop.carry(PIPELINE, [PLAN, WRITE, BAD_TEST, AUDIT])
    assert verdicts(before.nodes) == {"PLAN": "PASS", "WRITE1": "PASS", "TEST": "FAIL", "AUDIT": "BLOCKED"}
    assert (before.state, before.winner, before.code) == (RunState.AWAITING_CORRECTION, None, "JOIN_UNMET")
    assert "node TEST failed: Check `tests` failed" in (before.problem or "")
    assert called == {"ann": 2, "bob": 2, "cat": 2}
    first = shop.recorded("execution-complete.json")
    assert replay(shop.recorded("events.jsonl").encode())["AUDIT"] is NodeState.BLOCKED

    asked = LocalCorrection("fix-add", "TEST", REASON)
    after, again = shop.correct(asked, [GOOD_TEST, AUDIT])
    assert verdicts(after.nodes) == dict.fromkeys(("PLAN", "WRITE1", "TEST", "AUDIT"), "PASS")
    assert {one.node: one.attempt for one in after.nodes} == {"PLAN": 1, "WRITE1": 1, "TEST": 2, "AUDIT": 2}
    assert (after.state, after.winner, after.problem) == (RunState.PUBLISHED, "test", None)
    assert again == {"cat": 2, "dan": 2}  # the planner and the writer were not asked again

    assert shop.recorded("execution-complete.json") == first  # what was recorded stands
    old, new = json.loads(first), json.loads(shop.recorded("corrections/1/execution-complete.json"))
    aggregate = Aggregate.model_validate_json(json.dumps(new["aggregate"]))
    assert aggregate.supersedes == Aggregate.model_validate_json(json.dumps(old["aggregate"])).digest
    settled = {one["node"]: Settlement.model_validate_json(json.dumps(one)) for one in new["settlements"]}
    was = {one["node"]: Settlement.model_validate_json(json.dumps(one)) for one in old["settlements"]}
    assert settled["TEST"].supersedes == was["TEST"].digest
    assert settled["PLAN"] == was["PLAN"]

    pack = json.loads(shop.recorded("corrections/1/correction.json"))
    assert (pack["node"], pack["type"], pack["scope"]) == ("TEST", "AMENDMENT", ["TEST", "AUDIT"])
    assert (pack["reason"], pack["violations"][0][0]) == (REASON, "CHECK_FAILED")
    types = [line["type"] for line in shop.lines()]
    assert types == ["MAEG_CREATED", "OPTR_NO_WINNER", "CORRECTION_ISSUED", "OPTR_SELECTED"]
    states = replay(shop.recorded("corrections/1/events.jsonl").encode())
    assert set(states.values()) == {NodeState.COMPLETE}
    assert verify_branch(shop.repo / ".git", "refs/heads/datalake", None, None).problem is None

    with pytest.raises(RunProblem, match="no run 'fix-add' waits for a correction; waiting: none"):
        shop.correct(asked, [])


def test_what_passed_can_be_invalidated_and_what_never_ran_cannot_be_corrected(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    unsound = says("Look for what is wrong", opinion="unsound", findings=["calc.py has no note"])
    before, _ = shop.carry(PIPELINE, [PLAN, WRITE, says("Add the tests", NOTHING, notes=""), unsound])
    assert set(verdicts(before.nodes).values()) == {"PASS"}
    assert before.problem == "The workflow has no result yet: node AUDIT chose unsound as opinion"
    for node, reason, says_ in (
        ("NOBODY", REASON, "has no node 'NOBODY'"),
        ("TEST", "  ", "a correction says why"),
    ):
        with pytest.raises(RunProblem, match=says_):
            shop.correct(LocalCorrection(before.run, node, reason), [])
    again = [says("A person says", NOTE, notes="noted"), AUDIT]
    after, called = shop.correct(LocalCorrection(before.run, "TEST", "Write a note"), again)
    assert (after.winner, called) == ("test", {"cat": 2, "dan": 2})
    assert json.loads(shop.recorded("corrections/1/correction.json"))["type"] == "INVALIDATION"


@pytest.mark.covers("F3.17", "F3.45", "F3.48")
def test_a_reader_that_writes_has_left_its_lane(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    meddler = says("Plan the change", FIX, steps=["Already done"])
    result, _ = shop.carry(PIPELINE, [meddler])
    assert verdicts(result.nodes) == {"PLAN": "FAIL", "WRITE1": "BLOCKED", "TEST": "BLOCKED", "AUDIT": "BLOCKED"}
    assert [reason.code for reason in result.nodes[0].reasons] == ["GS_200"]
    assert [[reason.code for reason in node.reasons] for node in result.nodes[1:]] == [["GS_203"]] * 3
    blocked = LocalCorrection(result.run, "WRITE1", "Go on")
    with pytest.raises(RunProblem, match="never dispatched, so there is nothing to correct in it; correct PLAN"):
        shop.correct(blocked, [])


@pytest.mark.covers("F3.10")
def test_a_field_of_another_type_goes_nowhere(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    result, called = shop.carry(PIPELINE, [says("Plan the change", steps="Turn minus into plus", extra="x")])
    assert [reason.code for reason in result.nodes[0].reasons] == ["OUTPUT_INVALID"]
    assert result.nodes[0].reasons[0].text == (
        "node PLAN handed back steps as 'Turn minus into plus', which is not strings"
    )
    assert called == {"ann": 2}
