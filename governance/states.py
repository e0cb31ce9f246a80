"""The states of a run and the one table of moves between them.

The values are the words users see in comments, check runs and the ledger. README and docs draw their diagram from
`TRANSITIONS`.
"""

from enum import StrEnum
from itertools import pairwise


class RunState(StrEnum):
    """Where a run stands."""

    RECEIVED = "received"
    ADMITTED = "admitted"
    PLANNED = "planned"
    AWAITING_APPROVAL = "awaiting_approval"
    EXECUTING = "executing"
    VERIFYING = "verifying"
    SELECTED = "selected"
    RECORDED = "recorded"
    AWAITING_CORRECTION = "awaiting_correction"
    PUBLISHED = "published"
    IN_REVIEW = "in_review"
    CLOSED = "closed"


class RunOutcome(StrEnum):
    """How a closed run ended."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NO_WINNER = "no_winner"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    REFUSED = "refused"


_FORWARD = (
    RunState.RECEIVED,
    RunState.ADMITTED,
    RunState.PLANNED,
    RunState.EXECUTING,
    RunState.VERIFYING,
    RunState.SELECTED,
    RunState.RECORDED,
    RunState.PUBLISHED,
    RunState.IN_REVIEW,
    RunState.CLOSED,
)

TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    state: frozenset({following, RunState.CLOSED}) for state, following in pairwise(_FORWARD)
} | {
    RunState.PLANNED: frozenset({RunState.AWAITING_APPROVAL, RunState.EXECUTING, RunState.CLOSED}),
    RunState.AWAITING_APPROVAL: frozenset({RunState.EXECUTING, RunState.CLOSED}),
    RunState.RECORDED: frozenset({RunState.AWAITING_CORRECTION, RunState.PUBLISHED, RunState.CLOSED}),
    RunState.AWAITING_CORRECTION: frozenset({RunState.PUBLISHED, RunState.CLOSED}),
    RunState.CLOSED: frozenset(),
}


class IllegalTransitionError(ValueError):
    """A move that `TRANSITIONS` does not allow."""


def advance(current: RunState, target: RunState) -> RunState:
    """Return `target` if the move is allowed, or is already made.

    Raises:
        IllegalTransitionError: naming both states and what is allowed from here.
    """
    if target == current or target in TRANSITIONS[current]:
        return target
    allowed = ", ".join(sorted(TRANSITIONS[current])) or "nothing: the run is closed"
    raise IllegalTransitionError(f"a run cannot go from {current} to {target}; from {current} it may go to: {allowed}")
