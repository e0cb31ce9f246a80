"""How runs end, in one word each; and no green check for a run that did nothing."""

import itertools

import pytest

from bot.render.check_run import Conclusion, conclude, run_check
from bot.render.comparison import verdict_line
from bot.render.ending import Ending, ending
from execution.records import AgentOutcome
from execution.result import CandidateResult, RunResult
from governance.states import RunOutcome, RunState
from scoring.evidence import Reason


def a_result(outcome: RunOutcome | None, code: str | None = None, *candidates: CandidateResult) -> RunResult:
    return RunResult(
        run="0" * 16,
        workflow="issue-7",
        intent_sha256="0" * 64,
        title="t",
        requester="ada",
        base_commit="1" * 40,
        state=RunState.CLOSED if outcome else RunState.EXECUTING,
        outcome=outcome,
        code=code,
        candidates=candidates,
    )


def candidate(outcome: AgentOutcome, *codes: str) -> CandidateResult:
    reasons = tuple(Reason(code=code, text="so") for code in codes)
    return CandidateResult(agent="a", type="command", outcome=outcome, admissible=False, reasons=reasons)


TIMED_OUT, NO_LOGIN = candidate(AgentOutcome.TIMEOUT), candidate(AgentOutcome.AUTH)
BROKE = candidate(AgentOutcome.FAILED)
FAILED_CHECK = candidate(AgentOutcome.COMPLETED, "CHECK_FAILED")
EMPTY = candidate(AgentOutcome.COMPLETED, "PATCH_EMPTY")


@pytest.mark.parametrize(
    ("result", "word"),
    [
        (a_result(None), None),
        (a_result(RunOutcome.ACCEPTED), Ending.ACCEPTED),
        (a_result(RunOutcome.REJECTED), Ending.REJECTED),
        (a_result(RunOutcome.CANCELLED, "VERIFIER_INFRA"), Ending.CANCELLED),
        (a_result(RunOutcome.SUPERSEDED), Ending.SUPERSEDED),
        (a_result(RunOutcome.EXPIRED), Ending.EXPIRED),
        (a_result(RunOutcome.REFUSED, "BUDGET_DENIED"), Ending.BUDGET_DENIED),
        (a_result(RunOutcome.REFUSED, "REFUSED_APPROVAL"), Ending.POLICY_DENIED),
        (a_result(RunOutcome.FAILED, "VERIFIER_INFRA"), Ending.VERIFIER_INFRA),
        (a_result(RunOutcome.FAILED, "AGENT_UNAVAILABLE"), Ending.AGENT_AUTH),
        (a_result(RunOutcome.FAILED, "a code of tomorrow"), Ending.FAILED),
        (a_result(RunOutcome.NO_WINNER, "NO_WINNER"), Ending.NO_WINNER),
        (a_result(RunOutcome.NO_WINNER, None, TIMED_OUT, TIMED_OUT), Ending.AGENT_TIMEOUT),
        (a_result(RunOutcome.NO_WINNER, None, NO_LOGIN), Ending.AGENT_AUTH),
        (a_result(RunOutcome.NO_WINNER, None, BROKE), Ending.AGENT_FAILED),
        (a_result(RunOutcome.NO_WINNER, None, FAILED_CHECK, FAILED_CHECK), Ending.VERIFIED_FAIL),
        (a_result(RunOutcome.NO_WINNER, None, FAILED_CHECK, BROKE), Ending.NO_WINNER),
        (a_result(RunOutcome.NO_WINNER, None, EMPTY), Ending.NO_WINNER),
    ],
)
def test_each_way_to_end_has_its_word(result: RunResult, word: Ending | None) -> None:
    assert ending(result) is word
    if word in {Ending.BUDGET_DENIED, Ending.AGENT_TIMEOUT, Ending.VERIFIED_FAIL, Ending.VERIFIER_INFRA}:
        assert f"`{word}`" in verdict_line(result)
        assert str(word) in run_check(result).title


@pytest.mark.parametrize(("outcome", "state"), list(itertools.product([None, *RunOutcome], RunState)))
def test_a_run_without_a_recorded_winner_is_never_green(outcome: RunOutcome | None, state: RunState) -> None:
    result = a_result(outcome).model_copy(update={"state": state})
    status, conclusion = conclude(result)
    assert conclusion is not Conclusion.SUCCESS
    assert str(conclusion) not in {"neutral", "skipped"}
    assert (status == "completed") == (conclusion is not None)
