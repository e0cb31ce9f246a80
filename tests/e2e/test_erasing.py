"""`optr forget`: what the state keeps of a repository or a person goes, of nobody else, and the App goes on."""

import json
import secrets
import subprocess
import sys
from typing import Any

import pytest
import sqlalchemy as sa

from tests.e2e.cli_kit import Ran
from tests.e2e.conftest import MakeService
from tests.e2e.kills import database_of, under_way
from tests.e2e.service import ROOT, Place, Service, eventually, racing
from tests.postgres import as_sqlalchemy

COMMAND = ["sh", "-c", "date +%s%N >>README.md; python3 bots/regex_order.py duration"]
USAGE = 2


def forget(service: Service, *argv: str) -> Ran:
    command = [sys.executable, "-m", "bot.cli", "forget", *argv]
    done = subprocess.run(command, cwd=ROOT, env=service.environ, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def forgotten(service: Service, *argv: str) -> dict[str, Any]:
    done = forget(service, *argv, "--json")
    assert done.code == 0, done.err
    return dict(json.loads(done.out))


def everything(service: Service) -> dict[str, list[str]]:
    """Every row of the App's databases as text, by table; without what belongs to the processes."""
    url = service.environ.get("OPTR_DATABASE_URL")
    urls = {as_sqlalchemy(url)} if url else {database_of(service), f"sqlite:///{service.home / 'state' / 'state.db'}"}
    found: dict[str, list[str]] = {}
    for one in urls:
        engine = sa.create_engine(one, poolclass=sa.pool.NullPool)
        for schema in (None, "dbos") if url else (None,):
            tables = sa.MetaData(schema=schema)
            tables.reflect(engine)
            with engine.connect() as connection:
                for table in tables.sorted_tables:
                    rows = connection.execute(sa.select(table)).mappings().all()
                    found[table.name] = sorted(json.dumps({**row}, default=repr) for row in rows)
    return found


def ask(place: Place, login: str, word: str) -> int:
    client = place.human(login)
    issue = int(client.post(f"{place.path}/issues", {"title": f"Read {word}", "body": "As people write it."})["number"])
    place.label(issue, client)
    return issue


def merge(place: Place, issue: int) -> None:
    pull = place.opened(issue)
    approve = f"{place.path}/pulls/{pull['number']}/reviews"
    place.human("grace").post(approve, {"event": "APPROVE"}, status=200)
    place.human("grace").put(f"{place.path}/pulls/{pull['number']}/merge", {"sha": pull["head"]["sha"]})
    place.heard(issue, "closed: **accepted**")


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, make_service: MakeService) -> Service:
    made = make_service()
    if request.param == "postgresql":
        made.environ["OPTR_DATABASE_URL"] = request.getfixturevalue("postgres").database()
    made.start()
    return made


def test_one_repository_goes_then_one_person_and_the_rest_goes_on(service: Service, sample: dict[str, bytes]) -> None:
    files = racing(sample, "worker", worker=COMMAND)
    going, staying = service.settle(files), service.settle(files)
    first, second = f"zebra-{secrets.token_hex(6)}", f"okapi-{secrets.token_hex(6)}"
    done, kept = ask(going, "ada", first), ask(staying, "bob", second)
    merge(going, done)
    staying.opened(kept)
    eventually(lambda: under_way(service) == 0, service.tail)
    name = going.repository.full_name

    refused = forget(service, "--repository", name)
    assert refused.code == USAGE, "the App is at work"
    service.stop()
    before = everything(service)
    dry = forgotten(service, "--repository", name, "--dry-run")
    assert everything(service) == before
    assert dry["rows"]["optr_artifacts"] > 0
    assert dry["rows"]["dbos.workflow_status"] > 0
    assert (service.home / f"state/repos/{name}.git").is_dir()

    real = forgotten(service, "--repository", name)
    assert real["rows"] == dry["rows"]
    assert any("datalake" in one and "append-only" in one for one in real["stays"])
    after = everything(service)
    assert not [row for rows in after.values() for row in rows if first in row]
    whose = {table for table, rows in after.items() if any(name in row for row in rows)}
    assert whose == {"optr_runs", "optr_workflows", "optr_checkpoints"}
    assert not (service.home / f"state/repos/{name}.git").exists()
    other = staying.repository.full_name
    for table, rows in before.items():
        assert [row for row in rows if other in row or second in row] == [
            row for row in after[table] if other in row or second in row
        ], table
    if "OPTR_DATABASE_URL" not in service.environ:
        raw = b"".join(path.read_bytes() for path in (service.home / "state").glob("*.db*"))
        assert first.encode() not in raw, "freed pages are overwritten"
        assert second.encode() in raw

    # What is under way is not erased by the way.
    busy = forget(service, "--person", "bob")
    assert (busy.code, "under way" in busy.err) == (USAGE, True)
    assert everything(service) == after
    goes_on(service, going, staying, (done, kept))
    gone_for_good(service, going, staying, second)


def goes_on(service: Service, going: Place, staying: Place, issues: tuple[int, int]) -> None:
    """The App starts nothing again, and the ledger takes the next run under the next name."""
    service.start()
    going.drained()
    assert len(going.pulls()) == 1
    again = ask(going, "bob", "giraffe")
    merge(going, again)
    merge(staying, issues[1])
    lake = going.lake()
    lake.verified()
    assert sorted({line["workflow"] for line in lake.lines()}) == sorted([f"issue-{issues[0]}", f"issue-{again}"])
    going.say(again, "/optr pause", going.human("holly", "admin"))
    going.heard(again, "/optr resume")
    eventually(lambda: under_way(service) == 0, service.tail)
    service.stop()


def gone_for_good(service: Service, going: Place, staying: Place, word: str) -> None:
    """A person, of whom nothing is found again; then a whole installation, whose ledger is given up."""
    told = forgotten(service, "--person", "BOB", "--account", str(going.human("bob").get("/user")["id"]))
    assert told["rows"]["optr_runs (words and people)"] == 2
    left = everything(service)
    assert not [row for rows in left.values() for row in rows if '"bob"' in row or word in row]

    name, other = going.repository.full_name, staying.repository.full_name
    forgotten(service, "--installation", str(going.installed.id), "--for-good")
    left = everything(service)
    assert {table for table, rows in left.items() if any(name in row for row in rows)} == set()
    assert not (service.home / "state/ledgers" / name).exists()
    assert (service.home / "state/ledgers" / other / "key").is_file()


@pytest.mark.parametrize(
    "argv",
    [(), ("--repository", "octo/site", "--person", "ada"), ("--person", "ada", "--for-good"), ("--repository", "x")],
)
def test_what_is_meant_must_be_clear(make_service: MakeService, argv: tuple[str, ...]) -> None:
    done = forget(make_service(), *argv)
    assert (done.code, done.out) == (2, "")
