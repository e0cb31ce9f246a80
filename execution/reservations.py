"""The budget's rows: the worst case is reserved before anything is launched, and what was not spent is given back.

One transaction looks and takes, so that no two runs take the same dollar.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from execution.runs import Run
from execution.spending import DAY_MS, Caps, Denied, Scope, refused_by
from execution.store import Store, make_tables

_METADATA = sa.MetaData()
_RESERVATIONS = sa.Table(
    "optr_reservations",
    _METADATA,
    sa.Column("run", sa.String(64), primary_key=True),
    sa.Column("repository", sa.String(512), nullable=False, index=True),
    sa.Column("installation", sa.BigInteger, nullable=False, index=True),
    sa.Column("made_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.BigInteger, nullable=True),
)
_TAKEN = sa.func.coalesce(_RESERVATIONS.c.spent, _RESERVATIONS.c.reserved)


@dataclass(frozen=True)
class Standing:
    """What a run holds of the budget, millionths of a US dollar; `spent` is None while it is not settled."""

    reserved: int
    spent: int | None


class Reservations:
    """Budget rows of one state database.

    Args:
        store: whose database it is.
    """

    def __init__(self, store: Store) -> None:
        self._engine = store.database
        make_tables(self._engine, _METADATA)

    def reserve(self, run: Run, amount: int, caps: Caps, now_ms: int) -> Denied | None:
        """Take `amount` for the run, or say which limit forbids it; asking again changes nothing."""
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("LOCK TABLE optr_reservations IN EXCLUSIVE MODE")
            if connection.execute(sa.select(_RESERVATIONS.c.run).where(_RESERVATIONS.c.run == run.id)).first():
                return None
            denied = refused_by(amount, _taken(connection, run, now_ms), caps)
            if denied is None:
                connection.execute(
                    _RESERVATIONS.insert().values(
                        run=run.id,
                        repository=run.repository,
                        installation=run.installation,
                        made_ms=now_ms,
                        reserved=amount,
                    )
                )
            return denied

    def settle(self, run_id: str, spent: int) -> None:
        """Give back what was not spent; the newest figure stands, for a run may be corrected later."""
        update = _RESERVATIONS.update().where(_RESERVATIONS.c.run == run_id).values(spent=spent)
        with self._engine.begin() as connection:
            connection.execute(update)

    def of(self, run_id: str) -> Standing | None:
        """What a run holds, None when it reserved nothing."""
        query = sa.select(_RESERVATIONS.c.reserved, _RESERVATIONS.c.spent).where(_RESERVATIONS.c.run == run_id)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else Standing(row.reserved, row.spent)

    def taken(self, run: Run, now_ms: int) -> Mapping[Scope, int]:
        """What is reserved or spent in each scope of the run in the last 24 hours."""
        with self._engine.connect() as connection:
            return _taken(connection, run, now_ms)


def _taken(connection: sa.Connection, run: Run, now_ms: int) -> dict[Scope, int]:
    wheres: dict[Scope, list[sa.ColumnElement[bool]]] = {
        Scope.REPOSITORY: [_RESERVATIONS.c.repository == run.repository],
        Scope.INSTALLATION: [_RESERVATIONS.c.installation == run.installation],
        Scope.EVERYTHING: [],
    }
    recent = _RESERVATIONS.c.made_ms > now_ms - DAY_MS
    return {
        scope: int(connection.execute(sa.select(sa.func.sum(_TAKEN)).where(recent, *where)).scalar() or 0)
        for scope, where in wheres.items()
    }
