"""`GET /ledger/keys` over real HTTP, of a real ledger that was rotated."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bot import ledger_keys
from bot.github.git import GitRemote
from bot.handlers import all_handlers
from bot.ledgers import Ledgers, key_file
from bot.metrics import Metrics
from bot.server import Deps, create_app
from bot.settings import Settings
from ledger.entry import Draft
from ledger.keyring import Asked, Cause
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints

NAME = "octocat/hello"


class Idle:
    """An engine with nothing to do."""

    async def start(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""

    async def deliver(self, guid: str, event: str, payload: bytes) -> bool:
        """Takes nothing."""
        raise AssertionError((guid, event, payload))


async def _token(_installation: int, _repository: str) -> str:
    raise AssertionError("nothing is fetched")


def _asked(settings: Settings, ledgers: Ledgers, *queries: str) -> list[tuple[int, Any]]:
    async def ask() -> list[tuple[int, Any]]:
        deps = Deps(Idle(), lambda *_: False, Metrics(all_handlers().subscriptions()), ledgers.terms)
        runner = web.AppRunner(create_app(settings, deps), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            found = []
            async with aiohttp.ClientSession() as session:
                for query in queries:
                    async with session.get(f"http://{host}:{port}/ledger/keys{query}") as response:
                        found.append((response.status, await response.json()))
            return found
        finally:
            await runner.cleanup()

    return asyncio.run(ask())


def test_the_page_lists_a_ledgers_keys_with_their_terms(environ: dict[str, str], tmp_path: Path) -> None:
    settings, remote = Settings.from_environ(environ), GitRemote(tmp_path, "https://github.example", _token)
    ledgers = Ledgers(tmp_path, remote, FileCheckpoints(tmp_path / "checkpoints"))
    wanted = f"?{ledger_keys.PARAMETER}={NAME}"
    assert [status for status, _ in _asked(settings, ledgers, wanted)] == [404]
    assert not key_file(tmp_path, NAME).exists()  # asking makes none

    ring, git_dir = ledgers.keys(NAME), remote.path(NAME)
    assert [status for status, _ in _asked(settings, ledgers, wanted)] == [503]  # a key, and no copy of the branch
    subprocess.run(["git", "init", "-q", "--bare", str(git_dir)], check=True)
    first = str(ring.signer.vkey)
    sequencer = Sequencer(git_dir, ring, FileCheckpoints(tmp_path / "checkpoints"))
    sequencer.append([Draft("a/X", "X", "w", "a", "ada", 1, {})], {})
    new = str(ring.stage(Asked("ada", 2, Cause.PLANNED)).vkey)
    sequencer.append([Draft("b/X", "X", "w", "b", "ada", 3, {})], {})

    (answer,) = _asked(settings, ledgers, wanted)
    assert answer == (
        200,
        {
            "version": 1,
            "ledger": f"optr/{NAME}",
            "keys": [
                {"key": first, "id": first.split("+")[1], "first": 0, "last": 1},
                {"key": new, "id": new.split("+")[1], "first": 2, "last": None},
            ],
        },
    )
    bad = _asked(settings, ledgers, "", "?repository=../..", f"{wanted}&repository=a/b", "?repository=octocat/other")
    assert [status for status, _ in bad] == [400, 400, 400, 404]
    assert "repository=OWNER/NAME" in bad[0][1]["reason"]
