"""`optr execute`: one governed run on a local repository."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from bot.cli import names
from bot.cli.options import Json, Repo, Verbose
from bot.cli.output import say, show_run
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.local_request import LocalRequest

INTENT_CHARACTERS_MAX = 65_536

EPILOG = """Examples:

optr execute --workflow fix-parser --intent "Make the parser accept empty input" --constraints tested,small

optr execute --workflow fix-parser --intent "…" --repo ~/src/thing --agents codex,claude --json"""


def execute(  # noqa: PLR0913 - each option of the command is one argument
    *,
    workflow: Annotated[str, typer.Option("--workflow", help="Name of this run's directory in the record.")],
    intent: Annotated[str, typer.Option("--intent", help="What is asked, in plain words.")],
    constraints: Annotated[str, typer.Option("--constraints", help="Constraint names: a,b.", metavar="a,b")] = "",
    repo: Repo = Path(),
    agents: Annotated[
        str, typer.Option("--agents", help="Agents that compete, instead of the repository's.", metavar="x,y")
    ] = "",
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Let agents compete for a change on a local repository.

    The base is its HEAD. The record goes to the branch datalake, the winner to optr/WORKFLOW; the working tree and
    the current branch are not touched. Model keys are read from OPENAI_API_KEY and ANTHROPIC_API_KEY.
    """
    del verbose  # read by `bot.cli.app.run`
    from bot.settings import LocalSettings  # noqa: PLC0415 - `--help` must not wait for it

    settings = LocalSettings.from_environ(os.environ)
    request = LocalRequest(
        repo=repo.absolute(),
        workflow=names.workflow(workflow),
        intent=_intent(intent),
        constraints=names.comma_list(constraints, "--constraints"),
        agents=names.comma_list(agents, "--agents"),
        state=settings.state,
        environ=dict(os.environ),
        on_progress=say,
    )
    from bot.local import run_local  # noqa: PLC0415 - the engine takes a second to import; bad options must not wait

    return show_run(asyncio.run(run_local(request)), request.repo, as_json=as_json)


def _intent(text: str) -> str:
    if not text.strip():
        raise OptrError("the intent is empty", where="--intent", remedy='Say what is wanted: --intent "Fix the parser"')
    if len(text) > INTENT_CHARACTERS_MAX:
        what = f"the intent has {len(text)} characters"
        raise OptrError(what, where="--intent", remedy=f"Keep it under {INTENT_CHARACTERS_MAX}")
    return text
