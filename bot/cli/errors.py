"""From an exception to a message for people and an exit status."""

import re
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from bot.errors import OptrError
from bot.exit_codes import ExitCode
from governance.states import RunOutcome

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

    from bot.github.errors import GitHubError
    from execution.problems import RunProblem
    from ledger.errors import LedgerRefusedError

REPORT = "This is a fault of OPTR's own: please report it with the output of the same command and --verbose"

_SETTINGS_STATUSES = frozenset({401, 404})  # a wrong App id or key; a 403 may be a rate limit
_PLACE = re.compile(r"(?P<where>[^\s:]+:\d+:\d+): (?P<what>.+)", re.DOTALL)  # as configuration errors begin
_WHERE = {
    "AGENT_UNKNOWN": "--agents, or agents in .github/optr.yml",
    "AGENT_UNAVAILABLE": "--agents, or agents in .github/optr.yml",
}
_CONFIG_REMEDY = "Mend it and commit: what counts is the commit that HEAD names, not the working tree"
_OUTCOME_CODES = {RunOutcome.NO_WINNER: ExitCode.NO_WINNER, RunOutcome.CANCELLED: ExitCode.INTERRUPTED}


def as_optr_error(error: BaseException) -> OptrError:
    """What to tell the person who typed the command."""
    if isinstance(error, OptrError):
        return error
    if isinstance(error, OSError):
        return _from_os(error)
    for family, tell in _tellers():
        if isinstance(error, family):
            return tell(error)
    what = f"internal error: {type(error).__name__}: {error}"
    return OptrError(what, remedy=REPORT, code=ExitCode.INTERNAL)


def _tellers() -> Iterable[tuple[type[Exception], Callable[[Any], OptrError]]]:
    """How each family is told, the narrower one first. A person's own mistake must not wait for these imports."""
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    from bot.github.errors import GitHubError  # noqa: PLC0415
    from execution.problems import RunProblem  # noqa: PLC0415
    from execution.yamlfile import ConfigError  # noqa: PLC0415
    from ledger.errors import LedgerRefusedError  # noqa: PLC0415

    yield ConfigError, lambda error: _placed(str(error))
    yield RunProblem, _from_problem
    yield LedgerRefusedError, _from_ledger
    yield GitHubError, _from_github
    yield DBAPIError, _from_database
    for family, code in _families():
        yield family, partial(_plain, code)


def _plain(code: ExitCode, error: Exception) -> OptrError:
    return OptrError(str(error), code=code)


def _from_github(error: "GitHubError") -> OptrError:
    """A refused App is a matter of settings; everything else is GitHub or the way to it."""
    code = ExitCode.USAGE if error.status in _SETTINGS_STATUSES else ExitCode.INFRASTRUCTURE
    return OptrError(str(error), where="GitHub", code=code)


def _from_database(error: "DBAPIError") -> OptrError:
    """A database that is away, refuses us or is damaged: told in its driver's first line, which holds no password."""
    why = next((line.strip() for line in str(error.orig).splitlines() if line.strip()), type(error.orig).__name__)
    if type(error.orig).__module__.partition(".")[0] == "psycopg":
        where, remedy = "OPTR_DATABASE_URL", "See that PostgreSQL runs there and lets this user in and create tables"
    else:
        where, remedy = "state.db and engine.db in OPTR_STATE", "Restore both from a backup: docs/operations.md"
    return OptrError("the database cannot be used", where=where, why=why, remedy=remedy, code=ExitCode.INFRASTRUCTURE)


def _placed(text: str) -> OptrError:
    found = _PLACE.fullmatch(text)
    where, what = (found["where"], found["what"]) if found else (".github/optr.yml and what was typed", text)
    return OptrError(what, where=where, remedy=_CONFIG_REMEDY)


def _from_problem(problem: "RunProblem") -> OptrError:
    """A run's problem with the advice that belongs to its code."""
    from execution.problems import SetupProblem  # noqa: PLC0415
    from governance.reasons import REGISTRY  # noqa: PLC0415

    code = _OUTCOME_CODES.get(problem.outcome, ExitCode.INFRASTRUCTURE)
    if problem.code == "CONFIG_INVALID":
        return _placed(str(problem))
    advice = REGISTRY[problem.code].remedy if problem.code in REGISTRY else ""
    return OptrError(
        str(problem),
        where=problem.where or _WHERE.get(problem.code, ""),
        remedy=problem.remedy or advice.rstrip("."),
        code=ExitCode.USAGE if isinstance(problem, SetupProblem) else code,
    )


def _from_ledger(error: "LedgerRefusedError") -> OptrError:
    """The branch is not what was signed last: the same statuses as `optr verify-ledger`."""
    from ledger.errors import Standing  # noqa: PLC0415

    codes = {Standing.BEHIND: ExitCode.INCOMPLETE, Standing.AHEAD: ExitCode.USAGE}
    remedy = "Nothing was written. `optr verify-ledger` names the line; docs/ledger.md says what to do"
    if error.standing is Standing.AHEAD:
        remedy = "Find out who wrote it; if nothing is remembered here and it is whole, pass --adopt-ledger once"
    code = codes.get(error.standing, ExitCode.TAMPERED)
    return OptrError(str(error), where="branch datalake", remedy=remedy, code=code)


def _families() -> Iterable[tuple[type[Exception], ExitCode]]:
    """Errors whose own texts say what, where and what to do."""
    from bot.github.tokens import AppKeyError  # noqa: PLC0415
    from execution.agents.build import AgentSettingError, AgentUnavailableError  # noqa: PLC0415
    from execution.engine import EngineBusyError  # noqa: PLC0415
    from execution.sandbox import SandboxError  # noqa: PLC0415
    from execution.store import OtherTablesError  # noqa: PLC0415
    from ledger.errors import LedgerError  # noqa: PLC0415

    theirs = (AgentUnavailableError, AgentSettingError, AppKeyError, EngineBusyError, OtherTablesError)
    yield from ((family, ExitCode.USAGE) for family in theirs)
    yield from ((family, ExitCode.INFRASTRUCTURE) for family in (SandboxError, LedgerError))


def message(error: BaseException, *, verbose: bool) -> str:
    """The lines for standard error, with the traceback in front when asked for."""
    lines = as_optr_error(error).lines()
    trace = "".join(traceback.format_exception(error)) if verbose else ""
    return trace + "\n".join(lines)


def _from_os(error: OSError) -> OptrError:
    what = error.strerror or str(error)
    remedy = "Check that it exists and who may use it" if error.filename else "Check this machine's resources"
    code = ExitCode.USAGE if error.filename else ExitCode.INFRASTRUCTURE
    return OptrError(what, where=str(error.filename or ""), remedy=remedy, code=code)
