"""From an exception to a message for people and an exit status."""

import traceback
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bot.errors import OptrError
from bot.exit_codes import ExitCode
from governance.states import RunOutcome

if TYPE_CHECKING:
    from bot.github.errors import GitHubError

REPORT = "This is a fault of OPTR's own: please report it with the output of the same command and --verbose"

_SETTINGS_STATUSES = frozenset({401, 404})  # a wrong App id or key; a 403 may be a rate limit
_OUTCOME_CODES = {RunOutcome.NO_WINNER: ExitCode.NO_WINNER, RunOutcome.CANCELLED: ExitCode.INTERRUPTED}


def as_optr_error(error: BaseException) -> OptrError:
    """What to tell the person who typed the command."""
    if isinstance(error, OptrError):
        return error
    if isinstance(error, OSError):
        return _from_os(error)
    from bot.github.errors import GitHubError  # noqa: PLC0415 - a person's own mistake must not wait for these
    from execution.problems import RunProblem  # noqa: PLC0415
    from execution.yamlfile import ConfigError  # noqa: PLC0415

    if isinstance(error, ConfigError):
        return OptrError(str(error), where=error.where, remedy="Mend the file and run the command again")
    if isinstance(error, GitHubError):
        return _from_github(error)
    code = next((code for family, code in _families() if isinstance(error, family)), None)
    if code is None and isinstance(error, RunProblem):
        code = _OUTCOME_CODES.get(error.outcome, ExitCode.INFRASTRUCTURE)
    if code is not None:
        return OptrError(str(error), code=code)
    what = f"internal error: {type(error).__name__}: {error}"
    return OptrError(what, remedy=REPORT, code=ExitCode.INTERNAL)


def _from_github(error: "GitHubError") -> OptrError:
    """A refused App is a matter of settings; everything else is GitHub or the way to it."""
    code = ExitCode.USAGE if error.status in _SETTINGS_STATUSES else ExitCode.INFRASTRUCTURE
    return OptrError(str(error), where="GitHub", code=code)


def _families() -> Iterable[tuple[type[Exception], ExitCode]]:
    """Errors whose own texts say what, where and what to do."""
    from bot.github.tokens import AppKeyError  # noqa: PLC0415
    from execution.agents.build import AgentSettingError, AgentUnavailableError  # noqa: PLC0415
    from execution.engine import EngineBusyError  # noqa: PLC0415
    from execution.problems import InfrastructureProblem, SetupProblem  # noqa: PLC0415
    from execution.sandbox import SandboxError  # noqa: PLC0415
    from ledger.errors import LedgerError  # noqa: PLC0415

    yield from ((family, ExitCode.USAGE) for family in (SetupProblem, EngineBusyError))
    yield from ((family, ExitCode.USAGE) for family in (AgentUnavailableError, AgentSettingError, AppKeyError))
    yield from ((family, ExitCode.INFRASTRUCTURE) for family in (InfrastructureProblem, SandboxError, LedgerError))


def message(error: BaseException, *, verbose: bool) -> str:
    """The lines for standard error, with the traceback in front when asked for."""
    lines = as_optr_error(error).lines()
    trace = "".join(traceback.format_exception(error)) if verbose else ""
    return trace + "\n".join(lines)


def _from_os(error: OSError) -> OptrError:
    what = error.strerror or str(error)
    remedy = "Check that it exists and who may use it" if error.filename else "Check this machine's resources"
    return OptrError(what, where=str(error.filename or ""), remedy=remedy, code=ExitCode.USAGE)
