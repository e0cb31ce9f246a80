"""What ended long ago is forgotten by the engine; what is open, the ledger and the answers about old runs are not."""

import pytest
import sqlalchemy as sa

from execution.engine import APPLICATION_VERSION
from tests.e2e.conftest import MakeService
from tests.e2e.kills import database_of, rows, under_way
from tests.e2e.service import Place, Service, eventually, racing

DAY_MS = 24 * 60 * 60 * 1000
KEPT_DAYS = 7
COMMAND = ["python3", "bots/regex_order.py", "duration"]


def grow_old(service: Service, days: int) -> None:
    """As if everything in the engine's database had happened so many days earlier."""
    engine = sa.create_engine(database_of(service), poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        columns = ("created_at", "updated_at", "completed_at")
        earlier = ", ".join(f"{column} = {column} - {days * DAY_MS}" for column in columns)
        connection.execute(sa.text(f"UPDATE workflow_status SET {earlier}"))


def noted(service: Service, table: str = "workflow_status", column: str = "workflow_uuid") -> set[str]:
    return {str(row[0]) for row in rows(service, f"SELECT {column} FROM {{schema}}{table}")}


def rested(service: Service) -> None:
    eventually(lambda: under_way(service) == 0, lambda: f"nothing is under way:\n{service.tail()}")


@pytest.fixture
def place(make_service: MakeService, sample: dict[str, bytes]) -> Place:
    service = make_service()
    service.environ["OPTR_KEEP_DAYS"] = str(KEPT_DAYS)
    service.start()
    return service.settle(racing(sample, "worker", worker=COMMAND))


def test_the_engine_forgets_what_ended_long_ago_and_nothing_else(place: Place) -> None:
    service = place.service
    done, open_ = place.ask(), place.ask()
    merged, waiting = place.opened(done), place.opened(open_)
    place.human("grace").put(f"{place.path}/pulls/{merged['number']}/merge", {"sha": merged["head"]["sha"]})
    place.heard(done, "closed: **accepted**")
    rested(service)
    service.stop()
    before = noted(service)
    assert {row[0] for row in rows(service, "SELECT application_version FROM {schema}workflow_status")} == {
        APPLICATION_VERSION
    }

    service.start()
    rested(service)
    assert before <= noted(service), "what ended a moment ago is kept"
    service.stop()
    before = noted(service)
    grow_old(service, KEPT_DAYS + 1)
    service.start()
    eventually(lambda: not any(name.startswith("delivery-") for name in noted(service) & before), "deliveries go")
    left = noted(service) & before
    assert left, "the run in review is not over"
    assert len({name.partition(".")[0] for name in left}) == 1
    assert noted(service, "operation_outputs") <= noted(service), "a workflow's steps go with it"

    place.say(done, "/optr status")
    place.heard_all(done, "accepted")
    place.lake().verified()
    place.human("grace").put(f"{place.path}/pulls/{waiting['number']}/merge", {"sha": waiting["head"]["sha"]})
    place.heard(open_, "closed: **")
    place.lake().verified()
    service.stop()
