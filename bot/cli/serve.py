"""`optr serve`: the GitHub App."""

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

from bot.cli.options import Verbose
from bot.cli.output import say
from bot.errors import OptrError
from bot.exit_codes import ExitCode

if TYPE_CHECKING:
    from bot.settings import Settings

EPILOG = """Examples:

set -a && . ./optr.env && optr serve

curl http://127.0.0.1:8080/ready"""


def serve(*, verbose: Verbose = False) -> ExitCode:
    """Run the GitHub App: POST /webhook, GET /health, GET /ready.

    Every setting is an environment variable: docs/configuration.md. SIGTERM and Ctrl-C finish the requests in flight;
    unfinished runs go on at the next start.
    """
    del verbose  # read by `bot.cli.app.run`
    from bot.settings import Settings  # noqa: PLC0415 - `--help` must not wait for it

    settings = Settings.from_environ(os.environ)
    _state_directory(settings)
    asyncio.run(_serve(settings))
    return ExitCode.OK


def _state_directory(settings: "Settings") -> None:
    """Make the directory for this user alone: it will hold the ledger's signing key."""
    where, remedy = str(settings.state), "Give OPTR_STATE a directory that this user may write"
    try:
        settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        why = error.strerror or "it cannot be made"
        raise OptrError("the state directory cannot be used", where=where, why=why, remedy=remedy) from None
    if not os.access(settings.state, os.W_OK | os.X_OK):
        raise OptrError("the state directory cannot be written", where=where, remedy=remedy)


async def _serve(settings: "Settings") -> None:
    from bot import logs, server  # noqa: PLC0415 - heavy, and of no use to other commands
    from bot.telemetry import tracing_to  # noqa: PLC0415
    from bot.wiring import assemble  # noqa: PLC0415
    from execution.redaction import secrets_of  # noqa: PLC0415

    logs.log_to(sys.stderr, settings.log_level, secrets_of(os.environ))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    with tracing_to(settings.otlp_endpoint):
        async with assemble(settings, os.environ) as deps:
            await server.serve(settings, deps, stop, lambda url: say(f"listening on {url}"))
