"""Who watches a run: told what happened, able to change nothing."""

from typing import Protocol

from execution.records import AgentOutcome, Usage
from governance.states import RunOutcome


class Observer(Protocol):
    """Counts for an operator. What is told may be told again after a crash, so it is never the record."""

    def attempted(self, kind: str, outcome: AgentOutcome, usage: Usage) -> None:
        """An agent of that type ended an attempt with this outcome and bill."""
        ...

    def closed(self, outcome: RunOutcome) -> None:
        """A run was closed."""
        ...


class Unwatched:
    """Nobody looks; the command line's case."""

    def attempted(self, kind: str, outcome: AgentOutcome, usage: Usage) -> None:
        """See Observer."""

    def closed(self, outcome: RunOutcome) -> None:
        """See Observer."""
