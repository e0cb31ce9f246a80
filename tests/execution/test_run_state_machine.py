"""A run's row under any story of moves, crashes and second tries: it goes forward only, and its first ending stands."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from execution.runs import Run, Source
from execution.store import Store
from governance.states import TRANSITIONS, IllegalTransitionError, RunOutcome, RunState

RUN = "0123456789abcdef"
ORDER = list(RunState)


class Rows(RuleBasedStateMachine):
    """One run, a database that is closed and opened, and a model of what must stand."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="optr-rows-"))
        self.store = self.opened()
        self.state, self.outcome, self.pull_request = RunState.RECEIVED, None, 0

    def opened(self) -> Store:
        return Store(f"sqlite:///{self.home / 'state.db'}", lasting=False)

    @initialize()
    def asked(self) -> None:
        run = Run(
            id=RUN,
            source=Source.GITHUB,
            repository="octo/site",
            issue=7,
            workflow="issue-7",
            requester="ada",
            title="t",
            intent_sha256="0" * 64,
            created_ms=1,
        )
        assert self.store.add(run) == run
        assert self.store.add(run.model_copy(update={"title": "another"})) == run

    @rule(state=st.sampled_from(ORDER[:-1]), number=st.integers(1, 9))
    def move(self, state: RunState, number: int) -> None:
        behind = ORDER.index(self.state) > ORDER.index(state)
        if not behind and state is not self.state and state not in TRANSITIONS[self.state]:
            try:
                self.store.move(RUN, state, pull_request=number)
            except IllegalTransitionError:
                return
            raise AssertionError(f"{self.state} -> {state} is not a move")
        self.store.move(RUN, state, pull_request=number)
        self.pull_request = number
        if not behind:
            self.state = state

    @rule(outcome=st.sampled_from(RunOutcome))
    def close(self, outcome: RunOutcome) -> None:
        self.store.move(RUN, RunState.CLOSED, outcome=outcome)
        if self.state is not RunState.CLOSED:
            self.state, self.outcome = RunState.CLOSED, outcome

    @rule()
    def crash(self) -> None:
        self.store.close()
        self.store = self.opened()

    @invariant()
    def what_stands_is_what_was_told(self) -> None:
        run = self.store.get(RUN)
        if run is None:
            return
        assert (run.state, run.outcome) == (self.state, self.outcome)
        assert run.pull_request == self.pull_request
        is_open = self.state is not RunState.CLOSED
        assert [one.id for one in self.store.open_runs()] == ([RUN] if is_open else [])
        assert [one.id for one in self.store.closed_since(0, 9)] == ([] if is_open else [RUN])

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.home)


TestRows = Rows.TestCase
TestRows.settings = hypothesis_settings(max_examples=15, stateful_step_count=20, deadline=None)
