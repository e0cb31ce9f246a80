"""The wrap (WRAP): the one closing record of a run. The ledger keeps it under `<run>/WRAP`, so there is only one."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from governance.codes import ReasonCode, RefusedError
from governance.gates import passed_nodes
from governance.graph import Graph, Join, JoinKind
from governance.mandate import ORCHESTRATOR
from governance.record import AgentName, Count, NodeId, ObjectId, Record, RunId, Sha256
from governance.settlement import Aggregate, Outcome, Settlement, current
from governance.settlement import aggregate as aggregated

_NOT_PEOPLE = frozenset({ORCHESTRATOR, "optr"})
_BOT_SUFFIX = "[bot]"


class WrapStatus(StrEnum):
    """How a run was closed."""

    ACCEPTED = "WRAP_ACCEPTED"
    REJECTED = "WRAP_REJECTED"


class WrappedNode(Record):
    """One node as the wrap lists it: digests are hex SHA-256."""

    node: NodeId
    agent: AgentName
    mandate_digest: Sha256
    report_digest: Sha256
    settlement: str
    settlement_digest: Sha256
    outcome: Outcome


class Wrap(Record):
    """The closing record.

    Attributes:
        id: `WRAP-<run>`.
        run: the run's id.
        status: see WrapStatus.
        by: the person who accepted; whoever closed it when rejected.
        head_commit: what was accepted; None when nothing was.
        when_ms: milliseconds since the epoch.
        graph_digest, aggregate_digest, root: what it closes.
        nodes: every agent node, in node order.
    """

    record_kind: ClassVar[str] = "optr/wrap/1"

    id: str
    run: RunId
    status: WrapStatus
    by: Annotated[str, Field(min_length=1, max_length=100)]
    head_commit: ObjectId | None
    when_ms: Count
    graph_digest: Sha256
    aggregate_digest: Sha256
    root: Sha256
    nodes: tuple[WrappedNode, ...]


def wrap(  # noqa: PLR0913 - acceptance names who, what and when
    graph: Graph,
    aggregate: Aggregate,
    settlements: Sequence[Settlement],
    *,
    accepted: bool,
    by: str,
    head_commit: str | None,
    when_ms: int,
) -> Wrap:
    """Close a run.

    Args:
        graph: the run's.
        aggregate: must be that of the settlements.
        settlements: of all agent nodes.
        accepted: whether a person accepted it.
        by: who did.
        head_commit: hex object id of what was accepted; None or empty when nothing was.
        when_ms: milliseconds since the epoch.

    Raises:
        RefusedError: BINDING_MISMATCH when the aggregate is another's; for an acceptance also GS_206 when fewer nodes
            succeeded than the graph's join needs or no commit is named, WRAP_NOT_HUMAN when `by` is an agent or an App.
    """
    if aggregated(graph, settlements, supersedes=aggregate.supersedes) != aggregate:
        raise RefusedError(ReasonCode.BINDING_MISMATCH, f"{aggregate.id} is not the aggregate of these settlements")
    children = current(graph, settlements)
    if accepted:
        _check_person(graph, by)
        _check_complete(graph, children, head_commit)
    return Wrap(
        id=f"WRAP-{graph.run}",
        run=graph.run,
        status=WrapStatus.ACCEPTED if accepted else WrapStatus.REJECTED,
        by=by,
        head_commit=head_commit or None,
        when_ms=when_ms,
        graph_digest=graph.digest,
        aggregate_digest=aggregate.digest,
        root=aggregate.root,
        nodes=tuple(_node(graph, child) for child in children),
    )


def _check_person(graph: Graph, by: str) -> None:
    name = by.strip().casefold()
    agents = {str(node.agent).casefold() for node in graph.agent_nodes}
    if not name or name in _NOT_PEOPLE or name in agents or name.endswith(_BOT_SUFFIX):
        raise RefusedError(ReasonCode.WRAP_NOT_HUMAN, f"run {graph.run} cannot be accepted by {by!a}")


def _check_complete(graph: Graph, children: Sequence[Settlement], head_commit: str | None) -> None:
    join = graph.aggregation.join or Join(kind=JoinKind.ALL)
    done = [child.node for child in children if child.outcome != Outcome.REJECTED]
    chosen = {child.node: child.choices for child in children}
    enough = graph.aggregation.id in passed_nodes(graph, done, chosen)
    if join.kind == JoinKind.SELECTION and all(child.outcome != Outcome.SELECTED for child in children):
        raise RefusedError(ReasonCode.GS_206, f"run {graph.run} has no selected node, so there is nothing to accept")
    if not enough or not head_commit:
        raise RefusedError(
            ReasonCode.GS_206,
            f"run {graph.run} cannot be accepted: {len(done)} of {len(children)} nodes succeeded, its join is "
            f"{join.kind} (minimum {join.minimum}), accepted commit {head_commit or 'not named'}",
        )


def _node(graph: Graph, child: Settlement) -> WrappedNode:
    return WrappedNode(
        node=child.node,
        agent=str(graph.node(child.node).agent),
        mandate_digest=child.mandate_digest,
        report_digest=child.report_digest,
        settlement=child.id,
        settlement_digest=child.digest,
        outcome=child.outcome,
    )
