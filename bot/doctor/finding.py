"""What an examination finds."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """How a thing stands. `skipped`: it could not be tried, because something before it failed or is not set."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """One thing that was tried.

    Attributes:
        name: what was tried, one or two words.
        standing: how it stands.
        what: one sentence; may quote GitHub or the operator's settings, never a secret.
        remedy: one sentence: what to do; empty when nothing is.
    """

    name: str
    standing: Standing
    what: str
    remedy: str = ""


def ok(name: str, what: str) -> Finding:
    """All is well."""
    return Finding(name, Standing.OK, what)


def warning(name: str, what: str, remedy: str) -> Finding:
    """It works, or may; somebody should look."""
    return Finding(name, Standing.WARNING, what, remedy)


def failed(name: str, what: str, remedy: str) -> Finding:
    """OPTR cannot do its work so."""
    return Finding(name, Standing.FAILED, what, remedy)


def skipped(name: str, what: str) -> Finding:
    """Not tried."""
    return Finding(name, Standing.SKIPPED, what)


def healthy(findings: Iterable[Finding]) -> bool:
    """Whether nothing failed."""
    return all(finding.standing is not Standing.FAILED for finding in findings)
