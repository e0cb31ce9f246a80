"""Let one agent write its candidate in a workspace of its own, and take the patch ourselves."""

import asyncio
import logging
import time
from dataclasses import dataclass

from execution.agents.build import AgentUnavailableError, build_agent
from execution.agents.profiles import Profile
from execution.artifacts import PLAN, Dispatched, Plan, Tried, token_name, tried_name
from execution.authority import ActRefusedError, GovernedSandbox, require_agent
from execution.breaker import BROKEN, Breakers, breaker_of
from execution.ports import Agent, Sandbox
from execution.problems import InfrastructureProblem
from execution.records import AgentOutcome, Attempt, Candidate, Limits, Task
from execution.runs import Run, Source
from execution.sandbox import SandboxError
from execution.workspace import Workspace, WorkspaceError, discard, prepare, take_patch
from execution.world import World
from governance.codes import ReasonCode, RefusedError
from governance.globs import ANY_SEGMENTS as ANYWHERE
from governance.graph import Capability
from governance.mandate import Mandate, refusal_chain
from governance.shortening import shortened
from governance.trust.lineage import BUDGET_NAME, STEPS_NAME, TOKENS_NAME

TIMEOUT_GRACE_SECONDS = 15.0  # the agent's own clock should stop it; this one stops an agent that ignores it
ERROR_CHARS_MAX = 500

_LOG = logging.getLogger(__name__)


async def attempt(world: World, run_id: str, node: str) -> Tried:
    """Run the node's agent, or return what it already handed back.

    Raises:
        InfrastructureProblem: workspace or sandbox failed; the agent is not to blame.
    """
    if (standing := world.store.find(run_id, tried_name(node), Tried)) is not None:
        return standing
    plan = world.store.load(run_id, PLAN, Plan)
    dispatched = world.store.load(run_id, token_name(node), Dispatched)
    if dispatched.denied:
        spared = dispatched.denied == ReasonCode.AGENT_SPARED
        ended = AgentOutcome.SPARED if spared else AgentOutcome.POLICY
        refused = Attempt(outcome=ended, error=dispatched.denial, code=dispatched.denied)
        candidate = Candidate(agent=dispatched.token.agent, attempt=refused, patch=b"", execution_ms=0)
        world.store.put(run_id, tried_name(node), Tried(candidate=candidate, executed_ms=world.now_ms()))
        return world.store.load(run_id, tried_name(node), Tried)
    run = world.run(run_id)
    git_dir = await world.forge(run).fetch(run)
    workspace = await asyncio.to_thread(prepare, git_dir, plan.base_commit, world.scratch)
    try:
        candidate = await _candidate(world, plan, node, workspace)
    except SandboxError as error:
        raise InfrastructureProblem(f"the sandbox failed: {error}", code="VERIFIER_INFRA") from error
    finally:
        await asyncio.to_thread(discard, workspace)
    world.store.put(run_id, tried_name(node), Tried(candidate=candidate, executed_ms=world.now_ms()))
    made = candidate.attempt
    _count(world, run, candidate)
    world.observer.attempted(str(plan.profiles[node].type), made.outcome, made.usage)
    return world.store.load(run_id, tried_name(node), Tried)


def _count(world: World, run: Run, candidate: Candidate) -> None:
    """Let the agent's circuit breaker know; a run at a terminal keeps no such memory."""
    if run.source is Source.GITHUB:
        failed = candidate.attempt.outcome in BROKEN
        Breakers(world.store).record(breaker_of(run, candidate.agent), failed=failed, now_ms=world.now_ms())


async def _candidate(world: World, plan: Plan, node: str, workspace: Workspace) -> Candidate:
    allowed = Allowed(plan.profiles[node], plan.limits[node], plan.mandate(node), Capability.WRITE)
    return await candidate_of(world, allowed, task_of(world, plan, node), workspace)


def task_of(world: World, plan: Plan, node: str) -> Task:
    """The request as an agent is told it."""
    return Task(
        run=plan.graph.run,
        node=node,
        intent=f"{plan.intent.title}\n\n{plan.intent.body}".strip(),
        constraints=plan.intent.constraints,
        instructions=plan.instructions,
        context=plan.context,
        repository=world.run(plan.graph.run).repository,
        base_commit=plan.base_commit,
        lane=() if ANYWHERE in plan.mandate(node).paths else plan.mandate(node).paths,
    )


@dataclass(frozen=True)
class Allowed:
    """Who works at a node, with what limits, under which mandate, using which of its capabilities."""

    profile: Profile
    limits: Limits
    mandate: Mandate
    capability: Capability


async def candidate_of(world: World, allowed: Allowed, task: Task, workspace: Workspace) -> Candidate:
    """What the agent hands back, whatever it does.

    Raises:
        SandboxError: the sandbox failed; the agent is not to blame.
    """
    profile = allowed.profile
    started = time.monotonic()
    try:
        agent = build_agent(profile, world.access)
        made = await _authorised(agent, allowed, task, workspace, world)
    except AgentUnavailableError as error:
        made = Attempt(outcome=AgentOutcome.AUTH, error=str(error))
    except ActRefusedError as refused:
        (code, text), *causes = refusal_chain(allowed.mandate, refused)
        told = shortened(": ".join([f"{code}: {text}", *(why for _, why in causes)]), ERROR_CHARS_MAX)
        made = Attempt(outcome=AgentOutcome.POLICY, error=told, code=code, causes=tuple(causes))
    except RefusedError as refused:
        made = Attempt(
            outcome=AgentOutcome.POLICY, error=shortened(str(refused), ERROR_CHARS_MAX), code=str(refused.code)
        )
    execution_ms = int((time.monotonic() - started) * 1000)
    patch = b""
    if made.outcome is AgentOutcome.COMPLETED:
        try:
            patch = await asyncio.to_thread(take_patch, workspace)
        except WorkspaceError as error:
            # What the agent left behind cannot be taken as a patch: its fault, and its sibling's luck.
            made = made.model_copy(
                update={"outcome": AgentOutcome.FAILED, "error": shortened(str(error), ERROR_CHARS_MAX)}
            )
    return Candidate(agent=profile.name, attempt=made, patch=patch, execution_ms=execution_ms)


async def _authorised(agent: Agent, allowed: Allowed, task: Task, workspace: Workspace, world: World) -> Attempt:
    """The attempt, if its agent may act: asked before it starts, at each of its commands, and before we take the patch.

    Raises:
        RefusedError: it may not, or not any more.
        SandboxError: the sandbox failed.
    """
    mandate, limits, capability = allowed.mandate, allowed.limits, allowed.capability
    may_spend = {BUDGET_NAME: limits.cost_microusd, TOKENS_NAME: limits.tokens, STEPS_NAME: limits.steps}
    await require_agent(world, mandate, capability, spent=may_spend)
    sandbox = GovernedSandbox(world.sandbox, world, mandate, capability)
    made = await _guarded(agent, allowed.profile.name, task, workspace, sandbox, limits)
    await require_agent(world, mandate, capability)
    return made


async def _guarded(
    agent: Agent, name: str, task: Task, workspace: Workspace, sandbox: Sandbox, limits: Limits
) -> Attempt:
    """The attempt, whatever the agent does: it may fail, hang or break its own promise not to raise."""
    try:
        async with asyncio.timeout(limits.wall_seconds + TIMEOUT_GRACE_SECONDS):
            return await agent.attempt(task, workspace.tree, sandbox, limits)
    except TimeoutError:
        text = f"Agent '{name}' timed out after {int(limits.wall_seconds * 1000)}ms"
        return Attempt(outcome=AgentOutcome.TIMEOUT, error=text)
    except (SandboxError, RefusedError):
        raise
    except Exception as error:  # noqa: BLE001 - one agent that breaks must not take the race down with it
        _LOG.exception("agent %s broke", name)
        return Attempt(
            outcome=AgentOutcome.FAILED, error=shortened(f"{type(error).__name__}: {error}", ERROR_CHARS_MAX)
        )
