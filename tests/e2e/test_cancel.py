"""`/optr cancel` in the middle of an attempt."""

import json
from pathlib import Path

import pytest

from tests.e2e.service import Place, Service, eventually, racing

SLEEP = ["sleep", "979"]


@pytest.fixture
def place(service: Service, sample: dict[str, bytes]) -> Place:
    """A repository with an agent that never ends by itself, and one that does."""
    return service.settle(racing(sample, "sleeper", "regex-order", sleeper=SLEEP))


def sleeping() -> bool:
    """Whether the slow agent's program is still there."""
    wanted = "\0".join([*SLEEP, ""]).encode()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if entry.read_bytes() == wanted:
                return True
        except OSError:
            continue  # it ended while we looked
    return False


def test_a_cancelled_run_ends_everywhere_and_leaves_no_process(place: Place) -> None:
    issue = place.ask()
    place.heard(issue, "**executing**")
    eventually(sleeping, "the slow agent runs")
    place.say(issue, "/optr status")
    place.heard(issue, "): **executing**")
    place.say(issue, "/optr cancel")
    place.heard(issue, "is cancelled; what it did so far stays on the record")
    place.heard(issue, "closed: **cancelled**")
    check = place.concluded(place.base, "optr", "cancelled")
    assert "cancelled" in check["output"]["title"]
    eventually(lambda: not sleeping(), "the slow agent's process is gone", 20)

    lake = place.lake()
    assert lake.types() == ["MAEG_CREATED", "RUN_CANCELLED"]
    assert lake.lines()[-1]["actor"] == "ada"
    lake.verified()
    place.say(issue, "/optr cancel")
    place.drained()
    assert place.pulls() == []
    assert place.branches() == {"main", "datalake"}
    assert len(place.checks(place.base, "optr")) == 1
    assert place.lake().types() == ["MAEG_CREATED", "RUN_CANCELLED"], "cancelling twice is cancelling once"
    assert json.dumps(place.ours(issue)).count("closed: **cancelled**") == 1
