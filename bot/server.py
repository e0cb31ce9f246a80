"""The App's HTTP side: POST /webhook, GET /health, /ready and /ledger/keys, and GET /metrics where it was turned on.

Respond, then work: a delivery is verified, stored and answered; the engine handles it afterwards.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDictProxy

from bot import ledger_keys, logs, webhook
from bot.errors import OptrError
from bot.metrics import CONTENT_TYPE, Metrics
from bot.ports import Intake
from bot.settings import Settings

SHUTDOWN_SECONDS = 20.0
KEEPALIVE_SECONDS = 75.0
LINGERING_SECONDS = 1.0  # for the rest of a body that was refused
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Server": "optr",
}

_LOG = logging.getLogger("optr.http")


@dataclass(frozen=True)
class Deps:
    """What the server needs.

    Attributes:
        engine: stores deliveries; started and stopped with the server.
        wants: whether a delivery of an event can ask for anything; others are answered and forgotten.
        metrics: the process's counters.
        key_terms: see `bot.ledger_keys.Terms`.
    """

    engine: Intake
    wants: Callable[[str, Mapping[str, Any]], bool]
    metrics: Metrics
    key_terms: ledger_keys.Terms = lambda _: ()


@dataclass
class Readiness:
    """Whether deliveries can be taken now.

    Attributes:
        problem: why not; empty when ready.
        failed: resolved with the exception when the engine could not start.
    """

    problem: str = "the engine is starting"
    failed: asyncio.Future[BaseException] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


_SETTINGS = web.AppKey("settings", Settings)
_DEPS = web.AppKey("deps", Deps)
READINESS = web.AppKey("readiness", Readiness)


def create_app(settings: Settings, deps: Deps) -> web.Application:
    """Build the application; nothing runs before it is served."""
    app = web.Application(client_max_size=webhook.BODY_BYTES_MAX, middlewares=[_guard])
    app[_SETTINGS] = settings
    app[_DEPS] = deps
    app.router.add_post("/webhook", _webhook)
    app.router.add_get("/health", _health)
    app.router.add_get("/ready", _ready)
    app.router.add_get("/ledger/keys", _ledger_keys)
    if settings.metrics_token is not None:
        app.router.add_get("/metrics", _metrics)
    app.on_response_prepare.append(_secure)
    app.cleanup_ctx.append(_engine)
    return app


async def serve(
    settings: Settings, deps: Deps, stop: asyncio.Event, on_listening: Callable[[str], None] = lambda _: None
) -> None:
    """Serve until `stop` is set, then finish requests in flight and stop the engine.

    Args:
        settings: where to listen.
        deps: see Deps.
        stop: set it to shut down.
        on_listening: called with the base URL once connections are accepted.

    Raises:
        OptrError: the address cannot be listened on.
        Exception: whatever kept the engine from starting.
    """
    app = create_app(settings, deps)
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=KEEPALIVE_SECONDS,
        lingering_time=LINGERING_SECONDS,
        auto_decompress=False,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        try:
            await site.start()
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            remedy = "Set OPTR_HOST and OPTR_PORT to an address that is free"
            raise OptrError(f"cannot listen: {error.strerror or error}", where=where, remedy=remedy) from None
        host, port = runner.addresses[0][:2]
        on_listening(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        await _until(stop, app[READINESS].failed)
    finally:
        await runner.cleanup()


async def _until(stop: asyncio.Event, failed: asyncio.Future[BaseException]) -> None:
    stopping = asyncio.create_task(stop.wait())
    ends: set[asyncio.Future[Any]] = {stopping, failed}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    if failed.done():
        raise failed.result()


async def _engine(app: web.Application) -> AsyncIterator[None]:
    """Start the engine beside the listening socket, so that /ready can say what it waits for."""
    readiness = app[READINESS] = Readiness()
    engine = app[_DEPS].engine
    starting = asyncio.create_task(_start(engine, readiness))
    yield
    readiness.problem = "the server is shutting down"
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    await engine.stop()


async def _start(engine: Intake, readiness: Readiness) -> None:
    try:
        await engine.start()
    except Exception as error:  # noqa: BLE001 - handed to `serve`, which raises it
        logs.event(_LOG, logging.ERROR, "the engine could not start")
        readiness.problem = f"the engine could not start: {type(error).__name__}"
        readiness.failed.set_result(error)
    else:
        readiness.problem = ""
        logs.event(_LOG, logging.INFO, "ready")


async def _webhook(request: web.Request) -> web.Response:
    headers = _single(request.headers)
    webhook.check_headers(headers)
    body = await _body(request)
    verified = webhook.verify(headers, body, request.app[_SETTINGS].webhook_secrets)
    with logs.delivery_id(verified.guid):
        status, word = await _take(request.app, verified, body)
        logs.event(_LOG, logging.INFO, f"delivery {word}", event=verified.event, action=verified.action, status=status)
    request.app[_DEPS].metrics.delivered(verified.event, word)
    return web.json_response({"status": word, "delivery": verified.guid}, status=status)


async def _take(app: web.Application, verified: webhook.Verified, body: bytes) -> tuple[int, str]:
    deps = app[_DEPS]
    if verified.event == "ping":
        return 200, "pong"
    if not deps.wants(verified.event, verified.payload):
        return 200, "ignored"
    if app[READINESS].problem:
        # A genuine delivery that cannot be stored must not be answered 2xx: GitHub would count it as done.
        return 503, "not_ready"
    try:
        queued = await deps.engine.deliver(verified.guid, verified.event, body)
    except Exception:  # noqa: BLE001 - whatever the database says, the sender must learn that nothing was stored
        logs.event(_LOG, logging.ERROR, "delivery could not be stored", event=verified.event)
        return 503, "not_stored"
    return (202, "queued") if queued else (200, "known")


async def _body(request: web.Request) -> bytes:
    if (request.content_length or 0) > webhook.BODY_BYTES_MAX:
        raise webhook.RefusedError(413, f"a delivery has at most {webhook.BODY_BYTES_MAX} bytes")
    try:
        async with asyncio.timeout(webhook.BODY_SECONDS_MAX):
            return await request.read()
    except TimeoutError:
        raise webhook.RefusedError(408, "the body took too long") from None


def _single(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    """The headers we read; one given twice is refused, because two readers could pick different ones."""
    for name in webhook.READ_HEADERS:
        if len(headers.getall(name, [])) > 1:
            raise webhook.RefusedError(400, f"{name} is given more than once")
    return {name: headers[name] for name in webhook.READ_HEADERS if name in headers}


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    if problem := request.app[READINESS].problem:
        return web.json_response({"status": "not_ready", "reason": problem}, status=503)
    return web.json_response({"status": "ready"})


async def _ledger_keys(request: web.Request) -> web.Response:
    return await ledger_keys.answer(request, request.app[_DEPS].key_terms)


async def _metrics(request: web.Request) -> web.Response:
    """The counters, for whoever holds the token; gauges are read from the database beside the event loop."""
    token = request.app[_SETTINGS].metrics_token
    presented = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
    if token is None or not hmac.compare_digest(presented, b"Bearer " + token.get_secret_value().encode()):
        response = _error(401, "send OPTR_METRICS_TOKEN as a bearer token")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
    page = await asyncio.to_thread(request.app[_DEPS].metrics.page)
    return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn refusals into answers, and log what was refused without a word of its content."""
    started = time.monotonic()
    try:
        return await handler(request)
    except webhook.RefusedError as refused:
        response = _error(refused.status, refused.reason)
    except web.HTTPException as error:
        response = _error(error.status, error.reason)
        response.headers.update({name: error.headers[name] for name in ("Allow",) if name in error.headers})
    except ConnectionError:
        response = _error(400, "the connection broke")
    request.app[_DEPS].metrics.refused(response.status)
    logs.event(
        _LOG,
        logging.INFO,
        "request refused",
        status=response.status,
        method=request.method,
        path=request.path,
        duration_ms=int((time.monotonic() - started) * 1000),
    )
    if response.status in {408, 413}:
        response.force_close()  # what is left of the body must not be read as the next request
    return response


def _error(status: int, reason: str) -> web.Response:
    body: dict[str, Any] = {"status": "refused", "reason": reason}
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)
