"""The App's witness is a process of its own: down during a run, up later, and asked without anybody waiting for it."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot.exit_codes import ExitCode
from tests.e2e.conftest import MakeService
from tests.e2e.service import ROOT, Place, Service, eventually, free_port
from tests.e2e.witnesses import NAME, THEIRS, witness

RULES = {".github/optr.yml": b"version: [\n"}  # a run that cannot be planned writes one line, in a moment
TOKEN = "a-token-that-is-long-enough"


@pytest.fixture
def service(make_service: MakeService) -> Iterator[Service]:
    made = make_service()
    # A witness that is down is told of in the log; the runs' own refusals are what the rules above provoke.
    made.tolerated += ["left for later"]
    yield made
    made.stop()


def optr(service: Service, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bot.cli", *args]
    return subprocess.run(command, cwd=ROOT, env=service.environ, capture_output=True, text=True, check=False)


def metric(service: Service, name: str, **labels: str) -> float:
    asked = urllib.request.Request(f"{service.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return next(one.value for family in families for one in family.samples if (one.name, one.labels) == (name, labels))


def met(place: Place, policy: Path) -> int:
    """What `verify-ledger --policy` says of a fresh clone of the pushed branch."""
    return optr(place.service, "verify-ledger", "--repo", str(place.lake().path), "--policy", str(policy)).returncode


def readers(policy: Path, who: str) -> Path:
    """The policy of somebody who asks for `who` to vouch."""
    lines = [line for line in policy.read_text().splitlines() if not line.startswith("quorum")]
    return write(policy.with_name(f"{policy.name}.{who.partition('/')[2]}"), "\n".join([*lines, f"quorum {who}"]))


def finding(service: Service) -> tuple[str, str]:
    told = json.loads(optr(service, "doctor", "--json").stdout)
    return next((one["standing"], one["what"]) for one in told["findings"] if one["name"] == "witnesses")


def test_a_witness_is_caught_up_with_after_it_was_down_and_asked_after_each_run(service: Service) -> None:
    place, ports = service.settle(RULES), {NAME: free_port(), THEIRS: free_port()}
    logs, policy = service.home / "ledgers.vkeys", service.home / "witnesses.policy"
    stranger = "optr/nobody/nothing+88cebf74+AQFOTZIsWWo4Ct/J7tci6DWCLxI2dhaT5Lq7YeGvuwTx"
    named = []
    for name, port in ports.items():
        with witness(service.home, write(logs, stranger), free_port(), name) as said:  # makes its key
            named.append(f"{said} http://127.0.0.1:{port}")
    write(policy, "\n".join([*named, "quorum none"]))
    ours, theirs = readers(policy, NAME), readers(policy, THEIRS)
    more = {"OPTR_WITNESS_POLICY": str(policy), "OPTR_RECONCILE_INTERVAL": "1000", "OPTR_METRICS_TOKEN": TOKEN}
    service.environ |= more
    service.start()
    place.heard(place.ask(), "closed: **failed**")
    eventually(lambda: metric(service, "optr_witness_answers_total", answer="nothing"), "the witness was asked")
    assert met(place, ours) == ExitCode.INCOMPLETE
    assert metric(service, "optr_ledgers_uncosigned") == 1
    standing, what = finding(service)
    assert standing == "failed"
    assert f"no answer from {NAME}" in what
    assert "0 of 1" in what

    (key,) = (place.lake().path / "datalake/keys").iterdir()
    write(logs, key.read_text().strip())
    with witness(service.home, logs, ports[NAME]):
        eventually(lambda: met(place, ours) == ExitCode.OK, "what it missed was cosigned")
        place.heard(place.ask(), "closed: **failed**")
        eventually(lambda: met(place, ours) == ExitCode.OK, "the next run's lines were cosigned")
        standing, what = finding(service)
        assert (standing, what.endswith(f"2 of 2 without {THEIRS}")) == ("failed", True), what
        assert metric(service, "optr_ledgers_uncosigned") == 1
        held = metric(service, "optr_witness_answers_total", answer="cosigned")
    asked = metric(service, "optr_witness_answers_total", answer="nothing")
    eventually(lambda: metric(service, "optr_witness_answers_total", answer="nothing") > asked + 2, "theirs is asked")
    assert metric(service, "optr_witness_answers_total", answer="cosigned") == held, "who cosigned is not asked again"
    with witness(service.home, logs, ports[THEIRS], THEIRS):
        eventually(lambda: met(place, theirs) == ExitCode.OK, "the other one cosigned")
        assert met(place, ours) == ExitCode.OK, "what the first one said stands"
        with witness(service.home, logs, ports[NAME]):
            eventually(lambda: metric(service, "optr_ledgers_uncosigned") == 0, "nothing is owed")
            assert finding(service) == ("ok", "2 answer, and nothing waits for them")
        assert metric(service, "optr_witness_answers_total", answer="other_history") == 0
    assert len(place.lake().lines()) == 2
    place.lake().verified()


def write(file: Path, line: str) -> Path:
    file.write_text(f"{line}\n", encoding="utf-8")
    return file


def test_a_policy_that_nobody_can_be_asked_by_stops_the_start_and_says_why(service: Service) -> None:
    policy = write(service.home / "witnesses.policy", "quorum none")
    service.launch(OPTR_WITNESS_POLICY=str(policy))
    assert service.process is not None
    assert service.process.wait(60) == ExitCode.USAGE
    said = service.log.read_text(encoding="utf-8")
    assert "the policy names no witness that can be asked" in said
    assert "what to do: Give a witness its URL" in said
