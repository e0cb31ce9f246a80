"""Standard output carries the result and nothing else; everything for people goes to standard error."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from bot.exit_codes import ExitCode
from execution.records import AgentOutcome
from execution.result import CandidateResult, RunResult
from governance.states import RunOutcome
from scoring.evidence import CheckOutcome

NO_ADMISSIBLE = "No admissible results from any agent"


def say(line: str) -> None:
    """Tell the person at the terminal; never part of the result."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def emit(text: str) -> None:
    """Write the result."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Write an error; its first word is red on a terminal, unless NO_COLOR is set."""
    from rich.console import Console  # noqa: PLC0415 - only errors pay for it
    from rich.text import Text  # noqa: PLC0415

    shown = Text(text)
    shown.highlight_regex(r"^error:", "bold red")
    Console(stderr=True, highlight=False, soft_wrap=True).print(shown)


def show_run(result: RunResult, repository: Path | None, *, as_json: bool) -> ExitCode:
    """Write a run's account, and return the status that goes with it.

    Args:
        result: the account.
        repository: where to look at the winner's branch; None when it will be gone.
        as_json: one JSON object instead of text.
    """
    if as_json:
        emit(result.model_dump_json())
    else:
        from bot.render.comparison import comparison  # noqa: PLC0415 - `--json` does not need it

        emit("\n".join([comparison(result).rstrip("\n"), *_branch(result, repository)]))
    code = status_of(result)
    if code is not ExitCode.OK:
        complain(f"error: {result.problem or NO_ADMISSIBLE}")
    return code


def status_of(result: RunResult) -> ExitCode:
    """0 with a winner; otherwise whose fault it is that there is none."""
    if result.winner is not None:
        return ExitCode.OK
    if result.outcome is RunOutcome.CANCELLED:
        return ExitCode.INTERRUPTED
    if result.outcome is RunOutcome.NO_WINNER:
        return ExitCode.INFRASTRUCTURE if _nobody_could_try(result.candidates) else ExitCode.NO_WINNER
    return ExitCode.USAGE if result.outcome is RunOutcome.REFUSED else ExitCode.INFRASTRUCTURE


def _nobody_could_try(candidates: Sequence[CandidateResult]) -> bool:
    """Whether no agent was heard and judged: refused keys, or a verifier that could not run its checks."""
    return bool(candidates) and all(
        candidate.outcome is AgentOutcome.AUTH or any(check.outcome is CheckOutcome.ERROR for check in candidate.checks)
        for candidate in candidates
    )


def _branch(result: RunResult, repository: Path | None) -> list[str]:
    if result.branch is None or repository is None:
        return []
    place = shlex.quote(str(repository))
    command = f"git -C {place} diff {result.base_commit[:12]} {result.branch}"
    return ["", f"The winner's change stands on branch {result.branch}: {command}"]
