"""`optr demo`: a whole run on a sample project, with recorded models, no key and no network."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.account import show_run
from bot.cli.logs import local_logs
from bot.cli.options import Json, Verbose
from bot.cli.output import emit, say
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.local_request import LocalRequest

if TYPE_CHECKING:
    from execution.result import RunResult

WORKFLOW = "demo"
RECORDED = (
    "The models of this demo are recorded: a server on this machine replays their turns over the real wire formats. "
    "Agents, sandbox, checks, scores and ledger are the real ones."
)
EPILOG = """Examples:

optr demo

optr demo --keep /tmp/optr-demo && optr verify-ledger --repo /tmp/optr-demo"""


def demo(
    *,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Leave the repository here, a new or empty directory.", metavar="DIR")
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Watch agents compete for a real bug fix: no key, no network, nothing left behind.

    A sample project with a bug and a failing test is copied to a temporary directory, and four agents race to mend it.
    """
    from bot.cli.interrupt import run_to_end  # noqa: PLC0415 - `--help` must not wait for these
    from bot.settings import LocalSettings  # noqa: PLC0415

    settings = LocalSettings.from_environ(os.environ)
    local_logs(os.environ, settings.log_level, verbose=verbose)
    result = run_to_end(_kept(keep, say if as_json else emit))
    code = show_run(result, keep, as_json=as_json)
    if keep is None:
        say("the repository was temporary; `optr demo --keep DIR` leaves it for you to look at and to verify")
    return code


async def _kept(keep: Path | None, tell: Callable[[str], None]) -> "RunResult":
    with _directory(keep) as directory, tempfile.TemporaryDirectory(prefix="optr-demo-state-") as state:
        tell(RECORDED)
        return await _run(directory, Path(state))


async def _run(directory: Path, state: Path) -> "RunResult":
    from bot.demo.cassette import demo_cassettes  # noqa: PLC0415 - the engine and the servers take a second to import
    from bot.demo.prepare import demo_issue, prepare_project  # noqa: PLC0415
    from bot.demo.recorded import recorded_model  # noqa: PLC0415
    from bot.local import run_local  # noqa: PLC0415

    prepare_project(directory)
    async with recorded_model(demo_cassettes()) as model:
        request = LocalRequest(
            repo=directory,
            workflow=WORKFLOW,
            intent="\n".join(demo_issue()),
            constraints=(),
            agents=(),
            state=state,
            environ={**_settings(os.environ), **model.environ},
            on_progress=say,
        )
        return await run_local(request)


def _settings(environ: Mapping[str, str]) -> dict[str, str]:
    """OPTR's own settings only: a real key must not meet the recorded model, nor a real ledger's the demo's record."""
    # A models file could lead the demo to real models, and a policy could forbid what it shows.
    foreign = ("OPTR_LEDGER_KEY_FILE", "OPTR_MODELS_FILE", "OPTR_POLICY_FILE")
    return {name: environ[name] for name in environ if name.startswith("OPTR_") and name not in foreign}


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="optr-demo-") as made:
            yield Path(made)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise OptrError("that is not an empty directory", where=str(keep), remedy="Give --keep a new directory")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.absolute()
