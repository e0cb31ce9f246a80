"""The check runs: `optr` on the base commit (the run and its comparison) and `optr/gate` on a pull request's head.

Payload limits: https://docs.github.com/en/rest/checks/runs
"""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from bot.buttons import Button, buttons
from bot.names import CHECK_RUN
from bot.render.budget import CHECK_TEXT_BYTES_MAX, TITLE_CHARACTERS_MAX, Section, fit
from bot.render.comparison import comparison, headline, verdict_line
from bot.render.ending import ending_word
from bot.render.neutral import fenced, plain
from bot.render.words import failures, form_words, links, name, sentence
from execution.result import CandidateResult, RunResult
from governance.states import RunOutcome, RunState

OUTPUT_TAIL_CHARACTERS_MAX = 3_000

_DETAILS = 5


class CheckStatus(StrEnum):
    """GitHub's states of a check run that we use."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


class Conclusion(StrEnum):
    """GitHub's conclusions that we use. `neutral` and `skipped` are missing on purpose: both let a merge through."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    ACTION_REQUIRED = "action_required"


_BY_OUTCOME = {
    RunOutcome.NO_WINNER: Conclusion.FAILURE,
    RunOutcome.FAILED: Conclusion.FAILURE,
    RunOutcome.REFUSED: Conclusion.ACTION_REQUIRED,
    RunOutcome.CANCELLED: Conclusion.CANCELLED,
    RunOutcome.SUPERSEDED: Conclusion.CANCELLED,
    RunOutcome.EXPIRED: Conclusion.TIMED_OUT,
}
_WON = frozenset({RunOutcome.ACCEPTED, RunOutcome.REJECTED})
_DONE = frozenset({RunState.PUBLISHED, RunState.IN_REVIEW})
_WAITING = frozenset({RunState.RECEIVED, RunState.ADMITTED})


@dataclass(frozen=True)
class CheckRun:
    """What a check run should say.

    Attributes:
        name: the check's name, which rulesets require.
        head_sha: the commit it stands on.
        external_id: our key, by which it is found again.
        status, conclusion: conclusion exactly when completed.
        title: one line, plain text.
        summary, text: Markdown, at most 65,535 bytes each.
        buttons: of that run, at most three.
    """

    name: str
    head_sha: str
    external_id: str
    status: CheckStatus
    conclusion: Conclusion | None
    title: str
    summary: str
    text: str
    buttons: tuple[Button, ...] = ()

    def create_payload(self, now_ms: int) -> dict[str, object]:
        """The body of `POST …/check-runs`."""
        return {"head_sha": self.head_sha, "started_at": _iso(now_ms), **self.update_payload(now_ms)}

    def update_payload(self, now_ms: int) -> dict[str, object]:
        """The body of `PATCH …/check-runs/{id}`."""
        output = {"title": self.title, "summary": self.summary, **({"text": self.text} if self.text else {})}
        body: dict[str, object] = {
            "name": self.name,
            "external_id": self.external_id,
            "status": self.status.value,
            "output": output,
        }
        if self.conclusion is not None:
            body |= {"conclusion": self.conclusion.value, "completed_at": _iso(now_ms)}
        if self.buttons:
            body["actions"] = [button.payload(self.external_id) for button in self.buttons]
        return body


def conclude(result: RunResult) -> tuple[CheckStatus, Conclusion | None]:
    """Status and conclusion of a run's check: success only for a recorded winner, never for a run that did nothing."""
    if result.state is RunState.CLOSED or result.outcome is not None:
        if result.outcome in _WON and _has_winner(result):
            return CheckStatus.COMPLETED, Conclusion.SUCCESS
        fallback = Conclusion.FAILURE
        return CheckStatus.COMPLETED, _BY_OUTCOME.get(result.outcome, fallback) if result.outcome else fallback
    if result.state is RunState.AWAITING_APPROVAL:
        return CheckStatus.COMPLETED, Conclusion.ACTION_REQUIRED  # GitHub shows buttons on completed checks only
    if result.state in _DONE:
        return CheckStatus.COMPLETED, Conclusion.SUCCESS if _has_winner(result) else Conclusion.FAILURE
    return (CheckStatus.QUEUED if result.state in _WAITING else CheckStatus.IN_PROGRESS), None


def _has_winner(result: RunResult) -> bool:
    return bool(result.winner and result.commit and result.receipt)


def run_check(result: RunResult) -> CheckRun:
    """The check `optr` of a run on its base commit."""
    status, conclusion = conclude(result)
    details = [Section(text, _DETAILS) for candidate in result.candidates if (text := failed_output(candidate))]
    text = fit([Section(comparison(result)), *details], CHECK_TEXT_BYTES_MAX)
    return CheckRun(
        name=CHECK_RUN,
        head_sha=result.base_commit,
        external_id=result.run,
        status=status,
        conclusion=conclusion,
        title=plain(_title(result), TITLE_CHARACTERS_MAX),
        summary=_summary(result),
        text=text,
        buttons=buttons(result.state, result.outcome) if status is CheckStatus.COMPLETED else (),
    )


def _title(result: RunResult) -> str:
    if result.winner and headline(result).endswith("selected"):
        return f"{result.winner} selected"
    word = ending_word(result, headline(result))
    return f"{headline(result)}: {word}" if word else headline(result)


def _summary(result: RunResult) -> str:
    asked = f"Asked by {name(result.requester)}: {sentence(result.title)}\n"
    shown = "".join(f"- {link}\n" for link in links(result))
    return fit([Section(f"{verdict_line(result)}\n\n{asked}"), Section(f"\n{shown}", 1)], CHECK_TEXT_BYTES_MAX)


def failed_output(candidate: CandidateResult) -> str:
    """The ends of what a candidate's failing checks printed, folded; empty when nothing failed."""
    blocks = [
        f"{sentence(check.id)}, on the {form_words(check.form)}, {check.outcome} with exit code {check.exit_code}:\n\n"
        f"{fenced(check.output_tail, OUTPUT_TAIL_CHARACTERS_MAX)}\n"
        for check in failures(candidate)
        if check.output_tail.strip()
    ]
    if not blocks:
        return ""
    inner = "\n".join(blocks)
    return f"\n<details><summary>{name(candidate.agent)}: output of failing checks</summary>\n\n{inner}\n</details>\n"


def _iso(milliseconds: int) -> str:
    moment = dt.datetime.fromtimestamp(milliseconds // 1000, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
