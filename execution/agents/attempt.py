"""One attempt's bounds: what it may use, what it has used and how it ends, alike for every agent that asks a model."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from execution.agents.report import parse_report
from execution.models.conversation import Turn
from execution.models.errors import ModelError, ModelErrorKind
from execution.records import AgentOutcome, AgentReport, Attempt, Limits, Step, Usage

TURN_TRIES = 2  # the SDK already repeats what fails before an answer; this is for answers that break off


class EndedError(Exception):
    """The attempt is over without an answer, for a reason that only its kind of agent knows.

    Attributes:
        outcome: what became of it.
        reason: follows the agent's name in the sentence that people see.
    """

    def __init__(self, outcome: AgentOutcome, reason: str) -> None:
        self.outcome = outcome
        self.reason = reason
        super().__init__(reason)


class SpentError(Exception):
    """A limit is reached; the text says which."""


@dataclass
class Account:
    """What an attempt has used so far."""

    limits: Limits
    usage: Usage = field(default_factory=Usage)
    steps: list[Step] = field(default_factory=list)

    def check(self) -> None:
        """Refuse the next call once a limit is reached."""
        usage = self.usage
        tokens = usage.fresh + usage.cached + usage.cache_write + usage.output
        if tokens >= self.limits.tokens:
            raise SpentError(f"its token limit ({tokens} of {self.limits.tokens})")
        if usage.cost_microusd >= self.limits.cost_microusd:
            spent, allowed = usage.cost_microusd / 1e6, self.limits.cost_microusd / 1e6
            raise SpentError(f"its money limit (${spent:.4f} of ${allowed:.4f})")

    def close(self, outcome: AgentOutcome, error: str | None, report: AgentReport | None = None) -> Attempt:
        """The attempt's record."""
        return Attempt(
            outcome=outcome,
            report=report or AgentReport(),
            usage=self.usage,
            error=error,
            trajectory=tuple(self.steps),
        )


async def bounded(name: str, account: Account, work: Awaitable[str]) -> Attempt:
    """Await an agent's last words within its time, and say how the attempt ended, with its bill.

    Args:
        name: the agent's name, as people see it.
        account: what the work is charged to.
        work: gives the text that may hold the agent's report.
    """
    limits = account.limits
    try:
        async with asyncio.timeout(limits.wall_seconds) as clock:
            text = await work
    except TimeoutError:
        if not clock.expired():
            raise
        return account.close(AgentOutcome.TIMEOUT, timeout_sentence(name, limits))
    except SpentError as limit:
        return account.close(AgentOutcome.BUDGET, f"Agent '{name}' reached {limit} before it was done.")
    except EndedError as end:
        return account.close(end.outcome, f"Agent '{name}' {end.reason}")
    except ModelError as error:
        outcome = AgentOutcome.AUTH if error.kind is ModelErrorKind.AUTH else AgentOutcome.FAILED
        return account.close(outcome, error.sentence)
    return account.close(AgentOutcome.COMPLETED, None, parse_report(text))


async def charged(account: Account, ask: Callable[[], Awaitable[Turn]]) -> Turn:
    """Ask once, or again where that may help; every call is charged, and none is made beyond a limit.

    Raises:
        SpentError: a limit is reached.
        ModelError: there is no usable answer.
    """
    for tries_left in reversed(range(TURN_TRIES)):
        account.check()
        try:
            turn = await ask()
        except ModelError as error:
            account.usage += error.usage
            if not (error.retryable and tries_left):
                raise
        else:
            account.usage += turn.usage
            return turn
    raise AssertionError("the last try returns or raises")


def timeout_sentence(name: str, limits: Limits) -> str:
    """The seed's words for an attempt that ran out of time."""
    return f"Agent '{name}' timed out after {round(limits.wall_seconds * 1000)}ms"
