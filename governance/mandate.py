"""Mandates (Sub-PAC): what one node may do. A mandate can only narrow its parent."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from governance import globs
from governance.codes import ReasonCode, RefusedError
from governance.graph import Graph
from governance.intent import Intent
from governance.record import AgentName, AttemptNumber, Count, NodeId, Record, RunId, Sha256

ORCHESTRATOR = "orchestrator"
PATHS_MAX = 100  # globs of one lane
NAMED_MAX = 20  # violations listed one by one; the rest are counted


class Mandate(Record):
    """What one attempt of one node may do.

    Attributes:
        id: `Sub-PAC-<run>-<node>`; attempts share it.
        run, node, attempt, agent: who is allowed, where.
        parent: digest of the mandate this one narrows; of the intent for the root's.
        capabilities: what it may do; empty allows nothing.
        paths: the lane, globs as in `governance.globs`; empty allows nothing.
        inputs: name to hex SHA-256 of everything the node may see.
        budget_microusd: millionths of a US dollar.
        tokens: input plus output.
        steps: commands.
        deadline_ms: milliseconds since the epoch.
        data_inputs: names of what other nodes may hand it, `<node>.<field>`; their hashes are known only when it is
            dispatched, see `supply`.
    """

    record_kind: ClassVar[str] = "optr/mandate/1"

    id: str
    run: RunId
    node: NodeId
    attempt: AttemptNumber
    agent: AgentName
    parent: Sha256
    capabilities: tuple[str, ...]
    paths: Annotated[tuple[str, ...], Field(max_length=PATHS_MAX)]
    inputs: dict[str, Sha256]
    budget_microusd: Count
    tokens: Count
    steps: Count
    deadline_ms: Count
    data_inputs: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _named_by_its_place(self) -> Self:
        if self.id != mandate_id(self.run, self.node):
            raise ValueError(f"the id of this mandate must be {mandate_id(self.run, self.node)}")
        return self


def mandate_id(run: str, node: str) -> str:
    """`Sub-PAC-<run>-<node>`."""
    return f"Sub-PAC-{run}-{node}"


def root_mandate(
    graph: Graph, intent: Intent, *, paths: Sequence[str], inputs: Mapping[str, str], limits: Mapping[str, int]
) -> Mandate:
    """The orchestrator's mandate, which every node's narrows: all that the graph's nodes may do, bound to the intent.

    Args:
        graph: its digest becomes the input named `graph`.
        intent: its digest becomes the parent.
        paths: the widest lane.
        inputs: name to hex SHA-256.
        limits: budget_microusd, tokens, steps and deadline_ms.
    """
    held = {capability: None for node in graph.agent_nodes for capability in node.capabilities}
    return Mandate(
        id=mandate_id(graph.run, graph.root.id),
        run=graph.run,
        node=graph.root.id,
        attempt=1,
        agent=ORCHESTRATOR,
        parent=intent.digest,
        capabilities=tuple(held),
        paths=tuple(paths),
        inputs={**inputs, "graph": graph.digest},
        budget_microusd=limits["budget_microusd"],
        tokens=limits["tokens"],
        steps=limits["steps"],
        deadline_ms=limits["deadline_ms"],
        data_inputs=tuple(dict.fromkeys(name for node in graph.agent_nodes for name in data_inputs(graph, node.id))),
    )


def issue(  # noqa: PLR0913 - each limit is named at the call
    graph: Graph,
    intent: Intent,
    *,
    paths: Sequence[str],
    budget_microusd: int,
    tokens: int,
    steps: int,
    deadline_ms: int,
    inputs: Mapping[str, str],
) -> tuple[Mandate, ...]:
    """First-attempt mandates of all agent nodes, in node order; the limits are each node's own.

    Args:
        graph: whose agent nodes get them.
        intent: what they serve.
        paths: the run's lane, globs; a node that names paths gets these, if they are inside.
        budget_microusd: millionths of a US dollar.
        tokens: input plus output.
        steps: commands.
        deadline_ms: milliseconds since the epoch.
        inputs: name to hex SHA-256 of what every node may see.

    Raises:
        RefusedError: GS_201 for a node whose own lane is wider than the run's.
    """
    limits = {"budget_microusd": budget_microusd, "tokens": tokens, "steps": steps, "deadline_ms": deadline_ms}
    root = root_mandate(graph, intent, paths=paths, inputs=inputs, limits=limits)
    return tuple(
        narrow(
            root,
            node=node.id,
            agent=node.agent,
            capabilities=node.capabilities,
            paths=(node.paths or tuple(paths)) if node.writes or not graph.pattern else (),
            inputs=dict(inputs),
            data_inputs=data_inputs(graph, node.id),
        )
        for node in graph.agent_nodes
    )


def data_inputs(graph: Graph, node: str) -> tuple[str, ...]:
    """What DATA_FLOW edges can bring to a node, as `<node>.<field>`: a sync point passes on what is before it."""
    names: list[str] = []
    for edge in graph.incoming(node):
        source = graph.node(edge.source)
        before = [source] if source.agent is not None else [graph.node(id_) for id_ in graph.predecessors(source.id)]
        names += [f"{one.id}.{name}" for one in before for name in edge.fields if name in one.hands_back]
    return tuple(dict.fromkeys(names))


def supply(mandate: Mandate, inputs: Mapping[str, str]) -> Mandate:
    """The mandate of a node that is dispatched: what other nodes handed it is listed by hash, and nothing else can be.

    Args:
        mandate: as issued.
        inputs: name, `<node>.<field>`, to hex SHA-256.

    Raises:
        RefusedError: GS_207 naming the first that the graph does not let flow here.
    """
    for name in sorted(set(inputs) - set(mandate.data_inputs)):
        raise RefusedError(ReasonCode.GS_207, f"{name[:200]!a} is not among the data inputs of {mandate.id}")
    if not inputs:
        return mandate
    fields = {name: getattr(mandate, name) for name in Mandate.model_fields}
    return Mandate.model_validate({**fields, "inputs": {**mandate.inputs, **inputs}, "parent": mandate.digest})


def narrow(parent: Mandate, /, **changes: object) -> Mandate:
    """A mandate under `parent` with some fields changed, none of them wider.

    `node`, `agent` and `attempt` say who; `capabilities`, `paths`, `inputs` and the limits say what. Anything else is
    refused: what cannot be compared cannot be shown to be tighter.

    Raises:
        RefusedError: GS_201, naming the argument.
    """
    for name, value in changes.items():
        if name in _IDENTITY:
            continue
        tighter = _TIGHTER.get(name)
        if tighter is None or not tighter(parent, name, value):
            who = f" for node {changes['node']}" if "node" in changes else ""
            raise RefusedError(ReasonCode.GS_201, f"{parent.id}: `{name}`{who} would allow more than its parent does")
    fields = {name: getattr(parent, name) for name in Mandate.model_fields} | changes
    for name in ("capabilities", "paths", "data_inputs"):
        fields[name] = tuple(fields[name])
    fields |= {"id": mandate_id(parent.run, str(fields["node"])), "parent": parent.digest}
    fields["inputs"] = dict(fields["inputs"])
    return Mandate.model_validate(fields)


def lane_violations(mandate: Mandate, touched_paths: Sequence[str]) -> tuple[str, ...]:
    """One sentence for each touched path outside the lane (GS_200); empty when all are inside.

    Beyond `NAMED_MAX` they are counted, not listed.
    """
    outside = [path for path in touched_paths if not any(globs.matches(glob, path) for glob in mandate.paths)]
    named = [f"{path[: globs.GLOB_MAX]!a} is outside the lane of {mandate.id}" for path in outside[:NAMED_MAX]]
    if len(outside) > NAMED_MAX:
        named.append(f"{len(outside) - NAMED_MAX} more paths are outside the lane of {mandate.id}")
    return tuple(named)


def refusal_chain(mandate: Mandate, refused: RefusedError) -> tuple[tuple[str, str], ...]:
    """Code and sentence of why an attempt was ended at one of its acts, the widest first.

    An act that the mandate's holder was never let do has left the lane, GS_200, and what denied it is the cause behind
    that. Anything else, a revocation for one, stands for itself: the lane was kept.
    """
    own = (refused.code.value, refused.text)
    if refused.code not in _LANE_CAUSES:
        return (own,)
    text = f"an act that was tried is outside the lane of {mandate.id}, by {refused.code.value}"
    return (ReasonCode.GS_200.value, text), own


def side_channels(mandate: Mandate, seen: Mapping[str, str]) -> tuple[str, ...]:
    """One sentence for each input that a node saw and its mandate does not list by the same hash (GS_207).

    Args:
        mandate: the manifest.
        seen: name to hex SHA-256 of what the node was in fact given.
    """
    return tuple(
        f"{name[:200]!a} is not among the inputs of {mandate.id}, or not with this content"
        for name, sha256 in sorted(seen.items())
        if mandate.inputs.get(name) != sha256
    )


def _fewer(parent: Mandate, name: str, value: object) -> bool:
    held = getattr(parent, name)
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= held


def _same(parent: Mandate, name: str, value: object) -> bool:
    return bool(getattr(parent, name) == value)


def _capabilities_held(parent: Mandate, _name: str, value: object) -> bool:
    names = _strings(value)
    return names is not None and set(names) <= set(parent.capabilities)


def _paths_covered(parent: Mandate, _name: str, value: object) -> bool:
    inners = _strings(value)
    if inners is None:
        return False
    return all(any(globs.covers(outer, inner) for outer in parent.paths) for inner in inners)


def _inputs_known(parent: Mandate, _name: str, value: object) -> bool:
    return isinstance(value, Mapping) and all(parent.inputs.get(name) == sha256 for name, sha256 in value.items())


def _flows_known(parent: Mandate, _name: str, value: object) -> bool:
    names = _strings(value)
    return names is not None and set(names) <= set(parent.data_inputs)


def _strings(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, (tuple, list)) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


# What says no to an act by itself, and not to the actor or the time.
_LANE_CAUSES = frozenset({ReasonCode.POLICY_DENIED, ReasonCode.TRUST_CAPABILITY, ReasonCode.TRUST_CONSTRAINT})
_IDENTITY = frozenset({"node", "agent", "attempt"})
_TIGHTER: Mapping[str, Callable[[Mandate, str, object], bool]] = MappingProxyType(
    {
        "run": _same,
        "capabilities": _capabilities_held,
        "paths": _paths_covered,
        "inputs": _inputs_known,
        "data_inputs": _flows_known,
        "budget_microusd": _fewer,
        "tokens": _fewer,
        "steps": _fewer,
        "deadline_ms": _fewer,
    }
)
