"""The one registry of invariants: what each name means here, who measures it, and what it is worth.

`python -m execution.invariants` prints the registry as Markdown; docs/invariants.md is that text.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from execution.checks import TESTED
from execution.config import Check
from execution.static_scan import RULES

SECURE = "secure"
COMMIT_HISTORY_VERIFIED = "commit_history_verified"
AUDIT_MANDATORY = "audit_mandatory"


class Basis(StrEnum):
    """Where the truth of an invariant comes from."""

    CHECK = "check"  # a check that the repository declares proves it
    CANDIDATE = "measured, per candidate"  # we measure it on each candidate
    RUN = "measured, per run"  # we measure it once; it holds for every candidate of the run or for none
    CLAIM = "claim only"  # nobody measures it; an agent may say it, and it counts for nothing


@dataclass(frozen=True)
class Invariant:
    """One name.

    Attributes:
        name: the word in results and on the ledger.
        basis: see Basis.
        definition: exactly when it holds.
        limits: what it does not say.
    """

    name: str
    basis: Basis
    definition: str
    limits: str


_CLAIM_LIMITS = "No measurement of ours decides it. A repository can declare a check that proves it."

REGISTRY: tuple[Invariant, ...] = (
    Invariant(
        TESTED,
        Basis.CHECK,
        "Every declared check with `proves: [tested]` (or the recognised test command) ended with exit code 0, on the "
        "candidate's tree and on its code with the base's tests and configuration.",
        "What the repository's tests do not look at. Code that knows it is being tested can end the process kindly.",
    ),
    Invariant(
        "documented",
        Basis.CHECK,
        "Every declared check with `proves: [documented]` passed in both forms.",
        "Only as much as that check demands; without such a check the name never holds.",
    ),
    Invariant(
        "type_safe",
        Basis.CHECK,
        "Every declared check with `proves: [type_safe]` passed in both forms; typically a strict type checker.",
        "Only as much as that check demands; without such a check the name never holds.",
    ),
    Invariant(
        SECURE,
        Basis.CANDIDATE,
        "No added line has the shape of a credential or private key, no added line meets a rule of the static scan "
        "below, no binary content is added, and every declared check with `proves: [secure]` passed in both forms.",
        "A net with holes: shapes of single added lines, no data flow, no dependencies, nothing about old code.",
    ),
    Invariant(
        COMMIT_HISTORY_VERIFIED,
        Basis.RUN,
        "The base commit lies on the base branch; the ids of up to 10,000 commits of its history and of all "
        "directories of its tree were recomputed from their bytes and agree; no parent is missing.",
        "Not who wrote the commits: author names are self-declared, signatures are not checked. Blobs are not read "
        "again. A shallow clone does not pass.",
    ),
    Invariant(
        AUDIT_MANDATORY,
        Basis.RUN,
        "The plan's receipt names a commit of the `datalake` branch that holds exactly this run's plan, and its time "
        "is not after the dispatch token of the candidate's node.",
        "Both times are our own clock's. That the branch was not rewritten since is what `optr verify-ledger` shows.",
    ),
    *(
        Invariant(name, Basis.CLAIM, f"An agent says so of itself: {words}.", _CLAIM_LIMITS)
        for name, words in (
            ("constitutional_ai", "its answer follows its vendor's principles"),
            ("security_first", "it put security before other aims"),
            ("github_api_access", "it read what it needs through GitHub's API"),
            ("workflow_orchestration", "it planned and ordered steps of a business workflow"),
            ("cross_platform_coordination", "it worked over more than one platform"),
        )
    ),
)

# What decides the score beside the declared checks. Names measured per run cannot tell candidates apart, so they are
# shown and recorded but neither earn points nor stretch the denominator.
MEASURED_INVARIANTS: Mapping[str, str] = MappingProxyType(
    {entry.name: entry.definition for entry in REGISTRY if entry.basis is Basis.CANDIDATE}
)


def provable(checks: Iterable[Check]) -> tuple[str, ...]:
    """Names that this run's checks and our measurements could prove of a candidate, sorted."""
    return tuple(sorted({name for check in checks for name in check.proves} | set(MEASURED_INVARIANTS)))


def holding(candidate: Iterable[str], run: Mapping[str, bool], declared: Iterable[str] = ()) -> tuple[str, ...]:
    """What holds for one candidate, sorted.

    Args:
        candidate: names measured on the candidate.
        run: names measured per run, and whether they hold.
        declared: names that declared checks prove; one that is measured per run too needs both.
    """
    own, asked = set(candidate), set(declared)
    common = {name for name, holds in run.items() if holds and (name in own or name not in asked)}
    return tuple(sorted((own - set(run)) | common))


_HEADER = """\
# Invariants

A name in the column "invariants" of a comparison was measured by OPTR or proven by a check that the repository declares
on its base branch. What an agent claims is kept beside it as data and counts for nothing. A check may prove any further
name of your choice (`proves: [...]` in `.github/optr.yml`); it then means what that check demands.

Names measured per run hold for every candidate or for none. They are shown and recorded, but they earn no points.

This page is printed by `python -m execution.invariants`; a test compares the two.

| invariant | basis | holds when | does not say |
|---|---|---|---|
"""

_RULES_HEADER = """
## The static scan

It looks at added lines one by one, in files of the named endings (test files are spared where the table says so;
prose is never scanned). It is a net with holes: a shape split over two lines, renamed or computed passes, and a
harmless line that looks like one of these costs `secure` all the same. Findings are shown to the reviewer.

| rule | finds | in files | test files |
|---|---|---|---|
"""


def markdown() -> str:
    """The registry and the scan's rules as a Markdown page."""
    rows = [f"| `{entry.name}` | {entry.basis} | {entry.definition} | {entry.limits} |\n" for entry in REGISTRY]
    rules = [
        f"| `{rule.id}` | {rule.text} | {_files(rule.suffixes)} | {'scanned' if rule.in_tests else 'spared'} |\n"
        for rule in RULES
    ]
    return _HEADER + "".join(rows) + _RULES_HEADER + "".join(rules)


def _files(suffixes: frozenset[str]) -> str:
    return " ".join(f"`{suffix}`" if suffix else "(no ending)" for suffix in sorted(suffixes)) or "all but prose"


if __name__ == "__main__":
    sys.stdout.write(markdown())
