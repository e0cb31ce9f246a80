"""The HTTP front of the local GitHub: one handler for REST, GraphQL, git and the test knobs."""

import asyncio
import hashlib
import json
import re
import time
import uuid
from collections.abc import Mapping

from aiohttp import web

from tests.github import git_http, knobs, rest
from tests.github.completion import REPOSITORY_PATH
from tests.github.faults import AFTER, Effect, Rule, refusal
from tests.github.identity import ANONYMOUS, Principal
from tests.github.journal import Entry, Written
from tests.github.wire import ApiError, Call, Reply
from tests.github.world import World

# Where an App writes what people read: check runs, comments, pull requests.
SHOWN_PATH = re.compile(r"/(check-runs(/\d+)?|issues/\d+/comments|issues/comments/\d+|pulls(/\d+)?)$")
BODY_MAX_BYTES = 256 * 1024 * 1024
RATE_LIMIT_PER_HOUR = 5_000
HOUR_SECONDS = 3600


def application(world: World) -> web.Application:
    """Return the aiohttp application of a world."""
    app = web.Application(client_max_size=BODY_MAX_BYTES)
    front = Front(world)
    app.router.add_route("*", "/{path:.*}", front.handle)
    return app


class Front:
    """Answers every request of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._used: dict[str, int] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.read()
        if request.path.startswith("/_test/"):
            return await knobs.answer(self._world, request, body)
        entry = Entry(
            uuid.uuid4().hex.upper(), request.method, request.path, request.query_string, "?", None, None, None
        )
        self._world.journal.note(entry)
        principal, denied = self._who(request)
        entry.kind, entry.login = principal.kind.value, principal.login
        found = REPOSITORY_PATH.fullmatch(request.path) or git_http.GIT_PATH.fullmatch(request.path)
        entry.repository = f"{found['owner']}/{found['repo']}" if found else None
        from_app = principal.is_app or git_http.GIT_PATH.fullmatch(request.path) is not None
        faults = self._world.faults
        rule = faults.take(request.method, request.path, request.query_string, body, from_app=from_app)
        entry.fault = rule.effect.value if rule else None
        early = await self._before(request, rule)
        if early is not None:
            entry.status = early.status
            return early
        response = await self._work(request, body, principal, denied, entry)
        entry.status = response.status
        if principal.is_app and request.method in {"POST", "PATCH"} and response.status < 300:
            self._keep_text(request, body)
        return await self._after(request, response, rule)

    def _keep_text(self, request: web.Request, body: bytes) -> None:
        """Keep what people will read of a write; a write without any text says nothing."""
        given = json.loads(body) if SHOWN_PATH.search(request.path) and body else {}
        output = given.get("output") or {}
        parts = [given.get("body"), output.get("title"), output.get("summary"), output.get("text")]
        if any(parts):
            text = "\n".join(part for part in parts if part)
            self._world.journal.written.append(Written(request.method, request.path, given.get("name", ""), text))

    def _who(self, request: web.Request) -> tuple[Principal, ApiError | None]:
        try:
            return self._world.identity.authenticate(request.headers.get("Authorization")), None
        except ApiError as error:
            return ANONYMOUS, error

    async def _before(self, request: web.Request, rule: Rule | None) -> web.Response | None:
        if rule is None or rule.effect in AFTER:
            return None
        if rule.effect is Effect.SLOW:
            await asyncio.sleep(rule.seconds)
            return None
        if rule.effect is Effect.STALL:
            await asyncio.sleep(rule.seconds)
        if rule.effect in {Effect.STALL, Effect.DROP}:
            _hang_up(request)
            return web.Response(status=499)
        error = refusal(rule, time.time())
        assert error is not None
        return web.json_response(error.reply().body, status=error.status, headers=error.headers)

    async def _after(self, request: web.Request, response: web.Response, rule: Rule | None) -> web.Response:
        if rule is None or rule.effect not in AFTER:
            return response
        if rule.effect is Effect.BAD_GATEWAY_AFTER:
            return web.json_response({"message": "Server Error"}, status=502)
        if rule.effect is Effect.TRUNCATE and isinstance(response.body, bytes) and request.transport is not None:
            half = response.body[: len(response.body) // 2]
            head = f"HTTP/1.1 {response.status} OK\r\nContent-Type: application/json\r\n"
            request.transport.write(f"{head}Content-Length: {len(response.body)}\r\n\r\n".encode() + half)
            request.transport.close()
            return response
        if rule.effect is Effect.STALL_AFTER:
            await asyncio.sleep(rule.seconds)
        _hang_up(request)
        return response

    async def _work(
        self, request: web.Request, body: bytes, principal: Principal, denied: ApiError | None, entry: Entry
    ) -> web.Response:
        found = git_http.GIT_PATH.fullmatch(request.path)
        try:
            if found is not None:
                return await git_http.answer(self._world, request, body, found.groupdict())
            self._spend(request, principal)
            call = self._call(request, body, principal)
            reply = denied.reply() if denied is not None else await rest.answer(call, entry)
        except ApiError as error:
            reply = error.reply()
        except Exception as error:  # noqa: BLE001 - our own fault is kept, and answered as GitHub's would be
            self._world.journal.violate("facade", f"{request.method} {request.path}", (repr(error),))
            reply = ApiError(500, f"local GitHub: {error!r}").reply()
        return self._render(request, principal, reply, entry)

    def _call(self, request: web.Request, body: bytes, principal: Principal) -> Call:
        headers = {key.lower(): value for key, value in request.headers.items()}
        path = re.sub(r"(?<=.)/$", "", request.path)
        return Call(self._world, request.method, path, request.raw_path, dict(request.query), headers, body, principal)

    def _key(self, request: web.Request, principal: Principal) -> str:
        if principal.token is not None:
            return f"installation:{principal.token.installation.id}"
        return f"{principal.kind.value}:{principal.login or (principal.app.id if principal.app else request.remote)}"

    def _spend(self, request: web.Request, principal: Principal) -> None:
        key = self._key(request, principal)
        self._used[key] = self._used.get(key, 0) + 1

    def _render(self, request: web.Request, principal: Principal, reply: Reply, entry: Entry) -> web.Response:
        payload = reply.payload()
        headers = {**self._standard(request, principal, entry), **reply.headers}
        if request.method == "GET" and reply.status == 200:
            tag = f'W/"{hashlib.sha256(payload).hexdigest()}"'
            headers |= {"ETag": tag, "Cache-Control": "private, max-age=60, s-maxage=60"}
            if request.headers.get("If-None-Match", "").removeprefix("W/") == tag.removeprefix("W/"):
                self._used[self._key(request, principal)] -= 1  # a 304 is free
                headers = {**headers, **self._rate(request, principal)}
                return web.Response(status=304, headers=_without_type(headers))
        headers.setdefault("Content-Type", "application/json; charset=utf-8")
        if reply.status == 204:
            return web.Response(status=204, headers=_without_type(headers))
        return web.Response(status=reply.status, body=payload, headers=headers)

    def _standard(self, request: web.Request, principal: Principal, entry: Entry) -> dict[str, str]:
        version = request.headers.get("X-GitHub-Api-Version", "2022-11-28")
        return {
            "X-GitHub-Request-Id": entry.id,
            "X-GitHub-Media-Type": "github.v3; format=json",
            "X-GitHub-Api-Version-Selected": version,
            "Server": "github.com",
            **self._rate(request, principal),
        }

    def _rate(self, request: web.Request, principal: Principal) -> Mapping[str, str]:
        used = self._used.get(self._key(request, principal), 0)
        return {
            "X-RateLimit-Limit": str(RATE_LIMIT_PER_HOUR),
            "X-RateLimit-Remaining": str(max(RATE_LIMIT_PER_HOUR - used % RATE_LIMIT_PER_HOUR, 1)),
            "X-RateLimit-Used": str(used),
            "X-RateLimit-Reset": str((int(time.time()) // HOUR_SECONDS + 1) * HOUR_SECONDS),
            "X-RateLimit-Resource": "core",
        }


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _without_type(headers: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key.lower() != "content-type"}
