"""What processes share in one state directory: turns at a repository, and scratch directories of their own."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from bot.scratch import scratch_of
from execution.turns import Turns

COUNT = """
import asyncio, pathlib, sys
from execution.turns import Turns
async def add(turns, file):
    for _ in range(20):
        async with turns.of("octo/sample"):
            before = int(file.read_text())
            await asyncio.sleep(0.001)
            file.write_text(str(before + 1))
asyncio.run(add(Turns(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2])))
"""
HOLD = """
import pathlib, sys, time
from bot.scratch import scratch_of
with scratch_of(pathlib.Path(sys.argv[1])) as made:
    print(made, flush=True)
    time.sleep(600)
"""


def test_turns_are_taken_across_processes(tmp_path: Path) -> None:
    file = tmp_path / "count"
    file.write_text("0", encoding="utf-8")
    three = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path), str(file)]) for _ in range(3)]
    assert [one.wait(60) for one in three] == [0, 0, 0]
    assert file.read_text(encoding="utf-8") == "60"


def test_repositories_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def both() -> None:
        turns = Turns(tmp_path)
        async with turns.of("octo/a"), turns.of("octo/b"):
            pass

    asyncio.run(both())


def test_a_living_process_keeps_its_scratch_and_a_killed_ones_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        (theirs / "work").mkdir()
        with scratch_of(tmp_path) as ours:
            assert ours != theirs
            assert theirs.is_dir()
        assert not ours.exists()
        os.kill(other.pid, signal.SIGKILL)
        other.wait(10)
    assert (theirs / "work").is_dir()
    with scratch_of(tmp_path):
        assert not theirs.exists()
