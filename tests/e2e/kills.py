"""What the proofs by kill share: what the engine noted, what must be there once, and what was measured so far."""

import fcntl
import json
from collections import Counter
from pathlib import Path

import sqlalchemy as sa

from bot.demo.cassette import demo_cassettes
from bot.demo.recorded import RecordedModel
from tests.e2e.service import ROOT, Place, Service
from tests.postgres import as_sqlalchemy

SQLITE, POSTGRESQL = "sqlite", "postgresql"
MODEL = next(cassette for cassette in demo_cassettes() if cassette.model.startswith("gpt"))
OPENED = ("MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED")
LEASE_MS = "2000"  # a boot of its own name takes over when this has run out
MEASURED = ROOT / "build/crash.json"

Noted = dict[tuple[str, int], str]


def database_of(service: Service) -> str:
    """Where the engine keeps its journal, an SQLAlchemy URL."""
    url = service.environ.get("OPTR_DATABASE_URL")
    return as_sqlalchemy(url) if url else f"sqlite:///{service.home / 'state' / 'engine.db'}"


def rows(service: Service, query: str) -> list[sa.Row[tuple[object, ...]]]:
    """What the engine's database answers; `{schema}` stands before its tables."""
    engine = sa.create_engine(database_of(service), poolclass=sa.pool.NullPool)
    schema = "dbos." if engine.dialect.name == "postgresql" else ""
    with engine.connect() as connection:
        return list(connection.execute(sa.text(query.format(schema=schema))))


def checkpointed(service: Service) -> Noted:
    """Every step that the engine has noted as done, with what it noted."""
    query = "SELECT workflow_uuid, function_id, function_name, output, error FROM {schema}operation_outputs"
    return {(str(row[0]), int(str(row[1]))): repr(tuple(row[2:])) for row in rows(service, query)}


def under_way(service: Service) -> int:
    """How many workflows have not ended."""
    query = "SELECT count(*) FROM {schema}workflow_status WHERE status IN ('PENDING', 'ENQUEUED')"
    return int(str(rows(service, query)[0][0]))


def everything_once(place: Place, issue: int, *types: str, answers: int = 0) -> None:
    """One comment, check run, reaction and pull request, one line for each milestone, and the ledger verifies.

    `answers` commands were answered, each in a comment of its own.
    """
    assert len(place.ours(issue)) == 1 + answers
    assert len(place.checks(place.base, "optr")) == 1
    (pull,) = place.pulls()
    assert len(place.checks(pull["head"]["sha"], "optr/gate")) == 1
    lake = place.lake()
    assert lake.types() == list(types)
    lake.verified()
    reactions = place.reader.get(f"{place.path}/issues/{issue}/reactions")
    assert [one["content"] for one in reactions] == ["eyes"]


def asked_since(model: RecordedModel, before: int) -> Counter[int]:
    """How often the model was asked for each turn."""
    return Counter(seen.turn or 0 for seen in model.seen[before:] if seen.model == MODEL.model)


def measured() -> dict[str, dict[str, str]]:
    """What the long form has found so far: database, then point, then outcome."""
    return dict(json.loads(MEASURED.read_text(encoding="utf-8"))) if MEASURED.exists() else {}


def note(database: str, what: str, outcome: str) -> None:
    """Keep an outcome for the table, so that a lane that is stopped has measured all the same."""
    MEASURED.parent.mkdir(exist_ok=True)
    with Path(f"{MEASURED}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        known = measured()
        known.setdefault(database, {})[what] = outcome
        MEASURED.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
