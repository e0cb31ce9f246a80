"""Who may take which part in a run: roles and approval policies of profiles, and the reviewers that are named."""

from collections.abc import Iterable, Mapping, Sequence

from execution.agents.build import AgentUnavailableError, ModelAccess
from execution.agents.profiles import Approval, Profile
from execution.agents.reviewer import build_reviewer
from execution.config import CONFIG_PATH
from execution.enrolment import require_enrolled
from execution.problems import SetupProblem
from governance.nodes import REVIEWER_CAPABILITIES
from governance.trust.roster import Roster


def require_candidate(profile: Profile) -> None:
    """Refuse an agent as a candidate that may not write.

    Raises:
        SetupProblem: CONFIG_INVALID, saying why it may not.
    """
    if not profile.may_compete:
        raise SetupProblem(
            f"agent {profile.name!r} cannot compete: its profile gives it no role candidate, or denies it repo.write; "
            f"name it under review.reviewers in {CONFIG_PATH}, or change its profile",
            code="CONFIG_INVALID",
        )


def policy_warnings(profiles: Iterable[Profile]) -> tuple[str, ...]:
    """One sentence for each capability that a profile wants a human to approve, which is asked for on GitHub only."""
    return tuple(
        f"The profile of {profile.name} asks for human approval of {capability}; on GitHub a person is asked "
        "before any agent starts, while agents work nobody is."
        for profile in profiles
        for capability, approval in sorted(profile.approval_policy.items())
        if approval is Approval.HUMAN_APPROVAL
    )


def panel(
    names: Sequence[str], known: Mapping[str, Profile], access: ModelAccess, roster: Roster
) -> tuple[list[Profile], tuple[str, ...]]:
    """The reviewers that can be asked, and a warning for each that cannot: that one casts no votes.

    Raises:
        SetupProblem: a name without a profile, or one whose profile has not the role reviewer.
    """
    ready: list[Profile] = []
    missing: list[str] = []
    for name in names:
        profile = known.get(name)
        if profile is None:
            choice = ", ".join(sorted(one.name for one in known.values() if one.may_review)) or "none"
            text = f"{CONFIG_PATH}: review.reviewers: no agent is called {name!r}; reviewers there are: {choice}"
            raise SetupProblem(text, code="AGENT_UNKNOWN")
        if not profile.may_review:
            text = f"agent {name!r} cannot review: add reviewer to the roles of its profile"
            raise SetupProblem(f"{CONFIG_PATH}: review.reviewers: {text}", code="CONFIG_INVALID")
        try:
            require_enrolled(roster, name, REVIEWER_CAPABILITIES)
            build_reviewer(profile, access)
        except AgentUnavailableError as error:
            missing.append(f"Reviewer '{name}' casts no votes. {error}")
        else:
            ready.append(profile)
    return ready, tuple(missing)
