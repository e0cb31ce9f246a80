"""Who may act in a run, asked at every act: the orchestrator and the agents, on the word of the person who asked."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from execution.artifacts import AUTHORITY, PLAN, Plan
from execution.policies import require_command
from execution.ports import Sandbox
from execution.problems import RunProblem
from execution.records import Command, CommandResult
from execution.world import World
from governance.codes import ReasonCode, RefusedError
from governance.mandate import Mandate
from governance.trust.chain import Grounds, chain_of, grounds_of, revoked
from governance.trust.constraints import Fact
from governance.trust.lineage import STEPS_NAME, agent, agent_act, draw_up, orchestrator_act
from governance.trust.records import Book
from governance.trust.verify import Act, Level, verify


def establish_authority(world: World, run_id: str) -> Book:
    """The run's chain of authority, drawn up once, when the run is planned."""
    if world.store.find(run_id, AUTHORITY, Book) is None:
        plan = world.store.load(run_id, PLAN, Plan)
        signer = world.forge(world.run(run_id)).signer(world.run(run_id))
        world.store.put(run_id, AUTHORITY, draw_up(signer, plan.intent.requester, plan.mandates, plan.planned_ms))
    return world.store.load(run_id, AUTHORITY, Book)


async def require_orchestrator(world: World, run_id: str, capability: str, level: Level = Level.STANDARD) -> Grounds:
    """Let the orchestrator act, or end the run.

    Raises:
        RunProblem: it may not, or not any more; the code says why.
    """
    run = world.run(run_id)
    act = orchestrator_act(world.forge(run).signer(run), run_id, capability)
    try:
        return await _verified(world, run_id, act, level)
    except RefusedError as refused:
        raise RunProblem(str(refused), code=str(refused.code)) from None


async def require_agent(
    world: World,
    mandate: Mandate,
    capability: str,
    level: Level = Level.STANDARD,
    spent: Mapping[str, Fact] | None = None,
) -> Grounds:
    """Let a node's agent act.

    Args:
        world: dependencies.
        mandate: the node's.
        capability: which of its capabilities it uses.
        level: how much is checked again.
        spent: facts on the act, by the names in `governance.trust.lineage`; what is not named is nothing.

    Raises:
        RefusedError: it may not, or not any more.
    """
    run = world.run(mandate.run)
    act = agent_act(world.forge(run).signer(run), mandate, capability, spent or {})
    return await _verified(world, run.id, act, level)


async def require_unrevoked(world: World, mandate: Mandate) -> None:
    """Let a node's work be used, or end the run: whoever made it must not have been revoked since.

    Raises:
        RunProblem: TRUST_REVOKED.
    """
    book, signer = await _book(world, mandate.run), world.forge(world.run(mandate.run)).signer(world.run(mandate.run))
    who = agent(signer, mandate)
    held = next(one for one in book.delegations if one.delegatee_key == who.key)
    if (why := revoked(book, grounds_of(book, chain_of(book, held), held.capabilities[0]))) is not None:
        raise RunProblem(f"the work of {who.name} cannot be used: {why}", code=str(ReasonCode.TRUST_REVOKED))


async def _book(world: World, run_id: str) -> Book:
    """The run's book, with what was revoked as of now."""
    run = world.run(run_id)
    taken = await asyncio.to_thread(world.forge(run).revocations, run)
    return world.store.load(run_id, AUTHORITY, Book).model_copy(update={"revocations": taken})


async def _verified(world: World, run_id: str, act: Act, level: Level) -> Grounds:
    return verify(await _book(world, run_id), act, level, world.now_ms())


@dataclass
class GovernedSandbox:
    """A sandbox that runs a command only while its agent may still act.

    Attributes:
        inner: the sandbox behind it.
        world: dependencies.
        mandate: the agent's.
        capability: what its commands use.
        commands: how many it ran.
        name: that of the sandbox behind it.
    """

    inner: Sandbox
    world: World
    mandate: Mandate
    capability: str
    commands: int = 0
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.inner.name

    async def run(self, command: Command) -> CommandResult:
        """See ports.Sandbox.

        Raises:
            SandboxError: the sandbox itself could not start it.
            RefusedError: the agent may not act, or not any more.
        """
        spent = {STEPS_NAME: self.commands + 1}
        await require_agent(self.world, self.mandate, self.capability, Level.QUICK, spent)
        require_command(self.world, self.mandate, command, self.commands + 1)
        self.commands += 1
        return await self.inner.run(command)
