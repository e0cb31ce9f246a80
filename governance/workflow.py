"""Workflows: graphs without a run, and the builder that people and patterns make them with."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Protocol, Self

from pydantic import Field, model_validator

from governance.codes import ReasonCode, RefusedError
from governance.graph import Graph, race
from governance.nodes import (
    REVIEWER_CAPABILITIES,
    Edge,
    EdgeType,
    Join,
    JoinKind,
    Node,
    NodeType,
)
from governance.record import AgentName, Record

ROOT_ID = "ROOT"
RESULT_ID = "RESULT"  # the aggregation's id, where everything ends
END_ID = "END"
CUSTOM = "custom"  # the pattern of a workflow that follows none
RACE = "race"
ANY_RUN = "check"  # the run that a workflow's graph is tried with


class WorkflowProblemError(RefusedError):
    """A workflow that cannot be run.

    Attributes:
        node: id of the node that is at fault; empty when it is no single one.
    """

    def __init__(self, text: str, *, node: str = "", code: ReasonCode = ReasonCode.WORKFLOW_INVALID) -> None:
        super().__init__(code, text)
        self.node = node


class Trust(Protocol):
    """Who says what an agent may do: a registry of signed capabilities."""

    def capabilities(self, agent: str) -> Collection[str]:
        """The capabilities that the agent holds; empty for one that is not known or not trusted."""
        ...

    def distrusted(self, agent: str) -> str | None:
        """Why the agent is not trusted, one clause; None when it is."""
        ...


class Contest(Record):
    """The OPTR race as a workflow: agents compete, reviewers may veto."""

    record_kind: ClassVar[str] = "optr/contest/1"

    agents: tuple[AgentName, ...]
    reviewers: tuple[AgentName, ...] = ()
    pattern: ClassVar[str] = RACE

    def graph(self, run: str) -> Graph:
        """The graph of one run.

        Raises:
            RefusedError: MAEG_INVALID for nobody, or for somebody twice.
        """
        return race(run, self.agents, self.reviewers)


class Flow(Record):
    """A workflow of agent nodes and sync points.

    Attributes:
        nodes: in the order that decides between nodes that could run together.
        edges: between them; those to `RESULT` say what the result rests on, and when there are none every node that
            nothing follows has one.
        join: what the result needs.
        pattern: what it was compiled from.

    Raises:
        RefusedError: GS_202, MAEG_INVALID or WORKFLOW_INVALID, on construction.
    """

    record_kind: ClassVar[str] = "optr/flow/1"

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    join: Join = Join(kind=JoinKind.ALL)
    pattern: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")] = CUSTOM

    @model_validator(mode="after")
    def _can_run(self) -> Self:
        for node in self.nodes:
            if node.id in {ROOT_ID, RESULT_ID, END_ID} or node.type not in {NodeType.AGENT_NODE, NodeType.SYNC_POINT}:
                raise WorkflowProblemError(f"a workflow cannot declare the node {node.id} ({node.type})", node=node.id)
        _check_result(self.graph(ANY_RUN))
        return self

    def graph(self, run: str) -> Graph:
        """The graph of one run: the nodes between a root and one aggregation.

        Raises:
            RefusedError: GS_202 for a cycle, MAEG_INVALID for anything else.
        """
        fed = {edge.target for edge in self.edges}
        followed = {edge.source for edge in self.edges}
        first = [_plain(ROOT_ID, node.id) for node in self.nodes if node.id not in fed]
        # In the order of the nodes: however a workflow is written down, the same one has the same digest.
        place = {id_: at for at, id_ in enumerate([*(node.id for node in self.nodes), RESULT_ID])}
        unknown = len(place)
        edges = sorted(self.edges, key=lambda edge: (place.get(edge.target, unknown), place.get(edge.source, unknown)))
        last = [] if RESULT_ID in fed else [node.id for node in self.nodes if node.id not in followed]
        return Graph(
            run=run,
            nodes=(
                Node(id=ROOT_ID, type=NodeType.ORCH_ROOT),
                *self.nodes,
                Node(id=RESULT_ID, type=NodeType.AGGREGATION, join=self.join),
                Node(id=END_ID, type=NodeType.TERMINAL),
            ),
            edges=(
                *first,
                *edges,
                *(Edge(source=id_, target=RESULT_ID, type=EdgeType.BARRIER) for id_ in last),
                _plain(RESULT_ID, END_ID),
            ),
            pattern=self.pattern,
        )


AnyWorkflow = Contest | Flow


def require_trusted(workflow: AnyWorkflow, trust: Trust) -> None:
    """Refuse a workflow with an agent that does not hold what its node may do.

    Raises:
        RefusedError: WORKFLOW_INVALID, naming the agent.
    """
    for node in workflow.graph(ANY_RUN).agent_nodes:
        _require_trusted(trust, node.id, str(node.agent), node.capabilities)


def _require_trusted(trust: Trust, node: str, agent: str, needed: Sequence[str]) -> None:
    why = trust.distrusted(agent)
    if why is not None:
        raise WorkflowProblemError(f"Agent {agent} is not trusted: {why}", node=node)
    held = trust.capabilities(agent)
    for name in needed:
        if name not in held:
            raise WorkflowProblemError(f"Agent {agent} missing required capability: {name}", node=node)


def _plain(source: str, target: str) -> Edge:
    return Edge(source=source, target=target, type=EdgeType.DEPENDENCY)


def _check_result(graph: Graph) -> None:
    """A run ends with one patch: somebody writes it, and which one it is must be told beforehand."""
    racers = graph.racers
    if not racers:
        raise WorkflowProblemError("no node may write (repo.write), so the workflow could have no result")
    unchecked = [node.id for node in racers if not node.checks]
    if unchecked:
        text = f"node {unchecked[0]} can be the result, so the repository's checks must judge it"
        raise WorkflowProblemError(text, node=unchecked[0])
    join = graph.aggregation.join
    if len(racers) > 1 and (join is None or join.kind != JoinKind.SELECTION):
        names = ", ".join(node.id for node in racers)
        text = f"{names} could each be the result: let one node follow the others, or let the join be a selection"
        raise WorkflowProblemError(text, node=racers[-1].id)


@dataclass
class Workflow:
    """Builds a workflow node by node; `build` validates it whole.

    ```python
    flow = (
        Workflow()
        .add_agent("plan", "claude", output={"steps": "strings"})
        .add_agent("write", "codex", capabilities=CANDIDATE_CAPABILITIES)
        .connect("plan", "write", fields=("steps",))
        .build()
    )
    ```
    """

    pattern: str = CUSTOM
    _nodes: list[Node] = field(default_factory=list)
    _edges: list[Edge] = field(default_factory=list)
    _required: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    _delegated: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    _join: Join = Join(kind=JoinKind.ALL)  # noqa: RUF009 - immutable

    def add_agent(  # noqa: PLR0913 - a node's parts, each named at the call
        self,
        node: str,
        agent: str,
        *,
        capabilities: Sequence[str] = REVIEWER_CAPABILITIES,
        required_capabilities: Sequence[str] = (),
        task: str = "",
        output: dict[str, str] | None = None,
        checks: bool = True,
        paths: Sequence[str] = (),
    ) -> Self:
        """Add an agent's node.

        Args:
            node: its id.
            agent: who works there.
            capabilities: what the node may do; reading only, unless said otherwise.
            required_capabilities: what the agent must hold beside them, as signed words of the trust registry.
            task: what the node is told beside the intent.
            output: what it must hand back beside a patch, field to type.
            checks: whether the repository's checks judge its patch.
            paths: its lane, path globs; empty for the whole lane of the run.
        """
        self._nodes.append(
            Node(
                id=node,
                type=NodeType.AGENT_NODE,
                agent=agent,
                capabilities=tuple(capabilities),
                task=task,
                output=output or {},
                checks=checks,
                paths=tuple(paths),
            )
        )
        self._required.append((node, agent, (*capabilities, *required_capabilities)))
        return self

    def add_sync(self, node: str, kind: JoinKind = JoinKind.ALL, minimum: int = 1) -> Self:
        """Add a point where edges meet; see Join."""
        self._nodes.append(Node(id=node, type=NodeType.SYNC_POINT, join=Join(kind=kind, minimum=minimum)))
        return self

    def connect(
        self,
        source: str,
        target: str,
        *,
        fields: Sequence[str] = (),
        when: tuple[str, str] | None = None,
        capabilities_to_delegate: Sequence[str] = (),
    ) -> Self:
        """Let `target` wait for `source`.

        Args:
            source: id of the node that must pass first.
            target: id of the node that waits; `RESULT` is what the run ends with.
            fields: what flows, see Edge; then the edge is DATA_FLOW.
            when: see Edge.
            capabilities_to_delegate: what the target gets of the source's; the source must hold it.
        """
        kind = EdgeType.DATA_FLOW if fields else EdgeType.DEPENDENCY
        meets = target == RESULT_ID or any(n.id == target and n.type == NodeType.SYNC_POINT for n in self._nodes)
        self._edges.append(
            Edge(
                source=source,
                target=target,
                type=EdgeType.BARRIER if meets and not fields else kind,
                fields=tuple(fields),
                when=when,
            )
        )
        if capabilities_to_delegate:
            self._delegated.append((source, tuple(capabilities_to_delegate)))
        return self

    def finish(self, kind: JoinKind, minimum: int = 1) -> Self:
        """Declare what the result needs; ALL unless said otherwise."""
        self._join = Join(kind=kind, minimum=minimum)
        return self

    def build(self, trust: Trust | None = None) -> Flow:
        """The workflow, if it can be run.

        Args:
            trust: who says what agents may do; None leaves that to the run, which asks again in any case.

        Raises:
            RefusedError: GS_202 for a cycle; MAEG_INVALID or WORKFLOW_INVALID for a node that cannot be reached, an
                edge to nowhere, a capability that is not held, an agent that is not trusted.
        """
        self._check_delegations()
        if trust is not None:
            self._check_trust(trust)
        return Flow(nodes=tuple(self._nodes), edges=tuple(self._edges), join=self._join, pattern=self.pattern)

    def _check_delegations(self) -> None:
        held = {node.id: node.capabilities for node in self._nodes}
        for source, names in self._delegated:
            for name in names:
                if name not in held.get(source, ()):
                    raise WorkflowProblemError(
                        f"Cannot delegate {name!a} from {source}: capability not held", node=source
                    )

    def _check_trust(self, trust: Trust) -> None:
        for node, agent, needed in self._required:
            _require_trusted(trust, node, agent, needed)
