"""A small blocking HTTP client, so that tests read as the requests they make."""

import base64
import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt

TIMEOUT_SECONDS = 30
API_VERSION = "2026-03-10"


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; ``headers`` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """Return the decoded JSON, or None for an empty body."""
        return json.loads(self.raw) if self.raw else None


class UnexpectedStatusError(AssertionError):
    """An answer had another status than the test asked for; the message holds its body."""


@dataclass(frozen=True)
class RestClient:
    """Speaks to one base URL with one ``Authorization`` value, or with none."""

    base: str
    authorization: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request and return whatever comes back. Raises OSError or http.client.HTTPException."""
        parts = urlsplit(self.base)
        assert parts.hostname is not None
        sent = {"User-Agent": "local-github-tests", "X-GitHub-Api-Version": API_VERSION, **self.extra}
        if self.authorization:
            sent["Authorization"] = self.authorization
        sent |= {"Accept": "application/vnd.github+json", **(headers or {})}
        payload = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, parts.path + path, payload, sent)
            answer = connection.getresponse()
            raw = answer.read()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, raw)
        finally:
            connection.close()

    def expect(self, status: int, method: str, path: str, body: object = None) -> Any:
        """Send one request and return its JSON. Raises UnexpectedStatusError for another status."""
        answer = self.send(method, path, body)
        if answer.status != status:
            raise UnexpectedStatusError(f"{method} {path}: {answer.status} instead of {status}: {answer.raw[:2000]!r}")
        return answer.body

    def get(self, path: str, **query: object) -> Any:
        """GET and return the JSON of a 200."""
        return self.expect(200, "GET", f"{path}?{urlencode(query)}" if query else path)

    def post(self, path: str, body: object = None, status: int = 201) -> Any:
        """POST and return the JSON."""
        return self.expect(status, "POST", path, body)

    def patch(self, path: str, body: object) -> Any:
        """PATCH and return the JSON of a 200."""
        return self.expect(200, "PATCH", path, body)

    def put(self, path: str, body: object, status: int = 200) -> Any:
        """PUT and return the JSON."""
        return self.expect(status, "PUT", path, body)

    def delete(self, path: str, status: int = 204) -> Any:
        """DELETE and return the JSON, if any."""
        return self.expect(status, "DELETE", path)


def app_jwt(app_id: int | str, private_key_pem: str, lifetime: int = 540, now: float | None = None) -> str:
    """Return an App's JWT, issued a minute ago as GitHub advises."""
    moment = int(time.time() if now is None else now)
    claims = {"iat": moment - 60, "exp": moment + lifetime, "iss": str(app_id)}
    return jwt.encode(claims, private_key_pem, algorithm="RS256")


def basic(token: str) -> str:
    """Return the Basic value with which git presents a token."""
    return "Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()
