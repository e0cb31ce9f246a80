"""JSON logs: one object per line, the delivery's and the run's id on each, no secret in any."""

import contextlib
import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from execution.redaction import REDACTED, Secrets
from execution.whose import run_at_work

VALUE_CHARACTERS_MAX = 4_000

# Credentials that only their surroundings give away: user and password in a URL, an Authorization header.
_IN_TRANSIT = re.compile(r"(?<=://)[^/\s@]+(?=@)|(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/=-]{8,}")
_DELIVERY: ContextVar[str | None] = ContextVar("optr_delivery", default=None)


@contextlib.contextmanager
def delivery_id(guid: str) -> Iterator[None]:
    """Every log line written inside carries this delivery's id."""
    token = _DELIVERY.set(guid)
    try:
        yield
    finally:
        _DELIVERY.reset(token)


def event(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """Log `message` with named fields; at error level the exception being handled is added."""
    failing = level >= logging.ERROR and sys.exc_info()[1] is not None
    logger.log(level, message, extra={"fields": fields}, exc_info=failing)


def log_to(stream: TextIO, level: str, secrets: Secrets) -> None:
    """Send every log line of this process to `stream`, at `level` and above, without `secrets`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class JsonFormatter(logging.Formatter):
    """`{"time","level","logger","message","delivery","run",…fields}`; an exception adds `error` and `traceback`.

    Args:
        secrets: the values that no line may show.
    """

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """One line, ASCII only, so that hostile text cannot start a line of its own or move a terminal's cursor."""
        members: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._clean(record.getMessage())[:VALUE_CHARACTERS_MAX],
        }
        if (guid := _DELIVERY.get()) is not None:
            members["delivery"] = guid
        fields: Mapping[str, object] = getattr(record, "fields", {})
        members |= {name: self._plain(value) for name, value in fields.items() if name not in members}
        if run := run_at_work():
            members.setdefault("run", run)
        if record.exc_info and (error := record.exc_info[1]) is not None:
            members["error"] = self._clean(repr(error))[:VALUE_CHARACTERS_MAX]
            # The end of a traceback says what broke.
            members["traceback"] = self._clean("".join(traceback.format_exception(error)))[-VALUE_CHARACTERS_MAX:]
        return json.dumps(members, ensure_ascii=True)

    def _plain(self, value: object) -> object:
        if value is None or isinstance(value, bool | int):
            return value
        return self._clean(str(value))[:VALUE_CHARACTERS_MAX]

    def _clean(self, text: str) -> str:
        return _IN_TRANSIT.sub(REDACTED, self._secrets.redact(text))
