"""What happened: every request, and everything that a real GitHub would not have let pass."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

REQUESTS_MAX = 200_000
WRITTEN_MAX = 2_000


@dataclass
class Entry:
    """One request and its answer; secrets are not kept."""

    id: str
    method: str
    path: str
    query: str
    kind: str
    login: str | None
    operation: str | None
    repository: str | None
    status: int = 0
    fault: str | None = None


@dataclass(frozen=True)
class Violation:
    """Something that breaks GitHub's description: a request of an App, or a webhook or answer of ours."""

    what: str
    where: str
    problems: tuple[str, ...]
    repository: str | None


@dataclass(frozen=True)
class Written:
    """A text that an App put where people read it: a check run (by its name), a comment, a pull request."""

    method: str
    path: str
    name: str
    text: str


@dataclass
class Journal:
    """The log of one local GitHub."""

    requests: list[Entry] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    deviations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    written: deque[Written] = field(default_factory=lambda: deque(maxlen=WRITTEN_MAX))

    def note(self, entry: Entry) -> None:
        """Keep a request, forgetting the oldest beyond the limit."""
        self.requests.append(entry)
        if len(self.requests) > REQUESTS_MAX:
            del self.requests[: REQUESTS_MAX // 10]

    def violate(self, what: str, where: str, problems: tuple[str, ...], repository: str | None = None) -> None:
        """Record a violation."""
        self.violations.append(Violation(what, where, problems, repository))

    def of_repository(self, repository: str | None) -> Mapping[str, Any]:
        """Return the violations, all or of one repository together with those of none."""
        wanted = [one for one in self.violations if repository is None or one.repository in {None, repository}]
        return {"violations": [asdict(one) for one in wanted]}

    def deviate(self, operation: str, problems: tuple[str, ...]) -> None:
        """Keep where an answer of ours differs from GitHub's description, once per operation."""
        self.deviations.setdefault(operation, problems)
