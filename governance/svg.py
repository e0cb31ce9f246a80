"""Drawing a graph as SVG (https://www.w3.org/TR/SVG2/): layers from top to bottom, no script, no links.

The layout is the plain form of Sugiyama's: a node's layer is the longest way to it from the root, the order in a layer
follows the middle of what is above, and edges are curves from box to box.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from governance.draw import LABEL_MAX, edge_label, node_label
from governance.graph import Edge, EdgeType, Graph, Node, NodeType

CHARACTER_WIDTH = 7.2  # pixels of one character of the 12 pixel monospace that labels are set in
BOX_HEIGHT = 34  # pixels
PADDING = 14  # pixels on both sides of a label
GAP_X = 28  # pixels between boxes of a layer
GAP_Y = 58  # pixels between layers
MARGIN = 16  # pixels around everything
SWEEPS = 4  # times that the order in the layers is improved

_ROOT = 'role="img" font-family="monospace" font-size="12"'
_TIP = (
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#475569"/></marker>'
)
_FILLS = {
    NodeType.ORCH_ROOT: "#e8eaed",
    NodeType.AGENT_NODE: "#dbeafe",
    NodeType.SYNC_POINT: "#fef3c7",
    NodeType.AGGREGATION: "#dcfce7",
    NodeType.TERMINAL: "#e8eaed",
}
_ROUNDED = {NodeType.ORCH_ROOT: 17, NodeType.TERMINAL: 17, NodeType.SYNC_POINT: 10, NodeType.AGGREGATION: 10}
_STROKES = {EdgeType.DEPENDENCY: "1.2", EdgeType.DATA_FLOW: "1.2", EdgeType.BARRIER: "2"}


@dataclass(frozen=True)
class _Box:
    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def svg(graph: Graph) -> str:
    """The graph as a stand-alone SVG document; labels are text and nothing else, whatever they hold."""
    boxes = _placed(graph)
    width = max(box.x + box.width for box in boxes.values()) + MARGIN
    height = max(box.y for box in boxes.values()) + BOX_HEIGHT + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" {_ROOT}>',
            f"  <title>{_text(f'Workflow {graph.pattern}' if graph.pattern else 'Race')}</title>",
            f"  <defs>{_TIP}</defs>",
            f'  <rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
            *(_drawn_edge(edge, boxes) for edge in graph.edges),
            *(_drawn_node(node, boxes[node.id]) for node in graph.nodes),
            "</svg>\n",
        ]
    )


def _text(label: str) -> str:
    """Text for XML 1.0: markup escaped, what XML cannot hold left out, cut to a readable length."""
    kept = "".join(letter for letter in label[:LABEL_MAX] if letter.isprintable())
    return escape(kept)


def _placed(graph: Graph) -> Mapping[str, _Box]:
    layers = _layers(graph)
    widths = {node.id: len(node_label(node)[:LABEL_MAX]) * CHARACTER_WIDTH + 2 * PADDING for node in graph.nodes}
    spans = {depth: sum(widths[id_] + GAP_X for id_ in ids) - GAP_X for depth, ids in layers.items()}
    widest = max(spans.values())
    boxes: dict[str, _Box] = {}
    for depth, ids in layers.items():
        x = MARGIN + (widest - spans[depth]) / 2
        for id_ in ids:
            boxes[id_] = _Box(x, MARGIN + depth * (BOX_HEIGHT + GAP_Y), widths[id_])
            x += widths[id_] + GAP_X
    return boxes


def _layers(graph: Graph) -> dict[int, list[str]]:
    depth: dict[str, int] = {}
    layers: dict[int, list[str]] = defaultdict(list)
    for id_ in graph.order:
        depth[id_] = max((depth[source] + 1 for source in graph.predecessors(id_)), default=0)
        layers[depth[id_]].append(id_)
    for _ in range(SWEEPS):
        place = {id_: index / len(ids) for ids in layers.values() for index, id_ in enumerate(ids)}
        for ids in layers.values():
            middle = {id_: _mean([place[source] for source in graph.predecessors(id_)], place[id_]) for id_ in ids}
            ids.sort(key=middle.__getitem__)
    return dict(layers)


def _mean(places: list[float], alone: float) -> float:
    return sum(places) / len(places) if places else alone


def _drawn_node(node: Node, box: _Box) -> str:
    return (
        f'  <g><rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{BOX_HEIGHT}" '
        f'rx="{_ROUNDED.get(node.type, 3)}" fill="{_FILLS[node.type]}" stroke="#475569"/>'
        f'<text x="{box.middle:.1f}" y="{box.y + BOX_HEIGHT / 2 + 4:.1f}" text-anchor="middle" fill="#0f172a">'
        f"{_text(node_label(node))}</text></g>"
    )


def _drawn_edge(edge: Edge, boxes: Mapping[str, _Box]) -> str:
    source, target = boxes[edge.source], boxes[edge.target]
    x1, y1, x2, y2 = source.middle, source.y + BOX_HEIGHT, target.middle, target.y
    bend = (y2 - y1) / 2
    dashes = ' stroke-dasharray="5 4"' if edge.type == EdgeType.DATA_FLOW else ""
    curve = f"M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"
    line = (
        f'  <path d="{curve}" fill="none" '
        f'stroke="#475569" stroke-width="{_STROKES[edge.type]}"{dashes} marker-end="url(#tip)"/>'
    )
    label = edge_label(edge)
    if not label:
        return line
    # Near the target, where edges have parted from their common source.
    x, y = x1 + (x2 - x1) * 0.7, y1 + (y2 - y1) * 0.7
    text = f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-size="10" fill="#334155" '
    return f'{line}\n  {text}stroke="#ffffff" stroke-width="3" paint-order="stroke">{_text(label)}</text>'
