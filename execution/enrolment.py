"""Who may be planned: the register of agents that the installation signs, and what was taken back, at that moment.

What an agent may do at most is read from its profile on the base branch; what it may do in a run is a part of that. The
register is asked before a graph is drawn, so that nobody is planned who would be refused at its dispatch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from execution.agents.build import AgentUnavailableError
from execution.agents.profiles import Approval, Profile
from execution.artifacts import REGISTER
from execution.authority import signer_of
from execution.problems import RunProblem
from execution.runs import Run
from execution.world import World
from governance.codes import RefusedError
from governance.nodes import Capability
from governance.trust.lineage import enrol
from governance.trust.roster import Roster


class NotEnrolledError(AgentUnavailableError):
    """The agent may not be planned for this: its trust was taken back, or it does not hold what is needed."""

    def __init__(self, agent: str, refused: RefusedError) -> None:
        super().__init__(f"Agent '{agent}' is not planned ({refused.code}): {refused.text}.")
        self.code = refused.code


@dataclass(frozen=True)
class Staff:
    """Who there is for a run.

    Attributes:
        known: profiles by name.
        roster: what each of them may do.
    """

    known: Mapping[str, Profile]
    roster: Roster


def capabilities_of(profile: Profile) -> tuple[str, ...]:
    """What an agent may do at most, by its profile: only who competes writes, and nobody does what is denied."""
    granted = [one for one in Capability if profile.approval(one) is not Approval.DENY]
    return tuple(str(one) for one in granted if one is not Capability.WRITE or profile.may_compete)


def enrolled(world: World, run: Run, profiles: Iterable[Profile]) -> Roster:
    """Register the agents, as of now; the register goes on the record with the plan.

    Raises:
        RunProblem: TRUST_BROKEN, what was revoked cannot be read; LEDGER_KEY.
    """
    now_ms, signer = world.now_ms(), signer_of(world, run.id)
    try:
        revocations = world.forge(run).revocations(run)
    except RefusedError as refused:
        raise RunProblem(refused.text, code=refused.code) from None
    book = enrol(signer, {one.name: capabilities_of(one) for one in profiles}, revocations, now_ms)
    world.store.replace(run.id, REGISTER, book)
    return Roster(book, run.id, now_ms)


def require_enrolled(roster: Roster, agent: str, needed: Sequence[str]) -> None:
    """Refuse to plan an agent for what it may not do.

    Raises:
        NotEnrolledError: with the code of what is wrong.
    """
    try:
        roster.require(agent, needed)
    except RefusedError as refused:
        raise NotEnrolledError(agent, refused) from None


def instead_of(roster: Roster, error: AgentUnavailableError, needed: Sequence[str]) -> str:
    """Who could do it in the place of an agent that may not; empty when it is another matter, or nobody could."""
    if not isinstance(error, NotEnrolledError):
        return ""
    rarest = Capability.WRITE if Capability.WRITE in needed else Capability.READ
    try:
        return f"Give the node to another agent, such as {roster.capable(rarest)}."
    except RefusedError as refused:
        return f"{refused.code}: {refused.text}."
