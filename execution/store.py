"""What survives a crash: runs, their artifacts, consumed tokens and remembered checkpoints.

Plain SQLAlchemy Core, the same on SQLite and PostgreSQL. Every write is idempotent, because the step around it may run
again after a crash: an artifact is written once and then only read, a run's row only moves forward, a dispatch token is
consumed by one atomic update and stays consumable by the same consumer.
"""

from collections.abc import Mapping
from contextlib import closing
from typing import TypeVar

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.dialects import postgresql, sqlite

from execution.runs import Run
from governance.states import RunState, advance

_METADATA = sa.MetaData()
_RUNS = sa.Table(
    "optr_runs",
    _METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("repository", sa.String(512), nullable=False, index=True),
    sa.Column("issue", sa.Integer, nullable=False),
    sa.Column("pull_request", sa.Integer, nullable=False),
    sa.Column("closed", sa.Boolean, nullable=False),
    sa.Column("created_ms", sa.BigInteger, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
)
_WORKFLOWS = sa.Table(
    "optr_workflows",
    _METADATA,
    sa.Column("repository", sa.String(512), primary_key=True),
    sa.Column("workflow", sa.String(256), primary_key=True),
    sa.Column("run", sa.String(64), nullable=False),
)
_ARTIFACTS = sa.Table(
    "optr_artifacts",
    _METADATA,
    sa.Column("run", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("data", sa.Text, nullable=False),
)
_TOKENS = sa.Table(
    "optr_tokens",
    _METADATA,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("consumer", sa.String(128), nullable=True),
)
_CHECKPOINTS = sa.Table(
    "optr_checkpoints",
    _METADATA,
    sa.Column("origin", sa.String(512), primary_key=True),
    sa.Column("note", sa.LargeBinary, nullable=False),
)

SQLITE_BUSY_TIMEOUT_MS = 30_000
TABLES_LOCK = 0x6F707472  # "optr": held in PostgreSQL while a process makes tables

M = TypeVar("M", bound=BaseModel)


class TakenError(RuntimeError):
    """Another run has that name in its repository: somebody else was faster."""


class OtherTablesError(RuntimeError):
    """The database's tables are those of another version of OPTR; nothing was changed."""


def make_tables(engine: sa.Engine, metadata: sa.MetaData) -> None:
    """Make the tables that are missing; several processes may do so at once.

    Raises:
        OtherTablesError: one that is there has other columns than ours: writing to it would fail halfway through a run.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TABLES_LOCK)))
        metadata.create_all(connection)
        found = sa.inspect(connection)
        for table in metadata.tables.values():
            ours, theirs = set(table.columns.keys()), {column["name"] for column in found.get_columns(table.name)}
            if ours != theirs:
                raise OtherTablesError(_difference(engine, table.name, missing=ours - theirs, unknown=theirs - ours))


def _difference(engine: sa.Engine, table: str, *, missing: set[str], unknown: set[str]) -> str:
    kinds = {"lacks": sorted(missing), "has also": sorted(unknown)}
    said = " and ".join(f"{verb} {', '.join(names)}" for verb, names in kinds.items() if names)
    where = engine.url.render_as_string(hide_password=True)
    return (
        f"{where} was made by another version of OPTR: its table {table} {said}. Nothing was changed. "
        "Start the version that made it; or restore a backup of this version's; or give another, empty database"
    )


class Store:
    """Rows of one state database.

    Args:
        url: an SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`.
        lasting: False for a database that goes with its process: no write waits for the disk.

    Raises:
        OtherTablesError: another version made the database.
    """

    def __init__(self, url: str, *, lasting: bool = True) -> None:
        self._engine = sa.create_engine(url)
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _durable_sqlite if lasting else _passing_sqlite)
            sa.event.listen(self._engine, "begin", _begin_immediately)
        try:
            make_tables(self._engine, _METADATA)
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def database(self) -> sa.Engine:
        """The database, for tables that are not about runs."""
        return self._engine

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    # Runs -------------------------------------------------------------------------------------------------------

    def add(self, run: Run) -> Run:
        """Store a new run, or return the one that is there under its id.

        Raises:
            TakenError: its workflow's name belongs to another run of the repository; nothing was stored.
        """
        with self._engine.begin() as connection:
            if (known := _one(connection, run.id)) is not None:
                return known
            named = {"repository": run.repository, "workflow": run.workflow}
            if not insert_once(connection, _WORKFLOWS, **named, run=run.id):
                holder = connection.execute(sa.select(_WORKFLOWS.c.run).where(*_where(_WORKFLOWS, named))).scalar()
                if holder != run.id:
                    raise TakenError(f"{run.repository} {run.workflow} is run {holder}")
            insert_once(connection, _RUNS, id=run.id, **_columns(run))
            return _one(connection, run.id) or run

    def get(self, run_id: str) -> Run | None:
        """The run, or None."""
        with self._engine.connect() as connection:
            return _one(connection, run_id)

    def move(self, run_id: str, state: RunState, **changes: object) -> Run:
        """Move a run to `state` and change other members; a run already past `state` keeps its state.

        Raises:
            KeyError: no such run.
            IllegalTransitionError: the table of moves does not allow it.
        """
        with self._engine.begin() as connection:
            run = _one(connection, run_id, lock=True)
            if run is None:
                raise KeyError(run_id)
            target = run.state if _is_past(run.state, state) else advance(run.state, state)
            if run.state is RunState.CLOSED and state is RunState.CLOSED:
                return run  # the first outcome stands
            moved = Run.model_validate({**run.model_dump(), **changes, "state": target})
            connection.execute(_RUNS.update().where(_RUNS.c.id == run_id).values(**_columns(moved)))
        return moved

    def of_issue(self, repository: str, issue: int) -> list[Run]:
        """Runs of an issue, newest first."""
        return self._runs(_RUNS.c.repository == repository, _RUNS.c.issue == issue)

    def of_pull_request(self, repository: str, number: int) -> Run | None:
        """The run that opened a pull request."""
        found = self._runs(_RUNS.c.repository == repository, _RUNS.c.pull_request == number)
        return found[0] if found else None

    def open_runs(self) -> list[Run]:
        """Every run that is not closed, newest first."""
        return self._runs(_RUNS.c.closed.is_(False))

    def closed_since(self, since_ms: int, most: int) -> list[Run]:
        """At most `most` closed runs asked for since then, newest first."""
        return self._runs(_RUNS.c.closed.is_(True), _RUNS.c.created_ms >= since_ms, most=most)

    def count_asked(self, installation: int, login: str, account: int, since_ms: int) -> int:
        """How many runs somebody asked for through an installation since then, under whatever login."""
        found = self._runs(_RUNS.c.created_ms > since_ms)
        return sum(run.installation == installation and run.is_requester(login, account) for run in found)

    def _runs(self, *conditions: sa.ColumnElement[bool], most: int | None = None) -> list[Run]:
        query = sa.select(_RUNS.c.data).where(*conditions).order_by(_RUNS.c.created_ms.desc(), _RUNS.c.id).limit(most)
        with self._engine.connect() as connection:
            return [Run.model_validate_json(data) for data in connection.execute(query).scalars()]

    # Artifacts --------------------------------------------------------------------------------------------------

    def put(self, run_id: str, name: str, value: BaseModel) -> None:
        """Write an artifact once; the first one written stands."""
        with self._engine.begin() as connection:
            insert_once(connection, _ARTIFACTS, run=run_id, name=name, data=value.model_dump_json())

    def replace(self, run_id: str, name: str, value: BaseModel) -> None:
        """Write an artifact that is a view of others and may be made anew."""
        key, data = {"run": run_id, "name": name}, value.model_dump_json()
        with self._engine.begin() as connection:
            if not insert_once(connection, _ARTIFACTS, **key, data=data):
                connection.execute(_ARTIFACTS.update().where(*_where(_ARTIFACTS, key)).values(data=data))

    def find(self, run_id: str, name: str, kind: type[M]) -> M | None:
        """An artifact, or None."""
        query = sa.select(_ARTIFACTS.c.data).where(*_where(_ARTIFACTS, {"run": run_id, "name": name}))
        with self._engine.connect() as connection:
            data = connection.execute(query).scalar()
        return None if data is None else kind.model_validate_json(data)

    def load(self, run_id: str, name: str, kind: type[M]) -> M:
        """An artifact that must be there.

        Raises:
            KeyError: it is not, which is a bug of ours or a damaged database.
        """
        found = self.find(run_id, name, kind)
        if found is None:
            raise KeyError(f"run {run_id} has no artifact {name}")
        return found

    def drop(self, run_id: str, name: str) -> None:
        """Forget an artifact that has served; again is a no-op."""
        with self._engine.begin() as connection:
            connection.execute(_ARTIFACTS.delete().where(*_where(_ARTIFACTS, {"run": run_id, "name": name})))

    def runs_with(self, name: str) -> list[Run]:
        """Runs that have an artifact of that name, newest first."""
        return self._runs(_RUNS.c.id.in_(sa.select(_ARTIFACTS.c.run).where(_ARTIFACTS.c.name == name)))

    # Dispatch tokens --------------------------------------------------------------------------------------------

    def issue_token(self, token_id: str) -> None:
        """Make a token consumable, once."""
        with self._engine.begin() as connection:
            insert_once(connection, _TOKENS, id=token_id, consumer=None)

    def consume_token(self, token_id: str, consumer: str) -> bool:
        """Consume a token: one atomic update. True for the first consumer, and for that same consumer again.

        The same consumer may ask again because it may have died between this update and its next checkpoint.
        """
        mine = sa.or_(_TOKENS.c.consumer.is_(None), _TOKENS.c.consumer == consumer)
        update = _TOKENS.update().where(_TOKENS.c.id == token_id, mine).values(consumer=consumer)
        with self._engine.begin() as connection:
            return connection.execute(update).rowcount == 1


class StoredCheckpoints:
    """The ledger's memory of what it signed, outside the repository (`ledger.sequencer.CheckpointStore`)."""

    def __init__(self, store: Store) -> None:
        self._engine = store._engine  # noqa: SLF001 - one database, two views of it

    def origins(self) -> list[str]:
        """The ledgers of which something is remembered, by name."""
        with self._engine.connect() as connection:
            return list(connection.execute(sa.select(_CHECKPOINTS.c.origin).order_by(_CHECKPOINTS.c.origin)).scalars())

    def load(self, origin: str) -> bytes | None:
        """The last signed checkpoint of a ledger."""
        query = sa.select(_CHECKPOINTS.c.note).where(_CHECKPOINTS.c.origin == origin)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar()

    def swap(self, origin: str, old: bytes | None, new: bytes) -> bool:
        """Replace `old` by `new` if `old` is what stands; the one commit point of an append."""
        with self._engine.begin() as connection:
            if old is None:
                return insert_once(connection, _CHECKPOINTS, origin=origin, note=new)
            where = (_CHECKPOINTS.c.origin == origin, _CHECKPOINTS.c.note == old)
            return connection.execute(_CHECKPOINTS.update().where(*where).values(note=new)).rowcount == 1


def insert_once(connection: sa.Connection, table: sa.Table, **values: object) -> bool:
    """Insert unless the key is there, which no other transaction can come between; whether it was inserted."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    made = insert(table).values(**values).on_conflict_do_nothing().returning(sa.literal(1))
    return connection.execute(made).first() is not None


def _durable_sqlite(connection: object, _record: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]
    # FULL, because a remembered checkpoint that a power cut forgets would let us sign a fork of our own ledger.
    with closing(connection.cursor()) as cursor:  # type: ignore[attr-defined]
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_MS}")


def _passing_sqlite(connection: object, _record: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]
    with closing(connection.cursor()) as cursor:  # type: ignore[attr-defined]
        cursor.execute("PRAGMA synchronous=OFF")
        cursor.execute(f"PRAGMA busy_timeout={SQLITE_BUSY_TIMEOUT_MS}")


def _begin_immediately(connection: sa.Connection) -> None:
    # Python's driver would open the transaction at the first write, after the read that the write depends on.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _columns(run: Run) -> dict[str, object]:
    return {
        "repository": run.repository,
        "issue": run.issue,
        "pull_request": run.pull_request,
        "closed": run.state is RunState.CLOSED,
        "created_ms": run.created_ms,
        "data": run.model_dump_json(),
    }


def _one(connection: sa.Connection, run_id: str, *, lock: bool = False) -> Run | None:
    query = sa.select(_RUNS.c.data).where(_RUNS.c.id == run_id)
    data = connection.execute(query.with_for_update() if lock else query).scalar()
    return None if data is None else Run.model_validate_json(data)


def _where(table: sa.Table, key: Mapping[str, str]) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in key.items()]


def _is_past(current: RunState, target: RunState) -> bool:
    order = list(RunState)
    return order.index(current) > order.index(target)
