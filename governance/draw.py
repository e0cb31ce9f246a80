"""Drawing a graph as Mermaid text."""

import re

from governance.graph import EdgeType, Graph, Node, NodeType

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
    edges = [f"  {ids[edge.source]} {_ARROWS[edge.type]} {ids[edge.target]}" for edge in graph.edges]
    return "\n".join(["flowchart TD", *nodes, *edges]) + "\n"


def _shape(node: Node) -> str:
    left, right = _SHAPES[node.type]
    return f'{left}"{_escaped(_label(node))}"{right}'


def _label(node: Node) -> str:
    if node.agent is not None:
        return f"{node.id} {node.agent}"
    if node.join is not None:
        return f"{node.id} {node.join.kind} {node.join.minimum}"
    return node.id


def _escaped(text: str) -> str:
    return _UNSAFE.sub(lambda match: f"#{ord(match.group())};", text[:LABEL_MAX])
