"""Nodes, corrections, settlements and the wrap under any order of events: only the newest attempts count, and nothing
is closed before all of them are settled."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from governance.codes import ReasonCode, RefusedError
from governance.correction import ATTEMPTS_MAX, CorrectionType, correct, reissued
from governance.graph import race
from governance.mandate import Mandate, issue
from governance.report import Report, Verdict, judge
from governance.settlement import Aggregate, Outcome, Settlement, aggregate, current, settle
from governance.wrap import WrapStatus, wrap
from tests.governance.conftest import INTENT, RUN, sha

NODES = ["A1", "A2", "A3"]


class Settling(RuleBasedStateMachine):
    """A race of three, attempt by attempt."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = race(RUN, ["codex", "claude", "copilot"])
        self.mandates: dict[str, Mandate] = {}
        self.attempted: dict[str, Mandate] = {}
        self.reports: dict[str, Report] = {}
        self.newest: dict[str, Settlement] = {}
        self.all: list[Settlement] = []
        self.stale: list[Aggregate] = []
        self.corrections = 0

    @initialize()
    def plan(self) -> None:
        limits = {"budget_microusd": 9, "tokens": 9, "steps": 9, "deadline_ms": 100}
        made = issue(self.graph, INTENT, paths=("src/**",), inputs={"base": sha("base")}, **limits)
        self.mandates = {one.node: one for one in made}

    @rule(node=st.sampled_from(NODES), inside=st.booleans(), tests=st.booleans())
    def judge_and_settle(self, node: str, *, inside: bool, tests: bool) -> None:
        mandate = self.mandates[node]
        if node in self.newest and self.newest[node].attempt == mandate.attempt:
            return
        report = judge(
            mandate,
            candidate_digest=sha(f"{node} {mandate.attempt}"),
            evidence_digest=sha("evidence"),
            violations=() if tests else (("CHECK_FAILED", "tests fail"),),
            touched_paths=["src/app.py" if inside else "ci/deploy.sh"],
            claims={"summary": "done"},
        )
        assert (report.verdict == Verdict.PASS) == (inside and tests)
        before = self.newest.get(node)
        self.attempted[node], self.reports[node] = mandate, report
        outcome = Outcome.NOT_SELECTED if report.verdict == Verdict.PASS else Outcome.REJECTED
        self.newest[node] = settle(mandate, report, outcome, supersedes=before.digest if before else "")
        self.all.append(self.newest[node])

    @rule(node=st.sampled_from(NODES))
    def choose(self, node: str) -> None:
        """At most one racer is selected, and none that did not pass."""
        if node not in self.newest or any(one.outcome == Outcome.SELECTED for one in self.newest.values()):
            return
        standing = self.newest[node]
        if standing.outcome == Outcome.REJECTED:
            refused = code_of(partial(settle, self.attempted[node], self.reports[node], Outcome.SELECTED))
            assert refused == ReasonCode.OUTCOME_UNEARNED
            return
        chosen = standing.model_copy(update={"outcome": Outcome.SELECTED})
        self.all[self.all.index(standing)] = self.newest[node] = chosen

    @precondition(lambda self: len(self.newest) == len(NODES))
    @rule(node=st.sampled_from(NODES))
    def correct_one(self, node: str) -> None:
        """A correction renews one node; the fourth attempt is the last."""
        mandate = self.mandates[node]
        if self.newest[node].attempt != mandate.attempt:
            return
        closing = self.aggregated()
        asked: dict[str, Any] = {
            "reports": self.reports,
            "settlements": list(self.newest.values()),
            "reason": "again",
            "by": "ada",
        }
        place: dict[str, Any] = {"number": self.corrections + 1, "aggregate": sha("a"), "now_ms": 5, "deadline_ms": 500}
        asking = partial(correct, self.graph, node, **asked, **place)
        if mandate.attempt == ATTEMPTS_MAX:
            assert code_of(asking) == ReasonCode.CORRECTION_LIMIT
            return
        correction = asking()
        passed = self.reports[node].verdict == Verdict.PASS
        assert correction.type == (CorrectionType.INVALIDATION if passed else CorrectionType.AMENDMENT)
        assert (correction.scope, correction.supersedes) == ((node,), {node: self.newest[node].digest})
        renewed = reissued(mandate, correction)
        assert renewed.attempt == mandate.attempt + 1 <= ATTEMPTS_MAX
        assert (renewed.paths, renewed.capabilities, renewed.tokens) == (mandate.paths, mandate.capabilities, 9)
        self.mandates[node] = renewed
        self.corrections += 1
        if isinstance(closing, Aggregate):
            self.stale.append(closing)

    def aggregated(self) -> Aggregate | str:
        try:
            return aggregate(self.graph, self.all)
        except RefusedError as error:
            return error.code

    @invariant()
    def only_a_complete_and_consistent_run_has_an_aggregate(self) -> None:
        found = self.aggregated()
        outcomes = [one.outcome for one in self.newest.values()]
        if len(self.newest) < len(NODES):
            assert found == ReasonCode.GS_205
        elif Outcome.NOT_SELECTED in outcomes and Outcome.SELECTED not in outcomes:
            assert found == ReasonCode.SELECTION_NOT_ONE
        else:
            assert isinstance(found, Aggregate)
            assert [id_ for id_, _ in found.children] == [self.newest[node].id for node in NODES]
            assert current(self.graph, self.all) == tuple(self.newest[node] for node in NODES)

    @invariant()
    def only_the_newest_selected_work_can_be_accepted_and_only_by_a_person(self) -> None:
        found = self.aggregated()
        if not isinstance(found, Aggregate):
            return
        closing: dict[str, Any] = {"accepted": True, "head_commit": "b" * 40, "when_ms": 9}
        if found.selected is None:
            refused = code_of(partial(wrap, self.graph, found, self.all, by="grace", **closing))
            assert refused == ReasonCode.GS_206
        else:
            done = wrap(self.graph, found, self.all, by="grace", **closing)
            assert done.status == WrapStatus.ACCEPTED
            assert [one.settlement for one in done.nodes] == [self.newest[node].id for node in NODES]
            for by in ("codex", "optr", "orchestrator", "x[bot]", " "):
                refused = code_of(partial(wrap, self.graph, found, self.all, by=by, **closing))
                assert refused == ReasonCode.WRAP_NOT_HUMAN
        for old in self.stale:
            if old != found:
                refused = code_of(partial(wrap, self.graph, old, self.all, by="grace", **closing))
                assert refused == ReasonCode.BINDING_MISMATCH


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(RefusedError) as caught:
        act()
    return caught.value.code


TestSettling = Settling.TestCase
TestSettling.settings = settings(max_examples=15, stateful_step_count=14, deadline=None)
