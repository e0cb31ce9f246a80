"""The emulator process: started on loopback, seeded, asked through its console."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from tests.github.wire import Json, Reply
from tools.node_setup import NODE_PROJECT, node_program

START_TIMEOUT_SECONDS = 30
STOP_TIMEOUT_SECONDS = 5
IDLE_SECONDS_MAX = 2
CALLS_PER_TOKEN = 4000
CALLS_PER_ALIAS = 4_000  # the emulator counts 5,000 calls per token and then refuses
DROPPED_HEADERS = frozenset(
    {"connection", "content-length", "date", "keep-alive", "transfer-encoding", "content-encoding", "vary"}
)


class EmulatorError(RuntimeError):
    """The emulator did not start, or its console refused a command."""


class Emulator:
    """One emulator process. Use ``await start(base_url)`` and ``await stop()``."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._base = ""
        self._aliases: dict[str, tuple[str, int]] = {}
        self._calls = 0

    async def start(self, advertised_url: str) -> None:
        """Start the process; its answers name ``advertised_url``. Raises EmulatorError."""
        self._process = await asyncio.create_subprocess_exec(
            str(node_program()),
            str(NODE_PROJECT / "emulator.mjs"),
            advertised_url,
            cwd=NODE_PROJECT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), START_TIMEOUT_SECONDS)
        if not line:
            raise EmulatorError("the emulator ended before it listened: run python -m tools.node_setup")
        self._base = f"http://127.0.0.1:{json.loads(line)['port']}"
        # Node closes a connection that was idle for five seconds; a call on it would be lost on the way.
        connector = aiohttp.TCPConnector(keepalive_timeout=IDLE_SECONDS_MAX)
        self._session = aiohttp.ClientSession(auto_decompress=True, connector=connector)

    async def stop(self) -> None:
        """End the process."""
        if self._session is not None:
            await self._session.close()
        if self._process is None or self._process.returncode is not None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def console(self, command: str, **body: Any) -> Any:
        """Run a console command and return its result. Raises EmulatorError."""
        assert self._session is not None
        # The emulator gives each token 5,000 requests an hour; the console's are ours, so it changes tokens in time.
        self._calls += 1
        headers = {"Authorization": f"token console-{self._calls // CALLS_PER_TOKEN}"}
        async with self._session.post(f"{self._base}/_console/{command}", json=body, headers=headers) as answer:
            text = await answer.text()
            if answer.status != 200:
                raise EmulatorError(f"console {command}: {answer.status} {text[:500]}")
            return json.loads(text)["result"]

    async def find(self, collection: str, **where: Any) -> list[Json]:
        """Return the rows of a collection that have all the given values."""
        return list(await self.console("query", collection=collection, op="find", where=where))

    async def update(self, collection: str, row_id: int, **values: Any) -> Json:
        """Change one row and return it."""
        return dict(await self.console("query", collection=collection, op="update", id=row_id, values=values))

    async def insert(self, collection: str, **values: Any) -> Json:
        """Add a row and return it."""
        return dict(await self.console("query", collection=collection, op="insert", values=values))

    async def request(
        self, method: str, path: str, user: Json | None, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a REST request as ``user`` (the emulator's own token record), or without a token."""
        assert self._session is not None
        sent = {"Content-Type": "application/json", "User-Agent": "facade", **(headers or {})}
        if user is not None:
            sent["Authorization"] = f"token {await self._alias(user)}"
        async with self._session.request(
            method, self._base + path, data=body or None, headers=sent, allow_redirects=False
        ) as answer:
            raw = await answer.read()
            kept = {key: value for key, value in answer.headers.items() if _kept(key)}
            if "json" in answer.headers.get("Content-Type", "") and raw:
                return Reply(answer.status, json.loads(raw), kept)
            return Reply(answer.status, None, kept, raw)

    async def _alias(self, user: Json) -> str:
        key = json.dumps(user, sort_keys=True)
        token, used = self._aliases.get(key, ("", CALLS_PER_ALIAS))
        if used >= CALLS_PER_ALIAS:
            token, used = f"alias-{len(self._aliases)}-{id(key)}", 0
            await self.console("token", token=token, user=user)
        self._aliases[key] = (token, used + 1)
        return token


def _kept(header: str) -> bool:
    name = header.lower()
    return name not in DROPPED_HEADERS and not name.startswith(("x-ratelimit", "access-control"))
