"""Graphs beyond the race: what flows, what is chosen, who can be the result."""

from collections.abc import Mapping

import pytest

from governance.codes import ReasonCode, RefusedError
from governance.gates import contenders, dispatch_gate, passed_nodes, report_gate, unmet_edges
from governance.graph import (
    CANDIDATE_CAPABILITIES,
    REVIEWER_CAPABILITIES,
    Edge,
    EdgeType,
    Graph,
    Join,
    JoinKind,
    Node,
    NodeType,
    race,
)
from governance.intent import Intent
from governance.mandate import Mandate, issue, narrow, supply
from governance.report import Report, Verdict, judge, withhold
from tests.governance.conftest import RUN, sha

PLAIN, FLOW = EdgeType.DEPENDENCY, EdgeType.DATA_FLOW


def reader(id_: str, **output: str) -> Node:
    return Node(
        id=id_, type=NodeType.AGENT_NODE, agent=id_.lower(), capabilities=REVIEWER_CAPABILITIES, output=dict(output)
    )


def writer(id_: str, **output: str) -> Node:
    return Node(
        id=id_, type=NodeType.AGENT_NODE, agent=id_.lower(), capabilities=CANDIDATE_CAPABILITIES, output=dict(output)
    )


def graph_of(nodes: list[Node], edges: list[Edge], join: Join | None = None) -> Graph:
    return Graph(
        run=RUN,
        nodes=(
            Node(id="ROOT", type=NodeType.ORCH_ROOT),
            *nodes,
            Node(id="JOIN", type=NodeType.AGGREGATION, join=join or Join(kind=JoinKind.ALL)),
            Node(id="END", type=NodeType.TERMINAL),
        ),
        edges=(*edges, Edge(source="JOIN", target="END", type=PLAIN)),
        pattern="custom",
    )


def edge(source: str, target: str, *fields: str, when: tuple[str, str] | None = None) -> Edge:
    return Edge(source=source, target=target, type=FLOW if fields else PLAIN, fields=fields, when=when)


@pytest.fixture
def pipeline() -> Graph:
    """Planner, writer, and an auditor whose word decides whether the join gets what it needs."""
    return graph_of(
        [reader("PLAN", steps="strings"), writer("WRITE"), reader("AUDIT", opinion="sound|unsound")],
        [
            edge("ROOT", "PLAN"),
            edge("PLAN", "WRITE", "steps"),
            edge("WRITE", "AUDIT", "patch"),
            edge("AUDIT", "JOIN", when=("opinion", "sound")),
        ],
    )


def mandates(graph: Graph, intent: Intent) -> dict[str, Mandate]:
    made = issue(
        graph,
        intent,
        paths=("**",),
        budget_microusd=1,
        tokens=1,
        steps=1,
        deadline_ms=1_000,
        inputs={"intent": sha("intent")},
    )
    return {mandate.node: mandate for mandate in made}


def report(mandate: Mandate, choices: Mapping[str, str] | None = None, *violations: tuple[str, str]) -> Report:
    return judge(
        mandate,
        candidate_digest=sha(mandate.node),
        evidence_digest=sha(mandate.node),
        violations=violations,
        touched_paths=(),
        claims={},
        choices=choices,
    )


@pytest.mark.covers("F3.11")
def test_layers_hold_what_can_run_together(pipeline: Graph) -> None:
    assert [[node.id for node in layer] for layer in pipeline.layers] == [["PLAN"], ["WRITE"], ["AUDIT"]]
    contest = race(RUN, ["codex", "claude"], ["judge"])
    assert [[node.id for node in layer] for layer in contest.layers] == [["A1", "A2"], ["R1"]]
    assert pipeline.id == f"MAEG-{RUN}"


def test_only_writers_that_no_writer_follows_can_be_the_result(pipeline: Graph) -> None:
    assert [node.id for node in pipeline.racers] == ["WRITE"]
    chain = graph_of([writer("W1"), writer("W2")], [edge("ROOT", "W1"), edge("W1", "W2", "patch"), edge("W2", "JOIN")])
    assert [node.id for node in chain.racers] == ["W2"]
    assert [node.id for node in race(RUN, ["codex", "claude"], ["judge"]).racers] == ["A1", "A2"]


def test_the_digest_covers_tasks_outputs_flows_and_choices(pipeline: Graph) -> None:
    plan, write, audit = (pipeline.node(id_) for id_ in ("PLAN", "WRITE", "AUDIT"))
    edges = list(pipeline.edges[:-1])
    variants = [
        graph_of([plan.model_copy(update={"task": "Be brief"}), write, audit], edges),
        graph_of([plan.model_copy(update={"output": {"steps": "string"}}), write, audit], edges),
        graph_of([plan, write.model_copy(update={"checks": False}), audit], edges),
        graph_of([plan, write, audit], [edges[0], edge("PLAN", "WRITE"), *edges[2:]]),
        graph_of([plan, write, audit], [*edges[:3], edge("AUDIT", "JOIN")]),
        graph_of([plan, write, audit], edges, Join(kind=JoinKind.QUORUM, minimum=1)),
        pipeline.model_copy(update={"pattern": "other"}),
    ]
    assert len({pipeline.digest, *(variant.digest for variant in variants)}) == len(variants) + 1
    assert Graph.model_validate_json(pipeline.model_dump_json()) == pipeline


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (edge("PLAN", "WRITE", "tests"), "hands back no 'tests'"),
        (edge("PLAN", "WRITE", "patch"), "hands back no 'patch'"),
        (edge("PLAN", "WRITE", when=("steps", "one")), "can never have 'one' as 'steps'"),
        (edge("PLAN", "WRITE", when=("mood", "good")), "can never have 'good' as 'mood'"),
    ],
)
@pytest.mark.covers("F3.10")
def test_an_edge_can_ask_only_for_what_its_source_declares(broken: Edge, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        graph_of(
            [reader("PLAN", steps="strings"), writer("WRITE")],
            [edge("ROOT", "PLAN"), broken, edge("WRITE", "JOIN")],
        )
    assert caught.value.code == ReasonCode.MAEG_INVALID


@pytest.mark.parametrize(
    "output", [{"Patch": "string"}, {"patch": "string"}, {"a": "text"}, {"a": "yes"}, {"a": "y|y"}]
)
def test_an_output_has_names_and_types_that_can_be_checked(output: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as caught:
        reader("PLAN", **output)
    assert caught.value.code == ReasonCode.MAEG_INVALID


def test_nothing_is_dispatched_or_reported_before_its_predecessor_passed(pipeline: Graph, intent: Intent) -> None:
    given = mandates(pipeline, intent)
    dispatch_gate(pipeline, "PLAN", {})
    for gate, code in ((dispatch_gate, ReasonCode.GS_203), (report_gate, ReasonCode.GS_204)):
        with pytest.raises(RefusedError, match="waits for PLAN, which has not passed") as caught:
            gate(pipeline, "WRITE", {})
        assert caught.value.code == code
    dispatch_gate(pipeline, "WRITE", {"PLAN": report(given["PLAN"])})


@pytest.mark.covers("F3.39")
def test_a_failure_blocks_everything_downstream_and_names_why(pipeline: Graph, intent: Intent) -> None:
    given = mandates(pipeline, intent)
    reports = {"PLAN": report(given["PLAN"], None, ("AGENT_FAILED", "it broke"))}
    for node in ("WRITE", "AUDIT"):
        reports[node] = withhold(given[node], unmet_edges(pipeline, node, reports), reports)
    assert [one.verdict for one in reports.values()] == [Verdict.FAIL, Verdict.BLOCKED, Verdict.BLOCKED]
    assert reports["AUDIT"].violations == (("GS_203", "node WRITE did not pass: BLOCKED"),)
    assert contenders(pipeline, reports) == frozenset()


def test_a_way_that_was_not_chosen_is_told_apart_from_a_failure(intent: Intent) -> None:
    routed = graph_of(
        [reader("ROUTE", to="fast|deep"), writer("FAST"), writer("DEEP")],
        [
            edge("ROOT", "ROUTE"),
            edge("ROUTE", "FAST", when=("to", "fast")),
            edge("ROUTE", "DEEP", when=("to", "deep")),
            edge("FAST", "JOIN"),
            edge("DEEP", "JOIN"),
        ],
        Join(kind=JoinKind.SELECTION),
    )
    given = mandates(routed, intent)
    reports = {"ROUTE": report(given["ROUTE"], {"to": "deep"})}
    with pytest.raises(RefusedError, match="waits for ROUTE to choose fast"):
        dispatch_gate(routed, "FAST", reports)
    reports["FAST"] = withhold(given["FAST"], unmet_edges(routed, "FAST", reports), reports)
    assert reports["FAST"].violations == (("NOT_CHOSEN", "node ROUTE chose deep as to, not fast"),)
    reports["DEEP"] = report(given["DEEP"])
    assert contenders(routed, reports) == {"DEEP"}
    with pytest.raises(RefusedError) as caught:
        withhold(given["DEEP"], (), reports)
    assert caught.value.code == ReasonCode.BINDING_MISMATCH


@pytest.mark.parametrize(("opinion", "who"), [("sound", {"WRITE"}), ("unsound", set())])
def test_what_the_auditor_says_decides_whether_there_is_a_result(
    pipeline: Graph, intent: Intent, opinion: str, who: set[str]
) -> None:
    given = mandates(pipeline, intent)
    reports = {node: report(given[node]) for node in ("PLAN", "WRITE")}
    reports["AUDIT"] = report(given["AUDIT"], {"opinion": opinion})
    assert contenders(pipeline, reports) == who


def test_a_quorum_counts_only_votes_that_say_yes() -> None:
    voters = [reader(f"V{number}", vote="yes|no|abstain") for number in (1, 2, 3)]
    graph = graph_of(
        [writer("PROPOSE"), *voters],
        [
            edge("ROOT", "PROPOSE"),
            *(edge("PROPOSE", voter.id, "patch") for voter in voters),
            *(edge(voter.id, "JOIN", when=("vote", "yes")) for voter in voters),
        ],
        Join(kind=JoinKind.QUORUM, minimum=2),
    )
    everyone = ["PROPOSE", "V1", "V2", "V3"]
    votes = {"V1": {"vote": "yes"}, "V2": {"vote": "abstain"}, "V3": {"vote": "no"}}
    assert "JOIN" not in passed_nodes(graph, everyone, votes)
    assert "JOIN" not in passed_nodes(graph, everyone)
    assert "JOIN" in passed_nodes(graph, everyone, {**votes, "V3": {"vote": "yes"}})


@pytest.mark.covers("F3.14")
def test_gs_207_for_an_input_that_the_graph_does_not_let_flow(pipeline: Graph, intent: Intent) -> None:
    given = mandates(pipeline, intent)
    assert given["WRITE"].data_inputs == ("PLAN.steps",)
    supplied = supply(given["WRITE"], {"PLAN.steps": sha("steps")})
    assert supplied.inputs["PLAN.steps"] == sha("steps")
    assert supplied.parent == given["WRITE"].digest
    with pytest.raises(RefusedError, match=r"AUDIT\.opinion") as caught:
        supply(given["WRITE"], {"AUDIT.opinion": sha("sound")})
    assert caught.value.code == ReasonCode.GS_207
    with pytest.raises(RefusedError, match="data_inputs") as caught:
        narrow(given["WRITE"], node="WRITE", agent="write", data_inputs=("AUDIT.opinion",))
    assert caught.value.code == ReasonCode.GS_201


def test_a_sync_point_passes_on_what_those_before_it_hand_back(intent: Intent) -> None:
    graph = graph_of(
        [
            reader("E1", note="string"),
            reader("E2", note="string"),
            Node(id="HEARD", type=NodeType.SYNC_POINT, join=Join(kind=JoinKind.QUORUM, minimum=1)),
            writer("SUM"),
        ],
        [
            edge("ROOT", "E1"),
            edge("ROOT", "E2"),
            edge("E1", "HEARD"),
            edge("E2", "HEARD"),
            edge("HEARD", "SUM", "note"),
            edge("SUM", "JOIN"),
        ],
    )
    assert mandates(graph, intent)["SUM"].data_inputs == ("E1.note", "E2.note")
