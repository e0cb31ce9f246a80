"""`optr correct`: have one node of a waiting workflow done again."""

import os
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.account import show_run
from bot.cli.logs import local_logs
from bot.cli.options import Json, Repo, Verbose
from bot.cli.output import say
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.local_request import LocalCorrection, LocalRequest

REASON_CHARACTERS_MAX = 2_000

EPILOG = """Examples:

optr correct plan_pipeline TEST --reason "The new test must not sleep"

optr correct 3f2a9c0d11e4b7a8 PLAN --reason "The plan forgets the command line" --type invalidation"""


def correct(  # noqa: PLR0913 - each option of the command is one argument
    *,
    run: Annotated[str, typer.Argument(help="The run's id, or its workflow's name.", metavar="RUN")],
    node: Annotated[str, typer.Argument(help="The node to do again.", metavar="NODE")],
    reason: Annotated[str, typer.Option("--reason", help="What was wrong, in plain words; the agent is told.")],
    kind: Annotated[
        str, typer.Option("--type", help="reissue, amendment or invalidation; else as the report asks.")
    ] = "",
    repo: Repo = Path(),
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Do one node of a workflow again that has no result yet, and then what depends on it.

    What else had finished is not run again. Everything stays on the record; new attempts supersede the old ones.
    """
    from bot.cli.interrupt import run_to_end  # noqa: PLC0415 - `--help` must not wait for these
    from bot.settings import LocalSettings  # noqa: PLC0415
    from governance.correction import CorrectionType  # noqa: PLC0415

    settings = LocalSettings.from_environ(os.environ)
    local_logs(os.environ, settings.log_level, verbose=verbose)
    if kind and kind.upper() not in set(CorrectionType):
        raise OptrError(f"no correction is of type {ascii(kind)[:40]}", where="--type", remedy="See --help")
    request = LocalRequest(
        repo=repo.absolute(),
        workflow="correction",
        intent="",
        constraints=(),
        agents=(),
        state=settings.state,
        environ=dict(os.environ),
        on_progress=say,
    )
    asked = LocalCorrection(run, node, _reason(reason), CorrectionType(kind.upper()) if kind else None)
    from bot.local import correct_local  # noqa: PLC0415 - the engine takes a second to import

    return show_run(run_to_end(correct_local(request, asked)), request.repo, as_json=as_json)


def _reason(text: str) -> str:
    from bot.intent import sanitise  # noqa: PLC0415 - `--help` must not wait for it

    if not text.strip() or len(text) > REASON_CHARACTERS_MAX:
        remedy = f"Say what was wrong, in 1 to {REASON_CHARACTERS_MAX} characters"
        raise OptrError("a correction needs a reason", where="--reason", remedy=remedy)
    return sanitise(text)
