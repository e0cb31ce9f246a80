"""The registry as builders and patterns of workflows ask it: who may do what, by signed records alone."""

from collections.abc import Iterable
from dataclasses import dataclass

from governance.codes import ReasonCode, RefusedError
from governance.trust.records import Book
from governance.trust.registry import find_capable_agent, status_of

_KIND = "agent:"


@dataclass(frozen=True)
class Roster:
    """A book of trust at one moment (`governance.workflow.Trust`).

    Attributes:
        book: with what was revoked up to then.
        task: `<run>` or `<run>/<node>`, what somebody is looked for to do.
        now_ms: milliseconds since the epoch.
    """

    book: Book
    task: str
    now_ms: int

    def capabilities(self, agent: str) -> tuple[str, ...]:
        """What stands of what was ever granted to the agent, sorted; empty for one that is not known or not trusted."""
        return status_of(self.book, f"{_KIND}{agent}", self.now_ms).capabilities

    def distrusted(self, agent: str) -> str | None:
        """Why nothing that was granted to the agent stands, the code first; None when something does."""
        status = status_of(self.book, f"{_KIND}{agent}", self.now_ms)
        return None if status.trusted else status.reason

    def require(self, agent: str, needed: Iterable[str]) -> None:
        """Refuse an agent that is not trusted, or that does not hold all of this.

        Raises:
            RefusedError: the code of what is wrong with its grants, or TRUST_CAPABILITY.
        """
        status = status_of(self.book, f"{_KIND}{agent}", self.now_ms)
        if status.code is not None:
            raise RefusedError(status.code, status.reason.removeprefix(f"{status.code}: "))
        lacking = [word for word in needed if word not in status.capabilities]
        if lacking:
            raise RefusedError(ReasonCode.TRUST_CAPABILITY, f"agent {agent!a} does not hold {', '.join(lacking)}")

    def capable(self, capability: str) -> str:
        """The agent that may do this for the task.

        Raises:
            RefusedError: NO_CAPABLE_AGENT.
        """
        return find_capable_agent(self.book, capability, self.task, self.now_ms).actor.removeprefix(_KIND)
