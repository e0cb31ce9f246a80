"""Two Apps on one PostgreSQL share the work; when one is killed, the other finishes what it had begun."""

import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from tests.e2e.cli_kit import git
from tests.e2e.conftest import MakeService
from tests.e2e.service import Place, Service, eventually, free_port, racing
from tests.e2e.witnesses import NAME, slowly, witness
from tests.postgres import Postgres

LEASE_MS = "3000"
NAP = ["sh", "-c", "sleep 3.875; python3 bots/regex_order.py duration"]
UNDER_WAY = """
    SELECT p.place FROM optr_processes p JOIN dbos.workflow_status w ON w.executor_id = p.executor
    WHERE w.status = 'PENDING' AND w.name = 'optr.node'
"""
BUSY = "SELECT DISTINCT executor_id FROM dbos.workflow_status WHERE name = 'optr.deliver' AND status = 'SUCCESS'"


@pytest.fixture
def first(make_service: MakeService, postgres: Postgres) -> Service:
    """What GitHub's webhooks reach; not started yet."""
    made = make_service()
    made.environ |= {"OPTR_DATABASE_URL": postgres.database(), "OPTR_LEASE": LEASE_MS}
    return made


@pytest.fixture
def pair(first: Service, services: list[Service]) -> Iterator[tuple[Service, Service]]:
    """Two processes of one App on one database and one state directory."""
    port = free_port()
    second = replace(first, port=port, environ={**first.environ, "OPTR_PORT": str(port)}, process=None)
    services.append(second)
    first.launch()
    second.launch()
    for one in (first, second):
        eventually(one.ready, lambda: f"the App is ready; its log:\n{first.tail()}", 60)
    yield first, second
    for one in (first, second):
        one.stop()


def asked(service: Service, query: str) -> list[str]:
    with psycopg.connect(service.environ["OPTR_DATABASE_URL"]) as connection:
        return [row[0] for row in connection.execute(query)]  # type: ignore[call-overload]


def finished(place: Place, issue: int) -> None:
    """One comment, one check run, one pull request, one line for each milestone, and the ledger verifies."""
    place.opened(issue)
    assert len(place.ours(issue)) == 1
    (pull,) = place.pulls()
    assert len(place.checks(place.base, "optr")) == 1
    assert len(place.checks(pull["head"]["sha"], "optr/gate")) == 1
    lake = place.lake()
    assert lake.types() == ["MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED"]
    lake.verified()


def test_the_living_one_finishes_what_the_killed_one_began(
    pair: tuple[Service, Service], sample: dict[str, bytes]
) -> None:
    first, _ = pair
    place = first.settle(racing(sample, "napper", napper=NAP))
    issue = place.ask()
    (at,) = eventually(lambda: asked(first, UNDER_WAY), lambda: f"a node runs; the log:\n{first.tail()}")
    killed, left = sorted(pair, key=lambda one: at.endswith(f":{one.process.pid}" if one.process else "?"))[::-1]
    assert killed.process is not None
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait(10)
    finished(place, issue)
    assert not asked(left, UNDER_WAY)
    killed.start()


def test_both_take_deliveries(pair: tuple[Service, Service], sample: dict[str, bytes]) -> None:
    first, _ = pair
    place = first.settle(racing(sample, "napper", napper=NAP))
    issue = place.open_issue()

    def both() -> bool:
        place.say(issue, "/optr status")
        return len(asked(first, BUSY)) == 2

    eventually(both, lambda: f"both handle deliveries; the log:\n{first.tail()}")


def test_of_two_that_would_ask_a_witness_one_does_and_nothing_is_doubled(
    first: Service, request: pytest.FixtureRequest
) -> None:
    logs, policy, ports = first.home / "ledgers.vkeys", first.home / "witnesses.policy", (free_port(), free_port())
    logs.write_text("optr/nobody/nothing+88cebf74+AQFOTZIsWWo4Ct/J7tci6DWCLxI2dhaT5Lq7YeGvuwTx\n")
    with witness(first.home, logs, free_port()) as said:  # makes its key
        policy.write_text(f"{said} http://127.0.0.1:{ports[0]}\nquorum {NAME}\n")
    first.tolerated += ["left for later"]  # of the time before the witness knows the ledger
    first.environ |= {"OPTR_WITNESS_POLICY": str(policy), "OPTR_RECONCILE_INTERVAL": "1000"}
    request.getfixturevalue("pair")
    place = first.settle({".github/optr.yml": b"version: [\n"})  # a run that cannot be planned writes one line
    place.heard(place.ask(), "closed: **failed**")
    (key,) = (place.lake().path / "datalake/keys").iterdir()
    logs.write_text(key.read_text())

    def cosignings() -> list[str]:
        found = git(place.lake().path, "log", "--format=%H", "--grep=^audit(optr): cosigned$")
        return found.split()

    with witness(first.home, logs, ports[1]), slowly(ports[0], f"http://127.0.0.1:{ports[1]}", 2.5) as given:
        eventually(cosignings, "it was cosigned")
        time.sleep(5)  # both have looked again by now, and one of them would have been answered
        assert given.count(200) == len(cosignings()) == 1
        place.heard(place.ask(), "closed: **failed**")
        eventually(lambda: len(cosignings()) > 1, "the next line was cosigned")
        time.sleep(5)
        assert given.count(200) == len(cosignings()) == 2
    place.lake().verified()
