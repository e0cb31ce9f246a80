"""Every pattern as the graph it compiles to."""

import re
from xml.dom import minidom

import pytest

from governance.codes import ReasonCode, RefusedError
from governance.draw import mermaid
from governance.graph import CANDIDATE_CAPABILITIES, Graph, Join, JoinKind, Node, NodeType
from governance.patterns import PATTERNS, Cast, compile_pattern
from governance.svg import svg
from governance.workflow import RESULT_ID, Flow, Workflow

CASTS = {
    "blackboard": Cast({"controller": ("a",), "specialists": ("b", "c"), "integrator": ("a",)}, {"rounds": 2}),
    "consensus": Cast({"proposer": ("a",), "voters": ("b", "c", "d")}),
    "debate": Cast({"proposer": ("a",), "proponent": ("a",), "opponent": ("b",), "judge": ("c",)}, {"rounds": 2}),
    "ensemble": Cast({"experts": ("b", "c", "d"), "synthesizer": ("a",)}, {"minimum": 2}),
    "handoff": Cast({"tiers": ("a", "b", "c")}),
    "parallel": Cast({"agents": ("a", "b"), "joiner": ("c",)}),
    "plan_pipeline": Cast({"planner": ("a",), "writers": ("b", "c"), "tester": ("b",), "auditor": ("d",)}),
    "race": Cast({"agents": ("a", "b"), "reviewers": ("c",)}),
    "router": Cast({"router": ("a",), "specialists": ("b", "c")}),
    "sequential": Cast({"agents": ("a", "b", "a")}),
    "supervisor_worker": Cast({"supervisor": ("a",), "workers": ("b", "c")}, {"slots": 3}),
}
LAYERS = {
    "blackboard": ["C1", "B1S1 B1S2", "C2", "B2S1 B2S2", "C3", "INTEGRATE"],
    "consensus": ["PROPOSE", "V1 V2 V3"],
    "debate": ["PROPOSE", "PRO1", "CON1", "PRO2", "CON2", "JUDGE"],
    "ensemble": ["E1 E2 E3", "JOIN"],
    "handoff": ["T1", "T2", "T3"],
    "parallel": ["P1 P2", "JOIN"],
    "plan_pipeline": ["PLAN", "WRITE1 WRITE2", "TEST", "AUDIT"],
    "race": ["A1 A2", "R1"],
    "router": ["ROUTE", "R1 R2"],
    "sequential": ["S1", "S2", "S3"],
    "supervisor_worker": ["DIVIDE", "W1 W2 W3", "JOIN"],
}
RESULTS = {
    "blackboard": "INTEGRATE",
    "consensus": "PROPOSE",
    "debate": "PROPOSE",
    "handoff": "T1 T2 T3",
    "plan_pipeline": "TEST",
    "race": "A1 A2",
    "router": "R1 R2",
    "sequential": "S3",
}


def graph(name: str) -> Graph:
    return compile_pattern(name, CASTS[name]).graph("run")


def test_all_eleven_are_there() -> None:
    assert list(PATTERNS) == sorted(CASTS)


@pytest.mark.parametrize("name", CASTS)
def test_a_pattern_is_the_graph_that_it_says(name: str) -> None:
    made = graph(name)
    assert [" ".join(node.id for node in layer) for layer in made.layers] == LAYERS[name]
    assert " ".join(node.id for node in made.racers) == RESULTS.get(name, "JOIN")
    assert Graph.model_validate_json(made.model_dump_json()).digest == made.digest
    assert all(node.checks for node in made.racers)


@pytest.mark.covers("F5.07")
def test_an_unknown_pattern_is_an_error_and_never_another_one() -> None:
    with pytest.raises(RefusedError, match="there are: blackboard, consensus") as caught:
        compile_pattern("swarm", Cast({}))
    assert caught.value.code == ReasonCode.WORKFLOW_INVALID


def test_joins_say_beforehand_what_may_fail() -> None:
    joins = {name: {node.id: node.join for node in graph(name).nodes if node.join} for name in CASTS}
    assert joins["ensemble"]["MET"] == Join(kind=JoinKind.QUORUM, minimum=2)
    assert joins["parallel"]["MET"] == Join(kind=JoinKind.ALL)
    assert joins["consensus"]["TALLY"] == Join(kind=JoinKind.QUORUM, minimum=2)
    assert joins["router"][RESULT_ID] == Join(kind=JoinKind.SELECTION)
    assert joins["sequential"][RESULT_ID] == Join(kind=JoinKind.ALL)


def test_the_supervisor_assigns_every_subtask_round_robin() -> None:
    made = graph("supervisor_worker")
    assert [made.node(f"W{number}").agent for number in (1, 2, 3)] == ["b", "c", "b"]
    assert "do 2, 5, 8 and so on" in made.node("W2").task


def test_blackboard_specialists_can_only_add_to_the_board() -> None:
    made = graph("blackboard")
    assert all(made.node(id_).capabilities == ("repo.read",) for id_ in ("B1S1", "B2S2"))
    ways = {(edge.source, edge.when) for edge in made.incoming("SOLVED")}
    assert ways == {(f"C{turn}", ("next", "solved")) for turn in (1, 2, 3)}


def two() -> Workflow:
    return (
        Workflow()
        .add_agent("plan", "ada", output={"steps": "strings"})
        .add_agent("write", "bob", capabilities=CANDIDATE_CAPABILITIES, required_capabilities=("code.python",))
    )


class Registry:
    def capabilities(self, agent: str) -> tuple[str, ...]:
        return {"ada": ("repo.read",), "bob": ("repo.read", "repo.write", "test.run")}.get(agent, ())

    def distrusted(self, agent: str) -> str | None:
        return "revoked" if agent == "eve" else None


@pytest.mark.covers("F5.29")
def test_the_builder_asks_the_registry() -> None:
    flow = two().connect("plan", "write", fields=("steps",))
    with pytest.raises(RefusedError, match=r"Agent bob missing required capability: code\.python"):
        flow.build(Registry())
    with pytest.raises(RefusedError, match="Agent eve is not trusted: revoked"):
        Workflow().add_agent("write", "eve", capabilities=CANDIDATE_CAPABILITIES).build(Registry())
    assert isinstance(flow.build(), Flow)


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        (
            two().connect("plan", "write", capabilities_to_delegate=("repo.write",)),
            "Cannot delegate 'repo.write' from plan",
        ),
        (two().connect("plan", "write").connect("write", "plan"), "in a circle: plan, write"),
        (two().connect("plan", "nobody"), "not in the graph: nobody"),
        (two().connect("plan", RESULT_ID), "node write can be reached, and ends"),
        (Workflow().add_agent("plan", "ada"), "no node may write"),
        (two().connect("nobody", "write"), "not in the graph: nobody"),
        (Workflow().add_agent("w", "bob", capabilities=CANDIDATE_CAPABILITIES, checks=False), "checks must judge it"),
    ],
)
@pytest.mark.covers("F5.30")
def test_the_builder_refuses_what_cannot_run(flow: Workflow, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        flow.build()


@pytest.mark.parametrize("name", CASTS)
def test_every_pattern_can_be_drawn(name: str) -> None:
    made = graph(name)
    document = minidom.parseString(svg(made))
    assert len(document.getElementsByTagName("g")) == len(made.nodes)
    boxes = [[float(box.getAttribute(key)) for key in ("x", "y", "width")] for box in _boxes(document)]
    for index, (x, y, width) in enumerate(boxes):
        assert not any(y == b and x < a + c and a < x + width for a, b, c in boxes[index + 1 :]), "boxes overlap"
    assert mermaid(made).count("\n") == 1 + len(made.nodes) + len(made.edges)


def _boxes(document: minidom.Document) -> list[minidom.Element]:
    return [group.getElementsByTagName("rect")[0] for group in document.getElementsByTagName("g")]


def test_a_drawing_shows_hostile_names_as_text() -> None:
    base = graph("router")
    hostile = Node.model_construct(
        id='R1"/><script>alert(1)</script>\x00\x1b[31m\u202e',
        type=NodeType.AGENT_NODE,
        agent="&amp;]]>",
        capabilities=("a",),
        join=None,
        output={},
    )
    nodes = tuple(hostile if node.id == "R1" else node for node in base.nodes)
    edges = tuple(edge for edge in base.edges if "R1" not in (edge.source, edge.target))
    drawn = svg(base.model_copy(update={"nodes": nodes, "edges": edges}))
    document = minidom.parseString(drawn)
    assert not document.getElementsByTagName("script")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", drawn)
    assert any("<script>" in (text.firstChild.data if text.firstChild else "") for text in _texts(document))


def _texts(document: minidom.Document) -> list[minidom.Element]:
    return list(document.getElementsByTagName("text"))
