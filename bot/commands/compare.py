"""`/optr compare`."""

from bot.commands.declaration import Argument, Call, Command, Place, one_name
from bot.commands.explain import NOTHING_YET, unknown_agent
from bot.permissions import Permission
from bot.render.words import check_ids, duration, failures, money, name, verdict
from execution.result import CandidateResult, RunResult

SAME = "Name two different agents."
NONE = "-"


async def handle(call: Call) -> str:
    """Two candidates side by side, from the run's record."""
    run = await call.newest_run()
    result = await call.context.runs.result(run.id) if run is not None else None
    if result is None:
        return NOTHING_YET
    wanted = call.argument("first"), call.argument("second")
    if wanted[0] == wanted[1]:
        return SAME
    by_name = {candidate.agent: candidate for candidate in result.candidates}
    if not set(wanted) <= set(by_name):
        return unknown_agent(result)
    return _side_by_side(by_name[wanted[0]], by_name[wanted[1]], result)


def _side_by_side(first: CandidateResult, second: CandidateResult, result: RunResult) -> str:
    rows = [
        ("verdict", verdict(first, result), verdict(second, result)),
        ("score", name(first.score or NONE), name(second.score or NONE)),
        *((f"term {name(term)}", *_terms(term, first, second)) for term in {**first.terms, **second.terms}),
        ("checks passed", _passed(first), _passed(second)),
        ("invariants", _listed(first.invariants), _listed(second.invariants)),
        ("patch", _size(first), _size(second)),
        ("time", duration(first.execution_ms), duration(second.execution_ms)),
        ("cost", money(first.cost_microusd), money(second.cost_microusd)),
    ]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"| | {name(first.agent)} | {name(second.agent)} |\n|---|---|---|\n{table}"


def _terms(term: str, first: CandidateResult, second: CandidateResult) -> tuple[str, str]:
    return name(first.terms.get(term, NONE)), name(second.terms.get(term, NONE))


def _passed(candidate: CandidateResult) -> str:
    ran, failed = check_ids(candidate), {check.id for check in failures(candidate)}
    return f"{len(ran) - len(failed)} of {len(ran)}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(name, names)) or NONE


def _size(candidate: CandidateResult) -> str:
    return f"{candidate.files} files, +{candidate.added} -{candidate.deleted}"


COMMAND = Command(
    name="compare",
    meaning="Shows two candidates of the newest run side by side.",
    example="/optr compare codex claude",
    permission=Permission.READ,
    handle=handle,
    arguments=(
        Argument("first", "A", "one agent", one_name, Place.REQUIRED),
        Argument("second", "B", "another one", one_name, Place.REQUIRED),
    ),
)
