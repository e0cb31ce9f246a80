"""A witness over HTTP: `POST /add-checkpoint` and nothing else. Needs aiohttp beside this package's own libraries.

Its state directory holds `key` (0600, made at first start) and `checkpoints/`, one file for each ledger: the newest
tree head it cosigned, which `verify-ledger --remembered` takes as it is. Losing `checkpoints/` is losing its memory.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from aiohttp import web

from ledger import durable
from ledger.cosignature import PATH, REQUEST_BYTES_MAX
from ledger.errors import KeyFileError, LedgerError, NoteError
from ledger.keys import Signer
from ledger.note import VerifierKey, parse_vkey
from ledger.witness import Witness

KEY_FILE = "key"
CHECKPOINTS = "checkpoints"
LOGS_BYTES_MAX = 1_000_000  # bytes of a file of ledger keys
BODY_SECONDS_MAX = 10.0  # seconds a client may take to send its request
SHUTDOWN_SECONDS = 5.0
_LOG = logging.getLogger("optr.witness")
_WITNESS = web.AppKey("witness", Witness)


def open_key(state: Path, name: str | None) -> Signer:
    """Return the witness's key in the directory `state`; made there when there is none.

    Args:
        state: made, mode 0700, when it is missing.
        name: the witness's name, such as `witness.example.com/ours`; needed the first time only.

    Raises:
        KeyFileError: the key cannot be read safely, is another name's, or there is none and no name to make it with.
        NoteError: `name` cannot name a witness.
        OSError: the directory cannot be made.
    """
    durable.make_directory(state)
    path = state / KEY_FILE
    if not path.exists():
        if name is None:
            raise KeyFileError(f"there is no {path}: name the witness, such as witness.example.com/ours, to make one")
        return Signer.generate(path, name)
    signer = Signer.load(path)
    if name not in (None, signer.origin):
        raise KeyFileError(f"{path} is the key of {signer.origin}, not of {name}: give each witness its own directory")
    return signer


def parse_logs(data: bytes) -> tuple[VerifierKey, ...]:
    """Read the keys of the ledgers to serve: a verification key on each line, `#` begins a comment.

    Raises:
        NoteError: naming the line.
    """
    if len(data) > LOGS_BYTES_MAX:
        raise NoteError(f"the file of ledger keys is longer than {LOGS_BYTES_MAX} bytes")
    keys = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            try:
                keys.append(parse_vkey(text))
            except NoteError as error:
                raise NoteError(f"line {number} of the ledger keys: {error}") from error
    if not keys:
        raise NoteError("no ledger key is given: a witness that knows no ledger cosigns nothing")
    return tuple(keys)


def create_app(witness: Witness) -> web.Application:
    """Build the application."""
    app = web.Application(client_max_size=REQUEST_BYTES_MAX)
    app[_WITNESS] = witness
    app.router.add_post(PATH, _add_checkpoint)
    return app


async def serve(
    witness: Witness, host: str, port: int, until: Callable[[], Awaitable[object]], on_listening: Callable[[str], None]
) -> None:
    """Serve until the awaitable that `until` makes is done.

    Args:
        witness: who answers.
        host: the address to listen on.
        port: 0 takes any free one.
        until: called once everything stands.
        on_listening: called with the submission prefix, such as `http://127.0.0.1:8090`.

    Raises:
        OSError: the address cannot be listened on.
    """
    runner = web.AppRunner(create_app(witness), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        name, number = runner.addresses[0][:2]
        on_listening(f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}")
        await until()
    finally:
        await runner.cleanup()


def described(key: VerifierKey, logs: Sequence[VerifierKey]) -> str:
    """Say at the start who this is and whom it serves; the first line goes into a policy."""
    served = "".join(f"serving {log.label}\n" for log in logs)
    return f"witness {key.name} {key}\n{served}"


async def _add_checkpoint(request: web.Request) -> web.Response:
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    try:
        answer = await asyncio.to_thread(request.app[_WITNESS].add_checkpoint, body)
    except (LedgerError, OSError) as error:
        _LOG.error("nothing cosigned: %s", error)
        return web.Response(status=500, text="the witness cannot use its memory; its operator must look\n")
    _LOG.info("%s %s", answer.status, answer.body.rstrip())
    return web.Response(status=answer.status, body=answer.body.encode(), headers={"Content-Type": answer.content_type})
