from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.states import TRANSITIONS, IllegalTransitionError, RunState, advance

S = RunState
HAPPY = (
    S.RECEIVED,
    S.ADMITTED,
    S.PLANNED,
    S.AWAITING_APPROVAL,
    S.EXECUTING,
    S.VERIFYING,
    S.SELECTED,
    S.RECORDED,
    S.PUBLISHED,
    S.IN_REVIEW,
    S.CLOSED,
)


def test_the_way_through_a_run() -> None:
    for current, target in pairwise(HAPPY):
        assert advance(current, target) == target
    assert advance(S.PLANNED, S.EXECUTING) == S.EXECUTING


@pytest.mark.parametrize("state", list(S))
def test_staying_is_always_allowed_and_closing_from_anywhere_open(state: RunState) -> None:
    assert advance(state, state) == state
    assert advance(state, S.CLOSED) == S.CLOSED


@pytest.mark.parametrize(
    ("current", "target"),
    [
        (S.RECEIVED, S.PLANNED),
        (S.ADMITTED, S.EXECUTING),
        (S.EXECUTING, S.SELECTED),
        (S.SELECTED, S.PUBLISHED),
        (S.VERIFYING, S.EXECUTING),
        (S.CLOSED, S.IN_REVIEW),
        (S.AWAITING_APPROVAL, S.PLANNED),
    ],
)
def test_skipping_and_going_back_are_refused(current: RunState, target: RunState) -> None:
    with pytest.raises(IllegalTransitionError, match=f"from {current} to {target}"):
        advance(current, target)


def test_a_closed_run_says_so() -> None:
    with pytest.raises(IllegalTransitionError, match="the run is closed"):
        advance(S.CLOSED, S.RECEIVED)


@given(st.lists(st.sampled_from(list(S)), max_size=30))
def test_no_sequence_of_moves_goes_back_or_leaves_closed(targets: list[RunState]) -> None:
    state = S.RECEIVED
    for target in targets:
        before = HAPPY.index(state)
        try:
            state = advance(state, target)
        except IllegalTransitionError:
            assert target not in TRANSITIONS[state]
        assert HAPPY.index(state) >= before


def test_every_state_is_reachable() -> None:
    seen, waiting = set(), [S.RECEIVED]
    while waiting:
        state = waiting.pop()
        if state not in seen:
            seen.add(state)
            waiting.extend(TRANSITIONS[state])
    assert seen == set(S)
