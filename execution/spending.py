"""Money, as decisions: what a run may cost at worst, what it cost, and which limit stands in its way.

All amounts are whole millionths of a US dollar.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from execution.agents.profiles import MODEL_TYPES, AgentType, Profile
from execution.artifacts import Dispatched, Plan, Reviewed, Tried
from execution.config import Budget
from execution.records import Usage

MICRO = 1_000_000
DAY_MS = 24 * 3600 * 1000  # limits "a day" look back over the last 24 hours
INSTALLATION_DAY_DEFAULT = "100"  # US dollars

RUN_VARIABLE = "OPTR_BUDGET_RUN"
REPOSITORY_VARIABLE = "OPTR_BUDGET_REPOSITORY_DAY"
INSTALLATION_VARIABLE = "OPTR_BUDGET_INSTALLATION_DAY"
DAY_VARIABLE = "OPTR_BUDGET_DAY"
UNMEASURED_VARIABLE = "OPTR_UNMEASURED"


class Scope(StrEnum):
    """What a limit holds for, the words users see."""

    RUN = "run"
    REPOSITORY = "repository"
    INSTALLATION = "installation"
    EVERYTHING = "everything"


class Unmeasured(StrEnum):
    """What an attempt counts as whose cost nobody can tell."""

    WORST = "worst"  # its whole limit
    FREE = "free"


@dataclass(frozen=True)
class Caps:
    """Limits by scope, of one run for RUN and of the last 24 hours otherwise; a scope that is missing has none."""

    microusd: Mapping[Scope, int]
    unmeasured: Unmeasured = Unmeasured.WORST


@dataclass(frozen=True)
class Denied:
    """A reservation that a limit forbids.

    Attributes:
        scope: whose limit.
        asked, taken, cap: what the run would reserve, what stands reserved or spent already, and the limit.
    """

    scope: Scope
    asked: int
    taken: int
    cap: int


def dollars(text: str) -> int:
    """`12.50` in millionths.

    Raises:
        ValueError: it is not an amount from 0 to 1,000,000 US dollars.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError("it is not an amount in US dollars such as 12.50") from None
    if not amount.is_finite() or not 0 <= amount <= MICRO:
        raise ValueError("it is not an amount from 0 to 1000000 US dollars")
    return int(amount * MICRO)


def caps_of(environ: Mapping[str, str], repository: Budget) -> Caps:
    """The operator's limits, which the repository's configuration can only tighten.

    Raises:
        ValueError: a variable is no amount; the App does not start with such.
    """
    given = {
        Scope.RUN: environ.get(RUN_VARIABLE) or "",
        Scope.REPOSITORY: environ.get(REPOSITORY_VARIABLE) or "",
        Scope.INSTALLATION: environ.get(INSTALLATION_VARIABLE) or INSTALLATION_DAY_DEFAULT,
        Scope.EVERYTHING: environ.get(DAY_VARIABLE) or "",
    }
    caps = {scope: dollars(text) for scope, text in given.items() if text}
    for scope, text in ((Scope.RUN, repository.run), (Scope.REPOSITORY, repository.day)):
        if text is not None:
            caps[scope] = min(dollars(text), caps.get(scope, dollars(text)))
    return Caps(caps, Unmeasured(environ.get(UNMEASURED_VARIABLE) or Unmeasured.WORST))


def worst_case(plan: Plan) -> int:
    """The most that all attempts and reviews of a plan together may cost."""
    return sum(plan.limits[node].cost_microusd for node, profile in _parts(plan) if can_spend(profile))


def can_spend(profile: Profile) -> bool:
    """Whether an agent can cost anything: a command without the network cannot."""
    return profile.type is not AgentType.COMMAND or profile.network


def spent(
    plan: Plan,
    dispatched: Mapping[str, Dispatched | None],
    tried: Mapping[str, Tried | None],
    reviewed: Mapping[str, Reviewed | None],
    policy: Unmeasured,
) -> int:
    """What a run has cost so far, by node; an attempt that began and never ended counts as its whole limit."""
    total = 0
    for node, profile in _parts(plan):
        limit = plan.limits[node].cost_microusd
        permission = dispatched.get(node)
        if not can_spend(profile) or permission is None or permission.denied:
            continue
        if (attempt := tried.get(node)) is not None:
            total += _cost([attempt.candidate.attempt.usage], profile, limit, policy)
        elif (review := reviewed.get(node)) is not None:
            total += _cost([vote.usage for vote in review.ballot.votes], profile, limit, policy)
        else:
            total += limit
    return total


def _cost(usages: Iterable[Usage], profile: Profile, limit: int, policy: Unmeasured) -> int:
    known = list(usages)
    measured = profile.type in MODEL_TYPES and all(usage.cost_microusd or not usage.calls for usage in known)
    if measured:
        return sum(usage.cost_microusd for usage in known)
    return limit if policy is Unmeasured.WORST else sum(usage.cost_microusd for usage in known)


def _parts(plan: Plan) -> Iterable[tuple[str, Profile]]:
    return [*plan.profiles.items(), *plan.reviewers.items(), *plan.workers.items()]


def refused_by(asked: int, taken: Mapping[Scope, int], caps: Caps) -> Denied | None:
    """The first limit that forbids to reserve `asked` beside what is taken already."""
    for scope, cap in caps.microusd.items():
        if taken.get(scope, 0) + asked > cap:
            return Denied(scope, asked, taken.get(scope, 0), cap)
    return None
