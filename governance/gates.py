"""Gates between nodes: nothing is dispatched or judged before what it rests on has passed."""

from collections.abc import Collection, Mapping

from governance.codes import ReasonCode, RefusedError
from governance.graph import Graph, Join, JoinKind, NodeType
from governance.mandate import Mandate, side_channels
from governance.report import Report, Verdict


def dispatch_gate(graph: Graph, node: str, reports: Mapping[str, Report]) -> None:
    """Refuse to dispatch a node before its predecessors have passed.

    Args:
        graph: the run's.
        node: id of the node to dispatch.
        reports: the current report of each agent node that has one, by node id.

    Raises:
        RefusedError: GS_203 naming a predecessor that has not passed; BINDING_MISMATCH for another run's report.
    """
    _gate(graph, node, reports, ReasonCode.GS_203)


def report_gate(graph: Graph, node: str, reports: Mapping[str, Report]) -> None:
    """Refuse to make a node's report before those it rests on have passed: the dispatch gate again, at the other end.

    Raises:
        RefusedError: GS_204 naming a predecessor that has not passed; BINDING_MISMATCH for another run's report.
    """
    _gate(graph, node, reports, ReasonCode.GS_204)


def input_gate(mandate: Mandate, seen: Mapping[str, str]) -> None:
    """Refuse inputs that the mandate does not list.

    Args:
        mandate: the manifest.
        seen: name to hex SHA-256 of what the node is given.

    Raises:
        RefusedError: GS_207 naming the first.
    """
    found = side_channels(mandate, seen)
    if found:
        raise RefusedError(ReasonCode.GS_207, found[0])


def passed_nodes(graph: Graph, succeeded: Collection[str]) -> frozenset[str]:
    """All nodes that count as passed when these agent nodes succeeded.

    An agent node passes when it succeeded and all it depends on passed; any other node when its join, `ALL` if it
    declares none, has what it needs.
    """
    passed: set[str] = set()
    for id_ in graph.order:
        node = graph.node(id_)
        before = graph.predecessors(id_)
        join = node.join or Join(kind=JoinKind.ALL)
        enough = len(passed.intersection(before)) >= join.needed(len(before))
        if enough and (node.type != NodeType.AGENT_NODE or id_ in succeeded):
            passed.add(id_)
    return frozenset(passed)


def _gate(graph: Graph, node: str, reports: Mapping[str, Report], code: ReasonCode) -> None:
    for id_, report in reports.items():
        if report.run != graph.run or report.node != id_:
            raise RefusedError(
                ReasonCode.BINDING_MISMATCH, f"{report.id} is not a report on node {id_} of run {graph.run}"
            )
    graph.node(node)
    passing = {id_ for id_, report in reports.items() if report.verdict == Verdict.PASS}
    passed = passed_nodes(graph, passing)
    for predecessor in graph.predecessors(node):
        if predecessor not in passed:
            raise RefusedError(code, f"node {node} of run {graph.run} waits for {predecessor}, which has not passed")
