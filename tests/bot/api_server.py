"""A real HTTP server on 127.0.0.1 that answers as it is told and remembers what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from bot.github.client import Credential, Exchange, GitHubClient, Surroundings
from bot.github.etags import EtagCache
from bot.github.pace import Pace


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    wait_s: float = 0.0
    drop: bool = False


Answer = Reply | Callable[[Asked], Reply]


class ApiServer:
    """Answers in the order given; the last answer repeats."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[Asked] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        asked = Asked(request.method, request.path_qs, request.headers.copy(), json.loads(data) if data else None)
        self.asked.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        reply = answer(asked) if callable(answer) else answer
        await asyncio.sleep(reply.wait_s)
        if reply.drop:
            assert request.transport is not None
            request.transport.abort()
        body = reply.raw if reply.raw is not None else json.dumps(reply.body).encode()
        headers = {"content-type": "application/json; charset=utf-8", **reply.headers}
        return web.Response(status=reply.status, body=body, headers=headers)


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[ApiServer]:
    server = ApiServer(*answers)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


class Clock:
    """Time that moves only by sleeping."""

    def __init__(self, now: float = 1_795_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Badge:
    """A credential that counts how often it was asked for a fresh one."""

    def __init__(self) -> None:
        self.fresh = 0

    async def header(self, *, refused: str = "") -> str:
        self.fresh += bool(refused)
        return f"token secret-{self.fresh}"


@asynccontextmanager
async def client_of(
    server: ApiServer,
    clock: Clock,
    credential: Credential | None = None,
    *,
    timeout_s: float = 5.0,
    write_interval_s: float = 0.0,
    observe: Callable[[Exchange], None] = lambda _: None,
    base: str = "",
) -> AsyncIterator[GitHubClient]:
    async with aiohttp.ClientSession() as session:
        pace = Pace(clock, clock.sleep, write_interval_s)
        around = Surroundings(
            session, server.url + base, clock, clock.sleep, pace, EtagCache(), timeout_s=timeout_s, observe=observe
        )
        yield GitHubClient(around, credential or Badge())
