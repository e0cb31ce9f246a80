"""What can go wrong with a model, in one vocabulary, with whose fault it is.

SDK exceptions are recognised by their shape (status code, body, class names up the hierarchy), so that this module
imports no SDK; both are generated from the same template and share the shape.
"""

from enum import StrEnum
from typing import Any

from execution.records import Usage

HTTP_BAD_REQUEST = 400
HTTP_UNAUTHORIZED = 401
HTTP_PAYMENT_REQUIRED = 402
HTTP_FORBIDDEN = 403
HTTP_NOT_FOUND = 404
HTTP_REQUEST_TIMEOUT = 408
HTTP_TOO_LARGE = 413
HTTP_TOO_MANY = 429
HTTP_SERVER_ERROR = 500
HTTP_OVERLOADED = 529
DETAIL_CHARACTERS_MAX = 300


class ModelErrorKind(StrEnum):
    """Kinds of failure, the words users see."""

    AUTH = "auth"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    REFUSAL = "refusal"
    CONTEXT_EXCEEDED = "context_exceeded"
    BAD_OUTPUT = "bad_output"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    BAD_REQUEST = "bad_request"


_RETRYABLE = frozenset(
    {
        ModelErrorKind.RATE_LIMIT,
        ModelErrorKind.OVERLOADED,
        ModelErrorKind.BAD_OUTPUT,
        ModelErrorKind.TIMEOUT,
        ModelErrorKind.UNREACHABLE,
    }
)

_SENTENCES = {
    ModelErrorKind.AUTH: "The provider of {model} refused the key: the operator must check the key and its plan",
    ModelErrorKind.RATE_LIMIT: "The provider of {model} limits this account's rate: the operator's quota is used up",
    ModelErrorKind.OVERLOADED: "The provider of {model} failed on its side: nobody here is at fault, try again later",
    ModelErrorKind.REFUSAL: "{model} refused the task: rephrase the request, or race another model",
    ModelErrorKind.CONTEXT_EXCEEDED: "The conversation outgrew {model}'s context: the agent read too much at once",
    ModelErrorKind.BAD_OUTPUT: "{model} sent an answer that cannot be used: the model or its provider is at fault",
    ModelErrorKind.TIMEOUT: "{model} did not answer in time: the provider or the network is slow",
    ModelErrorKind.UNREACHABLE: "The connection to {model} failed: the network or the provider is at fault",
    ModelErrorKind.BAD_REQUEST: "The provider of {model} rejected our request: OPTR or its models file is at fault",
}

_CONTEXT_MARKS = ("context_length_exceeded", "context window", "prompt is too long", "maximum context length")
_TRANSPORT_CLASSES = frozenset({"TransportError", "APIConnectionError", "StreamError", "OSError"})
_TIMEOUT_CLASSES = frozenset({"APITimeoutError", "TimeoutException", "TimeoutError"})


class ModelError(Exception):
    """A model could not be asked, or its answer cannot be used.

    Attributes:
        kind: see ModelErrorKind.
        model: the registry id.
        detail: the provider's words, cut; never a key.
        usage: tokens that the failed call is charged with.
    """

    def __init__(self, kind: ModelErrorKind, model: str, detail: str = "", usage: Usage | None = None) -> None:
        self.kind = kind
        self.model = model
        self.detail = " ".join(detail.split())[:DETAIL_CHARACTERS_MAX]
        self.usage = usage or Usage(calls=1)
        super().__init__(self.sentence)

    def __reduce__(self) -> tuple[type["ModelError"], tuple[ModelErrorKind, str, str, Usage]]:
        """As the engine's journal keeps it: a run that was interrupted reads its failures again."""
        return ModelError, (self.kind, self.model, self.detail, self.usage)

    @property
    def retryable(self) -> bool:
        """Whether asking again, unchanged, may help."""
        return self.kind in _RETRYABLE

    @property
    def sentence(self) -> str:
        """What happened and whose fault it is, for people."""
        sentence = _SENTENCES[self.kind].format(model=self.model)
        return f"{sentence} ({self.detail})." if self.detail else f"{sentence}."


def classify(error: Exception, model: str, charge: Usage) -> ModelError:
    """Turn what an SDK raised into a ModelError.

    Args:
        error: any exception out of the SDK or its HTTP layer.
        model: the registry id.
        charge: what the call costs if the provider had begun to answer; an error status costs nothing.
    """
    names = {cls.__name__ for cls in type(error).__mro__}
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= HTTP_BAD_REQUEST:
        return ModelError(_by_status(status, str(error)), model, _message(error))
    if kind := _by_code(error):
        return ModelError(kind, model, _message(error), charge)
    if names & _TIMEOUT_CLASSES:
        return ModelError(ModelErrorKind.TIMEOUT, model, "", charge)
    if names & _TRANSPORT_CLASSES:
        return ModelError(ModelErrorKind.UNREACHABLE, model, _cause(error), charge)
    return ModelError(ModelErrorKind.BAD_OUTPUT, model, _cause(error), charge)


def _by_status(status: int, text: str) -> ModelErrorKind:
    lowered = text.lower()
    if status in {HTTP_UNAUTHORIZED, HTTP_PAYMENT_REQUIRED, HTTP_FORBIDDEN}:
        return ModelErrorKind.AUTH
    if status == HTTP_TOO_MANY:
        return ModelErrorKind.AUTH if "insufficient_quota" in lowered else ModelErrorKind.RATE_LIMIT
    if status == HTTP_TOO_LARGE or any(mark in lowered for mark in _CONTEXT_MARKS):
        return ModelErrorKind.CONTEXT_EXCEEDED
    if status == HTTP_REQUEST_TIMEOUT:
        return ModelErrorKind.TIMEOUT
    return ModelErrorKind.OVERLOADED if status >= HTTP_SERVER_ERROR else ModelErrorKind.BAD_REQUEST


def by_stream_code(code: str) -> ModelErrorKind:
    """The kind of an error that came as an event inside a stream that began with status 200."""
    lowered = code.lower()
    if "rate_limit" in lowered:
        return ModelErrorKind.RATE_LIMIT
    if "overloaded" in lowered or "server_error" in lowered or "api_error" in lowered:
        return ModelErrorKind.OVERLOADED
    if "policy" in lowered or "refus" in lowered or "content_filter" in lowered:
        return ModelErrorKind.REFUSAL
    if any(mark in lowered for mark in _CONTEXT_MARKS):
        return ModelErrorKind.CONTEXT_EXCEEDED
    return ModelErrorKind.BAD_OUTPUT


def _by_code(error: Exception) -> ModelErrorKind | None:
    body: Any = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        return None
    return by_stream_code(f"{inner.get('type', '')} {inner.get('code', '')}")


def _message(error: Exception) -> str:
    body: Any = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    message = inner.get("message") if isinstance(inner, dict) else None
    return message if isinstance(message, str) else type(error).__name__


def _cause(error: Exception) -> str:
    # A connection error's own text is bare; the reason stands in what caused it.
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"
