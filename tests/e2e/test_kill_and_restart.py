"""A stop and a kill while an agent is at work: no process of it is left, and the run goes on after the restart."""

import signal
import subprocess

from tests.e2e.conftest import MakeService
from tests.e2e.kills import OPENED, everything_once
from tests.e2e.service import Service, eventually, racing


def test_a_stop_in_the_middle_is_clean_and_a_kill_leaves_no_process(
    make_service: MakeService, sample: dict[str, bytes]
) -> None:
    """SIGTERM ends the process with status 0; after SIGKILL no agent goes on alone; both times the run goes on."""
    nap = "4.125"
    command = ["sh", "-c", f"sleep {nap}; python3 bots/regex_order.py duration"]
    service: Service = make_service()
    place = service.settle(racing(sample, "napper", napper=command))
    service.start()
    issue = place.ask()
    eventually(lambda: sleeping(nap), "the agent is at work")
    service.stop()
    assert not sleeping(nap), "a stop takes the agents' processes with it"
    service.start()
    eventually(lambda: sleeping(nap), "the agent is at work again")
    assert service.process is not None
    service.process.send_signal(signal.SIGKILL)
    service.process.wait(10)
    eventually(lambda: not sleeping(nap), "no agent outlives the App", 20)
    service.start()
    place.opened(issue)
    everything_once(place, issue, *OPENED)
    service.stop()


def sleeping(seconds: str) -> bool:
    """Whether a program of that name and argument runs."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return f"sleep {seconds}" in [line.strip() for line in listed.stdout.splitlines()]
