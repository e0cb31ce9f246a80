"""Workflows as files: YAML in one of three forms, each error with its line.

- `nodes`: a graph, node by node;
- `pattern`: one of `governance.patterns`, with its roles;
- `agents`: the OPTR race, as workflow files wrote it from the beginning (F1.19), and as every run records it.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from execution.agents.profiles import AgentType
from execution.yamlfile import ConfigError, load_located, load_plain
from governance.codes import RefusedError
from governance.graph import Graph
from governance.nodes import (
    CANDIDATE_CAPABILITIES,
    NODE_PATHS_MAX,
    NODES_MAX,
    REVIEWER_CAPABILITIES,
    TASK_CHARS_MAX,
    Capability,
    Edge,
    Join,
    JoinKind,
    Node,
    NodeType,
)
from governance.patterns import Cast, compile_pattern
from governance.workflow import CUSTOM, RESULT_ID, AnyWorkflow, Contest, Workflow, WorkflowProblemError

WORKFLOW_SUFFIXES = (".yml", ".yaml")
FORMS = ("nodes", "pattern", "agents")
AGENTS_MAX = 16

Lines = Mapping[tuple[str | int, ...], int]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
NodeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")]
WorkflowName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Needed = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*(\.[a-z][a-z0-9_]*=[A-Za-z0-9_.-]+)?$")]
Input = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*\.[a-z][a-z0-9_]*$")]
Task = Annotated[str, StringConstraints(max_length=TASK_CHARS_MAX, strip_whitespace=True)]
Several = Annotated[tuple[Name, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]

_EDGE = re.compile(r"edge \S+ to (?P<target>[\w-]+)")
_JOIN = re.compile(r"(?P<kind>all|quorum|selection)(?:\((?P<minimum>[1-9]\d{0,2})\))?")


class Part(BaseModel):
    """Immutable; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NodePart(Part):
    """One node.

    Attributes:
        id: unique, a letter first.
        agent: who works here; without one it is a point where others meet.
        can: what it may do: `read`, or `write`, which includes reading and running tests.
        task: what it is told beside the intent.
        needs: nodes that must have passed, `NODE`, or `NODE.FIELD=WORD` for one that must also have chosen that word.
        inputs: what it is given, `NODE.FIELD` or `NODE.patch`; whoever gives it must have passed too.
        output: what it must hand back beside a patch: `string`, `strings`, `integer`, `boolean`, or words `yes|no`.
        checks: whether the repository's checks judge its patch; they always judge the result.
        join: for a point where others meet: `all`, `quorum(N)` or `selection(N)`.
        paths: the lane of a node that writes, path globs inside `patch.paths`; else all of `patch.paths`.
    """

    id: NodeName
    agent: Name | None = None
    can: Literal["read", "write"] = "read"
    task: Task = ""
    needs: tuple[Needed, ...] = Field(default=(), max_length=NODES_MAX)
    inputs: tuple[Input, ...] = Field(default=(), max_length=NODES_MAX)
    output: dict[str, str] = Field(default_factory=dict)
    checks: bool = True
    join: str = Field(default="all", pattern=_JOIN.pattern)
    paths: tuple[str, ...] = Field(default=(), max_length=NODE_PATHS_MAX)


class GraphFile(Part):
    """A workflow, node by node.

    Attributes:
        version: 1.
        workflow: its name; else the file's.
        nodes: in the order that decides between nodes that could run together.
        result: what the result rests on, as in `needs`; else every node that nothing follows.
        join: what the result needs of these.
        follows: the pattern that it was compiled from, in files that a run recorded.
    """

    version: Literal[1]
    workflow: WorkflowName | None = None
    nodes: tuple[NodePart, ...] = Field(min_length=1, max_length=NODES_MAX)
    result: tuple[Needed, ...] = Field(default=(), max_length=NODES_MAX)
    join: str = Field(default="all", pattern=_JOIN.pattern)
    follows: str = Field(default=CUSTOM, pattern=r"^[a-z_]{1,40}$")


class PatternFile(Part):
    """A workflow that follows a pattern.

    Attributes:
        version: 1.
        workflow: its name; else the file's.
        pattern: see docs/workflows.md.
        roles: agents by role: a name, or a list of names.
        options: the pattern's settings.
        tasks: by role, what its nodes are told instead of the pattern's own words.
    """

    version: Literal[1]
    workflow: WorkflowName | None = None
    pattern: str
    roles: dict[str, Several]
    options: dict[str, int] = Field(default_factory=dict)
    tasks: dict[str, Task] = Field(default_factory=dict)


class AgentPart(Part):
    """An agent of a race; `type`, when it is given, must be its profile's."""

    name: Name
    type: AgentType | None = None


class LedgerPart(Part):
    """The ledger cannot be switched off."""

    enabled: Literal[True] = True
    auditable: Literal[True] = True


class RaceFile(Part):
    """A race (F1.19).

    Attributes:
        version: 1.
        workflow: its name; else the file's.
        agents: who competes.
        reviewers: who may veto.
        optr: how one is selected.
        ledger: always `enabled`.
        auditable: always true.
    """

    version: Literal[1] = 1
    workflow: WorkflowName | None = None
    agents: tuple[AgentPart, ...] = Field(min_length=1, max_length=AGENTS_MAX)
    reviewers: tuple[AgentPart, ...] = Field(default=(), max_length=AGENTS_MAX)
    optr: Literal["select_optr"] = "select_optr"
    ledger: Literal["enabled", True] | LedgerPart = "enabled"
    auditable: Literal[True] = True


class WorkflowFile(Part):
    """What a workflow file says.

    Attributes:
        name: of the workflow; empty when the file gives none.
        workflow: what it means.
        types: the types that a race's file states, by agent.
    """

    name: str
    workflow: AnyWorkflow
    types: dict[str, AgentType]


def load_workflow(data: bytes, path: str) -> WorkflowFile:
    """Read a workflow file.

    Args:
        data: the file's bytes.
        path: the name that errors show.

    Raises:
        ConfigError: `path:line:column: problem. remedy`.
    """
    plain, lines = load_plain(data, path)
    form = next((key for key in FORMS if key in plain), None)
    if form is None:
        what = f"a workflow has one of the keys {', '.join(FORMS)}"
        raise ConfigError(f"{path}:1:1", what, "See docs/workflows.md for the three forms")
    try:
        return _LOADERS[form](data, path)
    except WorkflowProblemError as error:
        raise _placed(error, error.node, plain, lines, path) from None
    except RefusedError as error:
        raise _placed(error, "", plain, lines, path) from None


def dumped(graph: Graph, name: str) -> dict[str, Any]:
    """A workflow's graph as plain data of the form `nodes`: loaded again it gives the same graph."""
    inner = [node for node in graph.nodes if node.type in {NodeType.AGENT_NODE, NodeType.SYNC_POINT}]
    join = graph.aggregation.join
    return {
        "version": 1,
        "workflow": name,
        "follows": graph.pattern,
        "nodes": [_dumped_node(graph, node) for node in inner],
        "result": [_reference(edge) for edge in graph.incoming(graph.aggregation.id)],
        "join": _dumped_join(join),
    }


def _dumped_node(graph: Graph, node: Node) -> dict[str, Any]:
    edges = [edge for edge in graph.incoming(node.id) if edge.source != graph.root.id]
    inputs = [f"{edge.source}.{name}" for edge in edges for name in edge.fields]
    needs = [_reference(edge) for edge in edges if edge.when or not edge.fields]
    common: dict[str, Any] = {"id": node.id, **({"needs": needs} if needs else {})}
    if node.agent is None:
        return {**common, "join": _dumped_join(node.join)}
    return {
        **common,
        "agent": node.agent,
        "can": "write" if node.writes else "read",
        **({"inputs": inputs} if inputs else {}),
        **({"task": node.task} if node.task else {}),
        **({"output": dict(node.output)} if node.output else {}),
        **({} if node.checks else {"checks": False}),
        **({"paths": list(node.paths)} if node.paths else {}),
    }


def _reference(edge: Edge) -> str:
    return edge.source if edge.when is None else f"{edge.source}.{edge.when[0]}={edge.when[1]}"


def _dumped_join(join: Join | None) -> str:
    if join is None or join.kind == JoinKind.ALL:
        return "all"
    return f"{join.kind.lower()}({join.minimum})"


def _graph_form(data: bytes, path: str) -> WorkflowFile:
    file, lines = load_located(data, GraphFile, path)
    flow = Workflow(file.follows)
    known: set[str] = set()
    for index, node in enumerate(file.nodes):
        with _At(path, lines, ("nodes", index)):
            if node.id in known:
                raise WorkflowProblemError(f"the node id {node.id} stands twice")
            _add_node(flow, node)
            known.add(node.id)
    for index, node in enumerate(file.nodes):
        with _At(path, lines, ("nodes", index)):
            _connect(flow, node, known)
    for needed in file.result:
        with _At(path, lines, ("result",)):
            source, when = _needed(needed, known)
            flow.connect(source, RESULT_ID, when=when)
    kind, minimum = _join(file.join)
    return WorkflowFile(name=file.workflow or "", workflow=flow.finish(kind, minimum).build(), types={})


def _add_node(flow: Workflow, node: NodePart) -> None:
    if node.agent is None:
        if {"can", "task", "inputs", "output", "checks", "paths"} & node.model_fields_set:
            raise WorkflowProblemError(f"node {node.id} has no agent, so it can only have needs and a join")
        kind, minimum = _join(node.join)
        flow.add_sync(node.id, kind, minimum)
        return
    if "join" in node.model_fields_set:
        raise WorkflowProblemError(f"node {node.id} has an agent, so it has no join: put a node without one before it")
    capabilities = CANDIDATE_CAPABILITIES if node.can == "write" else REVIEWER_CAPABILITIES
    flow.add_agent(
        node.id,
        node.agent,
        capabilities=capabilities,
        task=node.task,
        output=dict(node.output),
        checks=node.checks or Capability.WRITE not in capabilities,
        paths=node.paths,
    )


def _connect(flow: Workflow, node: NodePart, known: set[str]) -> None:
    """One edge per node before this one: what flows, what must be chosen, or both."""
    fields: dict[str, list[str]] = {}
    chosen: dict[str, tuple[str, str] | None] = {}
    for text in node.needs:
        source, when = _needed(text, known)
        if source in chosen:
            raise WorkflowProblemError(f"node {node.id} needs {source} twice")
        chosen[source] = when
    for text in node.inputs:
        source, _, name = text.partition(".")
        _check_known(source, known)
        fields.setdefault(source, []).append(name)
    for source in dict.fromkeys((*chosen, *fields)):
        flow.connect(source, node.id, fields=fields.get(source, ()), when=chosen.get(source))


def _needed(text: str, known: set[str]) -> tuple[str, tuple[str, str] | None]:
    source, _, condition = text.partition(".")
    _check_known(source, known)
    name, _, word = condition.partition("=")
    return source, (name, word) if condition else None


def _check_known(source: str, known: set[str]) -> None:
    if source not in known:
        raise WorkflowProblemError(f"no node is called {source!a}; there are: {', '.join(sorted(known))}")


def _join(text: str) -> tuple[JoinKind, int]:
    found = _JOIN.fullmatch(text)
    if found is None:
        raise WorkflowProblemError(f"a join is all, quorum(N) or selection(N), not {text[:40]!a}")
    return JoinKind(found["kind"].upper()), int(found["minimum"] or 1)


def _pattern_form(data: bytes, path: str) -> WorkflowFile:
    file, lines = load_located(data, PatternFile, path)
    with _At(path, lines, ("pattern",)):
        workflow = compile_pattern(file.pattern, Cast(file.roles, file.options, file.tasks))
    return WorkflowFile(name=file.workflow or "", workflow=workflow, types={})


def _race_form(data: bytes, path: str) -> WorkflowFile:
    file, lines = load_located(data, RaceFile, path)
    with _At(path, lines, ("agents",)):
        contest = Contest(
            agents=tuple(agent.name for agent in file.agents),
            reviewers=tuple(agent.name for agent in file.reviewers),
        )
        contest.graph("check")
    types = {agent.name: agent.type for agent in (*file.agents, *file.reviewers) if agent.type is not None}
    return WorkflowFile(name=file.workflow or "", workflow=contest, types=types)


_LOADERS = {"nodes": _graph_form, "pattern": _pattern_form, "agents": _race_form}


class _At:
    """Gives what a part of the file is refused for the line where that part stands."""

    def __init__(self, path: str, lines: Lines, at: tuple[str | int, ...]) -> None:
        self._where = f"{path}:{lines.get(at, 1)}:1"

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RefusedError):
            raise ConfigError(self._where, error.text, f"See docs/workflows.md ({error.code})") from None
        if isinstance(error, ValidationError):
            raise ConfigError(self._where, error.errors()[0]["msg"], "See docs/workflows.md") from None


def _placed(error: RefusedError, node: str, plain: Mapping[str, Any], lines: Lines, path: str) -> ConfigError:
    """The line of the node that a fault of the whole graph names, as far as its text tells."""
    nodes = plain.get("nodes", [])
    names = [one.get("id") for one in nodes if isinstance(one, dict)] if isinstance(nodes, list) else []
    edge = _EDGE.match(error.text)
    node = node or (edge["target"] if edge else "")
    told = [
        index for index, name in enumerate(names) if name and (name == node if node else _names(error.text, str(name)))
    ]
    line = lines.get(("nodes", told[0]), 1) if told else lines.get(("result",) if edge else (), 1)
    return ConfigError(f"{path}:{line}:1", error.text, f"See docs/workflows.md ({error.code})")


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None
