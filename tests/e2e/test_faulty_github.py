"""A GitHub that fails once at every call of a run: the run arrives all the same and leaves one of everything."""

import os
import re

import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.service import Place, racing

FAULTS = {
    "secondary_limit": "403 with retry-after",
    "primary_limit": "403, limit used up",
    "too_many": "429 with retry-after",
    "bad_gateway": "502, nothing done",
    "bad_gateway_after": "502, yet done",
    "drop": "no answer, nothing done",
    "drop_after": "no answer, yet done",
    "truncate": "truncated answer",
    "unauthorized": "expired token",
}
USUAL = ("too_many", "drop_after")  # the ordinary lane; OPTR_FAULTS_ALL=1 (`make faults`) tries all
EVERYWHERE = os.environ.get("OPTR_FAULTS_ALL") == "1"
COMMAND = ["python3", "bots/regex_order.py", "duration"]
VARIES = re.compile(r"(?<=/)(?:\d+|[0-9a-f]{40}|issue-\d+(?:%2F|/)?\S*)(?=/|$)")
CALLS_MIN = 8
# What the App says of a fault on its way; that it is said is right, that nothing is lost is what is tried here.
TOLD = (
    "progress is not shown",
    "handler failed",
    "left for the next pass",
    "reconcil",
    "retry",
    "Retry",
    "ceback",
    "could not",
    "failed",
)


def calls(place: Place) -> set[tuple[str, str]]:
    """Method and path, as a pattern, of every call that the App made to the API about this repository."""
    seen = place.service.github.knob("requests", repository=place.repository.full_name)["requests"]
    ours = [one for one in seen if one["login"] in {None, place.service.app.bot_login}]
    paths = [(one["method"], one["path"]) for one in ours if one["path"].startswith(place.path)]  # and none of git's
    return {(method, VARIES.sub("[^/]+", path.removeprefix(place.path))) for method, path in paths}


def a_run(place: Place) -> int:
    issue = place.ask()
    pull = place.opened(issue)
    assert len(place.ours(issue)) == 1
    assert len(place.checks(place.base, "optr")) == 1
    assert [one["number"] for one in place.pulls()] == [pull["number"]]
    assert len(place.checks(pull["head"]["sha"], "optr/gate")) == 1
    lake = place.lake()
    assert lake.types() == ["MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED"]
    lake.verified()
    reactions = place.reader.get(f"{place.path}/issues/{issue}/reactions")
    assert [one["content"] for one in reactions] == ["eyes"]
    return issue


@pytest.fixture(scope="module")
def files(sample: dict[str, bytes]) -> dict[str, bytes]:
    return racing(sample, "worker", worker=COMMAND)


def test_each_call_of_a_run_fails_once(make_service: MakeService, files: dict[str, bytes]) -> None:
    service = make_service()
    service.tolerated += TOLD
    service.start()
    plain = service.settle(files)
    a_run(plain)
    made = sorted(calls(plain))
    assert len(made) >= CALLS_MIN, made
    for fault in FAULTS if EVERYWHERE else USUAL:
        place = service.settle(files)
        for method, path in made:
            service.github.fault(fault, method=method, path=f"^{re.escape(place.path)}{path}$", retry_after=1)
        a_run(place)
        met = [rule["hits"] for rule in service.github.knob("faults/list")["rules"]]
        assert sum(met) >= CALLS_MIN, f"{FAULTS[fault]}: {met}"
        service.github.knob("faults/clear")
    service.stop()
