"""Which workflow a run follows, and who plays which part in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from execution.agents.build import AgentUnavailableError, build_agent, grants
from execution.agents.profiles import Profile
from execution.blobs import read_blob
from execution.config import CONFIG_PATH, Config
from execution.enrolment import instead_of, require_enrolled
from execution.panel import policy_warnings, require_candidate
from execution.problems import SetupProblem
from execution.runs import Run
from execution.workflowfile import WorkflowFile, load_workflow
from execution.world import World
from execution.yamlfile import ConfigError
from governance.graph import Graph, Node
from governance.trust.roster import Roster

LABEL_CHARS_MAX = 32  # as a profile's name may have


@dataclass(frozen=True)
class Parts:
    """The graph and who works at its nodes: profiles by node id."""

    graph: Graph
    racers: dict[str, Profile]
    judges: dict[str, Profile] = field(default_factory=dict)
    workers: dict[str, Profile] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def asked_workflow(run: Run, config: Config, git_dir: Path, base: str) -> WorkflowFile | None:
    """The workflow that the run was asked for, else the one that the configuration names; None for a plain race.

    Raises:
        SetupProblem: it is not there, or wrong.
    """
    if run.definition:
        data, path = run.definition.encode(), run.definition_path or "the workflow"
    elif config.workflow is None or run.agents:
        return None
    else:
        path, found = config.workflow, read_blob(git_dir, base, config.workflow)
        if found is None:
            text = f"{CONFIG_PATH}: workflow: there is no file {path} on the base commit"
            raise SetupProblem(text, code="CONFIG_INVALID")
        data = found
    try:
        return load_workflow(data, path)
    except ConfigError as error:
        raise SetupProblem(str(error), code="WORKFLOW_INVALID", where=error.where) from None


def cast_flow(world: World, graph: Graph, known: Mapping[str, Profile], roster: Roster) -> Parts:
    """Who works at each node of a workflow; every one of them must be able to.

    A node stands in records and comparisons under its own name, because one agent may work at several nodes.

    Raises:
        SetupProblem: an agent is unknown, not available, or may not write where it would have to.
    """
    racers = {node.id for node in graph.racers}
    played = {node.id: _profile(world, node, known, roster) for node in graph.agent_nodes}
    labelled = {id_: profile.model_copy(update={"name": label(id_)}) for id_, profile in played.items()}
    if len({profile.name for profile in labelled.values()}) != len(labelled):
        raise SetupProblem("two nodes of the workflow differ only in case, - or _", code="WORKFLOW_INVALID")
    distinct = {profile.name: profile for profile in played.values()}.values()
    told = tuple(text for profile in distinct for text in grants(profile, world.access))
    return Parts(
        graph=graph,
        racers={id_: profile for id_, profile in labelled.items() if id_ in racers},
        workers={id_: profile for id_, profile in labelled.items() if id_ not in racers},
        warnings=(*told, *policy_warnings(distinct)),
    )


def label(node: str) -> str:
    """A node's id as a profile's name can be."""
    return node.lower().replace("_", "-")[:LABEL_CHARS_MAX]


def _profile(world: World, node: Node, known: Mapping[str, Profile], roster: Roster) -> Profile:
    profile = known.get(str(node.agent))
    if profile is None:
        text = f"workflow: node {node.id}: no agent is called {node.agent!r}; known agents: {', '.join(sorted(known))}"
        raise SetupProblem(text, code="AGENT_UNKNOWN", where="the workflow")
    if node.writes:
        require_candidate(profile)
    try:
        require_enrolled(roster, profile.name, node.capabilities)
        build_agent(profile, world.access)
    except AgentUnavailableError as error:
        text = f"{error} {instead_of(roster, error, node.capabilities)}".rstrip()
        raise SetupProblem(text, code=error.code, where=f"node {node.id} of the workflow") from None
    return profile
