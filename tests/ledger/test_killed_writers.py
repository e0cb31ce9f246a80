"""kill -9 with eight writers on one repository and one store: nothing lost, nothing twice, one chain, verified.

`OPTR_CRASH_ROUNDS` makes it long (`make crash-ledger`).
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.conftest import forget_locks
from tests.ledger.writer import POINTS, draft_of, files_of

ROOT = Path(__file__).resolve().parents[2]
WRITER = ROOT / "tests" / "ledger" / "writer.py"
WRITERS = 8
ROUNDS = int(os.environ.get("OPTR_CRASH_ROUNDS", "1"))
SEED = int(os.environ.get("OPTR_CRASH_SEED", "20261121"))


class Writer:
    """One of the writers: a process group of its own, started again after each death."""

    def __init__(self, world: Any, name: str) -> None:
        self.world = world
        self.name = name
        self.acknowledged: set[int] = set()

    def start(self, lines: int, point: str = "none", after: int = 1) -> None:
        argv = [sys.executable, str(WRITER), str(self.world.directory), self.name, str(lines), point, str(after)]
        self.process = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> int:
        out, err = self.process.communicate(timeout=300)
        self.acknowledged |= {int(line) for line in out.split(b"\n")[:-1]}
        assert self.process.returncode in (0, -signal.SIGKILL), err.decode()[-800:]
        return self.process.returncode


def tip_of(world: Any) -> str:
    """The branch's tip; empty without a branch."""
    return str(world.git("for-each-ref", "--format=%(objectname)", "refs/heads/datalake"))


def await_work(world: Any, writers: list[Writer]) -> None:
    """Wait until one of the writers has appended, or all have ended: a kill before that would prove nothing."""
    before = tip_of(world)
    while tip_of(world) == before and any(writer.process.poll() is None for writer in writers):
        time.sleep(0.05)


def judge(world: Any, writers: list[Writer]) -> Counter[str]:
    """Finish what a crash interrupted, then check the ledger without the sequencer's help."""
    forget_locks(world.git_dir)
    world.sequencer().settle()
    found = world.verify(trusted=str(world.signer.vkey), remembered=world.store.load(world.signer.origin))
    assert found.problem is None
    written = Counter(json.loads(line)["run"] for line in world.lines())
    assert set(written.values()) <= {1}, "a line was written twice"
    for writer in writers:
        lost = {f"{writer.name}-{number}" for number in writer.acknowledged} - set(written)
        assert not lost, f"acknowledged lines are lost: {lost}"
    return written


@pytest.mark.parametrize("point", POINTS)
def test_a_writer_killed_at_a_named_point_leaves_a_ledger_that_the_others_go_on_with(world: Any, point: str) -> None:
    if "read" in point:
        world.sequencer().append([draft_of("a-0")], files_of("a-0"))  # a new ledger has no head to read
    doomed = Writer(world, "a")
    doomed.start(3, point, after=1 if "read" in point else 2)
    assert doomed.end() == -signal.SIGKILL
    forget_locks(world.git_dir)
    for run in ("b-0", "a-0", "a-1", "a-2"):
        world.sequencer().append([draft_of(run)], files_of(run))
    assert judge(world, [doomed]) == Counter(["b-0", "a-0", "a-1", "a-2"])
    world.git("fsck", "--no-dangling")


@pytest.mark.parametrize("attempt", range(ROUNDS))
def test_eight_writers_killed_at_random_lose_nothing_and_write_nothing_twice(world: Any, attempt: int) -> None:
    chance = random.Random(SEED + attempt)
    lines = 3 if ROUNDS == 1 else 25
    writers = [Writer(world, f"w{number}") for number in range(WRITERS)]
    for life in range(2 if ROUNDS == 1 else 8):
        for writer in writers:
            named = chance.random() < 0.4
            writer.start(lines, *((chance.choice(POINTS), chance.randint(1, 4)) if named and life % 2 else ()))
        await_work(world, writers)
        time.sleep(chance.uniform(0.0, 2.0))
        for writer in chance.sample(writers, WRITERS):
            writer.kill()
            time.sleep(chance.uniform(0.0, 0.1))
        for writer in writers:
            writer.end()
        judge(world, writers)
    for writer in writers:
        writer.start(lines)
    assert [writer.end() for writer in writers] == [0] * WRITERS
    assert judge(world, writers) == Counter(f"w{w}-{n}" for w in range(WRITERS) for n in range(lines))
    world.git("fsck", "--no-dangling")
