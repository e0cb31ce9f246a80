"""Gates between nodes: nothing is dispatched or judged before what it rests on has passed."""

from collections.abc import Collection, Mapping

from governance.codes import ReasonCode, RefusedError
from governance.graph import Edge, Graph, Join, JoinKind, NodeType
from governance.mandate import Mandate, side_channels
from governance.nodes import PATCH_FIELD
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


def passed_nodes(
    graph: Graph, succeeded: Collection[str], chosen: Mapping[str, Mapping[str, str]] | None = None
) -> frozenset[str]:
    """All nodes that count as passed when these agent nodes succeeded.

    An agent node passes when it succeeded and every edge to it holds; any other node when its join, `ALL` if it
    declares none, has as many edges that hold as it needs. An edge holds when its source passed and chose what the
    edge asks for.

    Args:
        graph: the run's.
        succeeded: agent nodes whose work is admissible.
        chosen: by node id, the words that its output holds, by field; what a node did not choose holds no edge.
    """
    words = chosen or {}
    passed: set[str] = set()
    for id_ in graph.order:
        node = graph.node(id_)
        edges = graph.incoming(id_)
        join = node.join or Join(kind=JoinKind.ALL)
        enough = sum(_holds(edge, passed, words) for edge in edges) >= join.needed(len(edges))
        if enough and (node.type != NodeType.AGENT_NODE or id_ in succeeded):
            passed.add(id_)
    return frozenset(passed)


def unmet_edges(graph: Graph, node: str, reports: Mapping[str, Report]) -> tuple[Edge, ...]:
    """The edges to a node that do not hold, given the current report of each agent node that has one."""
    passing, words = _standing(reports)
    passed = passed_nodes(graph, passing, words)
    return tuple(edge for edge in graph.incoming(node) if not _holds(edge, passed, words))


def contenders(graph: Graph, reports: Mapping[str, Report]) -> frozenset[str]:
    """Which of the graph's racers can be its result, given the reports of all agent nodes.

    None while the join has not what it needs. Otherwise those that passed and from which a way to the join holds that
    meets no other writer.
    """
    passing, words = _standing(reports)
    passed = passed_nodes(graph, passing, words)
    if graph.aggregation.id not in passed:
        return frozenset()
    racers = {node.id for node in graph.racers}
    writers = {node.id for node in graph.nodes if node.writes}
    open_ends = {graph.aggregation.id}
    for id_ in reversed(graph.order):
        ways = [edge for edge in graph.edges if edge.source == id_ and edge.target in open_ends - writers]
        if any(_holds(edge, passed, words) for edge in ways):
            open_ends.add(id_)
    return frozenset(racers & passed & open_ends)


def offers(graph: Graph, node: str, choices: Mapping[str, str]) -> bool:
    """Whether a writer that chose these words offers its patch: some edge from it holds.

    A tier that hands on, for one, has chosen the way to the next tier, on which no patch flows.
    """
    ways = [edge for edge in graph.edges if edge.source == node]
    held = [edge for edge in ways if edge.when is None or choices.get(edge.when[0]) == edge.when[1]]
    return any(PATCH_FIELD in edge.fields or graph.node(edge.target).agent is None for edge in held)


def _standing(reports: Mapping[str, Report]) -> tuple[frozenset[str], dict[str, dict[str, str]]]:
    passing = frozenset(id_ for id_, report in reports.items() if report.verdict == Verdict.PASS)
    return passing, {id_: report.choices for id_, report in reports.items()}


def _holds(edge: Edge, passed: Collection[str], words: Mapping[str, Mapping[str, str]]) -> bool:
    if edge.source not in passed:
        return False
    return edge.when is None or words.get(edge.source, {}).get(edge.when[0]) == edge.when[1]


def _gate(graph: Graph, node: str, reports: Mapping[str, Report], code: ReasonCode) -> None:
    for id_, report in reports.items():
        if report.run != graph.run or report.node != id_:
            raise RefusedError(
                ReasonCode.BINDING_MISMATCH, f"{report.id} is not a report on node {id_} of run {graph.run}"
            )
    graph.node(node)
    passed = passed_nodes(graph, *_standing(reports))
    for edge in unmet_edges(graph, node, reports):
        what = f"to choose {edge.when[1]}" if edge.when and edge.source in passed else "which has not passed"
        comma = " " if edge.when and edge.source in passed else ", "
        raise RefusedError(code, f"node {node} of run {graph.run} waits for {edge.source}{comma}{what}")


def unmet_reasons(graph: Graph, reports: Mapping[str, Report]) -> tuple[str, ...]:
    """One clause for each node that failed and each choice that shut a way, in node order."""
    passing, words = _standing(reports)
    passed = passed_nodes(graph, passing, words)
    told: list[str] = []
    for node in graph.agent_nodes:
        report = reports.get(node.id)
        if report is not None and report.verdict == Verdict.FAIL:
            told.append(f"node {node.id} failed: {report.violations[0][1]}")
        told += [
            f"node {edge.source} chose {words.get(edge.source, {}).get(edge.when[0], 'nothing')} as {edge.when[0]}"
            for edge in graph.edges
            if edge.source == node.id and edge.when and edge.source in passed and not _holds(edge, passed, words)
        ]
    return tuple(dict.fromkeys(told))
