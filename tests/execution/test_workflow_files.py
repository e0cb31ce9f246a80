"""Workflow files: three forms, strict, each error with its line."""

import pytest

from execution.workflowfile import load_workflow
from execution.yamlfile import ConfigError
from governance.graph import race
from governance.workflow import Contest
from tests.docs.pages import ROOT

EXAMPLES = ROOT / "examples/workflows"
GRAPH = (EXAMPLES / "custom.yml").read_bytes()


@pytest.mark.covers("F5.09")
def test_the_first_form_still_means_the_race_it_always_meant() -> None:
    loaded = load_workflow((EXAMPLES / "race_f1_19.yml").read_bytes(), "race.yml")
    assert loaded.name == "fix-parser"
    assert loaded.types == {"codex": "openai-codex", "claude": "anthropic-claude"}
    assert loaded.workflow == Contest(agents=("codex", "claude"))
    assert loaded.workflow.graph("run").digest == race("run", ["codex", "claude"]).digest


def test_what_a_run_records_of_its_workflow_loads_again() -> None:
    recorded = b"""workflow: fix
agents:
- name: codex
  type: openai-codex
reviewers:
- name: judge
  type: command
optr: select_optr
ledger:
  enabled: true
  auditable: true
"""
    assert load_workflow(recorded, "workflow-optr.yaml").workflow == Contest(agents=("codex",), reviewers=("judge",))


@pytest.mark.parametrize(
    ("old", "new", "where", "words"),
    [
        (b"can: write", b"cam: write", 11, "unknown key 'nodes.1.cam'. Did you mean 'can'?"),
        (b"agent: codex\n    can: write", b"agent: codex\n    can: delete", 11, "'read' or 'write'"),
        (b"[plan.steps]\n  - id: clear", b"[plan.stops]\n  - id: clear", 9, "plan hands back no 'stops'"),
        (b"[plan.steps]\n  - id: clear", b"[plam.steps]\n  - id: clear", 9, "no node is called 'plam'"),
        (b"short.patch", b"short", 21, "nodes.3.inputs.0"),
        (b"short.opinion=sound", b"short.opinion=fine", 27, "can never have 'fine' as 'opinion'"),
        (b"short.opinion=sound", b"shart.opinion=sound", 27, "no node is called 'audit-shart'"),
        (b"id: audit-clear", b"id: audit-short", 23, "stands twice"),
        (b"{steps: strings}", b"{steps: text}", 5, "output steps is 'text'"),
        (b"join: selection(1)", b"join: all", 14, "could each be the result"),
        (b"join: selection(1)", b"join: most", 28, "join"),
        (b"output: {steps: strings}", b"needs: [short]\n    output: {steps: strings}", 5, "in a circle: plan, short"),
        (b"id: plan", b"id: RESULT", 9, "no node is called 'plan'"),
        (b"version: 1", b"version: 2", 2, "version"),
        (b"nodes:", b"stages:", 1, "one of the keys nodes, pattern, agents"),
    ],
)
def test_each_mistake_names_its_line(old: bytes, new: bytes, where: int, words: str) -> None:
    assert old in GRAPH
    with pytest.raises(ConfigError) as caught:
        load_workflow(GRAPH.replace(old, new, 1), "w.yml")
    assert words in str(caught.value)
    assert caught.value.where == f"w.yml:{where}:1"


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "words"),
    [
        ("debate", "pattern: debate", "pattern: debat", 3, "no pattern is called 'debat'; did you mean debate?"),
        ("debate", "judge: claude", "judge: codex", 3, "cannot judge a debate in which it takes part"),
        ("debate", "judge: claude", "jury: claude", 3, "has no role 'jury'"),
        ("debate", "judge: claude", "judge: [claude, codex]", 3, "role judge takes 1 agents, not 2"),
        ("consensus", "approvals: 2", "approvals: 4", 3, "4 approvals of 3 voters cannot be had"),
        ("consensus", "approvals: 2", "aprovals: 2", 3, "has no option 'aprovals'"),
        ("consensus", "proposer: codex", "proposer: claude", 3, "no vote on its own proposal"),
        ("blackboard", "rounds: 2", "rounds: 11", 3, "it can be 1 to 10"),
        ("router", "[codex, claude]", "[codex, codex]", 3, "each specialist once"),
        ("parallel", "minimum: 1", "minimum: 3", 3, "only 2 to wait for"),
        ("race_f1_19", "select_optr", "least_bad", 8, "optr"),
        ("race_f1_19", "ledger: enabled", "ledger: disabled", 9, "ledger"),
        ("race_f1_19", "name: claude", "name: codex", 3, "only once"),
    ],
)
def test_a_pattern_is_played_as_declared_or_not_at_all(file: str, old: str, new: str, line: int, words: str) -> None:
    text = (EXAMPLES / f"{file}.yml").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(ConfigError) as caught:
        load_workflow(text.replace(old, new, 1).encode(), "w.yml")
    assert words in str(caught.value)
    assert caught.value.where == f"w.yml:{line}:1"
