"""`optr witness serve`: a witness for ledgers that somebody else runs."""

import asyncio
import logging
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.options import Repo, Verbose
from bot.cli.output import emit, say
from bot.errors import OptrError
from bot.exit_codes import ExitCode

if TYPE_CHECKING:
    from ledger.note import VerifierKey
    from ledger.witness import Witness

HOST_DEFAULT = "127.0.0.1"
PORT_DEFAULT = 8090

SERVE_EPILOG = """Examples:

optr witness serve /var/lib/witness --name witness.example.com/ours --logs ledgers.vkeys

optr verify-ledger --repo . --policy witnesses.policy"""


COLLECT_EPILOG = """Examples:

optr witness collect --policy witnesses.policy

optr witness collect --policy witnesses.policy --repo ~/src/thing && optr verify-ledger --policy witnesses.policy"""


def collect(
    *,
    policy: Annotated[
        Path, typer.Option("--policy", help="The witnesses, with their URLs, as a C2SP tlog-policy.", metavar="FILE")
    ],
    repo: Repo = Path(),
    verbose: Verbose = False,
) -> ExitCode:
    """Ask the policy's witnesses to cosign the newest checkpoint, and put what they say on the branch datalake.

    For a ledger whose key is on this machine. Each cosignature is verified before it is written. Status 4: a witness
    cosigned nothing now, ask again later; 20: one saw another history of this ledger.
    """
    del verbose  # read by `bot.cli.app.run`
    from bot.cli.witnesses import collect_here  # noqa: PLC0415 - `--help` must not wait for it

    return collect_here(policy, repo)


def serve(
    state: Annotated[Path, typer.Argument(help="Directory for its key and its memory; keep it.", metavar="DIRECTORY")],
    *,
    logs: Annotated[
        Path, typer.Option("--logs", help="The ledgers to serve: one verification key on a line.", metavar="FILE")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Its name, a URL without scheme; needed at the first start.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = HOST_DEFAULT,
    port: Annotated[int, typer.Option("--port", help="0 takes any free port.", min=0, max=65_535)] = PORT_DEFAULT,
    verbose: Verbose = False,
) -> ExitCode:
    """Run a witness (C2SP tlog-witness): it cosigns a checkpoint only if it extends the last one it cosigned.

    Run it where whoever runs the App cannot reach. The first line it prints goes into the reader's policy. Put a
    reverse proxy with TLS before it when the App comes over the Internet; requests carry no secrets.
    """
    from ledger.errors import LedgerError  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.witness_server import LOGS_BYTES_MAX, open_key, parse_logs  # noqa: PLC0415

    logging.basicConfig(stream=sys.stderr, level=logging.INFO if verbose else logging.WARNING, format="%(message)s")
    try:
        with logs.open("rb") as file:
            known = parse_logs(file.read(LOGS_BYTES_MAX + 1))
        signer = open_key(state, name)
    except LedgerError as error:
        raise OptrError(str(error), where=f"{state}, {logs}", remedy="Mend it, then start the witness again") from None
    from ledger.store import FileCheckpoints  # noqa: PLC0415
    from ledger.witness import Witness  # noqa: PLC0415
    from ledger.witness_server import CHECKPOINTS  # noqa: PLC0415

    witness = Witness(signer, known, FileCheckpoints(state / CHECKPOINTS), time.time)
    from ledger.cosignature import witness_key  # noqa: PLC0415

    asyncio.run(_serve(witness, witness_key(signer), known, host, port))
    return ExitCode.OK


async def _serve(witness: "Witness", key: "VerifierKey", logs: "tuple[VerifierKey, ...]", host: str, port: int) -> None:
    from ledger.witness_server import described  # noqa: PLC0415
    from ledger.witness_server import serve as serve_witness  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    emit(described(key, logs).rstrip())
    try:
        await serve_witness(witness, host, port, stop.wait, lambda url: say(f"listening on {url}"))
    except OSError as error:
        why = error.strerror or str(error)
        remedy = "Give --host and --port an address that is free"
        raise OptrError(f"cannot listen: {why}", where=f"{host}:{port}", remedy=remedy) from None
