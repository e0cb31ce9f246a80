"""What a verification found, in words and as a record."""

from dataclasses import asdict, dataclass
from typing import Any

from ledger.faults import Problem

VERSION = 1  # of the record; new fields may come under the same version, a change of meaning gets a new one
NO_CHECKPOINT = "no checkpoint beside this file: lines cut from its end would not be noticed"
NO_TRUST = "no trusted key given: the key on the branch was believed"
UNREAD = "the first {} lines, and the files they speak for, were believed from the checkpoint and not read again"


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        path: what was verified, as people call it.
        entries: lines read before the problem, or all.
        root: hex RFC 6962 root over them.
        problem: the first thing wrong, None when all is well.
        origin: the ledger's name, from the checkpoint; empty when none was read.
        notes: what this verification could not see, for people.
    """

    path: str
    entries: int
    root: str
    problem: Problem | None = None
    origin: str = ""
    notes: tuple[str, ...] = ()


def describe(verification: Verification) -> list[str]:
    """Say it in lines for people: five when all is well; otherwise what failed, and what that implies."""
    first = [f"Verifying ledger: {verification.path}"]
    problem = verification.problem
    if problem is None:
        return [
            *first,
            f"Entries: {verification.entries}",
            "All hashes valid",
            "Chain linkage intact",
            "Ledger verified",
        ]
    at = place = ""
    if problem.entry is not None:  # people count entries from 1; `seq`, by which they look one up, counts from 0
        at, place = f" at entry {problem.entry}", f" (entry {problem.entry} is seq {problem.entry - 1})"
    return [*first, f"Ledger verification failed{at}: {problem.detail}", f"This implies: {problem.implies}{place}"]


def record(verification: Verification) -> dict[str, Any]:
    """Return it for machines: `version`, then the fields of `Verification`."""
    return {"version": VERSION, **asdict(verification)}
