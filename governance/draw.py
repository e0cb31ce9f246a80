"""Drawing a graph as Mermaid text."""

import re

from governance.graph import Edge, EdgeType, Graph, Node, NodeType

LABEL_MAX = 80  # characters of one label, before escaping

_ARROWS = {EdgeType.DEPENDENCY: "-->", EdgeType.DATA_FLOW: "-.->", EdgeType.BARRIER: "==>"}
_SHAPES = {
    NodeType.ORCH_ROOT: ("([", "])"),
    NodeType.AGENT_NODE: ("[", "]"),
    NodeType.SYNC_POINT: ("{{", "}}"),
    NodeType.AGGREGATION: ("{", "}"),
    NodeType.TERMINAL: ("([", "])"),
}
_UNSAFE = re.compile(r"[^A-Za-z0-9 _.]")


def mermaid(graph: Graph) -> str:
    """A Mermaid flowchart: generated ids, labels with every other character than letters and digits escaped."""
    ids = {node.id: f"n{index}" for index, node in enumerate(graph.nodes)}
    nodes = [f"  {ids[node.id]}{_shape(node)}" for node in graph.nodes]
    edges = [f"  {ids[edge.source]} {_arrow(edge)} {ids[edge.target]}" for edge in graph.edges]
    return "\n".join(["flowchart TD", *nodes, *edges]) + "\n"


def edge_label(edge: Edge) -> str:
    """What flows over an edge and what it asks for; empty for an edge that only waits."""
    asked = "" if edge.when is None else f"{edge.when[0]} = {edge.when[1]}"
    return "; ".join(part for part in (", ".join(edge.fields), asked) if part)


def _arrow(edge: Edge) -> str:
    label = _escaped(edge_label(edge))
    return f'{_ARROWS[edge.type]}|"{label}"|' if label else _ARROWS[edge.type]


def _shape(node: Node) -> str:
    left, right = _SHAPES[node.type]
    return f'{left}"{_escaped(node_label(node))}"{right}'


def node_label(node: Node) -> str:
    """What a node is called: its id, who works there or what it needs."""
    if node.agent is not None:
        return f"{node.id} {node.agent}"
    if node.join is not None:
        return f"{node.id} {node.join.kind} {node.join.minimum}"
    return node.id


def _escaped(text: str) -> str:
    return _UNSAFE.sub(lambda match: f"#{ord(match.group())};", text[:LABEL_MAX])
