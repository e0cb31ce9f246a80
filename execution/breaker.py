"""A circuit breaker for each agent: one that keeps failing sits out for a while, then gets one try.

The states and what moves them are pure; a row for each agent of an installation remembers where it stands.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import sqlalchemy as sa

from execution.records import AgentOutcome
from execution.runs import Run
from execution.store import Store, insert_once, make_tables

FAILURES_MAX = 5  # in a row, over all runs of an installation
COOL_MS = 30 * 60 * 1000
BROKEN = frozenset({AgentOutcome.FAILED, AgentOutcome.TIMEOUT, AgentOutcome.AUTH})

_METADATA = sa.MetaData()
_BREAKERS = sa.Table(
    "optr_breakers",
    _METADATA,
    sa.Column("agent", sa.String(256), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("opened_ms", sa.BigInteger, nullable=False),
)


class Circuit(StrEnum):
    """Whether an agent takes part, the words users see."""

    CLOSED = "closed"  # it does
    OPEN = "open"  # it sits out
    HALF_OPEN = "half_open"  # one run may try it


@dataclass(frozen=True)
class Breaker:
    """An agent's standing.

    Attributes:
        failures: in a row.
        opened_ms: when it was opened, or when its one try began, milliseconds since the epoch; 0 while closed.
    """

    failures: int = 0
    opened_ms: int = 0

    def circuit(self, now_ms: int) -> Circuit:
        """Where it stands."""
        if self.failures < FAILURES_MAX:
            return Circuit.CLOSED
        return Circuit.OPEN if now_ms < self.opened_ms + COOL_MS else Circuit.HALF_OPEN

    def trying(self, now_ms: int) -> "Breaker":
        """After the one try began: others wait until it has ended, or for as long again."""
        return replace(self, opened_ms=now_ms)

    def after(self, *, failed: bool, now_ms: int) -> "Breaker":
        """After an attempt."""
        if not failed:
            return Breaker()
        failures = self.failures + 1
        return Breaker(failures, now_ms if failures >= FAILURES_MAX else 0)


class Breakers:
    """Breaker rows of one state database.

    Args:
        store: whose database it is.
    """

    def __init__(self, store: Store) -> None:
        self._engine = store.database
        make_tables(self._engine, _METADATA)

    def admit(self, agent: str, now_ms: int) -> bool:
        """Whether the agent may take part now; on a half-open breaker the first who asks gets the one try."""
        with self._engine.begin() as connection:
            standing = _read(connection, agent)
            circuit = standing.circuit(now_ms)
            if circuit is Circuit.HALF_OPEN:
                _write(connection, agent, standing.trying(now_ms))
            return circuit is not Circuit.OPEN

    def record(self, agent: str, *, failed: bool, now_ms: int) -> Breaker:
        """Count an attempt and return the new standing."""
        with self._engine.begin() as connection:
            # A row that is not there cannot be locked, and two processes may meet an agent's first failure at once.
            insert_once(connection, _BREAKERS, agent=agent, failures=0, opened_ms=0)
            standing = _read(connection, agent).after(failed=failed, now_ms=now_ms)
            _write(connection, agent, standing)
            return standing


def _read(connection: sa.Connection, agent: str) -> Breaker:
    query = sa.select(_BREAKERS.c.failures, _BREAKERS.c.opened_ms).where(_BREAKERS.c.agent == agent)
    row = connection.execute(query.with_for_update()).first()
    return Breaker() if row is None else Breaker(row.failures, row.opened_ms)


def _write(connection: sa.Connection, agent: str, standing: Breaker) -> None:
    values = {"failures": standing.failures, "opened_ms": standing.opened_ms}
    connection.execute(_BREAKERS.update().where(_BREAKERS.c.agent == agent).values(**values))


def breaker_of(run: Run, agent: str) -> str:
    """The key of an agent's breaker: one installation's trouble does not bench another's agents."""
    return f"{run.installation}/{agent}"
