"""Which processes live: a row for each, renewed while it does, on the clock of the database that they share.

A process silent for longer than its lease counts as dead. Should it merely have been slow, the engine refuses its
results and its effects are idempotent, so believing it dead costs repeated work and nothing else.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

import sqlalchemy as sa
from dbos import DBOS

from execution.store import Store, make_tables

BEATS_PER_LEASE = 4
ROWS_KEPT_LEASES = 100  # a dead process's row says where it ran, for this many leases' time

_METADATA = sa.MetaData()
_PROCESSES = sa.Table(
    "optr_processes",
    _METADATA,
    sa.Column("executor", sa.String(64), primary_key=True),
    sa.Column("place", sa.String(256), nullable=False),
    sa.Column("seen_ms", sa.BigInteger, nullable=False),
)
_NOW_MS = sa.cast(sa.extract("epoch", sa.func.clock_timestamp()) * 1000, sa.BigInteger)
_LOG = logging.getLogger(__name__)


class Leases:
    """The processes that share one PostgreSQL database.

    Args:
        store: whose database it is.
        executor: this process; a name that no other boot has.
        place: machine and process id, for people.
        lease_s: how long a silent process counts as alive, seconds; more than the longest stall of an event loop.
    """

    def __init__(self, store: Store, executor: str, place: str, lease_s: float) -> None:
        self._engine = store.database
        self.executor = executor
        self._place = place
        self.lease_s = lease_s
        make_tables(self._engine, _METADATA)

    def beat(self) -> None:
        """Say that this process lives, and drop the rows of those long dead."""
        mine = _PROCESSES.c.executor == self.executor
        lately = _NOW_MS - int(self.lease_s * 1000) * ROWS_KEPT_LEASES
        with self._engine.begin() as connection:
            if connection.execute(_PROCESSES.update().where(mine).values(seen_ms=_NOW_MS)).rowcount == 0:
                row = {"executor": self.executor, "place": self._place, "seen_ms": _NOW_MS}
                connection.execute(_PROCESSES.insert().values(**row))
            connection.execute(_PROCESSES.delete().where(_PROCESSES.c.seen_ms < lately))

    def dead(self, executors: Collection[str]) -> list[str]:
        """Those of `executors` that hold no lease; never this one, which was merely slow if its own ran out.

        Taking over from oneself would begin everything a second time beside its first.
        """
        holding = _PROCESSES.c.seen_ms >= _NOW_MS - int(self.lease_s * 1000)
        with self._engine.connect() as connection:
            living = set(connection.execute(sa.select(_PROCESSES.c.executor).where(holding)).scalars())
        return sorted(set(executors) - living - {self.executor})

    def release(self) -> None:
        """Give the lease back: what this process left unfinished is free at once, or, failing that, in its time."""
        try:
            with self._engine.begin() as connection:
                connection.execute(_PROCESSES.delete().where(_PROCESSES.c.executor == self.executor))
        except sa.exc.SQLAlchemyError as error:
            _LOG.warning("the lease was not given back: %s", type(error).__name__)


async def keep(leases: Leases, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Renew the lease and take over from the dead, until cancelled; a database that does not answer is asked again."""
    while True:
        await _once(leases)
        await sleep(leases.lease_s / BEATS_PER_LEASE)


async def _once(leases: Leases) -> None:
    try:
        await asyncio.to_thread(leases.beat)
        await adopt(leases)
    except sa.exc.SQLAlchemyError as error:
        _LOG.warning("the lease was not renewed: %s", type(error).__name__)


async def adopt(leases: Leases) -> None:
    """Put the unfinished work of dead processes back into the queues; several processes may do so at once."""
    pending = await DBOS.list_workflows_async(status="PENDING", load_input=False, load_output=False)
    executors = {one.executor_id for one in pending if one.executor_id}
    dead = await asyncio.to_thread(leases.dead, executors)
    if dead:
        # The public way, resuming, would forget how often a workflow was tried, and so never give up on a deadly one.
        await asyncio.to_thread(DBOS._recover_pending_workflows, dead)  # noqa: SLF001
        _LOG.info("took over from %s", ", ".join(dead))
