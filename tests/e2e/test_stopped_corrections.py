"""A local run that waits for a correction goes on waiting when whoever corrects it is stopped in between."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot import waiting as kept
from execution.problems import SetupProblem
from ledger.verify import verify_branch
from tests.e2e.cli_kit import ROOT, Bench

ASK = ("correct", "fix", "S1", "--reason", "use a plus")


def generations(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir() if path.is_dir())


def test_a_correction_that_is_killed_can_be_asked_for_again(waiting: Bench) -> None:
    (home,) = (waiting.state / kept.DIRECTORY).iterdir()
    assert generations(home) == ["1"]
    before = waiting.line_types()
    environ = waiting.environ(PYTHONPATH=str(ROOT))
    command = [sys.executable, "-m", "bot.cli", *ASK]
    stopped = subprocess.Popen(command, cwd=waiting.repo, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not (home / kept.LOCK_FILE).exists() and time.monotonic() < until:
        time.sleep(0.01)
    stopped.kill()
    stopped.communicate()
    assert generations(home) == ["1"]
    assert waiting.line_types() == before
    ran = waiting.optr(*ASK)
    assert "(told, attempt 2)" in ran.out, ran.err
    assert generations(home) == ["2"]
    assert waiting.line_types()[len(before) :][0] == "CORRECTION_ISSUED"
    assert verify_branch(waiting.repo / ".git").problem is None


def test_one_run_is_corrected_by_one_process(waiting: Bench, tmp_path: Path) -> None:
    (home,) = (waiting.state / kept.DIRECTORY).iterdir()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = waiting.line_types()
    with kept.taken(home, scratch) as run:
        ran = waiting.optr(*ASK)
        assert (ran.code != 0, f"run {run.id} is being corrected by another process" in ran.err) == (True, True)
    assert kept.find(waiting.state, "fix") == home
    assert waiting.line_types() == before
    kept.keep(scratch, waiting.state, run.id)
    assert generations(home) == ["2"]
    (home / "2" / kept.STATE_FILE).unlink()
    with pytest.raises(SetupProblem, match="does not wait any more"), kept.taken(home, scratch):
        pass
