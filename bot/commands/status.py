"""`/optr status`."""

from bot.commands.declaration import Call, Command
from bot.permissions import Permission
from bot.render.neutral import neutralise
from execution.result import CandidateResult, Receipt, RunResult
from execution.runs import Run

CELL_CHARACTERS_MAX = 200
ROOT_DIGITS_SHOWN = 16
NOTHING_YET = "No run has been asked for here."


async def handle(call: Call) -> str:
    """Where the newest run stands."""
    run = await call.newest_run()
    if run is None:
        return NOTHING_YET
    return "\n".join(_lines(run, await call.context.runs.result(run.id)))


def _lines(run: Run, result: RunResult | None) -> list[str]:
    state = f"{run.state}: {run.outcome}" if run.outcome else str(run.state)
    lines = [f"Run `{run.workflow}` (`{run.id}`): **{state}**"]
    if run.pull_request:
        lines.append(f"- Pull request: #{run.pull_request}")
    if run.problem:
        lines.append(f"- Problem: {_cell(run.problem)}")
    if result is None:
        return lines
    if result.winner:
        lines.append(f"- Winner: {_cell(result.winner)}")
    if result.receipt is not None:
        lines.append(f"- Ledger: {_receipt(result.receipt)}")
    if result.candidates:
        lines += ["", "| Agent | Ended | Admissible | Score |", "|---|---|---|---|", *map(_row, result.candidates)]
    return lines


def _row(candidate: CandidateResult) -> str:
    admissible = {True: "yes", False: "no", None: "not yet known"}[candidate.admissible]
    ended = candidate.outcome or "running"
    return f"| {_cell(candidate.agent)} | {ended} | {admissible} | {candidate.score or '–'} |"  # noqa: RUF001 - no score


def _receipt(receipt: Receipt) -> str:
    return f"line {receipt.seq} of {receipt.size}, root `{receipt.root[:ROOT_DIGITS_SHOWN]}`"


def _cell(text: str) -> str:
    return neutralise(text, CELL_CHARACTERS_MAX)


COMMAND = Command(
    name="status",
    meaning="Shows where the newest run stands: state, candidates, winner, pull request, ledger receipt.",
    example="/optr status",
    permission=Permission.READ,
    handle=handle,
)
