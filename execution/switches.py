"""Kill switches: while one is set, nothing new starts in its reach."""

from dataclasses import dataclass

import sqlalchemy as sa

from execution.store import Store, make_tables

_METADATA = sa.MetaData()
_PAUSES = sa.Table(
    "optr_pauses",
    _METADATA,
    sa.Column("reach", sa.String(512), primary_key=True),
    sa.Column("by", sa.String(256), nullable=False),
    sa.Column("since_ms", sa.BigInteger, nullable=False),
)


@dataclass(frozen=True)
class Pause:
    """A switch that is set.

    Attributes:
        by: who set it.
        since_ms: when, milliseconds since the epoch.
    """

    by: str
    since_ms: int


class Switches:
    """Switches of one state database, one for each repository.

    Args:
        store: whose database it is.
    """

    def __init__(self, store: Store) -> None:
        self._engine = store.database
        make_tables(self._engine, _METADATA)

    def pause(self, repository: str, by: str, now_ms: int) -> Pause:
        """Set the switch; whoever set it first stays its author."""
        with self._engine.begin() as connection:
            if (standing := _read(connection, repository)) is not None:
                return standing
            connection.execute(_PAUSES.insert().values(reach=repository, by=by, since_ms=now_ms))
        return Pause(by, now_ms)

    def resume(self, repository: str) -> bool:
        """Take the switch off; False when it was not set."""
        with self._engine.begin() as connection:
            return connection.execute(_PAUSES.delete().where(_PAUSES.c.reach == repository)).rowcount == 1

    def standing(self, repository: str) -> Pause | None:
        """The switch if it is set."""
        with self._engine.connect() as connection:
            return _read(connection, repository)


def _read(connection: sa.Connection, repository: str) -> Pause | None:
    row = connection.execute(sa.select(_PAUSES.c.by, _PAUSES.c.since_ms).where(_PAUSES.c.reach == repository)).first()
    return None if row is None else Pause(row.by, row.since_ms)
