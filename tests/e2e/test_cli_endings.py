"""How a run can end without a winner: nobody admissible, infrastructure, time, the person's own Ctrl-C."""

import json
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cli_kit import ROOT, Bench, make_bench

SLEEP_SECONDS = range(100_000, 1_000_000)  # long enough; each test takes one of its own, to find its processes by


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)


@pytest.fixture
def seconds() -> int:
    return secrets.choice(SLEEP_SECONDS)


def test_nobody_admissible_ends_with_three_and_a_line(bench: Bench) -> None:
    ran = bench.execute("w", "--agents", "breaker", "--json")
    assert ran.code == 3
    assert ran.err.splitlines()[-1] == "error: No admissible results from any agent"
    result = json.loads(ran.out)
    assert (result["winner"], result["outcome"], result["code"]) == (None, "no_winner", "NO_WINNER")
    assert bench.line_types() == ["MAEG_CREATED", "OPTR_NO_WINNER"]
    assert bench.branches() == ["datalake", "main"]


def test_without_the_sandbox_that_was_asked_for_it_ends_with_four_and_nothing_was_begun(
    bench: Bench, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("git", "env", "sh"):
        (tools / tool).symlink_to(shutil.which(tool) or pytest.fail(f"no {tool}"))
    ran = bench.execute("w", OPTR_SANDBOX="bubblewrap", PATH=str(tools))
    assert (ran.code, ran.out) == (4, "")
    assert "no sandbox works here (bubblewrap:" in ran.err
    assert "Install bubblewrap" in ran.err
    assert bench.line_types() == []


def test_a_check_that_cannot_run_here_at_all_is_infrastructure_and_blames_no_agent(tmp_path: Path) -> None:
    config = "version: 1\nagents: [mender]\nchecks:\n  - id: odd\n    run: no-such-program-here\n"
    bench = make_bench(tmp_path, {".github/optr.yml": config})
    ran = bench.execute("w")
    assert ran.code == 4, ran.err
    assert "no-such-program-here" in ran.err
    assert bench.line_types() == ["MAEG_CREATED", "RUN_FAILED"]
    assert bench.branches() == ["datalake", "main"]


def test_an_agent_out_of_time_is_told_in_the_original_words_and_the_other_wins(bench: Bench, seconds: int) -> None:
    bench.agent("sleeper", f"sleep {seconds} & sleep {seconds}")
    ran = bench.execute("w", "--agents", "sleeper,mender", OPTR_TIMEOUT="1500")
    assert ran.code == 0, ran.err
    output = json.loads(bench.recorded("w/agent-outputs/sleeper.json"))
    assert output["output"]["error"] == "Agent 'sleeper' timed out after 1500ms"
    assert output["admissible"] is False
    assert _processes(seconds) == []


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A temporary directory of this test's own that the sandbox's user can reach."""
    made = Path(tempfile.mkdtemp(prefix="optr-test-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize(("number", "json_too"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_an_interrupted_run_is_closed_in_the_open_and_leaves_nothing_behind(
    bench: Bench, scratch: Path, seconds: int, number: signal.Signals, *, json_too: bool
) -> None:
    bench.agent("sleeper", f"sleep {seconds} & sleep {seconds}")
    words = ["execute", "--workflow", "w", "--intent", "i", "--agents", "sleeper,mender"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bot.cli", *words, *(["--json"] if json_too else [])],
        cwd=bench.repo,
        env=bench.environ(PYTHONPATH=str(ROOT), TMPDIR=str(scratch)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _wait_for(lambda: len(_processes(seconds)) >= 2)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "w: cancelled"
    assert bench.line_types() == ["MAEG_CREATED", "RUN_CANCELLED"]
    assert _processes(seconds) == []
    assert list(scratch.iterdir()) == []
    verified = bench.optr("verify-ledger")
    assert verified.code == 0, verified.err


def _wait_for(true: object) -> None:
    deadline = time.monotonic() + 90
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


def _processes(seconds: int) -> list[str]:
    """Command lines of live processes of the sleeping agent."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if re.match(rf"sleep {seconds}\b", words):
                found.append(words)
    return found
