"""The recorded model: a server on the loopback interface that speaks the real wire of three protocols.

It plays turns from cassettes and keeps no conversation: how many tool results a request carries says which turn is
next, so any number of conversations run at once. It is a strict server: a request that the real service would refuse,
or that edits what the model said before, is refused with the reason.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from aiohttp import web

from bot.demo.cassette import Cassette, Fault, FaultKind
from bot.demo.wire import Body, MalformedRequestError, UnauthenticatedError, Wire, frame
from bot.demo.wire_chat import ChatWire
from bot.demo.wire_messages import MessagesWire
from bot.demo.wire_responses import ResponsesWire
from execution.models.registry import Driver

LOOPBACK = "127.0.0.1"
REQUEST_BYTES_MAX = 16 * 2**20
SHUTDOWN_SECONDS = 0.2
RECORDED_KEY = "recorded"

WIRES: MappingProxyType[Driver, Wire] = MappingProxyType(
    {
        Driver.OPENAI_RESPONSES: ResponsesWire(),
        Driver.OPENAI_CHAT: ChatWire(),
        Driver.ANTHROPIC_MESSAGES: MessagesWire(),
    }
)

_STATUS_FAULTS = {
    FaultKind.UNAUTHORIZED: (401, "authentication_error", "the key is not valid"),
    FaultKind.RATE_LIMIT: (429, "rate_limit_error", "too many requests"),
    FaultKind.SERVER_ERROR: (500, "server_error", "recorded failure"),
    FaultKind.CONTEXT: (400, "context_length_exceeded", "the prompt is too long: maximum context length exceeded"),
}


@dataclass(frozen=True)
class Seen:
    """One request as it was answered: status 200 means that the turn was played, perhaps with a fault inside.

    `credential` is the Authorization header of a played one.
    """

    protocol: Driver
    model: str
    turn: int | None
    status: int
    body: Body = field(repr=False)
    credential: str = field(default="", repr=False)


class RecordedModel:
    """A running server.

    Attributes:
        url: `http://127.0.0.1:<port>`.
        seen: every request, oldest first.
    """

    def __init__(self, cassettes: Iterable[Cassette]) -> None:
        self._cassettes = tuple(cassettes)
        self._tries: Counter[str] = Counter()
        self.url = ""
        self.seen: list[Seen] = []

    @property
    def environ(self) -> dict[str, str]:
        """The variables with which the shipped registry's entries reach this server."""
        openai = ("OPENAI", "GEMINI", "MISTRAL", "OPENROUTER", "OLLAMA", "AZURE_OPENAI")
        keys = {f"{name}_API_KEY": RECORDED_KEY for name in (*openai, "ANTHROPIC")}
        addresses = {f"{name}_BASE_URL": f"{self.url}/v1" for name in openai}
        return {**keys, **addresses, "ANTHROPIC_BASE_URL": self.url}

    async def answer(self, protocol: Driver, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        wire = WIRES[protocol]
        raw = await request.read()
        body: Any = None
        turn: int | None = None
        try:
            body = json.loads(raw)
            wire.check(request.headers, body)
            cassette, turn = self._place(protocol, wire, body, raw.decode())
        except UnauthenticatedError:
            return self._refusal(protocol, body, 401, wire.error("authentication_error", "no key was sent"))
        except (MalformedRequestError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            return self._refusal(protocol, body, 400, wire.error("invalid_request_error", reason))
        digest = hashlib.sha256(raw).hexdigest()
        tries = self._tries[digest]
        self._tries[digest] += 1
        faults = cassette.turns[turn].faults
        return await self._play(request, wire, (cassette, turn, body), faults[tries] if tries < len(faults) else None)

    def _place(self, protocol: Driver, wire: Wire, body: Body, raw: str) -> tuple[Cassette, int]:
        wanted = (protocol, str(body.get("model")))
        fitting = (one for one in self._cassettes if (one.protocol, one.model) == wanted and one.when in raw)
        cassette = next(fitting, None)
        if cassette is None:
            raise MalformedRequestError(f"nothing is recorded for model {body.get('model')!r} over {protocol}")
        results = wire.results(body)
        turn = cassette.position(results)
        if turn is None:
            raise MalformedRequestError(f"no recorded turn follows after {results} tool results")
        wire.check_history(body, cassette.turns[:turn])
        return cassette, turn

    async def _play(
        self, request: web.Request, wire: Wire, place: tuple[Cassette, int, Body], fault: Fault | None
    ) -> web.StreamResponse:
        cassette, turn, body = place
        if fault is not None and fault.kind in _STATUS_FAULTS:
            status, kind, message = _STATUS_FAULTS[fault.kind]
            response = self._refusal(cassette.protocol, body, status, wire.error(kind, message), turn)
            if fault.kind is FaultKind.RATE_LIMIT:
                response.headers["Retry-After"] = f"{fault.seconds:g}"
            return response
        credential = request.headers.get("Authorization", "")
        self.seen.append(Seen(cassette.protocol, cassette.model, turn, 200, body, credential))
        if fault is not None and fault.kind is FaultKind.SLOW:
            await asyncio.sleep(fault.seconds)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await stream.prepare(request)
        for piece in _pieces(wire, cassette, turn, fault):
            await stream.write(piece)
        if fault is not None and fault.kind is FaultKind.CUT and request.transport is not None:
            request.transport.abort()
            return stream
        await stream.write_eof()
        return stream

    def _refusal(self, protocol: Driver, body: Any, status: int, answer: Body, turn: int | None = None) -> web.Response:
        known = body if isinstance(body, dict) else {}
        self.seen.append(Seen(protocol, str(known.get("model")), turn, status, known))
        return web.json_response(answer, status=status)


def _pieces(wire: Wire, cassette: Cassette, turn: int, fault: Fault | None) -> list[bytes]:
    events = wire.events(cassette.model, turn, cassette.turns[turn])
    frames = [frame(name, json.dumps(data)) for name, data in events]
    kind = fault.kind if fault else None
    if kind is FaultKind.CUT:
        return frames[: max(1, len(frames) // 2)]
    if kind is FaultKind.MALFORMED:
        return [frames[0], frame(events[1][0], '{"type": "resp')]
    if kind is FaultKind.STREAM_ERROR:
        name, data = wire.stream_error()
        return [frames[0], frame(name, json.dumps(data))]
    return [*frames, *([frame("", "[DONE]")] if cassette.protocol is Driver.OPENAI_CHAT else [])]


@asynccontextmanager
async def recorded_model(cassettes: Iterable[Cassette]) -> AsyncIterator[RecordedModel]:
    """Serve the cassettes on a free port of the loopback interface until the context ends."""
    model = RecordedModel(cassettes)
    application = web.Application(client_max_size=REQUEST_BYTES_MAX)
    for protocol, wire in WIRES.items():
        application.router.add_post(wire.path, _handler(model, protocol))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        model.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
        yield model
    finally:
        await runner.cleanup()


def _handler(model: RecordedModel, protocol: Driver) -> Any:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await model.answer(protocol, request)

    return handle
