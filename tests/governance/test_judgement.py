from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from governance.claims import forbidden_claims
from governance.gates import dispatch_gate, passed_nodes, report_gate
from governance.graph import Capability, Edge, EdgeType, Graph, Join, JoinKind, Node, NodeType
from governance.intent import Intent
from governance.mandate import Mandate, issue
from governance.reasons import ReasonCode, RefusedError
from governance.report import Report, Verdict, block, judge

A = "a" * 64


def verdict(mandate: Mandate, **changes: Any) -> Report:
    fields: dict[str, Any] = {
        "candidate_digest": A,
        "evidence_digest": A,
        "violations": (),
        "touched_paths": ["src/app.py"],
        "claims": {"summary": "I approve of this and wrap_status is ACCEPTED", "invariants": ["tested"]},
    }
    return judge(mandate, **(fields | changes))


def test_clean_evidence_passes(contest: Any) -> None:
    report = verdict(contest.mandates[0])
    assert (report.verdict, report.violations) == (Verdict.PASS, ())
    assert report.id == f"BER-{contest.graph.run}-A1-1"
    assert report.mandate_digest == contest.mandates[0].digest


def test_violations_fail_in_order_of_discovery(contest: Any) -> None:
    report = verdict(
        contest.mandates[0],
        violations=[("CHECK_FAILED", "tests fail")],
        touched_paths=["src/a.py", ".github/workflows/x.yml"],
        claims={"verdict": "PASS"},
    )
    assert report.verdict == Verdict.FAIL
    assert [code for code, _ in report.violations] == ["CHECK_FAILED", "GS_133", "GS_200"]


@pytest.mark.parametrize("changes", [{"candidate_digest": None}, {"evidence_digest": None}])
def test_without_candidate_or_evidence_nothing_passes(contest: Any, changes: dict[str, None]) -> None:
    report = verdict(contest.mandates[0], **changes)
    assert (report.verdict, report.violations[0][0]) == (Verdict.FAIL, "NO_PATCH")


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("wrap", "GS_131"),
        ("wrap_status", "GS_131"),
        ("wrapStatus", "GS_131"),
        ("WRAP-ID", "GS_131"),
        ("orch_wrap", "GS_131"),
        ("closed", "GS_132"),
        ("closure_claim", "GS_132"),
        ("pdo_id", "GS_132"),
        ("finalState", "GS_132"),
        ("settlement", "GS_132"),
        ("approved_by", "GS_133"),
        ("approvedBy", "GS_133"),
        ("\uff41\uff50\uff50\uff52\uff4f\uff56\uff45\uff44", "GS_133"),
        ("verdict", "GS_133"),
        ("authority", "GS_133"),
        ("human review", "GS_133"),
        ("selected", "GS_133"),
        ("\u0430pproved", "GS_130"),
    ],
)
def test_a_claimed_authority_is_rejected_wherever_it_hides(contest: Any, key: str, code: str) -> None:
    for claims in ({key: True}, {"notes": [{"deep": {key: "x"}}]}):
        report = verdict(contest.mandates[0], claims=claims)
        assert report.verdict == Verdict.FAIL
        assert [found for found, _ in report.violations] == [code]


@pytest.mark.parametrize(
    "claims",
    [
        {"summary": "s", "invariants": [], "risks": "r", "rollback": "none"},
        {"type": "github_copilot_execution", "recentCommits": 10, "latestCommit": "c", "admissible": True},
        {"workflowSteps": [{"step": 1, "action": "analyze_intent", "status": "completed"}]},
        {"code": "x", "tests": "y", "documentation": "z", "confidence": 0.9},
    ],
)
def test_ordinary_reports_are_left_alone(claims: dict[str, object]) -> None:
    assert forbidden_claims(claims) == ()


def test_gs_130_for_what_is_not_plain_data() -> None:
    deep: dict[str, object] = {}
    for _ in range(40):
        deep = {"x": deep}
    for claims in (deep, {"x": [0] * 20_000}, {"x": object()}, {"x": {1: 2}}, {"x": b"bytes"}):
        assert [code for code, _ in forbidden_claims(claims)] == ["GS_130"]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=9), plain, max_size=5))
def test_claims_never_turn_a_failure_into_a_pass(claims: dict[str, object]) -> None:
    mandate = Mandate(
        id="Sub-PAC-run-A1",
        run="run",
        node="A1",
        attempt=1,
        agent="codex",
        parent=A,
        capabilities=("repo.write",),
        paths=("src/**",),
        inputs={},
        budget_microusd=1,
        tokens=1,
        steps=1,
        deadline_ms=1,
    )
    failed = verdict(mandate, claims=claims, violations=[("CHECK_FAILED", "tests fail")])
    assert failed.verdict == Verdict.FAIL
    assert failed.violations[0] == ("CHECK_FAILED", "tests fail")


@pytest.mark.covers("F3.20", "F3.26")
def test_a_report_cannot_be_constructed_against_its_evidence(contest: Any) -> None:
    good = verdict(contest.mandates[0])
    bad = verdict(contest.mandates[0], violations=[("CHECK_FAILED", "x")])
    for report, changes in (
        (bad, {"verdict": Verdict.PASS}),
        (good, {"verdict": Verdict.FAIL}),
        (good, {"id": "BER-x"}),
    ):
        with pytest.raises(ValidationError):
            Report.model_validate(report.model_dump() | changes)


def pipeline(intent: Intent, join: Join | None = None) -> tuple[Graph, dict[str, Mandate]]:
    held = (Capability.READ.value,)
    graph = Graph(
        run="run",
        nodes=(
            Node(id="ROOT", type=NodeType.ORCH_ROOT),
            Node(id="W1", type=NodeType.AGENT_NODE, agent="writer", capabilities=held),
            Node(id="W2", type=NodeType.AGENT_NODE, agent="second", capabilities=held),
            Node(id="SYNC", type=NodeType.SYNC_POINT, join=join),
            Node(id="TEST", type=NodeType.AGENT_NODE, agent="tester", capabilities=held),
            Node(id="JOIN", type=NodeType.AGGREGATION, join=Join(kind=JoinKind.ALL)),
        ),
        edges=(
            Edge(source="ROOT", target="W1", type=EdgeType.DEPENDENCY),
            Edge(source="ROOT", target="W2", type=EdgeType.DEPENDENCY),
            Edge(source="W1", target="SYNC", type=EdgeType.BARRIER),
            Edge(source="W2", target="SYNC", type=EdgeType.BARRIER),
            Edge(source="SYNC", target="TEST", type=EdgeType.DEPENDENCY),
            Edge(source="TEST", target="JOIN", type=EdgeType.BARRIER),
        ),
    )
    issued = issue(graph, intent, paths=["**"], budget_microusd=1, tokens=1, steps=1, deadline_ms=1, inputs={"base": A})
    return graph, {mandate.node: mandate for mandate in issued}


@pytest.mark.covers("F3.23", "F3.48")
def test_gs_203_a_tester_never_starts_before_its_writers_passed(intent: Intent) -> None:
    graph, mandates = pipeline(intent)
    first, second = verdict(mandates["W1"]), verdict(mandates["W2"])
    failed = verdict(mandates["W2"], violations=[("CHECK_FAILED", "x")])
    dispatch_gate(graph, "W1", {})
    dispatch_gate(graph, "TEST", {"W1": first, "W2": second})
    for reports in ({}, {"W1": first}, {"W1": first, "W2": failed}):
        with pytest.raises(RefusedError, match="waits for SYNC") as caught:
            dispatch_gate(graph, "TEST", reports)
        assert caught.value.code == ReasonCode.GS_203


@pytest.mark.covers("F3.27", "F3.49")
def test_gs_204_a_report_rests_on_passed_reports(intent: Intent) -> None:
    graph, mandates = pipeline(intent)
    with pytest.raises(RefusedError) as caught:
        report_gate(graph, "TEST", {"W1": verdict(mandates["W1"])})
    assert caught.value.code == ReasonCode.GS_204
    report_gate(graph, "TEST", {node: verdict(mandates[node]) for node in ("W1", "W2")})


def test_a_declared_quorum_lets_the_tester_start(intent: Intent) -> None:
    graph, mandates = pipeline(intent, Join(kind=JoinKind.QUORUM, minimum=1))
    dispatch_gate(graph, "TEST", {"W1": verdict(mandates["W1"])})
    assert passed_nodes(graph, {"W1", "TEST"}) == frozenset({"ROOT", "W1", "SYNC", "TEST", "JOIN"})
    assert "JOIN" not in passed_nodes(graph, {"TEST"})


def test_a_report_of_another_run_or_node_opens_no_gate(intent: Intent) -> None:
    graph, mandates = pipeline(intent)
    stray = verdict(mandates["W1"]).model_copy(update={"run": "other"})
    for reports in ({"W1": stray}, {"W2": verdict(mandates["W1"])}):
        with pytest.raises(RefusedError) as caught:
            dispatch_gate(graph, "TEST", reports)
        assert caught.value.code == ReasonCode.BINDING_MISMATCH


@pytest.mark.covers("F3.24")
def test_a_blocked_node_gets_a_report_that_names_its_blockers(intent: Intent) -> None:
    _, mandates = pipeline(intent)
    failed = verdict(mandates["W1"], violations=[("CHECK_FAILED", "x")])
    report = block(mandates["TEST"], by=[failed])
    assert (report.verdict, report.violations[0][0]) == (Verdict.BLOCKED, "GS_203")
    assert report.predecessors == (("W1", failed.digest),)
    for by in ([], [verdict(mandates["W1"])]):
        with pytest.raises(RefusedError):
            block(mandates["TEST"], by=by)
