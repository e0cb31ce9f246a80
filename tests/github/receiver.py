"""An App's webhook endpoint for tests: keeps what arrives, answers what it is told."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from gidgethub import sansio

WAIT_SECONDS = 15


@dataclass(frozen=True)
class Arrival:
    """One webhook as it came over the wire."""

    headers: Mapping[str, str]
    body: bytes

    def event(self, secret: str) -> sansio.Event:
        """Verify the signature with gidgethub and parse. Raises gidgethub.ValidationFailure."""
        return sansio.Event.from_http(self.headers, self.body, secret=secret)


@dataclass
class WebhookReceiver:
    """Listens on loopback; ``status`` may be changed at any time."""

    status: int = 202
    arrivals: list[Arrival] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Return the address to register as webhook URL."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}/webhook"

    def start(self) -> "WebhookReceiver":
        """Listen."""
        receiver = self

        class Endpoint(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {key.lower(): value for key, value in self.headers.items()}
                receiver.arrivals.append(Arrival(headers, body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, wanted: Callable[[Arrival], bool], count: int = 1) -> list[Arrival]:
        """Return the arrivals that match, once there are ``count``. Raises AssertionError in time."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            found = [one for one in list(self.arrivals) if wanted(one)]
            if len(found) >= count:
                return found
            time.sleep(0.01)
        seen = [one.headers.get("x-github-event") for one in self.arrivals]
        raise AssertionError(f"no {count} such webhooks in {WAIT_SECONDS} s; arrived: {seen}")

    def of_event(self, event: str, action: str | None = None, count: int = 1) -> list[Arrival]:
        """Return the arrivals of an event and action, once there are ``count``."""
        mark = f'"action":"{action}"'.encode()
        return self.wait_for(
            lambda one: one.headers.get("x-github-event") == event and (action is None or mark in one.body), count
        )
