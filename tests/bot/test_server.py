"""The ladder over real HTTP, with a server on a port of this machine."""

import asyncio
import io
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from bot import logs, server, webhook
from bot.errors import OptrError
from bot.handlers import all_handlers
from bot.metrics import Metrics
from bot.server import Deps
from bot.settings import Settings
from execution.redaction import secrets_of
from execution.whose import working_for

GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"


@dataclass
class Intake:
    """An in-memory engine side: remembers finished deliveries, as the real one's journal does."""

    finished: set[str] = field(default_factory=set)
    queued: list[tuple[str, str, bytes]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    broken: Exception | None = None
    stopped: bool = False

    async def deliver(self, guid: str, event: str, payload: bytes) -> bool:
        if self.broken:
            raise self.broken
        if guid in self.finished:
            return False
        self.queued.append((guid, event, payload))
        return True

    async def start(self) -> None:
        await self.gate.wait()

    async def stop(self) -> None:
        self.stopped = True


@dataclass
class Client:
    url: str
    session: aiohttp.ClientSession
    intake: Intake
    secret: bytes

    async def deliver(self, body: bytes, *, method: str = "POST", **changes: str | None) -> tuple[int, dict[str, Any]]:
        headers: dict[str, str | None] = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "issues",
            "X-GitHub-Delivery": GUID,
            "X-Hub-Signature-256": webhook.signature(self.secret, body),
        }
        headers.update({name.replace("_", "-"): value for name, value in changes.items()})
        kept = {name: value for name, value in headers.items() if value is not None}
        url = f"{self.url}/webhook"
        async with self.session.request(method, url, data=io.BytesIO(body), headers=kept) as answer:
            return answer.status, json.loads(await answer.read())

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        async with self.session.get(self.url + path) as answer:
            return answer.status, await answer.json()

    async def hang_up(self, request: bytes) -> None:
        host, port = self.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def raw(self, request: bytes) -> bytes:
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        await writer.drain()
        answer = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
        await writer.wait_closed()
        return answer


@asynccontextmanager
async def _served(settings: Settings, *, ready: bool = True) -> AsyncIterator[Client]:
    intake, stop = Intake(), asyncio.Event()
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    deps = Deps(engine=intake, wants=all_handlers().wants, metrics=Metrics(all_handlers().subscriptions()))
    serving = asyncio.create_task(server.serve(settings, deps, stop, listening.set_result))
    url = await listening
    async with aiohttp.ClientSession() as session:
        client = Client(url, session, intake, settings.webhook_secrets[0])
        if ready:
            intake.gate.set()
            while (await client.get("/ready"))[0] != 200:  # noqa: ASYNC110 - asked as users ask
                await asyncio.sleep(0.01)
        yield client
    stop.set()
    await serving
    assert intake.stopped


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    return Settings.from_environ(environ)


@pytest.fixture
def over_http(settings: Settings) -> Callable[[Callable[[Client], Awaitable[None]]], None]:
    def run(scenario: Callable[[Client], Awaitable[None]]) -> None:
        async def serve() -> None:
            async with _served(settings) as client:
                await scenario(client)

        asyncio.run(serve())

    return run


OverHttp = Callable[[Callable[[Client], Awaitable[None]]], None]
LABELED = b'{"action": "labeled"}'


def test_a_wanted_delivery_is_stored_and_answered_at_once(over_http: OverHttp) -> None:
    async def scenario(client: Client) -> None:
        assert await client.deliver(LABELED) == (202, {"status": "queued", "delivery": GUID})
        assert client.intake.queued == [(GUID, "issues", LABELED)]
        # A redelivery of unfinished work goes through; one of finished work does not.
        assert (await client.deliver(LABELED))[0] == 202
        client.intake.finished.add(GUID)
        assert await client.deliver(LABELED) == (200, {"status": "known", "delivery": GUID})

    over_http(scenario)


def test_pings_and_events_nobody_wants_change_nothing(over_http: OverHttp) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.deliver(b"{}", X_GitHub_Event="ping"))[1]["status"] == "pong"
        assert (await client.deliver(b"{}", X_GitHub_Event="star"))[1]["status"] == "ignored"
        edited = await client.deliver(b'{"action": "edited"}', X_GitHub_Event="issue_comment")
        assert edited == (200, {"status": "ignored", "delivery": GUID})
        assert client.intake.queued == []

    over_http(scenario)


@pytest.mark.parametrize(
    ("event", "body", "status"),
    [
        ("issues", {"action": "labeled", "label": {"name": "OPTR-Workflow"}}, 202),
        ("issues", {"action": "labeled", "label": {"name": "bug"}}, 200),
        ("issues", {"action": "labeled", "label": {"name": "optr-workflow"}, "sender": {"type": "Bot"}}, 200),
        ("issues", {"action": "labeled", "label": {"name": 7}}, 202),
        ("pull_request", {"action": "closed", "sender": {"type": "Bot"}}, 202),
        ("issue_comment", {"action": "created", "comment": {"body": "Thank you."}}, 200),
        ("issue_comment", {"action": "created", "comment": {"body": "> /optr run"}}, 202),
        ("issue_comment", {"action": "created", "comment": {"body": "/op<!-- -->tr run"}}, 202),
        ("issue_comment", {"action": "created", "comment": {"body": "/optr run"}, "sender": {"type": "Bot"}}, 200),
        ("issue_comment", {"action": "created", "comment": {"body": "/optr run"}, "sender": "maria"}, 202),
        ("issue_comment", {"action": "created", "comment": None}, 202),
    ],
)
def test_what_can_ask_for_nothing_costs_no_write_and_what_is_in_doubt_is_kept(
    over_http: OverHttp, event: str, body: dict[str, object], status: int
) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.deliver(json.dumps(body).encode(), X_GitHub_Event=event))[0] == status
        assert len(client.intake.queued) == (status == 202)

    over_http(scenario)


def test_the_ladder(over_http: OverHttp) -> None:
    async def scenario(client: Client) -> None:
        statuses = {
            "not POST": (await client.deliver(LABELED, method="PUT"))[0],
            "content type": (await client.deliver(LABELED, Content_Type="text/plain"))[0],
            "unsigned": (await client.deliver(LABELED, X_Hub_Signature_256=None))[0],
            "wrongly signed": (await client.deliver(LABELED, X_Hub_Signature_256="sha256=" + "0" * 64))[0],
            "no id": (await client.deliver(LABELED, X_GitHub_Delivery=None))[0],
            "no event": (await client.deliver(LABELED, X_GitHub_Event=None))[0],
            "malformed": (await client.deliver(b"{"))[0],
            "empty": (await client.deliver(b""))[0],
            "too deep": (await client.deliver(b"[" * 100_000))[0],
            "charset": (await client.deliver(LABELED, Content_Type="application/json; charset=bogus"))[0],
        }
        assert statuses == {
            "not POST": 405,
            "content type": 415,
            "unsigned": 401,
            "wrongly signed": 403,
            "no id": 400,
            "no event": 400,
            "malformed": 400,
            "empty": 400,
            "too deep": 400,
            "charset": 202,
        }
        assert len(client.intake.queued) == 1

    over_http(scenario)


def test_large_deliveries_up_to_githubs_limit_are_taken(over_http: OverHttp) -> None:
    async def scenario(client: Client) -> None:
        # One byte over aiohttp's own default limit, which would lose the delivery for good.
        body = b'{"action":"labeled","x":"' + b"a" * (1_048_577 - 27) + b'"}'
        assert len(body) == 1_048_577
        assert (await client.deliver(body))[0] == 202
        padding = webhook.BODY_BYTES_MAX - 27
        assert (await client.deliver(b'{"action":"labeled","x":"' + b"a" * padding + b'"}'))[0] == 202
        assert (await client.deliver(b"a" * (webhook.BODY_BYTES_MAX + 1)))[0] == 413

    over_http(scenario)


def test_a_body_without_a_declared_length_is_cut_at_the_limit(over_http: OverHttp) -> None:
    async def scenario(client: Client) -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(26):
                yield b"a" * 2**20

        headers = {"Content-Type": "application/json"}
        try:
            async with client.session.post(f"{client.url}/webhook", data=endless(), headers=headers) as answer:
                assert answer.status == 413
        except aiohttp.ClientConnectionError:
            pass  # the server answered and closed while we were still sending
        assert client.intake.queued == []
        assert (await client.get("/health"))[0] == 200

    over_http(scenario)


def test_bytes_that_no_client_library_would_send_are_refused_without_a_500(over_http: OverHttp) -> None:
    async def scenario(client: Client) -> None:
        body = b"{}"
        head = b"POST /webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        length = f"Content-Length: {len(body)}\r\n".encode()
        non_ascii = head + length + b"X-Hub-Signature-256: sha256=\xff\xfe\xc3\xa9\r\n\r\n" + body
        assert b" 403 " in (await client.raw(non_ascii)).split(b"\r\n")[0]
        good = webhook.signature(client.secret, body).encode()
        twice = b"X-Hub-Signature-256: " + good + b"\r\nX-Hub-Signature-256: sha256=0\r\n"
        assert b" 400 " in (await client.raw(head + length + twice + b"\r\n" + body)).split(b"\r\n")[0]
        assert b" 400 " in (await client.raw(b"\x00\x01garbage\r\n\r\n")).split(b"\r\n")[0]
        await client.hang_up(head + b"Content-Length: 50\r\nX-Hub-Signature-256: sha256=0\r\n\r\n" + body)
        assert (await client.get("/health"))[0] == 200
        gzipped = head + length + b"Content-Encoding: gzip\r\nX-Hub-Signature-256: " + good + b"\r\n\r\n" + body
        assert b" 415 " in (await client.raw(gzipped)).split(b"\r\n")[0]
        assert client.intake.queued == []

    over_http(scenario)


def test_a_slow_body_is_not_waited_for(over_http: OverHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "BODY_SECONDS_MAX", 0.1)

    async def scenario(client: Client) -> None:
        host, port = client.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        await writer.drain()
        answer = await asyncio.wait_for(reader.readline(), 5)
        assert b" 408 " in answer.split(b"\r\n")[0]
        writer.close()
        await writer.wait_closed()

    over_http(scenario)


def test_a_genuine_delivery_that_cannot_be_stored_is_not_called_done(over_http: OverHttp) -> None:
    async def scenario(client: Client) -> None:
        client.intake.broken = RuntimeError("database is gone")
        assert await client.deliver(LABELED) == (503, {"status": "not_stored", "delivery": GUID})

    over_http(scenario)


def test_health_ready_and_unknown_paths_carry_the_security_headers(over_http: OverHttp) -> None:
    async def scenario(client: Client) -> None:
        for path, status in (("/health", 200), ("/ready", 200), ("/nothing", 404), ("/webhook", 405)):
            async with client.session.get(client.url + path) as answer:
                assert answer.status == status
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
                assert answer.headers["Server"] == "optr"
                assert answer.content_type == "application/json"
        async with client.session.get(client.url + "/webhook") as answer:
            assert answer.headers["Allow"] == "POST"

    over_http(scenario)


def test_not_ready_until_the_engine_is_up(settings: Settings) -> None:
    async def scenario() -> None:
        async with _served(settings, ready=False) as client:
            assert await client.get("/ready") == (503, {"status": "not_ready", "reason": "the engine is starting"})
            assert (await client.get("/health"))[0] == 200
            assert (await client.deliver(LABELED))[1]["status"] == "not_ready"
            assert client.intake.queued == []

    asyncio.run(scenario())


def test_an_engine_that_cannot_start_ends_the_server_with_its_reason(settings: Settings) -> None:
    class Broken(Intake):
        async def start(self) -> None:
            raise RuntimeError("the database refuses us")

    async def scenario() -> None:
        deps = Deps(engine=Broken(), wants=all_handlers().wants, metrics=Metrics(all_handlers().subscriptions()))
        with pytest.raises(RuntimeError, match="refuses us"):
            await server.serve(settings, deps, asyncio.Event())

    asyncio.run(scenario())


def test_an_address_in_use_is_named_with_a_remedy(settings: Settings) -> None:
    async def scenario() -> None:
        async with _served(settings) as client:
            taken = settings.model_copy(update={"port": int(client.url.rpartition(":")[2])})
            deps = Deps(engine=Intake(), wants=all_handlers().wants, metrics=Metrics(all_handlers().subscriptions()))
            with pytest.raises(OptrError, match="cannot listen") as caught:
                await server.serve(taken, deps, asyncio.Event())
            assert "OPTR_PORT" in caught.value.remedy
            assert str(taken.port) in caught.value.where

    asyncio.run(scenario())


def test_a_request_in_flight_is_finished_when_the_server_stops(settings: Settings) -> None:
    class Slow(Intake):
        async def start(self) -> None:
            return

        async def deliver(self, guid: str, event: str, payload: bytes) -> bool:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.2)
            assert not self.stopped
            return await super().deliver(guid, event, payload)

    async def scenario() -> None:
        intake, stop = Slow(), asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        deps = Deps(engine=intake, wants=all_handlers().wants, metrics=Metrics(all_handlers().subscriptions()))
        serving = asyncio.create_task(server.serve(settings, deps, stop, listening.set_result))
        async with aiohttp.ClientSession() as session:
            client = Client(await listening, session, intake, settings.webhook_secrets[0])
            assert (await client.deliver(LABELED))[0] == 202
        await serving
        assert intake.stopped

    asyncio.run(scenario())


def test_logs_are_json_with_the_delivery_id_and_no_secret(over_http: OverHttp, environ: dict[str, str]) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logs.log_to(stream, "info", secrets_of(environ))
    try:

        async def scenario(client: Client) -> None:
            client.intake.broken = RuntimeError(
                f"cannot reach https://bot:hunter2hunter2@db with {environ['OPTR_WEBHOOK_SECRET']} or"
                " ghs_123_abcdefghijklmnopq.r Bearer abcdefgh12345\nforged line"
            )
            await client.deliver(LABELED)
            await client.deliver(LABELED, X_Hub_Signature_256=None)

        over_http(scenario)
    finally:
        root.handlers[:], root.level = handlers, level
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["delivery"] for line in lines if line["message"].startswith("delivery")] == [GUID, GUID]
    assert any(line.get("status") == 401 and line["message"] == "request refused" for line in lines)
    assert any("RuntimeError" in line.get("error", "") for line in lines)
    for secret in (environ["OPTR_WEBHOOK_SECRET"], "ghs_123", "hunter2", "abcdefgh12345"):
        assert secret not in stream.getvalue()


def test_a_log_line_tells_whose_work_it_is() -> None:
    formatter = logs.JsonFormatter(secrets_of({}))

    def line(**fields: str) -> dict[str, str]:
        record = logging.makeLogRecord({"msg": "told", "fields": fields})
        return dict(json.loads(formatter.format(record)))

    with working_for("0123456789abcdef"), logs.delivery_id(GUID):
        inside, named = line(), line(run="another")
    outside = line()
    assert (inside["run"], inside["delivery"]) == ("0123456789abcdef", GUID)
    assert named["run"] == "another"
    assert not {"run", "delivery"} & outside.keys()
