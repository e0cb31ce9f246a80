from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from governance.graph import Capability, Edge, EdgeType, Graph, Join, JoinKind, Node, NodeType, race
from governance.intent import Intent
from governance.mandate import issue, narrow
from governance.reasons import ReasonCode, RefusedError
from governance.report import Verdict, judge
from governance.settlement import (
    Aggregate,
    Outcome,
    Settlement,
    aggregate,
    children_root,
    race_outcome,
    settle,
)
from governance.wrap import Wrap, WrapStatus, wrap
from ledger import canonical, merkle

A = "a" * 64
HEAD = "c" * 40


def refused(code: ReasonCode, call: Any, *args: Any, **kwargs: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        call(*args, **kwargs)
    assert caught.value.code == code
    return caught.value


@pytest.mark.covers("F3.29")
def test_settlement_binds_mandate_candidate_and_report(contest: Any) -> None:
    mandate = contest.mandates[0]
    report = contest.report(mandate)
    settlement = settle(mandate, report, Outcome.SELECTED)
    assert settlement.id == f"PDO-{contest.graph.run}-A1-1"
    assert (settlement.mandate_digest, settlement.report_digest) == (mandate.digest, report.digest)
    assert settlement.candidate_digest == report.candidate_digest


def test_a_report_on_another_mandate_settles_nothing(contest: Any) -> None:
    first, second, _ = contest.mandates
    for mandate in (second, narrow(first, attempt=2), narrow(first, tokens=1)):
        refused(ReasonCode.BINDING_MISMATCH, settle, mandate, contest.report(first), Outcome.NOT_SELECTED)


@pytest.mark.parametrize("outcome", [Outcome.SELECTED, Outcome.NOT_SELECTED, Outcome.COMPLETE])
def test_a_failed_report_earns_only_rejection(contest: Any, outcome: Outcome) -> None:
    mandate = contest.mandates[0]
    report = contest.report(mandate, ("CHECK_FAILED", "x"))
    assert report.verdict == Verdict.FAIL
    refused(ReasonCode.OUTCOME_UNEARNED, settle, mandate, report, outcome)
    assert settle(mandate, report, Outcome.REJECTED).outcome == Outcome.REJECTED


@pytest.mark.parametrize(
    ("winner", "admissible", "outcome"),
    [
        ("A1", True, Outcome.SELECTED),
        ("A2", True, Outcome.NOT_SELECTED),
        ("A2", False, Outcome.REJECTED),
        (None, True, Outcome.REJECTED),
        (None, False, Outcome.REJECTED),
    ],
)
def test_race_outcome(winner: str | None, outcome: Outcome, *, admissible: bool) -> None:
    assert race_outcome("A1", winner=winner, admissible=admissible) == outcome


@pytest.mark.covers("F3.30", "F3.32")
def test_aggregate_lists_children_in_node_order_under_an_rfc_6962_root(contest: Any) -> None:
    settlements = contest.settlements(winner="A2", rejected=["A3"])
    combined = aggregate(contest.graph, settlements)
    assert combined.id == f"PDO-ORCH-{contest.graph.run}"
    assert combined.children == tuple((one.id, one.digest) for one in settlements)
    assert combined.selected == settlements[1].id
    leaves = [merkle.leaf_hash(canonical.encode([one.id, one.digest])) for one in settlements]
    expected = merkle.node_hash(merkle.node_hash(leaves[0], leaves[1]), leaves[2])
    assert combined.root == expected.hex()


def test_a_leaf_listed_twice_is_another_root() -> None:
    a, b, c = (("PDO-" + name, name * 64) for name in "abc")
    assert children_root([a, b, c]) != children_root([a, b, c, c])
    assert children_root([a, b, c]) != children_root([b, a, c])


def test_aggregate_does_not_depend_on_the_order_of_arrival(contest: Any) -> None:
    settlements = contest.settlements()
    assert aggregate(contest.graph, settlements[::-1]) == aggregate(contest.graph, settlements)


def test_an_aggregate_with_a_forged_root_cannot_be_loaded(contest: Any) -> None:
    combined = aggregate(contest.graph, contest.settlements())
    assert Aggregate.model_validate_json(combined.model_dump_json()) == combined
    for changes in ({"root": A}, {"children": combined.children[:-1]}, {"id": "PDO-ORCH-x"}):
        with pytest.raises(ValidationError):
            Aggregate.model_validate(combined.model_dump() | changes)


@pytest.mark.covers("F3.31", "F3.33", "F3.50")
def test_gs_205_names_the_node_without_settlement(contest: Any) -> None:
    error = refused(ReasonCode.GS_205, aggregate, contest.graph, contest.settlements()[:-1])
    assert "A3" in error.text


def test_settlements_of_another_run_or_twice_are_refused(contest: Any) -> None:
    settlements = contest.settlements()
    other = race("another-run", ["codex", "claude", "copilot"])
    refused(ReasonCode.BINDING_MISMATCH, aggregate, other, settlements)
    refused(ReasonCode.BINDING_MISMATCH, aggregate, contest.graph, (*settlements, settlements[0]))


@pytest.mark.covers("F3.07", "F3.34")
def test_a_later_attempt_supersedes_the_earlier_one(contest: Any) -> None:
    settlements = contest.settlements(winner="A2", rejected=["A1"])
    again = narrow(contest.mandates[0], attempt=2)
    second = settle(again, contest.report(again), Outcome.NOT_SELECTED)
    combined = aggregate(contest.graph, (second, *settlements))
    assert combined.children[0] == (f"PDO-{contest.graph.run}-A1-2", second.digest)


def replaced(settlements: tuple[Settlement, ...], **outcomes: Outcome) -> list[Settlement]:
    return [
        one.model_copy(update={"outcome": outcomes[one.node]}) if one.node in outcomes else one for one in settlements
    ]


def test_exactly_one_is_selected_unless_all_are_rejected(contest: Any) -> None:
    settlements = contest.settlements()
    two = replaced(settlements, A2=Outcome.SELECTED)
    none = replaced(settlements, A1=Outcome.REJECTED)
    for wrong in (two, none):
        refused(ReasonCode.SELECTION_NOT_ONE, aggregate, contest.graph, wrong)
    assert aggregate(contest.graph, contest.settlements(winner=None)).selected is None


def test_a_race_knows_no_complete_and_a_pipeline_no_selected(contest: Any, intent: Intent) -> None:
    refused(ReasonCode.OUTCOME_UNEARNED, aggregate, contest.graph, replaced(contest.settlements(), A2=Outcome.COMPLETE))
    graph, settlements = joined(intent, Join(kind=JoinKind.ALL), [Outcome.COMPLETE, Outcome.SELECTED])
    refused(ReasonCode.OUTCOME_UNEARNED, aggregate, graph, settlements)


def joined(intent: Intent, join: Join, outcomes: list[Outcome]) -> tuple[Graph, list[Settlement]]:
    names = [f"W{number}" for number in range(1, len(outcomes) + 1)]
    held = (Capability.READ.value,)
    graph = Graph(
        run="run",
        nodes=(
            Node(id="ROOT", type=NodeType.ORCH_ROOT),
            *(Node(id=name, type=NodeType.AGENT_NODE, agent=name.lower(), capabilities=held) for name in names),
            Node(id="JOIN", type=NodeType.AGGREGATION, join=join),
        ),
        edges=tuple(
            Edge(source=source, target=target, type=EdgeType.BARRIER)
            for name in names
            for source, target in (("ROOT", name), (name, "JOIN"))
        ),
    )
    issued = issue(graph, intent, paths=["**"], budget_microusd=1, tokens=1, steps=1, deadline_ms=1, inputs={})
    settlements = []
    for mandate, outcome in zip(issued, outcomes, strict=True):
        report = judge(
            mandate,
            candidate_digest=A,
            evidence_digest=A,
            violations=[] if outcome != Outcome.REJECTED else [("CHECK_FAILED", "x")],
            touched_paths=[],
            claims={},
        )
        settlements.append(settle(mandate, report, outcome))
    return graph, settlements


def closed(graph: Graph, settlements: list[Settlement] | tuple[Settlement, ...], **changes: Any) -> Wrap:
    fields: dict[str, Any] = {"accepted": True, "by": "ada", "head_commit": HEAD, "when_ms": 5}
    return wrap(graph, aggregate(graph, settlements), settlements, **(fields | changes))


@pytest.mark.covers("F3.37")
def test_wrap_names_every_node_and_what_it_closes(contest: Any) -> None:
    settlements = contest.settlements(rejected=["A3"])
    record = closed(contest.graph, settlements)
    assert (record.id, record.status, record.by) == (f"WRAP-{contest.graph.run}", WrapStatus.ACCEPTED, "ada")
    assert [(node.agent, node.outcome) for node in record.nodes] == [
        ("codex", Outcome.SELECTED),
        ("claude", Outcome.NOT_SELECTED),
        ("copilot", Outcome.REJECTED),
    ]
    assert record.root == aggregate(contest.graph, settlements).root
    assert Wrap.model_validate_json(record.model_dump_json()).digest == record.digest


def test_losers_of_a_race_do_not_block_its_wrap(contest: Any) -> None:
    assert closed(contest.graph, contest.settlements(rejected=["A2", "A3"])).status == WrapStatus.ACCEPTED


def test_gs_206_nothing_selected_nothing_accepted(contest: Any) -> None:
    nobody = contest.settlements(winner=None)
    refused(ReasonCode.GS_206, closed, contest.graph, nobody)
    assert closed(contest.graph, nobody, accepted=False, head_commit=None, by="optr").status == WrapStatus.REJECTED


@pytest.mark.parametrize(
    ("join", "rejected", "enough"),
    [
        (Join(kind=JoinKind.ALL), 0, True),
        (Join(kind=JoinKind.ALL), 1, False),
        (Join(kind=JoinKind.QUORUM, minimum=2), 1, True),
        (Join(kind=JoinKind.QUORUM, minimum=2), 2, False),
    ],
)
@pytest.mark.covers("F3.19", "F3.28", "F3.51")
def test_gs_206_undeclared_partial_execution(intent: Intent, join: Join, rejected: int, *, enough: bool) -> None:
    outcomes = [Outcome.REJECTED] * rejected + [Outcome.COMPLETE] * (3 - rejected)
    graph, settlements = joined(intent, join, outcomes)
    if enough:
        assert closed(graph, settlements).status == WrapStatus.ACCEPTED
    else:
        refused(ReasonCode.GS_206, closed, graph, settlements)


def test_gs_206_acceptance_names_a_commit(contest: Any) -> None:
    for nothing in (None, ""):
        refused(ReasonCode.GS_206, closed, contest.graph, contest.settlements(), head_commit=nothing)
    assert closed(contest.graph, contest.settlements(), accepted=False, head_commit="").head_commit is None


@pytest.mark.parametrize("by", ["", " ", "codex", "Claude", "optr", "orchestrator", "optr-app[bot]"])
def test_no_agent_and_no_app_accepts(contest: Any, by: str) -> None:
    refused(ReasonCode.WRAP_NOT_HUMAN, closed, contest.graph, contest.settlements(), by=by)


@pytest.mark.covers("F3.36")
def test_a_wrap_needs_the_aggregate_of_its_settlements(contest: Any) -> None:
    other = aggregate(contest.graph, contest.settlements(winner="A2"))
    refused(
        ReasonCode.BINDING_MISMATCH,
        wrap,
        contest.graph,
        other,
        contest.settlements(winner="A1"),
        accepted=True,
        by="ada",
        head_commit=HEAD,
        when_ms=1,
    )


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.just(A)), max_size=9, unique=True))
def test_no_two_lists_of_children_share_a_root(children: list[tuple[str, str]]) -> None:
    for shorter in (children[:-1], children[1:], [*children, ("x", A)]):
        if shorter != children:
            assert children_root(shorter) != children_root(children)
