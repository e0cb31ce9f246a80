"""Every pattern, end to end: real git, engine, sandbox and ledger; only the model's words are recorded."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.demo.cassette import Cassette
from execution.workflowfile import load_workflow
from governance.entry_types import NodeState
from governance.events import replay
from governance.states import RunState
from ledger.verify import verify_branch
from tests.e2e.flow_kit import FILES, FIX, NOTE, NOTHING, Workshop, says, verdicts


@dataclass(frozen=True)
class Case:
    """A pattern, what its nodes say, and how each of them must end."""

    roles: dict[str, object]
    words: Sequence[Cassette]
    ends: dict[str, str]
    winner: str
    options: dict[str, int] = field(default_factory=dict)


CASES = {
    "sequential": Case(
        {"agents": ["ann", "bob"]},
        [says("Finish the change", NOTE, notes="finished"), says("Do your part of the change and", FIX, notes="fixed")],
        {"S1": "PASS", "S2": "PASS"},
        "s2",
    ),
    "parallel": Case(
        {"agents": ["ann", "bob"], "joiner": "cat"},
        [
            says("make one whole of them", NOTHING),
            says("You are ann", FIX, notes="code"),
            says("You are bob", NOTE, notes="notes"),
        ],
        {"P1": "PASS", "P2": "PASS", "JOIN": "PASS"},
        "join",
    ),
    "supervisor_worker": Case(
        {"supervisor": "ann", "workers": ["bob", "cat"]},
        [
            says("make one whole of them", NOTHING),
            says("Divide the change", subtasks=["Fix add", "Write a note"]),
            says("do 1, 3, 5 and so on", FIX),
            says("do 2, 4, 6 and so on", NOTE),
        ],
        {"DIVIDE": "PASS", "W1": "PASS", "W2": "PASS", "JOIN": "PASS"},
        "join",
    ),
    "router": Case(
        {"router": "ann", "specialists": ["bob", "cat"]},
        [says("Choose who does this best", to="cat"), says("You are cat", FIX)],
        {"ROUTE": "PASS", "R1": "BLOCKED", "R2": "PASS"},
        "r2",
    ),
    "ensemble": Case(
        {"experts": ["ann", "bob"], "synthesizer": "cat"},
        [says("weigh what the experts say", FIX), says("Analyse what is asked", advice="Use plus.")],
        {"E1": "PASS", "E2": "PASS", "JOIN": "PASS"},
        "join",
    ),
    "blackboard": Case(
        {"controller": "ann", "specialists": ["bob"], "integrator": "cat"},
        [
            says("make the change that the board describes", FIX),
            says("Add to the board", contribution="A minus stands there."),
            says("A minus stands there.", next="solved", board="Make it plus."),
            says("Sum up the board", next="bob", board="Nothing yet."),
        ],
        {"C1": "PASS", "B1S1": "PASS", "C2": "PASS", "INTEGRATE": "PASS"},
        "integrate",
        {"rounds": 1},
    ),
    "consensus": Case(
        {"proposer": "ann", "voters": ["bob", "cat", "dan"]},
        [
            says("others will vote", FIX),
            says("You are dan", vote="abstain", reason="I do not know."),
            says("Judge the proposed change", vote="approve", reason="It adds."),
        ],
        {"PROPOSE": "PASS", "V1": "PASS", "V2": "PASS", "V3": "PASS"},
        "propose",
    ),
    "debate": Case(
        {"proposer": "ann", "proponent": "ann", "opponent": "bob", "judge": "cat"},
        [
            says("it will be debated", FIX),
            says("Judge the debate", ruling="for", reason="It adds."),
            says("Argue for", argument="It adds."),
            says("Argue against", argument="It is late."),
        ],
        {"PROPOSE": "PASS", "PRO1": "PASS", "CON1": "PASS", "JUDGE": "PASS"},
        "propose",
    ),
    "handoff": Case(
        {"tiers": ["ann", "bob"]},
        [
            says("You are ann", outcome="escalate", notes="Too hard for me."),
            says("Too hard for me.", FIX, outcome="done", notes=""),
        ],
        {"T1": "PASS", "T2": "PASS"},
        "t2",
    ),
    "plan_pipeline": Case(
        {"planner": "ann", "writers": ["bob"], "tester": "cat", "auditor": "dan"},
        [
            says("Plan the change", steps=["Turn minus into plus"]),
            says("Carry out the plan", FIX),
            says("Add the tests", NOTE, notes="They pass."),
            says("Look for what is wrong", opinion="sound", findings=[]),
        ],
        {"PLAN": "PASS", "WRITE1": "PASS", "TEST": "PASS", "AUDIT": "PASS"},
        "test",
    ),
}


def definition(name: str, case: Case) -> str:
    return json.dumps({"version": 1, "pattern": name, "roles": case.roles, "options": case.options})


@pytest.mark.covers("F5.01", "F5.02", "F5.03", "F5.11", "F5.17", "F5.18", "F5.19", "F5.20", "F5.21", "F5.22")
@pytest.mark.covers("F5.23", "F5.24", "F5.25")
@pytest.mark.parametrize("name", CASES)
def test_a_pattern_runs_from_its_file_to_the_result(tmp_path: Path, name: str) -> None:
    case, shop = CASES[name], Workshop(tmp_path)
    result, _ = shop.carry(definition(name, case), case.words)
    assert verdicts(result.nodes) == case.ends, [one.reasons for one in result.nodes]
    assert (result.state, result.winner) == (RunState.PUBLISHED, case.winner)
    shown = subprocess.run(
        ["git", "show", "optr/fix-add:calc.py"], cwd=shop.repo, capture_output=True, check=True, text=True
    ).stdout
    assert "return a + b" in shown
    states = replay(shop.recorded("events.jsonl").encode())
    assert {node: state is NodeState.COMPLETE for node, state in states.items()} == {
        node: verdict == "PASS" for node, verdict in case.ends.items()
    }
    acts = [json.loads(line) for line in shop.recorded("audit.jsonl").splitlines()]
    assert [act["action"] for act in acts] == ["attempt"] * list(case.ends.values()).count("PASS") + ["decide"]
    assert verify_branch(shop.repo / ".git", "refs/heads/datalake", None, None).problem is None


@pytest.mark.covers("F5.04")
def test_the_repositorys_own_configuration_can_name_the_workflow(tmp_path: Path) -> None:
    case, shop = CASES["router"], Workshop(tmp_path)
    config = FILES[".github/optr.yml"] + "workflow: .github/flows/route.yml\n"
    shop.commit({".github/optr.yml": config, ".github/flows/route.yml": definition("router", case)})
    result, called = shop.carry("", case.words)
    assert (result.winner, called) == ("r2", {"ann": 2, "cat": 2})
    recorded = load_workflow(shop.recorded("workflow-optr.yaml").encode(), "recorded").workflow
    assert recorded.graph(result.run).digest == json.loads(shop.recorded("plan.json"))["graphDigest"]
