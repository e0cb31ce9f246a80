"""Webhook deliveries to OPTR and to a Probot app that does the same work, in turns on one machine in one run.

    python -m tools.node_setup tests/probot && python -m benchmarks.bench_webhooks

Both verify, parse, ask GitHub who may, react, look whether they have answered, and answer. OPTR writes a delivery down
before it acknowledges it and works afterwards; Probot works first and keeps nothing.

OPTR_BENCH_ROUNDS (5): rounds of each kind.
"""

import asyncio
import io
import json
import os
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.webhook import signature
from tools.node_setup import PROBOT_PROJECT, is_ready, node_program

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "tests" / "bot" / "payloads" / "issue_comment.created.json"
CONNECTIONS = 8
DELIVERIES = 100  # of one kind to one App in one round
COMMENTS_AN_ISSUE = 50
IDLE_SECONDS = 5.0
START_SECONDS_MAX = 60.0
DONE_SECONDS_MAX = 300.0
API_MS = (0, 50)  # what GitHub takes for an answer: nothing, and a little less than the real one
MS = 1_000
MEBIBYTE = 2**20
BOT = "bench[bot]"


def rounds() -> int:
    """How often to measure."""
    return max(1, int(os.environ.get("OPTR_BENCH_ROUNDS", "5")))


@dataclass
class StandIn:
    """As much of GitHub's API as both Apps ask for; answers after `wait_ms`."""

    url: str = ""
    wait_ms: int = 0
    said: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    answers: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        """One call of either App."""
        await asyncio.sleep(self.wait_ms / MS)
        path = request.path
        if path.endswith("/access_tokens"):
            expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
            given = {"token": f"ghs_{secrets.token_hex(20)}", "expires_at": expires, "permissions": {}}
            return web.json_response(given, status=201)
        if path == "/app":
            return web.json_response({"id": 1, "slug": "bench"})
        if path.endswith("/permission"):
            return web.json_response({"permission": "write", "role_name": "write"})
        if path.endswith("/reactions"):
            return web.json_response({"id": 1, "content": "eyes"}, status=201)
        if found := re.fullmatch(r"/repos/[^/]+/[^/]+/issues/(\d+)/comments", path):
            return await self._comments(request, int(found[1]))
        return web.json_response([])  # installations, deliveries: there are none

    async def _comments(self, request: web.Request, issue: int) -> web.Response:
        comments = self.said.setdefault(issue, [])
        if request.method == "GET":
            return web.json_response(comments)
        self.answers += 1
        self.news.set()
        body = (await request.json())["body"]
        comments.append({"id": self.answers, "body": body, "user": {"id": 2, "login": BOT, "type": "Bot"}})
        return web.json_response(comments[-1], status=201)


@asynccontextmanager
async def stand_in() -> AsyncIterator[StandIn]:
    """Serve it on a port of this machine."""
    github, app = StandIn(), web.Application()
    app.router.add_route("*", "/{rest:.*}", github.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    github.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield github
    finally:
        await runner.cleanup()


@dataclass
class Measured:
    """One App under load.

    Attributes:
        idle: bytes of memory after a start and some seconds of nothing.
        acknowledged_s: seconds until each delivery was answered, by kind of round.
        rates: deliveries answered a second, by kind of round, a round each.
        done: deliveries whose work was done a second, by kind of round, a round each.
    """

    name: str
    url: str
    pid: int
    idle: int = 0
    acknowledged_s: dict[str, list[float]] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    done: dict[str, list[float]] = field(default_factory=dict)


def resident_bytes(pid: int) -> int:
    """What a process holds in memory."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


@contextmanager
def optr(home: Path, github: StandIn, pem: str, secret: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Our App, as its operator starts it."""
    key = home / "app.pem"
    key.touch(mode=0o600)
    key.write_text(pem, encoding="utf-8")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "OPTR_GITHUB_API": github.url,
        "OPTR_GITHUB_URL": github.url,
        "OPTR_APP_ID": "1",
        "OPTR_PRIVATE_KEY_FILE": str(key),
        "OPTR_WEBHOOK_SECRET": secret,
        "OPTR_STATE": str(home / "state"),
        "OPTR_PORT": "0",
        "OPTR_WRITE_INTERVAL": "0",
    }
    with _started([sys.executable, "-m", "bot.cli", "serve"], environ) as process:
        yield process, _address(process)


@contextmanager
def probot(github: StandIn, pem: str, secret: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The Probot app."""
    environ = {
        "PATH": os.environ["PATH"],
        "NODE_ENV": "production",
        "APP_ID": "1",
        "PRIVATE_KEY": pem,
        "WEBHOOK_SECRET": secret,
        "API": github.url,
        "BOT_LOGIN": BOT,
    }
    with _started([str(node_program()), str(PROBOT_PROJECT / "app.mjs")], environ) as process:
        yield process, _address(process)


def _address(process: subprocess.Popen[bytes]) -> str:
    """Where an App listens, from the first line that says so; what it prints later is read and thrown away."""
    for told in process.stdout or ():
        if found := re.search(rb"http://127\.0\.0\.1:\d+", told):
            threading.Thread(target=lambda: [None for _ in process.stdout or ()], daemon=True).start()
            return found[0].decode()
    raise RuntimeError(f"{process.args!r} did not start")


@contextmanager
def _started(command: list[str], environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=ROOT, env=dict(environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(START_SECONDS_MAX)


class Post:
    """Makes deliveries that no App has seen."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
        self._comment = 0

    def delivery(self, text: str) -> tuple[bytes, dict[str, str]]:
        """A comment that says `text`: its body and headers."""
        self._comment += 1
        author = {**self._sample["comment"]["user"], "login": "ada", "type": "User"}
        payload = {
            **self._sample,
            "sender": author,
            "comment": {**self._sample["comment"], "id": self._comment, "body": text, "user": author},
            "issue": {**self._sample["issue"], "number": 1 + self._comment // COMMENTS_AN_ISSUE, "state": "open"},
        }
        payload["comment"]["performed_via_github_app"] = None
        body = json.dumps(payload, separators=(",", ":")).encode()
        return body, {
            "Content-Type": "application/json",
            "X-GitHub-Event": "issue_comment",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": signature(self._secret, body),
        }


async def volley(app: Measured, post: Post, github: StandIn, kind: str, text: str) -> None:
    """One round: every delivery, CONNECTIONS at a time, then until the work is done."""
    deliveries = iter([post.delivery(text) for _ in range(DELIVERIES)])
    times = app.acknowledged_s.setdefault(kind, [])
    before, started = github.answers, time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

        async def sender() -> None:
            for body, headers in deliveries:
                sent = time.perf_counter()
                async with session.post(f"{app.url}/webhook", data=io.BytesIO(body), headers=headers) as answer:
                    await answer.read()
                    if answer.status >= 300:  # noqa: PLR2004 - whatever is not a success
                        raise RuntimeError(f"{app.name} answered {answer.status}")
                times.append(time.perf_counter() - sent)

        await asyncio.gather(*(sender() for _ in range(CONNECTIONS)))
    app.rates.setdefault(kind, []).append(DELIVERIES / (time.perf_counter() - started))
    if text.startswith("/optr"):
        async with asyncio.timeout(DONE_SECONDS_MAX):
            while github.answers - before < DELIVERIES:
                await github.news.wait()
                github.news.clear()
        app.done.setdefault(kind, []).append(DELIVERIES / (time.perf_counter() - started))
    else:
        await asyncio.sleep(1)


async def ready(app: Measured) -> None:
    """Wait until it takes deliveries, then leave it alone and weigh it."""
    async with asyncio.timeout(START_SECONDS_MAX), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{app.url}/ready") as answer:
                if answer.status in {200, 404}:  # Probot has no such page
                    break
            await asyncio.sleep(0.1)
    await asyncio.sleep(IDLE_SECONDS)
    app.idle = resident_bytes(app.pid)


def p99(times: list[float]) -> float:
    """The time that one in a hundred exceeds, milliseconds."""
    return statistics.quantiles(times, n=100)[98] * MS


def line(what: str, ours: float, theirs: float, unit: str) -> str:
    """A row: ours, theirs, and ours as a multiple of theirs."""
    return f"| {what} | {ours:,.1f} {unit} | {theirs:,.1f} {unit} | {ours / theirs:.2f} |"


def page(ours: Measured, theirs: Measured) -> Iterator[str]:
    """The table."""
    yield "| what | OPTR | Probot | OPTR / Probot |"
    yield "|---|---|---|---|"
    yield line("idle memory", ours.idle / MEBIBYTE, theirs.idle / MEBIBYTE, "MiB")
    for kind in ours.rates:
        pair = ours.acknowledged_s[kind], theirs.acknowledged_s[kind]
        medians = statistics.median(pair[0]) * MS, statistics.median(pair[1]) * MS
        yield line(f"{kind}: acknowledged, median", *medians, "ms")
        yield line(f"{kind}: acknowledged, p99", p99(pair[0]), p99(pair[1]), "ms")
        rates = statistics.median(ours.rates[kind]), statistics.median(theirs.rates[kind])
        yield line(f"{kind}: acknowledged a second", *rates, "")
        if kind in ours.done:
            done = statistics.median(ours.done[kind]), statistics.median(theirs.done[kind])
            yield line(f"{kind}: work done a second", *done, "")


async def compare(home: Path) -> None:
    """Both Apps, in turns, and the table."""
    secret = secrets.token_hex(32)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(*kinds).decode()
    async with stand_in() as github:
        with optr(home, github, pem, secret) as (own, own_url), probot(github, pem, secret) as (other, other_url):
            ours, theirs = Measured("OPTR", own_url, own.pid), Measured("Probot", other_url, other.pid)
            for app in (ours, theirs):
                await ready(app)
            post = Post(secret)
            for number in range(rounds()):
                for app in (ours, theirs) if number % 2 else (theirs, ours):
                    github.wait_ms = 0
                    await volley(app, post, github, "no command", "Thank you, I will look at it.")
                    for wait_ms in API_MS:
                        github.wait_ms = wait_ms
                        await volley(app, post, github, f"command, GitHub takes {wait_ms} ms", "/optr status")
            print("\n".join(page(ours, theirs)))


def main() -> int:
    """Measure, unless the Probot app is not installed."""
    if not is_ready(PROBOT_PROJECT):
        print("the Probot app is not installed: run python -m tools.node_setup tests/probot", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="optr-bench-") as home:
        asyncio.run(compare(Path(home)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
