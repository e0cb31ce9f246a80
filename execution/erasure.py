"""Erasing what the state keeps of an installation, a repository or a person, in one transaction.

Of a run its row stays, without a word of anybody: numbers, digests and how it ended. Without it a redelivered event
would start the run again, and the next run of the issue would take a name that its ledger has already. Only where the
ledger is given up for good the row goes too.

The engine's journal is a schema of the same database on PostgreSQL. On SQLite it is a second file, attached as if it
were one, and both files are in rollback mode meanwhile: only then a commit over two files is one commit.
"""

import base64
import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from execution.retention import DELIVERY_FLOW
from execution.runs import Run
from governance.states import RunOutcome, RunState

JOURNAL = "dbos"  # the schema of the engine's tables
NOBODY = "ghost"  # what GitHub calls accounts that are no more
ENDED = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})
ORIGIN = "optr/"  # in front of `owner/name`: what a ledger is called where its checkpoints are remembered
IDS_AT_ONCE = 500  # in one statement
OF_RUNS = ("optr_artifacts", "optr_reservations", "optr_workflows", "optr_runs")


@dataclass(frozen=True)
class Subject:
    """Whose data: exactly one of these is given.

    Attributes:
        installation: GitHub's number of it; 0 when it is not meant.
        repository: `owner/name`.
        login: a person's, as it is now or was; `account`, their number, finds them under every login.
        account: 0 when it is not known.
    """

    installation: int = 0
    repository: str = ""
    login: str = ""
    account: int = 0

    @property
    def is_person(self) -> bool:
        """Whether a person is meant."""
        return bool(self.login or self.account)

    def has_run(self, run: Run) -> bool:
        """Whether a run is theirs: a person's are those that they asked for."""
        if self.is_person:
            return self.is_account(run.requester, run.requester_id)
        if self.installation:
            return run.installation == self.installation
        return run.repository.lower() == self.repository.lower()

    def is_account(self, login: object, number: object) -> bool:
        """Whether an account is the person."""
        by_number = bool(self.account) and number == self.account
        return by_number or (bool(self.login) and isinstance(login, str) and login.lower() == self.login.lower())

    def is_named_in(self, found: Any) -> bool:
        """Whether a payload of GitHub's has them anywhere."""
        if isinstance(found, list):
            return any(self.is_named_in(one) for one in found)
        if not isinstance(found, dict):
            return False
        return self._is(found) or any(self.is_named_in(one) for one in found.values())

    def _is(self, found: Mapping[str, Any]) -> bool:
        if self.is_person:
            return "login" in found and self.is_account(found["login"], found.get("id"))
        if self.installation:
            inside = found.get("installation")
            return isinstance(inside, dict) and inside.get("id") == self.installation
        name = found.get("full_name")
        return isinstance(name, str) and name.lower() == self.repository.lower()


@dataclass
class Erasure:
    """What is kept of somebody, and so what is erased.

    Attributes:
        runs: theirs.
        deliveries: the journal's workflows of deliveries that name them.
        words: repositories by the key of what is kept of a `/optr ok-to-run`.
        unfinished: ids of runs and deliveries of theirs that are under way.
        mentions: artifacts of other people's closed runs that name the person.
        open_mentions: other people's runs under way that name the person: not touched.
        rows: how many rows of each table were erased, or would be.
    """

    runs: list[Run] = field(default_factory=list)
    deliveries: list[str] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    mentions: dict[tuple[str, str], str] = field(default_factory=dict)
    open_mentions: set[str] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def repositories(self) -> list[str]:
        """Those that their runs and words are about."""
        return sorted({*(run.repository for run in self.runs), *self.words.values()})


class UnderWayError(RuntimeError):
    """Something of theirs is under way; nothing was erased.

    Attributes:
        unfinished: ids of runs and deliveries.
    """

    def __init__(self, unfinished: Sequence[str]) -> None:
        super().__init__(f"{len(unfinished)} runs and deliveries are under way")
        self.unfinished = tuple(unfinished)


class StillServedError(RuntimeError):
    """A process of the App works with the database; nothing was erased."""


@dataclass(frozen=True)
class Asked:
    """What to erase.

    Attributes:
        subject: whose data.
        dry: only look.
        unfinished: also what is under way: it ends here, without a closing line.
        for_good: the rows of runs, the names that they took and what was signed last, too; not of a person.
    """

    subject: Subject
    dry: bool = False
    unfinished: bool = False
    for_good: bool = False


def erase(url: str, journal: str, asked: Asked, lease_ms: int) -> Erasure:
    """Erase what the databases keep; no process of the App may work with them meanwhile.

    Args:
        url: the state's database, as SQLAlchemy names it.
        journal: the engine's; on PostgreSQL the same one.
        asked: what.
        lease_ms: how long a process that shares a PostgreSQL database counts as alive after its last sign.

    Raises:
        UnderWayError: something is under way, and `unfinished` was not asked for.
        StillServedError: a process of the App works with the database.
    """
    with _transaction(url, journal) as connection:
        tables = _Tables(connection)
        _require_unserved(connection, tables, lease_ms)
        found = _found(connection, tables, asked.subject)
        if found.unfinished and not (asked.unfinished or asked.dry):
            raise UnderWayError(found.unfinished)
        for name, many in _erased(connection, tables, asked, found):
            found.rows[name] = found.rows.get(name, 0) + many
        if asked.dry:
            connection.rollback()
    found.rows = {name: many for name, many in found.rows.items() if many}
    return found


class _Tables:
    """The tables that are there: an App that never had a reservation has no table of them."""

    def __init__(self, connection: sa.Connection) -> None:
        self.own, self.journal = sa.MetaData(), sa.MetaData(schema=JOURNAL)
        self.own.reflect(connection, only=lambda name, _: name.startswith("optr_"))
        self.journal.reflect(connection, schema=JOURNAL)

    def of(self, name: str) -> sa.Table | None:
        return self.own.tables.get(name)

    def noted(self, name: str) -> sa.Table | None:
        return self.journal.tables.get(f"{JOURNAL}.{name}")


def _require_unserved(connection: sa.Connection, tables: _Tables, lease_ms: int) -> None:
    """On SQLite there is a lock instead, and no table of processes."""
    table = tables.of("optr_processes")
    if table is None or connection.dialect.name != "postgresql":
        return
    now_ms = sa.cast(sa.extract("epoch", sa.func.clock_timestamp()) * 1000, sa.BigInteger)
    alive = connection.execute(sa.select(table.c.place).where(table.c.seen_ms > now_ms - lease_ms)).scalars().all()
    if alive:
        raise StillServedError(", ".join(sorted(alive)))


def _found(connection: sa.Connection, tables: _Tables, subject: Subject) -> Erasure:
    found = Erasure()
    if (runs := tables.of("optr_runs")) is not None:
        every = [Run.model_validate_json(data) for data in connection.execute(sa.select(runs.c.data)).scalars()]
        found.runs = [run for run in every if subject.has_run(run)]
        found.unfinished += [run.id for run in found.runs if run.state is not RunState.CLOSED]
        _look_at_artifacts(connection, tables, subject, {run.id: run for run in every}, found)
    if (flows := tables.noted("workflow_status")) is not None:
        query = sa.select(flows.c.workflow_uuid, flows.c.status).where(flows.c.name == DELIVERY_FLOW)
        for identity, status in connection.execute(query).all():
            if subject.is_named_in(_payload(connection, tables, identity)):
                found.deliveries.append(identity)
                found.unfinished += [] if status in ENDED else [identity]
    return found


def _look_at_artifacts(
    connection: sa.Connection, tables: _Tables, subject: Subject, runs: Mapping[str, Run], found: Erasure
) -> None:
    artifacts = tables.of("optr_artifacts")
    if artifacts is None:
        return
    mine = {run.id for run in found.runs}
    for key, name, data in connection.execute(sa.select(artifacts.c.run, artifacts.c.name, artifacts.c.data)):
        if key in mine:
            continue
        if key not in runs:  # a person's word for a stranger's commit: of no run
            word = json.loads(data).get("word", {})
            if _is_of(subject, word):
                found.words[key] = str(word["repository"])
        elif subject.is_person and (cleaned := _without(subject, data)) != data:
            if runs[key].state is RunState.CLOSED:
                found.mentions[key, name] = cleaned
            else:
                found.open_mentions.add(key)


def _is_of(subject: Subject, word: Mapping[str, Any]) -> bool:
    if subject.is_person:
        return subject.is_account(word.get("by"), word.get("account"))
    if subject.installation:
        return word.get("installation") == subject.installation
    return str(word.get("repository", "")).lower() == subject.repository.lower()


def _without(subject: Subject, data: str) -> str:
    """An artifact in which nobody has the person's name; the very text when nobody had."""
    if subject.login.lower() not in data.lower() or not subject.login:
        return data
    return json.dumps(_replaced(json.loads(data), lambda word: word.lower() == subject.login.lower()))


def _replaced(found: Any, is_name: Callable[[str], bool]) -> Any:
    if isinstance(found, list):
        return [_replaced(one, is_name) for one in found]
    if isinstance(found, dict):
        return {key: _replaced(one, is_name) for key, one in found.items()}
    return NOBODY if isinstance(found, str) and is_name(found) else found


def _payload(connection: sa.Connection, tables: _Tables, identity: str) -> Any:
    """What a delivery said; None when it cannot be read, which no delivery of ours is."""
    for name in ("workflow_input", "workflow_status"):
        table = tables.noted(name)
        if table is None or "inputs" not in table.c:
            continue
        stored = connection.execute(sa.select(table.c.inputs).where(table.c.workflow_uuid == identity)).scalar()
        if stored:
            given = pickle.loads(base64.b64decode(stored))  # noqa: S301 - as the engine itself reads its own journal
            return json.loads(given["args"][2])
    return None


def _erased(connection: sa.Connection, tables: _Tables, asked: Asked, found: Erasure) -> Iterator[tuple[str, int]]:
    """Carry it out; yields tables with how many of their rows went."""
    subject, for_good = asked.subject, asked.for_good
    runs = [run.id for run in found.runs]
    kept = frozenset() if for_good else frozenset({"optr_runs", "optr_workflows"})
    for name in OF_RUNS:
        if (table := tables.of(name)) is not None and name not in kept:
            column = table.c.id if name == "optr_runs" else table.c.run
            words = list(found.words) if name == "optr_artifacts" else []
            yield name, _delete(connection, column, [*runs, *words])
    theirs = () if subject.is_person else {*found.repositories, *filter(None, [subject.repository])}
    names = sorted(name.lower() for name in theirs)
    if for_good and (table := tables.of("optr_checkpoints")) is not None:
        yield "optr_checkpoints", _delete(connection, table.c.origin, [f"{ORIGIN}{name}" for name in names])
    if not for_good:
        yield "optr_runs (words and people)", _emptied(connection, tables, found.runs)
    yield "optr_pauses", _unpaused(connection, tables, subject, names)
    yield "optr_artifacts (names)", _renamed(connection, tables, found)
    flows = [*found.deliveries, *_flows_of(connection, tables, frozenset(runs))]
    for table in reversed(tables.journal.sorted_tables):
        if "workflow_uuid" in table.c:
            yield f"{JOURNAL}.{table.name}", _delete(connection, table.c.workflow_uuid, flows)
        elif "destination_uuid" in table.c:
            yield f"{JOURNAL}.{table.name}", _delete(connection, table.c.destination_uuid, flows)


def _emptied(connection: sa.Connection, tables: _Tables, runs: Iterable[Run]) -> int:
    table, many = tables.of("optr_runs"), 0
    if table is None:
        return many
    for run in runs:
        words = {"requester": NOBODY, "requester_id": 0, "title": "", "body": "", "intent_sha256": "", "problem": None}
        files = {"definition": "", "definition_path": "", "constraints": ()}
        end = {"state": RunState.CLOSED, "outcome": run.outcome or RunOutcome.CANCELLED}
        bare = run.model_copy(update={**words, **files, **end})
        values = {"data": bare.model_dump_json(), "closed": True}
        many += connection.execute(table.update().where(table.c.id == run.id).values(**values)).rowcount
    return many


def _unpaused(connection: sa.Connection, tables: _Tables, subject: Subject, names: Sequence[str]) -> int:
    """A repository's switch goes with it; a person's stays set, by nobody."""
    table = tables.of("optr_pauses")
    if table is None:
        return 0
    if subject.is_person:
        mine = sa.func.lower(table.c.by) == subject.login.lower()
        return connection.execute(table.update().where(mine, table.c.by != "").values(by=NOBODY)).rowcount
    return connection.execute(table.delete().where(sa.func.lower(table.c.reach).in_(names))).rowcount


def _renamed(connection: sa.Connection, tables: _Tables, found: Erasure) -> int:
    table = tables.of("optr_artifacts")
    if table is not None:
        for (run, name), data in found.mentions.items():
            where = (table.c.run == run, table.c.name == name)
            connection.execute(table.update().where(*where).values(data=data))
    return len(found.mentions)


def _flows_of(connection: sa.Connection, tables: _Tables, runs: frozenset[str]) -> list[str]:
    """The journal's workflows of runs; their ids begin with the run's."""
    flows = tables.noted("workflow_status")
    if flows is None:
        return []
    every = connection.execute(sa.select(flows.c.workflow_uuid)).scalars()
    return [identity for identity in every if identity.partition(".")[0] in runs]


def _delete(connection: sa.Connection, column: sa.Column[Any], ids: list[str]) -> int:
    many = 0
    for start in range(0, len(ids), IDS_AT_ONCE):
        some = ids[start : start + IDS_AT_ONCE]
        many += connection.execute(sa.delete(column.table).where(column.in_(some))).rowcount
    return many


@contextmanager
def _transaction(url: str, journal: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    if engine.dialect.name == "sqlite":
        other = sa.make_url(journal).database
        sa.event.listen(engine, "connect", lambda raw, _: _attached(raw, str(other)))
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN EXCLUSIVE"))
    try:
        with engine.connect() as connection, connection.begin() as work:
            yield connection
            if work.is_active:
                work.commit()
    finally:
        engine.dispose()


def _attached(raw: Any, journal: str) -> None:
    raw.isolation_level = None
    with closing(raw.cursor()) as cursor:
        cursor.execute(f"ATTACH DATABASE ? AS {JOURNAL}", (journal,))
        for name in ("main", JOURNAL):
            cursor.execute(f"PRAGMA {name}.journal_mode=DELETE")  # in WAL each file commits for itself
            cursor.execute(f"PRAGMA {name}.secure_delete=ON")  # a freed page keeps its bytes otherwise
            cursor.execute(f"PRAGMA {name}.synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
