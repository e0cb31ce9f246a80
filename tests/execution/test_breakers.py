"""An agent that keeps failing sits out, gets one try, and comes back; kill switches stay set until they are lifted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.breaker import COOL_MS, FAILURES_MAX, Breaker, Breakers, Circuit
from execution.store import Store
from execution.switches import Switches


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'state.db'}", lasting=False)
    yield made
    made.close()


def test_a_breaker_opens_after_failures_in_a_row_and_gives_one_try(store: Store) -> None:
    breakers = Breakers(store)
    for _ in range(FAILURES_MAX - 1):
        breakers.record("5/claude", failed=True, now_ms=0)
    breakers.record("5/claude", failed=False, now_ms=0)
    for _ in range(FAILURES_MAX):
        assert breakers.admit("5/claude", 0)
        breakers.record("5/claude", failed=True, now_ms=1000)
    assert not breakers.admit("5/claude", 1000 + COOL_MS - 1)
    assert breakers.admit("6/claude", 1000), "another installation's agent is another matter"
    assert breakers.admit("5/claude", 1000 + COOL_MS)
    assert not breakers.admit("5/claude", 1001 + COOL_MS), "one try, not two"
    breakers.record("5/claude", failed=True, now_ms=2000 + COOL_MS)
    assert not breakers.admit("5/claude", 3000 + COOL_MS)
    assert breakers.admit("5/claude", 2000 + 2 * COOL_MS)
    breakers.record("5/claude", failed=False, now_ms=2001 + 2 * COOL_MS)
    assert breakers.admit("5/claude", 2002 + 2 * COOL_MS)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, COOL_MS)), max_size=40))
def test_a_breaker_is_closed_exactly_while_its_last_failures_are_too_few(story: list[tuple[bool, int]]) -> None:
    breaker, now_ms, in_a_row = Breaker(), 0, 0
    for failed, wait_ms in story:
        now_ms += wait_ms
        breaker, in_a_row = breaker.after(failed=failed, now_ms=now_ms), in_a_row + 1 if failed else 0
        closed = breaker.circuit(now_ms) is Circuit.CLOSED
        assert closed == (in_a_row < FAILURES_MAX)
        assert closed or breaker.circuit(now_ms + COOL_MS) is Circuit.HALF_OPEN


def test_a_pause_stands_with_its_author_until_it_is_lifted(store: Store) -> None:
    switches = Switches(store)
    assert switches.standing("octo/site") is None
    assert switches.pause("octo/site", "root", 5) == switches.pause("octo/site", "other", 9)
    assert Switches(store).standing("octo/site") == switches.pause("octo/site", "other", 9)
    assert switches.standing("octo/other") is None
    assert (switches.resume("octo/site"), switches.resume("octo/site")) == (True, False)
