"""Failures of steps stand in the engine's journal: whoever resumes reads them as they were, wait included."""

import pickle

import pytest
from dbos import error as dbos_errors

from bot.github.errors import Call, GitHubError, GitHubErrorCode
from bot.router import HandlerFailedError
from execution.gitcmd import GitError
from execution.models.errors import ModelError, ModelErrorKind
from execution.problems import RunProblem
from execution.records import Usage
from execution.steps import WAIT_SECONDS_MAX, wait_asked
from governance.states import RunOutcome
from ledger.errors import LedgerRefusedError, Standing

LIMITED = GitHubError(GitHubErrorCode.RATE_LIMITED, Call("POST", "/x"), "slow down", status=403, retry_after_s=1800)
FAILURES = [
    LIMITED,
    GitHubError(GitHubErrorCode.BROKEN, Call("GET", "/x"), "no"),
    GitError(["push", "origin"], 128, "refused"),
    LedgerRefusedError(next(iter(Standing)), "the branch is not what was signed"),
    ModelError(ModelErrorKind.OVERLOADED, "m", "later", Usage(calls=2)),
    RunProblem("no", outcome=RunOutcome.NO_WINNER, code="RUN_FAILED", where="here", remedy="that"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: str(one)[:30])
def test_a_failure_is_read_as_it_was_kept(failure: Exception) -> None:
    read = pickle.loads(pickle.dumps(failure))
    assert type(read) is type(failure)
    assert str(read) == str(failure)
    assert vars(read) == vars(failure)


def test_the_wait_that_github_asks_for_is_kept_and_bounded() -> None:
    handling = HandlerFailedError("no")
    handling.retry_after_s = 5.0
    kept = pickle.loads(pickle.dumps(handling))
    assert [wait_asked(one) for one in (LIMITED, kept, ValueError("x"), FAILURES[1])] == [1800, 5, None, None]
    assert wait_asked(dbos_errors.DBOSMaxStepRetriesExceeded("s", 4, [ValueError("x"), LIMITED])) == 1800
    handling.retry_after_s = 10 * WAIT_SECONDS_MAX
    assert wait_asked(handling) == WAIT_SECONDS_MAX
