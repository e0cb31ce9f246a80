"""How risky the winner's change is, and how many people that takes: pure, from facts that git and the ledger give."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from governance.protected import LOCKFILES, PROTECTED, matched

LINES_HIGH = 1_000  # added and deleted
LINES_MEDIUM = 300
FILES_HIGH = 50
FILES_MEDIUM = 15
MARGIN_MEDIUM = Decimal("0.05")  # of the winner's score, to the next best
MANIFESTS = (
    *("**/package.json", "**/pyproject.toml", "**/setup.py", "**/setup.cfg", "**/Pipfile", "**/environment.yml"),
    *("**/Cargo.toml", "**/go.mod", "**/Gemfile", "**/composer.json", "**/pom.xml", "**/build.gradle*", "**/*.csproj"),
)


class Level(StrEnum):
    """How much looking a change needs, the words users see."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Change(BaseModel):
    """What the recorded winner changes, measured by git.

    Attributes:
        paths: repository paths touched.
        lines: added and deleted.
        scores: of all ranked candidates, decimal strings by agent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[str, ...]
    lines: int
    scores: Mapping[str, str] = {}


class Risk(BaseModel):
    """The level and why.

    Attributes:
        level: see Level.
        why: one short sentence each; empty for LOW.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Level
    why: tuple[str, ...] = ()


def assess(change: Change, protected: Iterable[str]) -> Risk:
    """The highest level that any fact asks for.

    Args:
        change: what was measured.
        protected: further globs of the repository's configuration.
    """
    high = [*_touched(change, (*PROTECTED, *protected), "a protected path"), *_dependencies(change)]
    medium = []
    if change.lines > LINES_HIGH or len(change.paths) > FILES_HIGH:
        high.append(f"{change.lines} lines in {len(change.paths)} files")
    elif change.lines > LINES_MEDIUM or len(change.paths) > FILES_MEDIUM:
        medium.append(f"{change.lines} lines in {len(change.paths)} files")
    if (margin := _margin(change.scores)) is not None and margin < MARGIN_MEDIUM:
        medium.append(f"won by {margin * 100:.1f} % only")
    if high:
        return Risk(level=Level.HIGH, why=(*high, *medium))
    return Risk(level=Level.MEDIUM if medium else Level.LOW, why=tuple(medium))


def _touched(change: Change, globs: Iterable[str], what: str) -> list[str]:
    found = next((path for path in change.paths if matched(path, globs)), None)
    return [f"{what} changes: {found}"] if found else []


def _dependencies(change: Change) -> list[str]:
    return _touched(change, (*LOCKFILES, *MANIFESTS), "what the project depends on")


def _margin(scores: Mapping[str, str]) -> Decimal | None:
    """The lead of the best over the next, as a share of the best; None when nobody else was ranked."""
    try:
        ranked = sorted((Decimal(score) for score in scores.values() if score), reverse=True)
    except InvalidOperation:
        return Decimal(0)  # a score that is none is no lead
    if len(ranked) < 2:  # noqa: PLR2004 - a lead needs two
        return None
    return (ranked[0] - ranked[1]) / ranked[0] if ranked[0] > 0 else Decimal(0)
