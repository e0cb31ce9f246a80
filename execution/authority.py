"""Who may act in a run, asked at every act: the orchestrator and the agents, on the word of the person who asked."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from execution.artifacts import AUTHORITY, PLAN, Plan
from execution.policies import require_command
from execution.ports import Sandbox
from execution.problems import RunProblem
from execution.records import Command, CommandResult
from execution.stages.flow_state import corrections
from execution.world import World
from governance.codes import ReasonCode, RefusedError
from governance.correction import reissued
from governance.mandate import Mandate
from governance.trust.chain import Grounds, chain_of, grounds_of, revoked
from governance.trust.constraints import Fact
from governance.trust.lineage import STEPS_NAME, agent_act, draw_up, orchestrator_act
from governance.trust.records import Book
from governance.trust.verify import Act, Level, verify
from ledger.errors import KeyFileError, NoteError
from ledger.keys import Signer


def establish_authority(world: World, run_id: str, number: int = 0) -> Book:
    """A chain of authority of the run, drawn up once.

    Args:
        world: dependencies.
        run_id: the run.
        number: 0 for the person who asked for the run; of a correction, for the person who issued it.
    """
    name = f"{AUTHORITY}:{number}" if number else AUTHORITY
    if world.store.find(run_id, name, Book) is None:
        plan = world.store.load(run_id, PLAN, Plan)
        signer = signer_of(world, run_id)
        asked_by, mandates, at_ms = plan.intent.requester, plan.mandates, plan.planned_ms
        if number:
            pack = corrections(world, run_id)[number - 1]
            mandates = tuple(reissued(one, pack) for one in plan.mandates if one.node in pack.attempts)
            asked_by, at_ms = pack.by, pack.issued_ms
        world.store.put(run_id, name, draw_up(signer, asked_by, mandates, at_ms))
    return world.store.load(run_id, name, Book)


def signer_of(world: World, run_id: str) -> Signer:
    """The ledger's key that the run began with: all its keys are derived from it, also after it was rotated.

    Raises:
        RunProblem: LEDGER_KEY, it is not here any more.
    """
    run, book = world.run(run_id), world.store.find(run_id, AUTHORITY, Book)
    try:
        return world.forge(run).signer(run, book.genesis.signer if book is not None else None)
    except KeyFileError as error:
        raise RunProblem(str(error), code="LEDGER_KEY") from None


def _authorities(world: World, book: Book, level: Level, run_id: str) -> frozenset[str]:
    """Who else may have revoked: read only where revocations' signatures are checked."""
    run = world.run(run_id)
    try:
        return world.forge(run).ledger_keys(run) if level is Level.FULL and book.revocations else frozenset()
    except NoteError as error:
        raise RefusedError(ReasonCode.TRUST_BROKEN, str(error)) from error


def drawn_up(world: World, run_id: str) -> list[Book]:
    """Those of the run's chains that there are up to now, without what was revoked; none before it is planned."""
    names = [AUTHORITY, *(f"{AUTHORITY}:{number}" for number in range(1, 1 + len(corrections(world, run_id))))]
    return [book for name in names if (book := world.store.find(run_id, name, Book)) is not None]


def all_authority(world: World, run_id: str) -> list[Book]:
    """The run's chains: that of the person who asked, then one for each correction, oldest first."""
    numbers = range(1 + len(corrections(world, run_id)))
    return [establish_authority(world, run_id, number) for number in numbers]


async def require_orchestrator(world: World, run_id: str, capability: str, level: Level = Level.STANDARD) -> Grounds:
    """Let the orchestrator act on the newest person's word, if nobody's whom the run rests on was revoked; or end it.

    Raises:
        RunProblem: it may not, or not any more; the code says why.
    """
    act = orchestrator_act(signer_of(world, run_id), run_id, capability)
    *earlier, newest = await _books(world, run_id)
    try:
        for book in earlier:
            _require_unrevoked(book, act)
        return verify(newest, act, level, world.now_ms(), _authorities(world, newest, level, run_id))
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
    act = agent_act(signer_of(world, mandate.run), mandate, capability, spent or {})
    book = await _book_of(world, mandate)
    return verify(book, act, level, world.now_ms(), _authorities(world, book, level, mandate.run))


async def require_unrevoked(world: World, mandate: Mandate) -> None:
    """Let a node's work be used, or end the run: whoever made it must not have been revoked since.

    Raises:
        RunProblem: TRUST_REVOKED.
    """
    act = agent_act(signer_of(world, mandate.run), mandate, mandate.capabilities[0], {})
    try:
        _require_unrevoked(await _book_of(world, mandate), act)
    except RefusedError as refused:
        raise RunProblem(f"the work of {act.actor} cannot be used: {refused.text}", code=str(refused.code)) from None


def _require_unrevoked(book: Book, act: Act) -> None:
    held = next((one for one in book.delegations if (one.delegatee, one.delegatee_key) == (act.actor, act.key)), None)
    if held is None:
        raise RefusedError(ReasonCode.TRUST_UNKNOWN, f"nothing was ever granted to {act.actor!a} with this key")
    if (why := revoked(book, grounds_of(book, chain_of(book, held), held.capabilities[0]))) is not None:
        raise RefusedError(ReasonCode.TRUST_REVOKED, why)


async def _books(world: World, run_id: str) -> list[Book]:
    """The run's books, with what was revoked as of now."""
    run = world.run(run_id)
    taken = await asyncio.to_thread(world.forge(run).revocations, run)
    return [one.model_copy(update={"revocations": taken}) for one in all_authority(world, run_id)]


async def _book_of(world: World, mandate: Mandate) -> Book:
    """The book that an attempt's mandate rests on."""
    packs = enumerate(corrections(world, mandate.run), 1)
    number = next((at for at, pack in packs if pack.attempts.get(mandate.node) == mandate.attempt), 0)
    return (await _books(world, mandate.run))[number]


class ActRefusedError(RefusedError):
    """An agent that may work tried an act that it may not do."""


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
            ActRefusedError: the agent may not do this, or not any more.
        """
        spent = {STEPS_NAME: self.commands + 1}
        try:
            await require_agent(self.world, self.mandate, self.capability, Level.QUICK, spent)
            require_command(self.world, self.mandate, command, self.commands + 1)
        except RefusedError as refused:
            raise ActRefusedError(refused.code, refused.text) from None
        self.commands += 1
        return await self.inner.run(command)
