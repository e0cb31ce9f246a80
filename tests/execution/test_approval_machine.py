"""A plan's approval under any story of people, time, crashes and lost answers: one approval, in time, as recorded."""

import asyncio
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from execution.artifacts import APPROVED, PLAN, POLICY, Approved
from execution.local import LocalForge
from execution.policies import load_policy
from execution.problems import RunProblem
from execution.runs import Run
from execution.stages.admit import APPROVAL_WAITS_MS, Approver, approve
from execution.stages.plan import VERIFY_SLACK_MS
from governance.states import RunOutcome, RunState
from ledger.entry import Draft
from ledger.extract import entries
from ledger.sequencer import Appended
from tests.execution.test_plan_approval import ALWAYS, a_plan, a_run
from tests.execution.worlds import RUN, SIGNER, a_repository, a_store, a_world

PEOPLE = ["ada", "grace", "linus"]
LAST_MS = APPROVAL_WAITS_MS + VERIFY_SLACK_MS  # an approval after it would start what then is refused


class AnswerLostError(Exception):
    """The line stands on the ledger, and whoever asked for it does not hear of that."""


class Forge(LocalForge):
    """The local one, whose next answer may get lost."""

    lossy = False

    async def append(self, run: Run, drafts: Sequence[Draft], files: Mapping[str, bytes]) -> Appended:
        appended = await super().append(run, drafts, files)
        if self.lossy:
            self.lossy = False
            raise AnswerLostError
        return appended


class Approvals(RuleBasedStateMachine):
    """One run that waits, three people, a database that is closed and opened, a ledger in git."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="optr-approvals-"))
        self.git_dir = a_repository(self.home)
        self.forge = Forge(self.git_dir, SIGNER, self.home / "checkpoints", lambda _line: None)
        self.now_ms = 0
        self.approved_by = ""
        self.recorded_by = ""
        self.closed = False
        self.open()
        run = self.world.store.add(a_run())
        self.world.store.put(RUN, PLAN, a_plan(run, ALWAYS))
        self.world.store.put(RUN, POLICY, load_policy({}, None))

    def open(self) -> None:
        self.world = a_world(self.home, a_store(self.home), forge=self.forge, clock=lambda: self.now_ms / 1000)

    @rule(by=st.sampled_from(PEOPLE))
    def says_yes(self, by: str) -> None:
        if self.approved_by:
            standing = asyncio.run(approve(self.world, RUN, Approver(by)))
            assert standing is not None
            assert standing.by == self.approved_by, "the first approval stands"
        elif self.closed:
            assert asyncio.run(approve(self.world, RUN, Approver(by))) is None
        elif self.now_ms > LAST_MS:
            with pytest.raises(RunProblem) as caught:
                asyncio.run(approve(self.world, RUN, Approver(by)))
            assert caught.value.code == "DISPATCH_EXPIRED"
        else:
            given = asyncio.run(approve(self.world, RUN, Approver(by)))
            assert given is not None
            self.recorded_by = self.recorded_by or by
            self.approved_by = self.recorded_by
            assert (given.by, given.approved_ms <= self.now_ms) == (self.approved_by, True)

    @rule(by=st.sampled_from(PEOPLE))
    def says_yes_and_nobody_hears_of_it(self, by: str) -> None:
        if self.approved_by or self.closed or self.now_ms > LAST_MS:
            return
        self.forge.lossy = True
        with pytest.raises(AnswerLostError):
            asyncio.run(approve(self.world, RUN, Approver(by)))
        self.recorded_by = self.recorded_by or by

    @rule(passed_ms=st.sampled_from([1, 3_600_000, LAST_MS // 2, LAST_MS]))
    def time_passes(self, passed_ms: int) -> None:
        self.now_ms += passed_ms

    @rule()
    def the_process_dies(self) -> None:
        self.world.store.close()
        self.open()

    @rule()
    def the_run_is_closed(self) -> None:
        if not self.closed:
            self.world.store.move(RUN, RunState.CLOSED, outcome=RunOutcome.CANCELLED)
            self.closed = True

    @invariant()
    def the_ledger_says_who(self) -> None:
        lines = entries(self.git_dir, lambda _entry: True) if self.recorded_by else []
        assert [line.record["actor"] for line in lines] == ([self.recorded_by] if self.recorded_by else [])
        standing = self.world.store.find(RUN, APPROVED, Approved)
        assert (standing.by if standing else "") == self.approved_by

    def teardown(self) -> None:
        self.world.store.close()
        shutil.rmtree(self.home)


TestApprovals = Approvals.TestCase
TestApprovals.settings = hypothesis_settings(max_examples=15, stateful_step_count=10, deadline=None)
