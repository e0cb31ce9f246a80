"""Work IQ chat over HTTP: Microsoft 365 Copilot asked on behalf of a signed-in user.

Contract: https://learn.microsoft.com/en-us/microsoft-365/copilot/extensibility/work-iq/rest/copilotroot-post-conversations
and its neighbours: `POST /rest/conversations` `{}` answers 201 with an id, `POST /rest/conversations/{id}/chat` answers
200 with the conversation, whose last message is Copilot's. Delegated permission `WorkIQAgent.Ask` only. There is no
system prompt, no tool, no structured output and no word about tokens, so usage is estimated and priced at the dearest
rate known.
"""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from execution.models.conversation import BYTES_PER_TOKEN, CONNECT_SECONDS, SDK_RETRIES, SILENCE_SECONDS
from execution.models.errors import HTTP_TOO_MANY, ModelError, ModelErrorKind, classify
from execution.models.registry import Prices
from execution.records import Usage

NAME = "Work IQ"
DEFAULT_URL = "https://workiq.svc.cloud.microsoft"
TIME_ZONE = "UTC"
REQUEST_BYTES_MAX = 400_000
ANSWER_BYTES_MAX = 4 * 2**20
ERROR_BYTES_MAX = 65_536
RETRY_AFTER_SECONDS_MAX = 30.0
RETRY_AFTER_SECONDS = 2.0  # where the service names no time
HTTP_OK = 200
HTTP_CREATED = 201
HTTP_UNAVAILABLE = 503
DISENGAGED = "disengagedForRai"

_ID = re.compile(r"[A-Za-z0-9._~=-]{1,200}")


class StatusError(Exception):
    """An answer with an error status, in the shape that `errors.classify` reads.

    Attributes:
        status_code: HTTP status.
        body: the decoded body, None when it is no JSON object.
    """

    def __init__(self, status_code: int, body: dict[str, Any] | None) -> None:
        self.status_code = status_code
        self.body = body
        super().__init__(json.dumps(body)[:ERROR_BYTES_MAX] if body else f"status {status_code}")


@dataclass(frozen=True)
class WorkIQLine:
    """What a conversation needs.

    Attributes:
        base_url: where Work IQ is, without `/rest`.
        token: the signed-in user's; never logged, never in a URL.
        prices: what its tokens are charged with.
        sleep: waits that many seconds.
        connect_seconds, silence_seconds, retries: see conversation.Line; only 429 and 503 are repeated, because they
            say that nothing was done: a message is paid for and must not be sent twice.
    """

    base_url: str
    token: str = field(repr=False)
    prices: Prices
    sleep: Callable[[float], Awaitable[None]]
    connect_seconds: float = CONNECT_SECONDS
    silence_seconds: float = SILENCE_SECONDS
    retries: int = SDK_RETRIES


@asynccontextmanager
async def open_chat(line: WorkIQLine) -> AsyncIterator["WorkIQChat"]:
    """A conversation, made at its first message; leaving the context closes its connections."""
    # A redirect would carry the user's token to wherever it points.
    async with httpx2.AsyncClient(
        timeout=httpx2.Timeout(line.silence_seconds, connect=line.connect_seconds),
        headers={"authorization": f"Bearer {line.token}", "accept": "application/json"},
        follow_redirects=False,
    ) as client:
        yield WorkIQChat(client, line)


class WorkIQChat:
    """One conversation."""

    def __init__(self, client: httpx2.AsyncClient, line: WorkIQLine) -> None:
        self._client = client
        self._line = line
        self._root = f"{line.base_url.rstrip('/')}/rest/conversations"
        self._id = ""

    async def ask(self, text: str) -> tuple[str, Usage]:
        """Send a message.

        Returns:
            Copilot's words, and what the call is charged with.

        Raises:
            ModelError: there is no usable answer.
        """
        if len(text.encode("utf-8", "replace")) > REQUEST_BYTES_MAX:
            raise ModelError(ModelErrorKind.CONTEXT_EXCEEDED, NAME, f"over {REQUEST_BYTES_MAX} bytes", Usage())
        if not self._id:
            self._id = _conversation_id(await self._post(self._root, {}, HTTP_CREATED, Usage(calls=1)))
        body = {"message": {"text": text}, "locationHint": {"timeZone": TIME_ZONE}}
        answer = await self._post(f"{self._root}/{self._id}/chat", body, HTTP_OK, self.charge(text))
        words = _last_words(answer, text)
        return words, self.charge(text, words)

    def charge(self, sent: str, received: str = "") -> Usage:
        """An estimate of a call's tokens, priced."""
        fresh, output = (-(-len(part.encode("utf-8", "replace")) // BYTES_PER_TOKEN) for part in (sent, received))
        usage = Usage(fresh=fresh, output=output, calls=1)
        return usage.model_copy(update={"cost_microusd": self._line.prices.cost_microusd(usage)})

    async def _post(self, url: str, body: dict[str, Any], expected: int, charge: Usage) -> dict[str, Any]:
        for retries_left in reversed(range(self._line.retries + 1)):
            try:
                status, headers, data = await self._send(url, body)
            except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
                raise classify(error, NAME, charge) from error
            if status in {HTTP_TOO_MANY, HTTP_UNAVAILABLE} and retries_left:
                await self._line.sleep(_retry_after(headers))
                continue
            break
        decoded = _decoded(data)
        if status >= httpx2.codes.BAD_REQUEST:
            raise classify(StatusError(status, decoded), NAME, charge)
        if status != expected:
            raise ModelError(ModelErrorKind.BAD_OUTPUT, NAME, f"status {status}, not {expected}", charge)
        if decoded is None:
            raise ModelError(ModelErrorKind.BAD_OUTPUT, NAME, "the answer is no JSON object", charge)
        return decoded

    async def _send(self, url: str, body: dict[str, Any]) -> tuple[int, httpx2.Headers, bytes]:
        async with self._client.stream("POST", url, json=body) as response:
            limit = ANSWER_BYTES_MAX if response.is_success else ERROR_BYTES_MAX
            data = bytearray()
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > limit and response.is_success:
                    raise ModelError(ModelErrorKind.BAD_OUTPUT, NAME, f"the answer has more than {limit} bytes")
                if len(data) > limit:
                    break
            return response.status_code, response.headers, bytes(data)


def _decoded(data: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _conversation_id(answer: dict[str, Any]) -> str:
    found = answer.get("id")
    # It becomes a part of the next address.
    if isinstance(found, str) and _ID.fullmatch(found) and found not in {".", ".."}:
        return found
    raise ModelError(ModelErrorKind.BAD_OUTPUT, NAME, "the conversation has no usable id")


def _last_words(answer: dict[str, Any], sent: str) -> str:
    if answer.get("state") == DISENGAGED:
        raise ModelError(ModelErrorKind.REFUSAL, NAME, "the conversation was disengaged")
    messages = answer.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    text = last.get("text") if isinstance(last, dict) else None
    # A conversation without an answer ends with our own message, which the service repeats.
    if not isinstance(text, str) or not text.strip() or text.strip() == sent.strip():
        raise ModelError(ModelErrorKind.BAD_OUTPUT, NAME, "the conversation holds no answer")
    return text


def _retry_after(headers: httpx2.Headers) -> float:
    told = headers.get("retry-after", "")
    seconds = float(told) if told.isascii() and told.isdigit() else RETRY_AFTER_SECONDS
    return min(seconds, RETRY_AFTER_SECONDS_MAX)
