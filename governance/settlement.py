"""Settlements (PDO) and their aggregate (PDO-ORCH): what became of every node, under one Merkle root."""

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar, Self

from pydantic import Field, model_validator

from governance.codes import ReasonCode, RefusedError
from governance.graph import Graph, JoinKind
from governance.mandate import Mandate
from governance.record import AttemptNumber, NodeId, Record, RunId, Sha256
from governance.report import Report, Verdict
from ledger import canonical, merkle


class Outcome(StrEnum):
    """What became of a node."""

    SELECTED = "SELECTED"
    NOT_SELECTED = "NOT_SELECTED"
    REJECTED = "REJECTED"
    COMPLETE = "COMPLETE"


_RACE = frozenset({Outcome.SELECTED, Outcome.NOT_SELECTED, Outcome.REJECTED})
_PLAIN = frozenset({Outcome.COMPLETE, Outcome.REJECTED})


class Settlement(Record):
    """What became of one attempt, binding mandate, candidate and report.

    Attributes:
        id: `PDO-<run>-<node>-<attempt>`.
        run, node, attempt: which attempt.
        mandate_digest, report_digest: hex SHA-256.
        candidate_digest: hex SHA-256; None without a candidate.
        outcome: see Outcome.
        choices: the report's; which edges of the graph hold can be told from settlements alone.
        supersedes: digest of the settlement of the attempt before; empty for the first.
    """

    record_kind: ClassVar[str] = "optr/settlement/1"

    id: str
    run: RunId
    node: NodeId
    attempt: AttemptNumber
    mandate_digest: Sha256
    candidate_digest: Sha256 | None
    report_digest: Sha256
    outcome: Outcome
    choices: dict[str, str] = Field(default={})
    supersedes: str = ""

    @model_validator(mode="after")
    def _named_by_its_place(self) -> Self:
        if self.id != settlement_id(self.run, self.node, self.attempt):
            raise ValueError(f"the id of this settlement must be {settlement_id(self.run, self.node, self.attempt)}")
        return self


class Aggregate(Record):
    """All settlements of a run under one root.

    Attributes:
        id: `PDO-ORCH-<run>`.
        run: the run's id.
        graph_digest: hex SHA-256 of the graph whose nodes these are.
        children: settlement id and digest, in node order.
        root: hex RFC 6962 root; leaf data is the canonical JSON of `[id, digest]` of each child.
        selected: id of the one selected settlement; None without one.
        supersedes: digest of the aggregate that this one replaces after a correction; empty for the first.
    """

    record_kind: ClassVar[str] = "optr/aggregate/1"

    id: str
    run: RunId
    graph_digest: Sha256
    children: tuple[tuple[str, Sha256], ...]
    root: Sha256
    selected: str | None
    supersedes: str = ""

    @model_validator(mode="after")
    def _proven(self) -> Self:
        if self.id != f"PDO-ORCH-{self.run}":
            raise ValueError(f"the id of this aggregate must be PDO-ORCH-{self.run}")
        if self.root != children_root(self.children):
            raise ValueError("the root is not the root of the children")
        return self


def settlement_id(run: str, node: str, attempt: int) -> str:
    """`PDO-<run>-<node>-<attempt>`."""
    return f"PDO-{run}-{node}-{attempt}"


def children_root(children: Sequence[tuple[str, str]]) -> str:
    """Hex RFC 6962 root over settlement ids and digests, in the order given."""
    return merkle.root([merkle.leaf_hash(canonical.encode(list(child))) for child in children]).hex()


def race_outcome(node: str, *, winner: str | None, admissible: bool) -> Outcome:
    """What becomes of a racer: SELECTED, NOT_SELECTED behind a winner, else REJECTED.

    Args:
        node: the racer's node id.
        winner: the selected node's id; None when nobody won, then every racer is REJECTED.
        admissible: whether this racer could have won.
    """
    if winner is not None and node == winner:
        return Outcome.SELECTED
    return Outcome.NOT_SELECTED if winner is not None and admissible else Outcome.REJECTED


def settle(mandate: Mandate, report: Report, outcome: Outcome, *, supersedes: str = "") -> Settlement:
    """Settle one attempt.

    Args:
        mandate: the attempt's.
        report: on that mandate.
        outcome: what becomes of it.
        supersedes: digest of the settlement of the attempt before; empty for the first.

    Raises:
        RefusedError: BINDING_MISMATCH when the report is not on this mandate, OUTCOME_UNEARNED when a report that did
            not pass would be anything but REJECTED.
    """
    place = (mandate.run, mandate.node, mandate.attempt, mandate.agent, mandate.digest)
    if (report.run, report.node, report.attempt, report.agent, report.mandate_digest) != place:
        raise RefusedError(ReasonCode.BINDING_MISMATCH, f"{report.id} is not a report on {mandate.id}")
    if report.verdict != Verdict.PASS and outcome != Outcome.REJECTED:
        raise RefusedError(
            ReasonCode.OUTCOME_UNEARNED, f"{report.id} is {report.verdict}, so its node cannot be {outcome}"
        )
    return Settlement(
        id=settlement_id(mandate.run, mandate.node, mandate.attempt),
        run=mandate.run,
        node=mandate.node,
        attempt=mandate.attempt,
        mandate_digest=mandate.digest,
        candidate_digest=report.candidate_digest,
        report_digest=report.digest,
        outcome=outcome,
        choices=report.choices,
        supersedes=supersedes,
    )


def current(graph: Graph, settlements: Sequence[Settlement]) -> tuple[Settlement, ...]:
    """The newest attempt's settlement of every agent node, in node order.

    Raises:
        RefusedError: GS_205 naming nodes without one; BINDING_MISMATCH for another run's, an unknown node's, or two of
            the same attempt.
    """
    nodes = [node.id for node in graph.agent_nodes]
    newest: dict[str, Settlement] = {}
    for settlement in sorted(settlements, key=lambda one: one.attempt):
        if settlement.run != graph.run or settlement.node not in nodes:
            raise RefusedError(ReasonCode.BINDING_MISMATCH, f"{settlement.id} belongs to no node of run {graph.run}")
        if settlement.node in newest and newest[settlement.node].attempt == settlement.attempt:
            raise RefusedError(ReasonCode.BINDING_MISMATCH, f"{settlement.id} is there twice")
        newest[settlement.node] = settlement
    missing = [node for node in nodes if node not in newest]
    if missing:
        raise RefusedError(ReasonCode.GS_205, f"run {graph.run} has no settlement of: {', '.join(missing)}")
    return tuple(newest[node] for node in nodes)


def aggregate(graph: Graph, settlements: Sequence[Settlement], *, supersedes: str = "") -> Aggregate:
    """Put the settlements of all nodes under one root.

    Args:
        graph: the run's.
        settlements: at least the newest of each agent node.
        supersedes: digest of the aggregate that this one replaces; empty for the first.

    Raises:
        RefusedError: see `current`; OUTCOME_UNEARNED for an outcome that the graph's join does not know;
            SELECTION_NOT_ONE unless exactly one is SELECTED, or all are REJECTED.
    """
    children = current(graph, settlements)
    selected = _selected(graph, children)
    pairs = tuple((child.id, child.digest) for child in children)
    return Aggregate(
        id=f"PDO-ORCH-{graph.run}",
        run=graph.run,
        graph_digest=graph.digest,
        children=pairs,
        root=children_root(pairs),
        selected=selected.id if selected else None,
        supersedes=supersedes,
    )


def _selected(graph: Graph, children: Sequence[Settlement]) -> Settlement | None:
    join = graph.aggregation.join
    is_race = join is not None and join.kind == JoinKind.SELECTION
    racers = frozenset(node.id for node in graph.racers) if is_race else frozenset()
    for child in children:
        if child.outcome not in (_RACE if child.node in racers else _PLAIN):
            raise RefusedError(
                ReasonCode.OUTCOME_UNEARNED, f"{child.id} is {child.outcome}, which this graph does not know"
            )
    selected = [child for child in children if child.outcome == Outcome.SELECTED]
    behind = [child for child in children if child.outcome == Outcome.NOT_SELECTED]
    if len(selected) > 1 or (behind and not selected):
        raise RefusedError(
            ReasonCode.SELECTION_NOT_ONE,
            f"run {graph.run} has {len(selected)} SELECTED and {len(behind)} NOT_SELECTED nodes",
        )
    return selected[0] if selected else None
