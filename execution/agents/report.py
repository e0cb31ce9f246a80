"""The typed report at the end of an attempt, read out of whatever text the agent produced."""

import json
from typing import Any

from execution.records import AgentReport
from governance.nodes import FIELDS_MAX
from governance.outputs import FieldValue, plain
from governance.shortening import shortened

TEXT_CHARACTERS_MAX = 200_000
OPENINGS_MAX = 200
FIELD_CHARACTERS_MAX = 4000
CLAIMS_MAX = 100
CLAIM_CHARACTERS_MAX = 100
REPORT_KEYS = frozenset(AgentReport.model_fields)


def parse_report(text: str) -> AgentReport:
    """The last JSON object in `text` that looks like a report; empty claims when there is none."""
    found = _last_object(text[-TEXT_CHARACTERS_MAX:])
    claims = found.get("invariants")
    names = [claim for claim in claims if isinstance(claim, str)] if isinstance(claims, list) else []
    return AgentReport(
        summary=_words(found.get("summary")),
        invariants=_claims(names),
        risks=_words(found.get("risks")),
        rollback=_words(found.get("rollback")),
        output=_output(found.get("output")),
    )


def scrub(text: str) -> str:
    """`text` without lone surrogates, which JSON can smuggle in and UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _last_object(text: str) -> dict[str, Any]:
    decoder = json.JSONDecoder()
    found: dict[str, Any] = {}
    position, openings = text.find("{"), 0
    while position >= 0 and openings < OPENINGS_MAX:
        openings += 1
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            end = position + 1
        else:
            found = value if isinstance(value, dict) and value.keys() & REPORT_KEYS else found
        position = text.find("{", end)
    return found


def _output(value: object) -> dict[str, FieldValue]:
    """The fields that are plain and small enough to be kept; whether they are what was asked is judged elsewhere."""
    if not isinstance(value, dict):
        return {}
    kept = {name: plain(given) for name, given in list(value.items())[:FIELDS_MAX]}
    return {
        shortened(scrub(str(name)), CLAIM_CHARACTERS_MAX): given for name, given in kept.items() if given is not None
    }


def _words(value: object) -> str:
    return shortened(scrub(value), FIELD_CHARACTERS_MAX) if isinstance(value, str) else ""


def _claims(names: list[str]) -> tuple[str, ...]:
    """Every name that is kept, and of too many a last one that says how many there were."""
    kept = names if len(names) <= CLAIMS_MAX else names[: CLAIMS_MAX - 1]
    more = () if len(kept) == len(names) else (f"[… {len(names) - len(kept)} more names …]",)
    return (*(shortened(scrub(name), CLAIM_CHARACTERS_MAX) for name in kept), *more)
