"""What is remembered of a person's word that lets a stranger's commit run: in the store, and on the ledger.

A word is one comment. `COMMIT_ALLOWED` is on the ledger before anything of the commit is run, `COMMIT_TRIED` before
its check is shown; ids are made of the comment's number, so that handling the comment again writes neither twice.
"""

from collections.abc import Mapping
from enum import StrEnum

from bot.render.check_run import CheckRun
from execution.foreign import Trial
from execution.records import Record
from governance.entry_types import EntryType
from ledger.entry import Draft

WORKFLOW = "ok-to-run"  # of the lines: these commits belong to no run of ours
ALLOWED = "ok-to-run-allowed"
ENDED = "ok-to-run-ended"


class TrialResult(StrEnum):
    """How a commit's trial ended, the words that the ledger says."""

    PASSED = "passed"
    FAILED = "failed"
    VOIDED = "voided"  # the pull request had another head by then
    NOT_TRIED = "not_tried"  # infrastructure, configuration or a kill switch were in the way


class Word(Record):
    """Who lets which commit run.

    Attributes:
        installation, repository: where.
        pull_request: its number.
        base: the branch that it would be merged into.
        head: the commit, full hex id.
        by, account: login and number of the person.
        comment: GitHub's number of the comment that says so.
    """

    installation: int
    repository: str
    pull_request: int
    base: str
    head: str
    by: str
    account: int
    comment: int

    @property
    def key(self) -> str:
        """What is remembered of it is kept under this, and its lines' ids begin with it."""
        return f"{WORKFLOW}/{self.comment}"


class Allowed(Record):
    """That a word stands on the ledger; milliseconds since the epoch."""

    word: Word
    allowed_ms: int


class Ended(Record):
    """How a trial ended, decided once: who asks again is told the same.

    Attributes:
        word: what let it run.
        result: in one word.
        ended_ms: milliseconds since the epoch.
        facts: what the ledger says besides: commits that it was compared with, the checks' outcomes, codes.
        check: what is shown on the commit.
    """

    word: Word
    result: TrialResult
    ended_ms: int
    facts: dict[str, object]
    check: CheckRun


def result_of(trial: Trial) -> TrialResult:
    """Passed only if something was checked and nothing speaks against the commit."""
    passed = trial.verdict.checks and not trial.verdict.violations
    return TrialResult.PASSED if passed else TrialResult.FAILED


def facts_of(trial: Trial) -> dict[str, object]:
    """What the ledger says of a trial; no text of the commit's author is among it."""
    return {
        "base": trial.base,
        "rules": trial.rules,
        "checks": {check.id: str(check.outcome) for check in trial.verdict.checks},
        "codes": sorted({str(reason.code) for reason in trial.verdict.violations}),
    }


def allowed_line(word: Word, now_ms: int) -> Draft:
    """The line that stands before anything of the commit is run."""
    return _line(word, EntryType.COMMIT_ALLOWED, now_ms, {"target": word.base})


def tried_line(ended: Ended) -> Draft:
    """The line that says what came of it."""
    return _line(ended.word, EntryType.COMMIT_TRIED, ended.ended_ms, {"result": str(ended.result), **ended.facts})


def _line(word: Word, kind: EntryType, at_ms: int, more: Mapping[str, object]) -> Draft:
    return Draft(
        id=f"{word.key}/{kind}",
        type=str(kind),
        workflow=WORKFLOW,
        run=word.key,
        actor=word.by,
        timestamp=at_ms,
        body={
            "account": word.account,
            "comment": word.comment,
            "pullRequest": word.pull_request,
            "commit": word.head,
            **more,
        },
    )
