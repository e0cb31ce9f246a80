"""`optr execute`: one governed run on a local repository."""

import os
from pathlib import Path
from typing import Annotated

import typer

from bot.cli import names
from bot.cli.account import show_run
from bot.cli.logs import local_logs
from bot.cli.options import Json, Repo, Verbose
from bot.cli.output import say
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.local_request import LocalRequest

INTENT_CHARACTERS_MAX = 65_536
WORKFLOW_BYTES_MAX = 262_144

EPILOG = """Examples:

optr execute --workflow fix-parser --intent "Accept empty input"

optr execute --workflow fix-parser --intent "…" --constraints tested,small

optr execute --workflow fix-parser --intent "…" --repo ~/src/thing --json

optr execute --workflow fix-parser --intent "…" --agents codex,claude

optr execute --workflow examples/workflows/plan_pipeline.yml --intent "…" --json"""


def execute(  # noqa: PLR0913 - each option of the command is one argument
    *,
    workflow: Annotated[
        str, typer.Option("--workflow", help="Name of this run's directory in the record, or a workflow file.")
    ],
    intent: Annotated[str, typer.Option("--intent", help="What is asked, in plain words.")],
    constraints: Annotated[str, typer.Option("--constraints", help="Constraint names: a,b.", metavar="a,b")] = "",
    repo: Repo = Path(),
    agents: Annotated[
        str, typer.Option("--agents", help="Agents that compete, instead of the repository's.", metavar="x,y")
    ] = "",
    adopt_ledger: Annotated[
        bool,
        typer.Option(
            "--adopt-ledger", help="Take the branch datalake as it stands, if this machine remembers nothing of it."
        ),
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Let agents compete for a change on a local repository.

    The base is the commit that HEAD names. The record goes to the branch datalake, the winner to optr/WORKFLOW; the
    working tree and the current branch are not touched. Model keys: OPENAI_API_KEY and ANTHROPIC_API_KEY.
    """
    from bot.cli.interrupt import run_to_end  # noqa: PLC0415 - `--help` must not wait for these
    from bot.settings import LocalSettings  # noqa: PLC0415

    settings = LocalSettings.from_environ(os.environ)
    local_logs(os.environ, settings.log_level, verbose=verbose)
    name, definition = _workflow(workflow)
    request = LocalRequest(
        repo=repo.absolute(),
        workflow=name,
        intent=_intent(intent),
        constraints=names.comma_list(constraints, "--constraints"),
        agents=names.comma_list(agents, "--agents"),
        state=settings.state,
        environ=dict(os.environ),
        on_progress=say,
        adopt=adopt_ledger,
        definition=definition,
        definition_path=workflow if definition else "",
    )
    from bot.local import run_local  # noqa: PLC0415 - the engine takes a second to import; bad options must not wait

    return show_run(run_to_end(run_local(request)), request.repo, as_json=as_json)


def _workflow(word: str) -> tuple[str, str]:
    """The run's name, and the workflow file's text when the word names one."""
    if not word.endswith((".yml", ".yaml")):
        return names.workflow(word), ""
    from execution.workflowfile import load_workflow  # noqa: PLC0415 - a plain name must not wait for it

    path = Path(word)
    with path.open("rb") as stream:
        data = stream.read(WORKFLOW_BYTES_MAX + 1)
    loaded = load_workflow(data, word)
    return names.workflow(loaded.name or path.stem), data.decode("utf-8")


def _intent(text: str) -> str:
    if not text.strip():
        raise OptrError("the intent is empty", where="--intent", remedy='Say what is wanted: --intent "Fix the parser"')
    if len(text) > INTENT_CHARACTERS_MAX:
        what = f"the intent has {len(text)} characters"
        raise OptrError(what, where="--intent", remedy=f"Keep it under {INTENT_CHARACTERS_MAX}")
    return text
