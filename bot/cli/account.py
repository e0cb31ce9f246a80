"""A run's account at the terminal, and the exit status that goes with it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli.output import complain, emit_json
from bot.exit_codes import ExitCode
from bot.render.neutral import visible

if TYPE_CHECKING:
    from execution.result import CandidateResult, RunResult

INTERNAL = "INTERNAL"  # the code of a problem that is our own fault; execution.flows is too heavy to import for it
NO_ADMISSIBLE = "No admissible results from any agent"


def show_run(result: "RunResult", repository: Path | None, *, as_json: bool) -> ExitCode:
    """Write a run's account, and return the status that goes with it.

    Args:
        result: the account.
        repository: where to look at the winner's branch; None when it will be gone.
        as_json: one JSON object instead of text.
    """
    if as_json:
        emit_json(result.model_dump(mode="json"))
    else:
        from bot.cli.terminal import show_markdown  # noqa: PLC0415 - `--json` does not need it

        show_markdown("\n".join(_told(result, repository)))
    code = status_of(result)
    if code is not ExitCode.OK:
        complain(f"error: {result.problem or NO_ADMISSIBLE}")
    return code


def status_of(result: "RunResult") -> ExitCode:
    """0 with a winner; otherwise whose fault it is that there is none."""
    from governance.states import RunOutcome, RunState  # noqa: PLC0415 - `--version` must not wait for it

    if result.winner is not None:
        return ExitCode.OK
    if result.outcome is RunOutcome.CANCELLED:
        return ExitCode.INTERRUPTED
    if result.state is RunState.AWAITING_CORRECTION:
        return ExitCode.NO_WINNER
    if result.outcome is RunOutcome.NO_WINNER:
        return ExitCode.INFRASTRUCTURE if _nobody_could_try(result.candidates) else ExitCode.NO_WINNER
    if result.code == INTERNAL:
        return ExitCode.INTERNAL
    return ExitCode.USAGE if result.outcome is RunOutcome.REFUSED else ExitCode.INFRASTRUCTURE


def _nobody_could_try(candidates: "Sequence[CandidateResult]") -> bool:
    """Whether no agent was heard and judged: refused keys, or a verifier that could not run its checks."""
    from execution.records import AgentOutcome  # noqa: PLC0415
    from scoring.evidence import CheckOutcome  # noqa: PLC0415

    return bool(candidates) and all(
        candidate.outcome is AgentOutcome.AUTH or any(check.outcome is CheckOutcome.ERROR for check in candidate.checks)
        for candidate in candidates
    )


def _told(result: "RunResult", repository: Path | None) -> list[str]:
    """The comparison, with the command that verifies the ledger where it is, and where the winner's change stands."""
    from bot.render.comparison import comparison, verify_command  # noqa: PLC0415 - `--json` does not need it

    text = comparison(result).rstrip("\n")
    command = f"\n```sh\n{verify_command(result)}\n```\n"
    there = f"\n```sh\noptr verify-ledger --repo {_shown(repository)}\n```\n" if repository is not None else ""
    text = text.replace(command, there)
    return [text, *_branch(result, repository)]


def _shown(repository: Path) -> str:
    return shlex.quote(visible(str(repository)).replace("\n", " "))


def _branch(result: "RunResult", repository: Path | None) -> list[str]:
    if result.branch is None or repository is None:
        return []
    command = f"git -C {_shown(repository)} diff {result.base_commit[:12]} {result.branch}"
    return ["", f"The winner's change stands on branch `{result.branch}`:", "", "```sh", command, "```"]
