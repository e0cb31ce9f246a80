"""The graph of a run (MAEG): what may run, in which order, and what its join needs. Recorded before any dispatch."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from governance.codes import ReasonCode, RefusedError
from governance.nodes import (
    CANDIDATE_CAPABILITIES,
    EDGES_MAX,
    NODES_MAX,
    REVIEWER_CAPABILITIES,
    Capability,
    Edge,
    EdgeType,
    Join,
    JoinKind,
    Node,
    NodeType,
    choices,
    invalid,
)
from governance.record import Record, RunId

__all__ = [
    "CANDIDATE_CAPABILITIES",
    "EDGES_MAX",
    "NODES_MAX",
    "REVIEWER_CAPABILITIES",
    "Capability",
    "Edge",
    "EdgeType",
    "Graph",
    "Join",
    "JoinKind",
    "Node",
    "NodeType",
    "race",
]


class Graph(Record):
    """A directed acyclic graph whose every path runs through one aggregation.

    Attributes:
        run: the run's id.
        nodes: in the order of their declaration, which decides between nodes that could run together.
        edges: no two between the same nodes.
        pattern: what it was compiled from; empty for a race, whose reviewers and candidates have stages of their own.

    Raises:
        RefusedError: GS_202 for a cycle, MAEG_INVALID for anything else that is wrong, on construction.
    """

    record_kind: ClassVar[str] = "optr/graph/1"

    run: RunId
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    pattern: Annotated[str, Field(pattern=r"^[a-z_]{0,40}$")] = ""

    @model_validator(mode="after")
    def _valid(self) -> Self:
        _check_names(self)
        _check_acyclic(self)
        _check_shape(self)
        _check_flows(self)
        _check_convergence(self)
        return self

    @property
    def order(self) -> tuple[str, ...]:
        """Node ids, every node after its predecessors; the declaration decides between equals."""
        return _kahn(self)

    @property
    def agent_nodes(self) -> tuple[Node, ...]:
        """The agent nodes, in `order`: the node order of settlements and of the Merkle tree."""
        by_id = {node.id: node for node in self.nodes}
        return tuple(by_id[id_] for id_ in self.order if by_id[id_].type == NodeType.AGENT_NODE)

    @property
    def id(self) -> str:
        """`MAEG-<run>`."""
        return f"MAEG-{self.run}"

    @property
    def layers(self) -> tuple[tuple[Node, ...], ...]:
        """The agent nodes by how many agent nodes stand before them at most; those of a layer can run together."""
        depth: dict[str, int] = {}
        layers: dict[int, list[Node]] = defaultdict(list)
        for id_ in self.order:
            node = self.node(id_)
            below = max((depth[source] for source in self.predecessors(id_)), default=0)
            depth[id_] = below + (node.type == NodeType.AGENT_NODE)
            if node.type == NodeType.AGENT_NODE:
                layers[depth[id_]].append(node)
        return tuple(tuple(layers[index]) for index in sorted(layers))

    @property
    def racers(self) -> tuple[Node, ...]:
        """Those agent nodes whose patch can be the result: writers from whom a way to the join meets no other writer.

        Only they hand back candidates, and only they can be selected.
        """
        following, aggregation = _successors(self), self.aggregation.id
        open_ends: dict[str, bool] = {aggregation: True}
        writers = {node.id for node in self.nodes if node.writes}
        for id_ in reversed(self.order):
            reaches = any(target not in writers and open_ends.get(target, False) for target in following[id_])
            open_ends[id_] = open_ends.get(id_, False) or reaches
        return tuple(node for node in self.agent_nodes if node.writes and open_ends[node.id])

    @property
    def reviewers(self) -> tuple[Node, ...]:
        """Those agent nodes that may not write: in a race they judge what others wrote."""
        return tuple(node for node in self.agent_nodes if not node.writes)

    @property
    def aggregation(self) -> Node:
        """The one aggregation."""
        return next(node for node in self.nodes if node.type == NodeType.AGGREGATION)

    @property
    def root(self) -> Node:
        """The one root."""
        return next(node for node in self.nodes if node.type == NodeType.ORCH_ROOT)

    def node(self, node_id: str) -> Node:
        """The node with this id.

        Raises:
            RefusedError: MAEG_INVALID when there is none.
        """
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise invalid(f"the graph of run {self.run} has no node {node_id!r}")

    def incoming(self, node_id: str) -> tuple[Edge, ...]:
        """The edges to this node, in their order."""
        return tuple(edge for edge in self.edges if edge.target == node_id)

    def predecessors(self, node_id: str) -> tuple[str, ...]:
        """Ids of the nodes with an edge to this one, in the order of the edges."""
        return tuple(edge.source for edge in self.edges if edge.target == node_id)

    def dependents(self, node_id: str) -> tuple[str, ...]:
        """Ids of all nodes downstream of this one, in `order`."""
        downstream = _reachable(_successors(self), [node_id], avoiding=None) - {node_id}
        return tuple(id_ for id_ in self.order if id_ in downstream)


def race(run: str, agents: Sequence[str], reviewers: Sequence[str] = ()) -> Graph:
    """The OPTR race: one candidate node per agent, all into a join that selects one.

    Reviewers stand between: a sync point waits for all candidates and needs one that passes, every reviewer follows it,
    and the join waits for them too. Without reviewers the graph, and so its digest, is what it always was.

    Args:
        run: the run's id.
        agents: names, distinct; node `A1` is the first's.
        reviewers: names, distinct; node `R1` is the first's. A name may race and review.

    Raises:
        RefusedError: MAEG_INVALID without agents or with one twice in its part.
    """
    for names in (agents, reviewers):
        if not agents or len(set(names)) != len(names):
            raise invalid(f"a race needs at least one agent and each only once, not: {', '.join(names) or 'nobody'}")
    racers = _agents("A", agents, CANDIDATE_CAPABILITIES)
    judges = _agents("R", reviewers, REVIEWER_CAPABILITIES)
    join = Join(kind=JoinKind.SELECTION, minimum=1)
    verified = (Node(id="VERIFIED", type=NodeType.SYNC_POINT, join=join),) if judges else ()
    edges = [Edge(source="ROOT", target=node.id, type=EdgeType.DEPENDENCY) for node in racers]
    edges += [Edge(source=node.id, target="SELECT", type=EdgeType.BARRIER) for node in racers]
    for sync in verified:
        edges += [Edge(source=node.id, target=sync.id, type=EdgeType.BARRIER) for node in racers]
        edges += [Edge(source=sync.id, target=node.id, type=EdgeType.DATA_FLOW) for node in judges]
        edges += [Edge(source=node.id, target="SELECT", type=EdgeType.BARRIER) for node in judges]
    return Graph(
        run=run,
        nodes=(
            Node(id="ROOT", type=NodeType.ORCH_ROOT),
            *racers,
            *verified,
            *judges,
            Node(id="SELECT", type=NodeType.AGGREGATION, join=join),
            Node(id="END", type=NodeType.TERMINAL),
        ),
        edges=(*edges, Edge(source="SELECT", target="END", type=EdgeType.DEPENDENCY)),
    )


def _agents(letter: str, names: Sequence[str], capabilities: tuple[str, ...]) -> list[Node]:
    return [
        Node(id=f"{letter}{number}", type=NodeType.AGENT_NODE, agent=name, capabilities=capabilities)
        for number, name in enumerate(names, 1)
    ]


def _check_names(graph: Graph) -> None:
    if len(graph.nodes) > NODES_MAX or len(graph.edges) > EDGES_MAX:
        raise invalid(f"a graph has at most {NODES_MAX} nodes and {EDGES_MAX} edges")
    names = [node.id for node in graph.nodes]
    if len(set(names)) != len(names):
        raise invalid(f"a node id stands twice: {next(name for name in names if names.count(name) > 1)}")
    pairs = [(edge.source, edge.target) for edge in graph.edges]
    strangers = sorted({end for pair in pairs for end in pair} - set(names))
    if strangers:
        raise invalid(f"an edge names a node that is not in the graph: {strangers[0]}")
    if len(set(pairs)) != len(pairs):
        raise invalid("two edges join the same two nodes")


def _check_acyclic(graph: Graph) -> None:
    caught = {node.id for node in graph.nodes} - set(_kahn(graph))
    following = _successors(graph)
    # What only waits behind a circle is not a part of it.
    while ends := {id_ for id_ in caught if not caught.intersection(following[id_])}:
        caught -= ends
    if caught:
        raise RefusedError(
            ReasonCode.GS_202, f"these nodes wait for each other in a circle: {', '.join(sorted(caught))}"
        )


def _check_shape(graph: Graph) -> None:
    for kind in (NodeType.ORCH_ROOT, NodeType.AGGREGATION):
        count = sum(node.type == kind for node in graph.nodes)
        if count != 1:
            raise invalid(f"a graph has exactly one {kind}, this one has {count}")
    targets = {edge.target for edge in graph.edges}
    for node in graph.nodes:
        if (node.type == NodeType.ORCH_ROOT) == (node.id in targets):
            raise invalid(f"node {node.id}: every node but the root, and never the root, has a predecessor")
        if node.join and node.join.minimum > len(graph.predecessors(node.id)):
            raise invalid(f"node {node.id}: its join needs more predecessors than it has")


def _check_flows(graph: Graph) -> None:
    """What an edge carries, or asks for, must be declared where it comes from, and agree with the type there."""
    nodes = {node.id: node for node in graph.nodes}
    for edge in graph.edges:
        where, before = f"edge {edge.source} to {edge.target}", nodes[edge.source]
        sources = (
            [before] if before.type == NodeType.AGENT_NODE else [nodes[id_] for id_ in graph.predecessors(before.id)]
        )
        for name in edge.fields:
            if not any(name in source.hands_back for source in sources):
                raise invalid(f"{where}: {edge.source} hands back no {name[:80]!a}")
        if edge.fields and nodes[edge.target].type != NodeType.AGENT_NODE:
            raise invalid(f"{where}: only an agent node can read what flows")
        if edge.when is not None and edge.when[1] not in choices(before.output.get(edge.when[0], "")):
            raise invalid(
                f"{where}: the output of {edge.source} can never have {edge.when[1][:80]!a} as {edge.when[0][:80]!a}"
            )


def _check_convergence(graph: Graph) -> None:
    """Every path that starts at the root must pass the aggregation, and only terminals may follow it."""
    following = _successors(graph)
    aggregation = graph.aggregation.id
    types = {node.id: node.type for node in graph.nodes}
    for id_ in sorted(_reachable(following, [graph.root.id], avoiding=aggregation)):
        if not following[id_] or types[id_] == NodeType.TERMINAL:
            raise invalid(f"node {id_} can be reached, and ends, without passing the aggregation {aggregation}")
    after = _reachable(following, following[aggregation], avoiding=None)
    for id_ in sorted(after):
        if types[id_] != NodeType.TERMINAL:
            raise invalid(f"node {id_} follows the aggregation, but only terminals may")


def _successors(graph: Graph) -> Mapping[str, list[str]]:
    following: dict[str, list[str]] = {node.id: [] for node in graph.nodes}
    for edge in graph.edges:
        following[edge.source].append(edge.target)
    return following


def _reachable(following: Mapping[str, list[str]], starts: Sequence[str], avoiding: str | None) -> set[str]:
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        id_ = waiting.pop()
        if id_ not in seen and id_ != avoiding:
            seen.add(id_)
            waiting.extend(following[id_])
    return seen


def _kahn(graph: Graph) -> tuple[str, ...]:
    """Kahn's topological sort; nodes of a cycle are left out."""
    place = {node.id: index for index, node in enumerate(graph.nodes)}
    following = _successors(graph)
    waiting_for: dict[str, int] = defaultdict(int)
    for edge in graph.edges:
        waiting_for[edge.target] += 1
    ready = [place[node.id] for node in graph.nodes if not waiting_for[node.id]]
    heapify(ready)
    order: list[str] = []
    while ready:
        id_ = graph.nodes[heappop(ready)].id
        order.append(id_)
        for target in following[id_]:
            waiting_for[target] -= 1
            if not waiting_for[target]:
                heappush(ready, place[target])
    return tuple(order)
