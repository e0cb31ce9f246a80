"""Webhook deliveries: signed over their final bytes, logged, redelivered with the same GUID, disturbed on demand."""

import asyncio
import hashlib
import hmac
import itertools
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from tests.github.identity import AppRecord, Identity, Installation
from tests.github.journal import Journal
from tests.github.judge import Judge
from tests.github.permissions import RANKS
from tests.github.wire import ApiError, Json

DELIVERY_TIMEOUT_SECONDS = 10
RETENTION_SECONDS = 3 * 24 * 3600
RESPONSE_KEPT_CHARS = 2_000
USER_AGENT = "GitHub-Hookshot/0c4a1f7"
FIRST_DELIVERY_ID = 12_000_000_001
UNSUBSCRIBED = frozenset({"installation", "installation_repositories", "ping"})
# Needs of an App to be sent an event, beyond its subscription.
EVENT_PERMISSION = {
    "issues": "issues",
    "issue_comment": "issues",
    "label": "issues",
    "pull_request": "pull_requests",
    "pull_request_review": "pull_requests",
    "push": "contents",
    "create": "contents",
    "delete": "contents",
    "check_run": "checks",
    "check_suite": "checks",
    "status": "statuses",
    "merge_group": "merge_queues",
}


@dataclass
class Delivery:
    """One attempt to deliver one event to one App."""

    id: int
    guid: str
    app_id: int
    event: str
    action: str | None
    body: bytes
    installation_id: int | None
    repository: str | None
    repository_id: int | None
    delivered_at: float
    redelivery: bool = False
    duration: float = 0.0
    status: str = "pending"
    status_code: int = 0
    request_headers: dict[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""


@dataclass
class Disturbance:
    """Drops, duplicates, holds or corrupts the next ``times`` deliveries of an event."""

    effect: str
    event: str
    action: str | None
    times: int

    def applies(self, delivery: Delivery) -> bool:
        """Tell whether the delivery is meant."""
        same = self.event in {"*", delivery.event} and self.action in {None, delivery.action}
        return self.times > 0 and same and not delivery.redelivery


class Outbox:
    """Delivers to every App in order, one at a time, as fast as the App answers."""

    def __init__(self, identity: Identity, judge: Judge, journal: Journal) -> None:
        self.deliveries: list[Delivery] = []
        self.disturbances: list[Disturbance] = []
        self.held: list[Delivery] = []
        self._identity, self._judge, self._journal = identity, judge, journal
        self._ids = itertools.count(FIRST_DELIVERY_ID)
        self._queues: dict[int, asyncio.Queue[Delivery]] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the client; call on the loop that delivers."""
        timeout = aiohttp.ClientTimeout(total=DELIVERY_TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    async def stop(self) -> None:
        """Stop delivering; what is queued is lost."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def publish(
        self,
        event: str,
        payload: Mapping[str, Any],
        repository: Mapping[str, Any] | None = None,
        *,
        installation: Installation | None = None,
        only_app: int | None = None,
    ) -> None:
        """Send an event to every subscribed App that covers the repository, or to one installation."""
        covering = self._identity.installations_for(repository) if repository is not None else ()
        targets = [installation] if installation is not None else covering
        for target in targets:
            app = self._identity.apps[target.app_id]
            if only_app is not None and app.id != only_app:
                continue
            if _wants(app, target, event, payload.get("action")):
                self._post(app, target, event, payload, repository)

    def redeliver(self, delivery: Delivery) -> Delivery:
        """Send a delivery again under its GUID, and return the new attempt."""
        again = Delivery(
            id=next(self._ids),
            guid=delivery.guid,
            app_id=delivery.app_id,
            event=delivery.event,
            action=delivery.action,
            body=delivery.body,
            installation_id=delivery.installation_id,
            repository=delivery.repository,
            repository_id=delivery.repository_id,
            delivered_at=time.time(),
            redelivery=True,
        )
        self.deliveries.append(again)
        self._enqueue(again)
        return again

    def release(self) -> int:
        """Send what is held, newest first: the order GitHub does not promise."""
        held, self.held = self.held[::-1], []
        for delivery in held:
            self._enqueue(delivery)
        return len(held)

    async def drain(self) -> None:
        """Wait until every queued delivery has been answered."""
        for queue in list(self._queues.values()):
            await queue.join()

    def recent(self, app_id: int) -> list[Delivery]:
        """Return an App's deliveries that GitHub still keeps, newest first."""
        oldest = time.time() - RETENTION_SECONDS
        return [one for one in reversed(self.deliveries) if one.app_id == app_id and one.delivered_at > oldest]

    def _post(
        self,
        app: AppRecord,
        target: Installation,
        event: str,
        payload: Mapping[str, Any],
        repository: Mapping[str, Any] | None,
    ) -> None:
        named = {"id": target.id, "node_id": f"MDIzOkluc3RhbGxhdGlvbg{target.id}"}
        final = dict(payload) if "installation" in payload else {**payload, "installation": named}
        name = repository["full_name"] if repository is not None else None
        problems = self._judge.webhook_problems(event, final)
        if problems:
            self._journal.violate("webhook", f"{event}.{payload.get('action')}", tuple(problems), name)
        delivery = Delivery(
            id=next(self._ids),
            guid=str(uuid.uuid4()),
            app_id=app.id,
            event=event,
            action=payload.get("action"),
            body=json.dumps(final, separators=(",", ":"), ensure_ascii=False).encode(),
            installation_id=target.id,
            repository=name,
            repository_id=repository["id"] if repository is not None else None,
            delivered_at=time.time(),
        )
        self.deliveries.append(delivery)
        self._disturb(delivery)

    def _disturb(self, delivery: Delivery) -> None:
        rule = next((one for one in self.disturbances if one.applies(delivery)), None)
        if rule is None:
            self._enqueue(delivery)
            return
        rule.times -= 1
        if rule.effect == "drop":
            delivery.status, delivery.status_code = "failed to connect to host", 0
        elif rule.effect == "hold":
            self.held.append(delivery)
        elif rule.effect == "duplicate":
            self._enqueue(delivery)
            self._enqueue(delivery)
        else:
            raise ApiError(400, f"unknown disturbance {rule.effect}")

    def _enqueue(self, delivery: Delivery) -> None:
        queue = self._queues.get(delivery.app_id)
        if queue is None:
            queue = self._queues[delivery.app_id] = asyncio.Queue()
            self._workers.append(asyncio.create_task(self._work(queue)))
        queue.put_nowait(delivery)

    async def _work(self, queue: asyncio.Queue[Delivery]) -> None:
        while True:
            delivery = await queue.get()
            try:
                await self._send(delivery)
            finally:
                queue.task_done()

    async def _send(self, delivery: Delivery) -> None:
        app = self._identity.apps[delivery.app_id]
        if app.webhook_url is None or not app.hook_active or self._session is None:
            delivery.status = "no webhook"
            return
        delivery.request_headers = headers_of(app, delivery)
        started = time.monotonic()
        try:
            async with self._session.post(
                app.webhook_url, data=delivery.body, headers=delivery.request_headers, allow_redirects=False
            ) as answer:
                delivery.response_body = (await answer.text(errors="replace"))[:RESPONSE_KEPT_CHARS]
                delivery.response_headers = dict(answer.headers)
                delivery.status_code = answer.status
                delivery.status = "OK" if answer.ok else f"Invalid HTTP Response: {answer.status}"
        except TimeoutError:
            delivery.status, delivery.status_code = "timed out", 0
        except aiohttp.ClientError:
            delivery.status, delivery.status_code = "failed to connect to host", 0
        delivery.duration = round(time.monotonic() - started, 3)


def _wants(app: AppRecord, installation: Installation, event: str, action: str | None) -> bool:
    if event in UNSUBSCRIBED:
        return True
    rank = RANKS[installation.permissions.get(EVENT_PERMISSION.get(event, "metadata"), "none")]
    if event == "check_suite" and action in {"requested", "rerequested"}:
        return rank >= RANKS["write"]  # sent to every App that writes checks, subscribed or not
    either = event == "issue_comment" and "pull_requests" in installation.permissions
    return event in app.events and (rank >= RANKS["read"] or either)


def headers_of(app: AppRecord, delivery: Delivery) -> dict[str, str]:
    """Return the headers GitHub sends; the signature covers the exact bytes of the body."""
    made = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "X-GitHub-Delivery": delivery.guid,
        "X-GitHub-Event": delivery.event,
        "X-GitHub-Hook-ID": str(app.id * 10 + 7),
        "X-GitHub-Hook-Installation-Target-ID": str(app.id),
        "X-GitHub-Hook-Installation-Target-Type": "integration",
    }
    if app.webhook_secret:
        key = app.webhook_secret.encode()
        made["X-Hub-Signature"] = "sha1=" + hmac.new(key, delivery.body, hashlib.sha1).hexdigest()
        made["X-Hub-Signature-256"] = "sha256=" + hmac.new(key, delivery.body, hashlib.sha256).hexdigest()
    return made


def delivery_object(delivery: Delivery, *, full: bool) -> Json:
    """Render a delivery as ``GET /app/hook/deliveries`` does; ``full`` adds request and response."""
    moment = datetime.fromtimestamp(delivery.delivered_at, UTC)
    made: Json = {
        "id": delivery.id,
        "guid": delivery.guid,
        "delivered_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "redelivery": delivery.redelivery,
        "duration": delivery.duration,
        "status": delivery.status,
        "status_code": delivery.status_code,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": delivery.installation_id,
        "repository_id": delivery.repository_id,
        "throttled_at": None,
    }
    if full:
        made["url"] = ""
        made["request"] = {"headers": delivery.request_headers, "payload": json.loads(delivery.body)}
        made["response"] = {"headers": delivery.response_headers, "payload": delivery.response_body}
    return made
