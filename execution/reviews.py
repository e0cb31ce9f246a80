"""Votes of reviewers: what they are, and what they change. A veto makes a candidate inadmissible; nothing else counts.

A reviewer that fails, refuses, runs out of time or answers in another form has not voted: its silence neither admits
nor rejects anybody.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from execution.records import Record, Usage
from governance.codes import ReasonCode
from governance.shortening import shortened
from scoring.evidence import Evidence, Reason

VIOLATIONS_TOLD_MAX = 3
VIOLATION_CHARACTERS_TOLD_MAX = 200
ALIAS_DIGITS = 6


class Complexity(StrEnum):
    """How hard a reviewer finds a change."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class VoteKind(StrEnum):
    """What a vote comes to, the words users see."""

    APPROVED = "approved"
    VETO = "veto"
    OBJECTION = "objection"  # not approved, but no violation named: told, and changes nothing
    NO_VOTE = "no_vote"


class NoVote(StrEnum):
    """Why there is no vote."""

    OWN_PATCH = "own_patch"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    BUDGET = "budget"
    AUTH = "auth"
    FAILED = "failed"
    DENIED = "denied"


class Vote(Record):
    """What one reviewer said of one patch; all its texts are a model's words.

    Attributes:
        agent: who wrote the patch; the reviewer never learns it.
        alias: the name under which the reviewer saw it; empty when it was not shown.
        patch_sha256: hex digest of the patch's bytes.
        kind: see VoteKind.
        no_vote: why there is none; None when there is one.
        problem: one sentence on that.
        violations, requirements, invariants, rationale, complexity: the answer.
        usage: what asking cost.
    """

    agent: str
    alias: str
    patch_sha256: str
    kind: VoteKind
    no_vote: NoVote | None = None
    problem: str = ""
    violations: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    invariants: tuple[str, ...] = ()
    rationale: str = ""
    complexity: Complexity | None = None
    usage: Usage = Usage()


class Ballot(Record):
    """All votes of one reviewer, in the order in which it saw the patches; those that it did not see last."""

    reviewer: str
    votes: tuple[Vote, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether it was shown patches and voted on none of them."""
        asked = [vote for vote in self.votes if vote.alias]
        return bool(asked) and all(vote.kind is VoteKind.NO_VOTE for vote in asked)


def kind_of(*, approved: bool, violations: Sequence[str]) -> VoteKind:
    """What an answer comes to: no veto without a violation that is named."""
    if approved:
        return VoteKind.APPROVED
    return VoteKind.VETO if any(violation.strip() for violation in violations) else VoteKind.OBJECTION


def shuffled(agents: Iterable[str], nonce: str) -> dict[str, str]:
    """Random names in random order, both from `nonce` alone.

    Args:
        agents: whose patches are shown, distinct.
        nonce: an unguessable word; the same one gives the same result.

    Returns:
        The agent's name by alias (`patch-3f9a1c`), in the order to show them in.
    """
    keyed = sorted((hashlib.sha256(f"{nonce}\n{agent}".encode()).hexdigest(), agent) for agent in agents)
    aliases = {f"patch-{key[:ALIAS_DIGITS]}": agent for key, agent in keyed}
    if len(aliases) == len(keyed):
        return aliases
    return {f"patch-{key}": agent for key, agent in keyed}


def ruled(evidence: Evidence, ballots: Iterable[Ballot]) -> Evidence:
    """The evidence with a violation for each veto; what was inadmissible before stays as it was."""
    if not evidence.admissible:
        return evidence
    vetoes = tuple(
        _veto(ballot.reviewer, vote)
        for ballot in ballots
        for vote in ballot.votes
        if vote.agent == evidence.agent and vote.kind is VoteKind.VETO
    )
    return evidence.model_copy(update={"violations": vetoes}) if vetoes else evidence


def votes_on(agent: str, ballots: Mapping[str, Ballot]) -> tuple[tuple[str, Vote], ...]:
    """Reviewer and vote of everything said about one agent's patch, in node order."""
    return tuple((one.reviewer, vote) for one in ballots.values() for vote in one.votes if vote.agent == agent)


def _veto(reviewer: str, vote: Vote) -> Reason:
    named = [" ".join(violation.split()) for violation in vote.violations if violation.strip()]
    told = [shortened(violation, VIOLATION_CHARACTERS_TOLD_MAX) for violation in named[:VIOLATIONS_TOLD_MAX]]
    more = [f"{len(named) - len(told)} more"] if len(named) > len(told) else []
    return Reason(code=ReasonCode.REVIEW_VETO.value, text=f"Reviewer {reviewer} vetoed it: {'; '.join([*told, *more])}")
