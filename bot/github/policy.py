"""When to repeat a call to GitHub, and after how long: pure.

GitHub's rules: https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#handle-rate-limit-errors-appropriately
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.github.pace import HELD_S_MAX

RATE_LIMIT_ATTEMPTS_MAX = 5
RATE_LIMIT_FALLBACK_S = 60.0
RATE_LIMIT_WAIT_S_MAX = HELD_S_MAX
FAULT_ATTEMPTS_MAX = 4
FAULT_BACKOFF_S = 1.0

SAFE_METHODS = frozenset({"GET", "HEAD"})
IDEMPOTENT_METHODS = SAFE_METHODS | {"PUT", "PATCH", "DELETE"}

_TOO_MANY_REQUESTS = 429
_FORBIDDEN = 403
_SERVER_ERROR = 500
_SECONDARY_WORDS = (b"secondary rate limit", b"abuse detection", b"api rate limit exceeded")
_BODY_BYTES_READ_MAX = 4096


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: HTTP status; 0 when the connection failed or timed out.
        headers: lower-case or case-insensitive.
        body: raw bytes.
        error: what failed when there is no status.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""


@dataclass(frozen=True)
class Verdict:
    """What to do with an answer.

    Attributes:
        wait_s: repeat after this many seconds; None: do not repeat.
        limited: whether GitHub asked us to slow down.
    """

    wait_s: float | None
    limited: bool = False


def judge(method: str, answer: Answer, attempt: int, now_s: float) -> Verdict:
    """Decide on attempt number `attempt` (from 1) at `now_s` (seconds since the epoch).

    A rate-limited call did not happen, so any method may be repeated. A broken or lost one may have happened, so only
    idempotent methods are; the caller of a POST looks up first.
    """
    if is_rate_limit(answer):
        wait = rate_limit_wait(answer, attempt, now_s)
        repeat = attempt < RATE_LIMIT_ATTEMPTS_MAX and wait <= RATE_LIMIT_WAIT_S_MAX
        return Verdict(wait if repeat else None, limited=True)
    faulty = answer.status == 0 or answer.status >= _SERVER_ERROR
    if faulty and method in IDEMPOTENT_METHODS and attempt < FAULT_ATTEMPTS_MAX:
        return Verdict(FAULT_BACKOFF_S * 2.0 ** (attempt - 1))
    return Verdict(None)


def is_rate_limit(answer: Answer) -> bool:
    """Whether this is a primary or a secondary limit and not a plain refusal."""
    if answer.status == _TOO_MANY_REQUESTS:
        return True
    if answer.status != _FORBIDDEN:
        return False
    said = answer.body[:_BODY_BYTES_READ_MAX].lower()
    return (
        "retry-after" in answer.headers
        or answer.headers.get("x-ratelimit-remaining") == "0"
        or any(words in said for words in _SECONDARY_WORDS)
    )


def rate_limit_wait(answer: Answer, attempt: int, now_s: float) -> float:
    """Seconds to wait: `retry-after`, else until the reset, else 60 s doubled with each attempt."""
    if (after := _seconds(answer.headers.get("retry-after"))) is not None:
        return after
    reset = _seconds(answer.headers.get("x-ratelimit-reset"))
    if reset is not None and answer.headers.get("x-ratelimit-remaining") == "0":
        return max(reset - now_s, 0.0) + 1.0
    return RATE_LIMIT_FALLBACK_S * 2.0 ** (attempt - 1)


def _seconds(value: str | None) -> float | None:
    """A header's seconds; None when absent or not a plain number (a date is treated as absent)."""
    if value is None or not value.isascii() or not value.isdigit():
        return None
    return float(value)
