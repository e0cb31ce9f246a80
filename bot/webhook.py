"""GitHub's webhook contract, without HTTP (https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries).

Nothing of a body is parsed before its signature has been verified over the raw bytes, and nothing a sender can write
raises anything but `RefusedError`.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

BODY_BYTES_MAX = 25 * 1024 * 1024  # GitHub sends no more
BODY_SECONDS_MAX = 10.0  # GitHub waits no longer for an answer
JSON_DEPTH_MAX = 64

SIGNATURE_HEADER = "X-Hub-Signature-256"
GUID_HEADER = "X-GitHub-Delivery"
EVENT_HEADER = "X-GitHub-Event"
CONTENT_TYPE_HEADER = "Content-Type"
CONTENT_ENCODING_HEADER = "Content-Encoding"
READ_HEADERS = (SIGNATURE_HEADER, GUID_HEADER, EVENT_HEADER, CONTENT_TYPE_HEADER, CONTENT_ENCODING_HEADER)

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EVENT = re.compile(r"[a-z][a-z_]{0,63}")


class RefusedError(Exception):
    """A request that is not a delivery of ours.

    Attributes:
        status: the HTTP status, always 4xx.
        reason: one sentence for whoever configures the hook; holds nothing of the request.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Verified:
    """A request that GitHub signed.

    Attributes:
        guid: the delivery id, lower case.
        event: the event's name.
        action: the payload's `action`, or an empty string.
        payload: the decoded body.
    """

    guid: str
    event: str
    action: str
    payload: Mapping[str, Any]


def signature(secret: bytes, body: bytes) -> str:
    """The value GitHub sends as X-Hub-Signature-256."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def verify_signature(secrets: Sequence[bytes], body: bytes, given: str) -> bool:
    """Whether `given` signs `body` with one of `secrets`; SHA-1 signatures never do.

    Raises:
        ValueError: there is no secret, or an empty one: everything would pass that should not.
    """
    if not secrets or not all(secrets):
        raise ValueError("a webhook cannot be verified without a secret")
    # Bytes, because compare_digest refuses non-ASCII text; every secret is tried, so that time tells nothing.
    presented = given.encode("utf-8", "surrogateescape")
    matches = [hmac.compare_digest(signature(secret, body).encode(), presented) for secret in secrets]
    return any(matches)


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse what cannot be a delivery before reading its body.

    Raises:
        RefusedError: 415.
    """
    # Only the media type is read: a charset is the sender's word, JSON is UTF-8 (RFC 8259 section 8.1).
    if headers.get(CONTENT_TYPE_HEADER, "").split(";")[0].strip().lower() != "application/json":
        raise RefusedError(415, "set the webhook's content type to application/json")
    if headers.get(CONTENT_ENCODING_HEADER, "identity").strip().lower() != "identity":
        raise RefusedError(415, "deliveries must not be compressed")


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> Verified:
    """The rest of the ladder: size, signature, headers, JSON, in this order.

    Raises:
        RefusedError: 413, 401, 403 or 400.
    """
    if len(body) > BODY_BYTES_MAX:
        raise RefusedError(413, f"a delivery has at most {BODY_BYTES_MAX} bytes")
    given = headers.get(SIGNATURE_HEADER, "")
    if not given:
        raise RefusedError(401, f"{SIGNATURE_HEADER} is missing: give the webhook OPTR_WEBHOOK_SECRET as its secret")
    if not verify_signature(secrets, body, given):
        raise RefusedError(403, f"{SIGNATURE_HEADER} does not match: compare its secret with OPTR_WEBHOOK_SECRET")
    guid = _matching(_GUID, headers, GUID_HEADER).lower()
    event = _matching(_EVENT, headers, EVENT_HEADER)
    payload = parse_object(body)
    action = payload.get("action")
    return Verified(guid, event, action if isinstance(action, str) else "", payload)


def parse_object(body: bytes) -> dict[str, Any]:
    """Decode a JSON object strictly: UTF-8, no NaN, no lone surrogates, at most JSON_DEPTH_MAX levels.

    Raises:
        RefusedError: 400.
    """
    try:
        decoded = json.loads(body.decode("utf-8"), parse_constant=_not_json)
        _check_values(decoded)
    except RecursionError:
        raise RefusedError(400, f"the payload is nested deeper than {JSON_DEPTH_MAX} levels") from None
    except ValueError:
        raise RefusedError(400, "the payload is not JSON in UTF-8") from None
    if not isinstance(decoded, dict):
        raise RefusedError(400, "the payload is not a JSON object")
    return decoded


def _matching(pattern: re.Pattern[str], headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if pattern.fullmatch(value) is None:
        raise RefusedError(400, f"{name} is missing or malformed")
    return value


def _not_json(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _check_values(root: object) -> None:
    """Bound the depth and refuse text that no UTF-8 can hold; iterative, so that depth cannot exhaust the stack."""
    level: list[object] = [root]
    for _ in range(JSON_DEPTH_MAX + 1):
        if not level:
            return
        following: list[object] = []
        for value in level:
            if isinstance(value, dict):
                following.extend(value)
                following.extend(value.values())
            elif isinstance(value, list):
                following.extend(value)
            elif isinstance(value, str) and not value.isascii():
                value.encode("utf-8")
        level = following
    raise RecursionError
