"""Money is reserved before it is spent: no interleaving takes more than a limit, and nothing stays taken for ever."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from execution.config import Budget
from execution.reservations import Reservations
from execution.runs import Run, Source
from execution.spending import DAY_MS, Caps, Scope, Unmeasured, caps_of, dollars
from execution.store import Store


def a_run(run_id: str, repository: str = "octo/site", installation: int = 5) -> Run:
    return Run(
        id=run_id,
        source=Source.GITHUB,
        repository=repository,
        installation=installation,
        workflow=run_id,
        requester="ada",
        title="t",
        intent_sha256="0" * 64,
        created_ms=0,
    )


@pytest.mark.parametrize(("text", "amount"), [("0", 0), ("12.50", 12_500_000), ("0.000001", 1), ("1000000", 10**12)])
def test_amounts_are_exact(text: str, amount: int) -> None:
    assert dollars(text) == amount


@pytest.mark.parametrize("text", ["", "x", "-1", "NaN", "Infinity", "1000001", "1,5"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="US dollars"):
        dollars(text)


def test_a_repository_can_only_tighten_the_operator_s_limits() -> None:
    environ = {"OPTR_BUDGET_RUN": "10", "OPTR_BUDGET_REPOSITORY_DAY": "20", "OPTR_UNMEASURED": "free"}
    loose, tight = Budget(run="99", day="99"), Budget(run="1", day="2")
    assert caps_of(environ, loose).microusd == caps_of(environ, Budget()).microusd
    caps = caps_of(environ, tight)
    assert (caps.microusd[Scope.RUN], caps.microusd[Scope.REPOSITORY]) == (dollars("1"), dollars("2"))
    assert caps.unmeasured is Unmeasured.FREE
    assert caps_of({}, Budget()).microusd == {Scope.INSTALLATION: dollars("100")}
    assert caps_of({}, tight).microusd[Scope.RUN] == dollars("1")


def test_runs_that_ask_at_the_same_moment_never_share_a_dollar(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'state.db'}")
    rows, caps = Reservations(store), Caps({Scope.INSTALLATION: 10})
    with ThreadPoolExecutor(8) as pool:
        denied = list(pool.map(lambda n: rows.reserve(a_run(f"run-{n}"), 3, caps, 1000), range(20)))
    assert sum(one is None for one in denied) == 3
    (refusal, *_) = [one for one in denied if one is not None]
    assert (refusal.scope, refusal.asked, refusal.cap) == (Scope.INSTALLATION, 3, 10)
    rows.settle("run-0", 0)
    store.close()


class Purses(RuleBasedStateMachine):
    """Runs of two repositories and two installations reserve, spend and grow old."""

    caps = Caps({Scope.RUN: 8, Scope.REPOSITORY: 10, Scope.INSTALLATION: 14, Scope.EVERYTHING: 20})

    def __init__(self) -> None:
        super().__init__()
        self.store = Store("sqlite://", lasting=False)
        self.rows = Reservations(self.store)
        self.now_ms = 10 * DAY_MS
        self.model: dict[str, tuple[Run, int, int, int | None]] = {}

    @rule(amount=st.integers(0, 9), repository=st.sampled_from("ab"), installation=st.integers(1, 2))
    def ask(self, amount: int, repository: str, installation: int) -> None:
        run = a_run(f"run-{len(self.model)}", f"{installation}/{repository}", installation)
        denied = self.rows.reserve(run, amount, self.caps, self.now_ms)
        room = amount <= 8 and all(
            amount + self.held(scope, run) <= cap for scope, cap in self.caps.microusd.items() if scope is not Scope.RUN
        )
        assert (denied is None) == room
        if denied is None:
            self.model[run.id] = run, self.now_ms, amount, None

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        run = self.model[data.draw(st.sampled_from(sorted(self.model)))][0]
        assert self.rows.reserve(run, 9, self.caps, self.now_ms) is None

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model)))
        run, made_ms, reserved, before = self.model[name]
        spent = data.draw(st.integers(0, reserved)) if before is None else before
        self.rows.settle(name, spent)
        self.model[name] = run, made_ms, reserved, spent

    @rule(hours=st.integers(1, 30))
    def wait(self, hours: int) -> None:
        self.now_ms += hours * 3_600_000

    @invariant()
    def nothing_is_over_its_limit(self) -> None:
        for run, *_ in self.model.values():
            taken = self.rows.taken(run, self.now_ms)
            for scope, amount in taken.items():
                assert amount == self.held(scope, run) <= self.caps.microusd[scope]

    def held(self, scope: Scope, of: Run) -> int:
        recent = [one for one in self.model.values() if one[1] > self.now_ms - DAY_MS]
        same = {
            Scope.REPOSITORY: lambda run: run.repository == of.repository,
            Scope.INSTALLATION: lambda run: run.installation == of.installation,
            Scope.EVERYTHING: lambda _: True,
        }[scope]
        return sum(reserved if spent is None else spent for run, _, reserved, spent in recent if same(run))

    def teardown(self) -> None:
        self.store.close()


TestPurses = Purses.TestCase
TestPurses.settings = hypothesis_settings(max_examples=15, stateful_step_count=20, deadline=None)
