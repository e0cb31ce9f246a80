"""Failures on demand: the next requests that match a rule are answered as a failing GitHub would."""

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tests.github.wire import ApiError, Json

SLOW_SECONDS_DEFAULT = 1.0
RETRY_AFTER_DEFAULT = 1


class Effect(Enum):
    """What happens to a matching request. ``after`` variants act once the request has taken effect.

    ``slow`` answers late but well; ``stall`` keeps the caller waiting for as long and then hangs up.
    """

    SECONDARY_LIMIT = "secondary_limit"
    PRIMARY_LIMIT = "primary_limit"
    TOO_MANY = "too_many"
    SERVER_ERROR = "server_error"
    BAD_GATEWAY = "bad_gateway"
    UNAUTHORIZED = "unauthorized"
    SLOW = "slow"
    STALL = "stall"
    STALL_AFTER = "stall_after"
    DROP = "drop"
    DROP_AFTER = "drop_after"
    BAD_GATEWAY_AFTER = "bad_gateway_after"
    TRUNCATE = "truncate"


AFTER = frozenset({Effect.STALL_AFTER, Effect.DROP_AFTER, Effect.BAD_GATEWAY_AFTER, Effect.TRUNCATE})


@dataclass
class Rule:
    """Applies ``effect`` to the next ``times`` requests after skipping ``skip`` that match all four patterns."""

    id: int
    effect: Effect
    method: re.Pattern[str]
    path: re.Pattern[str]
    query: re.Pattern[str]
    body: re.Pattern[bytes]
    times: int = 1
    skip: int = 0
    seconds: float = SLOW_SECONDS_DEFAULT
    retry_after: int = RETRY_AFTER_DEFAULT
    app_only: bool = True
    hits: int = 0


@dataclass
class Faults:
    """The rules in force."""

    rules: list[Rule] = field(default_factory=list)
    made: int = 0

    def add(self, fields: Json) -> Rule:
        """Add a rule from ``effect``, patterns (``method``, ``path``, ``query``, ``body``), ``times`` and so on."""
        known = {key: fields[key] for key in ("times", "skip", "seconds", "retry_after", "app_only") if key in fields}
        unknown = set(fields) - {"effect", "method", "path", "query", "body", *known}
        if unknown:
            raise ApiError(400, f"unknown fault fields: {', '.join(sorted(unknown))}")
        self.made += 1
        rule = Rule(
            self.made,
            Effect(fields["effect"]),
            re.compile(fields.get("method", ".*")),
            re.compile(fields.get("path", ".*")),
            re.compile(fields.get("query", "")),
            re.compile(fields.get("body", "").encode()),
            **known,
        )
        self.rules.append(rule)
        return rule

    def take(self, method: str, path: str, query: str, body: bytes, *, from_app: bool) -> Rule | None:
        """Return the rule that applies to a request, counting it."""
        for rule in self.rules:
            if rule.times <= 0 or (rule.app_only and not from_app):
                continue
            if not (rule.method.fullmatch(method) and rule.path.search(path)):
                continue
            if not (rule.query.search(query) and rule.body.search(body)):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            rule.times -= 1
            rule.hits += 1
            return rule
        return None


def refusal(rule: Rule, now: float) -> ApiError | None:
    """Return the answer a rule gives instead of doing the work, if it is an answer."""
    retry = {"Retry-After": str(rule.retry_after)}
    exhausted = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(now) + rule.retry_after)}
    answers: dict[Effect, tuple[Any, ...]] = {
        Effect.SECONDARY_LIMIT: (403, "You have exceeded a secondary rate limit. Please wait.", (), retry),
        Effect.PRIMARY_LIMIT: (403, "API rate limit exceeded for installation.", (), exhausted),
        Effect.TOO_MANY: (429, "You have exceeded a secondary rate limit. Please wait.", (), retry),
        Effect.SERVER_ERROR: (500, "Server Error"),
        Effect.BAD_GATEWAY: (502, "Server Error"),
        Effect.UNAUTHORIZED: (401, "Bad credentials"),
    }
    return ApiError(*answers[rule.effect]) if rule.effect in answers else None
