"""What a graph is made of: nodes, edges, and what a join needs."""

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from governance.codes import ReasonCode, RefusedError
from governance.globs import is_plain
from governance.record import AgentName, NodeId, Record

NODES_MAX = 256  # nodes of one graph
EDGES_MAX = 4096  # edges of one graph
TASK_CHARS_MAX = 4_000  # characters of what one node is told beside the intent
FIELDS_MAX = 16  # fields of one node's output
CHOICES_MAX = 32  # words that one field may hold
NODE_PATHS_MAX = 32  # globs of one node's lane
PATCH_FIELD = "patch"  # what a writer's patch is called on a DATA_FLOW edge

_FIELD = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CHOICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class NodeType(StrEnum):
    """What a node is."""

    ORCH_ROOT = "ORCH_ROOT"
    AGENT_NODE = "AGENT_NODE"
    SYNC_POINT = "SYNC_POINT"
    AGGREGATION = "AGGREGATION"
    TERMINAL = "TERMINAL"


class EdgeType(StrEnum):
    """What an edge means: the target waits for the source's report, reads its output, or waits for all its sources."""

    DEPENDENCY = "DEPENDENCY"
    DATA_FLOW = "DATA_FLOW"
    BARRIER = "BARRIER"


class JoinKind(StrEnum):
    """What a join needs of its predecessors: all of them, at least `minimum` admissible ones, or a quorum."""

    ALL = "ALL"
    SELECTION = "SELECTION"
    QUORUM = "QUORUM"


class Capability(StrEnum):
    """What a node may do."""

    READ = "repo.read"
    WRITE = "repo.write"
    TEST = "test.run"


class FieldType(StrEnum):
    """What a field of a node's output holds. A field of fixed words is written `approve|reject` instead."""

    STRING = "string"
    STRINGS = "strings"
    INTEGER = "integer"
    BOOLEAN = "boolean"


CANDIDATE_CAPABILITIES: tuple[str, ...] = (Capability.READ.value, Capability.WRITE.value, Capability.TEST.value)
REVIEWER_CAPABILITIES: tuple[str, ...] = (Capability.READ.value,)


_TYPES = frozenset(kind.value for kind in FieldType)


def choices(kind: str) -> tuple[str, ...]:
    """The words that a field of this type may hold; empty for a field that is not one of fixed words."""
    return tuple(kind.split("|")) if kind and kind not in _TYPES else ()


class Join(Record):
    """What a join declares beforehand.

    Attributes:
        kind: see JoinKind.
        minimum: predecessors that must pass, at least 1; ALL ignores it.
    """

    kind: JoinKind
    minimum: Annotated[int, Field(ge=1, le=NODES_MAX)] = 1

    def needed(self, predecessors: int) -> int:
        """How many of so many predecessors must pass."""
        return predecessors if self.kind == JoinKind.ALL else self.minimum


class Node(Record):
    """One node.

    Attributes:
        id: unique in the graph, a letter first.
        type: see NodeType.
        agent: who works here; agent nodes only.
        capabilities: what it may do, distinct; agent nodes only.
        join: what it needs of its predecessors; required on the aggregation, possible on a sync point.
        task: what this node is asked beside the intent; agent nodes only.
        output: what it must hand back beside a patch, field to type; agent nodes only.
        checks: whether the repository's checks judge its patch; the patch itself is always judged.
        paths: its lane, path globs; empty for the whole lane of the run; writing agent nodes only.
    """

    id: NodeId
    type: NodeType
    agent: AgentName | None = None
    capabilities: tuple[str, ...] = ()
    join: Join | None = None
    task: Annotated[str, Field(max_length=TASK_CHARS_MAX)] = ""
    output: dict[str, str] = Field(default={})
    checks: bool = True
    paths: Annotated[tuple[str, ...], Field(max_length=NODE_PATHS_MAX)] = ()

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        is_agent = self.type == NodeType.AGENT_NODE
        if is_agent != (self.agent is not None) or is_agent != bool(self.capabilities):
            raise invalid(f"node {self.id}: an agent node, and only one, names an agent and its capabilities")
        if not is_agent and (self.task or self.output or not self.checks):
            raise invalid(f"node {self.id}: only an agent node has a task, an output or checks")
        if self.paths and not self.writes:
            raise invalid(f"node {self.id}: only a node that may write has a lane of paths")
        if bad := [glob for glob in self.paths if not is_plain(glob)]:
            raise invalid(f"node {self.id}: {bad[0][:80]!a} is no path glob of a repository, as src/** is")
        if len(set(self.capabilities)) != len(self.capabilities):
            raise invalid(f"node {self.id} names a capability twice")
        if self.type == NodeType.AGGREGATION and self.join is None:
            raise invalid(f"node {self.id}: an aggregation must declare its join")
        if self.join is not None and self.type not in {NodeType.AGGREGATION, NodeType.SYNC_POINT}:
            raise invalid(f"node {self.id}: only an aggregation or a sync point has a join")
        _check_output(self)
        return self

    @property
    def writes(self) -> bool:
        """Whether it may change files, and so hands back a patch."""
        return Capability.WRITE in self.capabilities

    @property
    def hands_back(self) -> frozenset[str]:
        """The names that a DATA_FLOW edge can carry from here."""
        return frozenset(self.output) | ({PATCH_FIELD} if self.writes else frozenset())


class Edge(Record):
    """A directed edge between two nodes, by id.

    Attributes:
        source, target: ids.
        type: see EdgeType. Whatever the type, the source must have passed: `BER_PASS_REQUIRED`.
        fields: what flows, names of the source's output or `patch`; DATA_FLOW only.
        when: field and word; the edge holds only when the source's output has that word there.
    """

    source: NodeId
    target: NodeId
    type: EdgeType
    fields: tuple[str, ...] = ()
    when: tuple[str, str] | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.fields and self.type != EdgeType.DATA_FLOW:
            raise invalid(f"edge {self.source} to {self.target}: only a DATA_FLOW edge carries fields")
        if len(set(self.fields)) != len(self.fields):
            raise invalid(f"edge {self.source} to {self.target} carries a field twice")
        return self


def invalid(text: str) -> RefusedError:
    """A graph, or a part of one, that cannot be: MAEG_INVALID."""
    return RefusedError(ReasonCode.MAEG_INVALID, text)


def _check_output(node: Node) -> None:
    if len(node.output) > FIELDS_MAX:
        raise invalid(f"node {node.id}: at most {FIELDS_MAX} fields of output")
    for name, kind in node.output.items():
        if name == PATCH_FIELD or not _FIELD.fullmatch(name):
            raise invalid(f"node {node.id}: {name[:80]!a} cannot name a field of its output")
        words = choices(kind)
        bad = kind not in _TYPES and (len(words) < 2 or len(words) > CHOICES_MAX or len(set(words)) != len(words))  # noqa: PLR2004 - a choice of one is none
        if bad or not all(_CHOICE.fullmatch(word) for word in words):
            known = ", ".join(FieldType)
            raise invalid(f"node {node.id}: output {name} is {kind[:80]!a}; it can be {known}, or words like yes|no")
