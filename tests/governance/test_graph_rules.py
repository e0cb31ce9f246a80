import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.draw import mermaid
from governance.graph import (
    NODES_MAX,
    Capability,
    Edge,
    EdgeType,
    Graph,
    Join,
    JoinKind,
    Node,
    NodeType,
    race,
)
from governance.reasons import ReasonCode, RefusedError

ROOT = Node(id="ROOT", type=NodeType.ORCH_ROOT)
END = Node(id="END", type=NodeType.TERMINAL)


def agent(id_: str) -> Node:
    return Node(id=id_, type=NodeType.AGENT_NODE, agent=id_.lower(), capabilities=(Capability.READ.value,))


def joined(kind: JoinKind = JoinKind.ALL, minimum: int = 1, id_: str = "JOIN") -> Node:
    return Node(id=id_, type=NodeType.AGGREGATION, join=Join(kind=kind, minimum=minimum))


def edges(*pairs: str) -> tuple[Edge, ...]:
    split = (pair.split(">") for pair in pairs)
    return tuple(Edge(source=source, target=target, type=EdgeType.DEPENDENCY) for source, target in split)


def refusal(nodes: tuple[Node, ...], *pairs: str) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        Graph(run="run", nodes=nodes, edges=edges(*pairs))
    return caught.value


@pytest.mark.covers("F3.04")
def test_race_is_a_fan_out_into_one_selection() -> None:
    graph = race("run", ["codex", "claude"])
    assert [(node.id, node.agent) for node in graph.agent_nodes] == [("A1", "codex"), ("A2", "claude")]
    assert graph.order == ("ROOT", "A1", "A2", "SELECT", "END")
    assert graph.aggregation.join == Join(kind=JoinKind.SELECTION, minimum=1)
    assert graph.predecessors("SELECT") == ("A1", "A2")
    assert graph.dependents("A1") == ("SELECT", "END")


@pytest.mark.parametrize("agents", [[], ["codex", "codex"]])
def test_race_refuses_nobody_and_anybody_twice(agents: list[str]) -> None:
    with pytest.raises(RefusedError) as caught:
        race("run", agents)
    assert caught.value.code == ReasonCode.MAEG_INVALID


def test_ten_racers_keep_their_declared_order() -> None:
    graph = race("run", [f"agent-{number}" for number in range(1, 13)])
    assert [node.id for node in graph.agent_nodes] == [f"A{number}" for number in range(1, 13)]


@pytest.mark.covers("F3.05", "F3.47")
def test_gs_202_names_the_nodes_of_the_cycle() -> None:
    nodes = (ROOT, agent("A"), agent("B"), joined(), END)
    error = refusal(nodes, "ROOT>A", "A>B", "B>A", "B>JOIN", "JOIN>END")
    assert error.code == ReasonCode.GS_202
    assert "A, B" in error.text


def test_gs_202_for_a_node_that_waits_for_itself() -> None:
    error = refusal((ROOT, agent("A"), joined(), END), "ROOT>A", "A>A", "A>JOIN", "JOIN>END")
    assert error.code == ReasonCode.GS_202


@pytest.mark.parametrize(
    ("nodes", "pairs", "words"),
    [
        ((ROOT, agent("A"), agent("A"), joined(), END), ["ROOT>A", "A>JOIN", "JOIN>END"], "stands twice: A"),
        ((ROOT, agent("A"), joined(), END), ["ROOT>A", "A>JOIN", "JOIN>END", "A>B"], "not in the graph: B"),
        ((ROOT, agent("A"), joined(), END), ["ROOT>A", "ROOT>A", "A>JOIN", "JOIN>END"], "two edges"),
        ((agent("A"), joined(), END), ["A>JOIN", "JOIN>END"], "exactly one ORCH_ROOT"),
        ((ROOT, agent("A"), END), ["ROOT>A", "A>END"], "exactly one AGGREGATION"),
        (
            (ROOT, agent("A"), joined(), joined(id_="OTHER"), END),
            ["ROOT>A", "A>JOIN", "JOIN>OTHER", "OTHER>END"],
            "exactly one AGGREGATION",
        ),
        ((ROOT, agent("A"), agent("B"), joined(), END), ["ROOT>A", "A>JOIN", "B>JOIN", "JOIN>END"], "node B: every"),
        ((ROOT, agent("A"), agent("B"), joined(), END), ["ROOT>A", "ROOT>B", "A>JOIN", "JOIN>END"], "node B can be"),
        ((ROOT, agent("A"), joined(), END), ["ROOT>A", "A>JOIN", "A>END"], "node END can be reached"),
        ((ROOT, agent("A"), agent("B"), joined(), END), ["ROOT>A", "A>JOIN", "JOIN>B", "B>END"], "B follows"),
        ((ROOT, agent("A"), joined(JoinKind.QUORUM, 2), END), ["ROOT>A", "A>JOIN", "JOIN>END"], "needs more"),
    ],
)
@pytest.mark.covers("F3.08")
def test_a_malformed_graph_is_refused_with_its_fault(nodes: tuple[Node, ...], pairs: list[str], words: str) -> None:
    error = refusal(nodes, *pairs)
    assert error.code == ReasonCode.MAEG_INVALID
    assert words in error.text


@pytest.mark.parametrize(
    "fields",
    [
        {"type": NodeType.AGENT_NODE},
        {"type": NodeType.AGENT_NODE, "agent": "codex"},
        {"type": NodeType.AGENT_NODE, "agent": "codex", "capabilities": ("a", "a")},
        {"type": NodeType.SYNC_POINT, "agent": "codex", "capabilities": ("a",)},
        {"type": NodeType.AGGREGATION},
        {"type": NodeType.TERMINAL, "join": Join(kind=JoinKind.ALL)},
    ],
)
@pytest.mark.covers("F3.09")
def test_a_node_has_what_its_type_needs_and_nothing_else(fields: dict[str, object]) -> None:
    with pytest.raises(RefusedError) as caught:
        Node.model_validate({"id": "N", **fields})
    assert caught.value.code == ReasonCode.MAEG_INVALID


def test_too_many_nodes_are_refused() -> None:
    with pytest.raises(RefusedError, match="at most"):
        race("run", [f"agent-{number}" for number in range(NODES_MAX)])


def test_digest_covers_everything_that_matters() -> None:
    base = race("run", ["codex", "claude"])
    other_join = tuple(joined(JoinKind.ALL, id_="SELECT") if node.id == "SELECT" else node for node in base.nodes)
    other_edge = (base.edges[0].model_copy(update={"type": EdgeType.DATA_FLOW}), *base.edges[1:])
    variants = [
        race("run2", ["codex", "claude"]),
        race("run", ["claude", "codex"]),
        race("run", ["codex", "copilot"]),
        Graph(run="run", nodes=other_join, edges=base.edges),
        Graph(run="run", nodes=base.nodes, edges=other_edge),
    ]
    assert len({graph.digest for graph in [base, *variants]}) == len(variants) + 1
    assert race("run", ["codex", "claude"]).digest == base.digest


def test_a_graph_survives_json() -> None:
    graph = race("run", ["codex", "claude"])
    assert Graph.model_validate_json(graph.model_dump_json()) == graph


@given(st.integers(2, 8), st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_order_puts_every_node_after_its_predecessors_or_there_is_a_cycle(
    count: int, pairs: set[tuple[int, int]]
) -> None:
    names = [f"N{number}" for number in range(count)]
    inner = {(f"N{a}", f"N{b}") for a, b in pairs if a < count and b < count}
    everything = [*(("ROOT", name) for name in names), *sorted(inner), *((name, "JOIN") for name in names)]
    arrows = [f"{source}>{target}" for source, target in everything]
    nodes = (ROOT, *(agent(name) for name in names), joined(), END)
    try:
        graph = Graph(run="run", nodes=nodes, edges=edges(*arrows, "JOIN>END"))
    except RefusedError as error:
        assert error.code == ReasonCode.GS_202  # noqa: PT017 - hypothesis explores both ends
        return
    place = {id_: index for index, id_ in enumerate(graph.order)}
    assert len(place) == len(nodes)
    assert all(place[edge.source] < place[edge.target] for edge in graph.edges)


def test_mermaid_escapes_labels_and_generates_ids() -> None:
    hostile = Node.model_construct(
        id='x"]; click n0 "javascript:alert(1)"',
        type=NodeType.AGENT_NODE,
        agent="<b>&\n",
        capabilities=("a",),
        join=None,
    )
    base = race("run", ["codex"])
    drawn = mermaid(base.model_copy(update={"nodes": (base.nodes[0], hostile, *base.nodes[2:]), "edges": ()}))
    assert drawn.startswith("flowchart TD\n")
    for line in drawn.splitlines()[1:]:
        assert re.fullmatch(r'  n\d+[\[({]+"[A-Za-z0-9 _.#;]*"[\])}]+', line), line


def test_mermaid_draws_every_edge_by_type() -> None:
    drawn = mermaid(race("run", ["codex", "claude"]))
    assert "  n0 --> n1\n" in drawn
    assert "  n2 ==> n3\n" in drawn
    assert 'n1["A1 codex"]' in drawn
