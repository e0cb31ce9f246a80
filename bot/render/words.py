"""Numbers and verdicts as people read them."""

import re
from importlib.metadata import PackageNotFoundError, version

from bot.render.neutral import neutralise
from execution.result import CandidateResult, RunResult
from scoring.evidence import CheckForm, CheckOutcome, CheckResult

NAME_CHARACTERS_MAX = 40
SENTENCE_CHARACTERS_MAX = 240

_URL = re.compile(r"https?://[A-Za-z0-9._:-]{1,100}(/[A-Za-z0-9._~/#?=&%+-]{0,300})?")
_MICRO = 1_000_000
_CENT = 10_000
_MINUTE_S = 60
_SECOND_MS = 1000
_DIGEST_DIGITS = 12

PASSED = "✓"
FAILED = "✗"


def name(text: str) -> str:
    """An agent's, check's or model's name, inert and short."""
    return neutralise(text, NAME_CHARACTERS_MAX)


def sentence(text: str) -> str:
    """One sentence of whoever wrote it, inert and short."""
    return neutralise(text, SENTENCE_CHARACTERS_MAX)


def code(text: str) -> str:
    """What may stand in a code span as it is: ASCII letters, digits and the marks of codes, digests and paths."""
    return "".join(c for c in text if c.isascii() and (c.isalnum() or c in "_.+-/=:"))[:SENTENCE_CHARACTERS_MAX]


def links(result: RunResult) -> list[str]:
    """The result's links but the repository's, as Markdown; one that is no plain https address is left out."""
    shown = {label: url for label, url in result.links.items() if label != "repository" and _URL.fullmatch(url)}
    return [f"[{name(label)}]({url})" for label, url in shown.items()]


def money(microusd: int) -> str:
    """US dollars: `$0.83`, `$0.0004` under a cent, `$0` for nothing."""
    if microusd == 0:
        return "$0"
    if microusd < _CENT:
        return f"${microusd / _MICRO:.4f}"
    return f"${microusd / _MICRO:.2f}"


def duration(milliseconds: int) -> str:
    """`840ms`, `41.3s` or `6m12s`."""
    if milliseconds < _SECOND_MS:
        return f"{milliseconds}ms"
    seconds = milliseconds / _SECOND_MS
    if seconds < _MINUTE_S:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    return f"{minutes}m{rest:02d}s"


def short(digest: str) -> str:
    """The first 12 digits of a hex digest."""
    return digest[:_DIGEST_DIGITS]


def failures(candidate: CandidateResult) -> tuple[CheckResult, ...]:
    """Checks that did not pass, in both forms, as they were run."""
    return tuple(check for check in candidate.checks if check.outcome is not CheckOutcome.PASSED)


def check_ids(candidate: CandidateResult) -> tuple[str, ...]:
    """Ids of the checks that ran, each once, in order."""
    return tuple(dict.fromkeys(check.id for check in candidate.checks))


def form_words(form: CheckForm) -> str:
    """How a check's tree is named to people."""
    return "base's tests" if form is CheckForm.BASE_TESTS else "candidate's tree"


def verdict(candidate: CandidateResult, result: RunResult) -> str:
    """One or two words: how this candidate stands."""
    if candidate.agent == result.winner:
        return f"{PASSED} selected"
    if candidate.admissible is False:
        return f"{FAILED} inadmissible"
    if candidate.admissible:
        return "admissible" if result.winner is None else "not selected"
    return str(candidate.outcome) if candidate.outcome else "running"


def product_version() -> str:
    """OPTR's version as installed."""
    try:
        return version("optr")
    except PackageNotFoundError:
        return "from source"
