"""Every step of an append fails in two ways, before and after it took effect; whatever comes next, nothing is lost.

After each step an independent verification judges the branch.
"""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.branch import GitDir
from ledger.checkpoint import parse_checkpoint
from ledger.errors import LedgerBusyError, LedgerRefusedError, Standing
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from tests.ledger.conftest import forget_locks

ROOT = Path(__file__).resolve().parents[2]


class CrashError(Exception):
    """Stands for the end of the process."""


class FaultyStore(FileCheckpoints):
    """Fails one swap, before or after it is durable."""

    def __init__(self, directory: Path, *, persist: bool) -> None:
        super().__init__(directory)
        self.persist = persist

    def swap(self, origin: str, old: bytes | None, new: bytes) -> bool:
        if self.persist:
            super().swap(origin, old, new)
        raise CrashError


def faulty(method: Callable[..., Any], *, effective: bool) -> Callable[..., Any]:
    def fail(*args: Any, **options: Any) -> Any:
        if effective:
            method(*args, **options)
        raise CrashError

    return fail


def crash(world: Any, point: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    step, when = point.split(" ")
    effective = when == "after"
    store = FaultyStore(world.directory / "store", persist=effective) if step == "swap" else world.store
    with monkeypatch.context() as patch:
        if step in ("stage", "move"):
            patch.setattr(GitDir, step, faulty(getattr(GitDir, step), effective=effective))
        with pytest.raises(CrashError):
            world.sequencer(store).append([world.draft(number)], files_of(number))


def files_of(number: int) -> dict[str, bytes]:
    return {f"datalake/workflows/issue-{number}/plan.md": b"plan %d\n" % number}


def check(world: Any, *numbers: int) -> None:
    assert [json.loads(line)["n"] for line in world.lines()] == list(numbers)
    assert (
        world.verify(trusted=str(world.signer.vkey), remembered=world.store.load(world.signer.origin)).problem is None
    )
    assert world.git("for-each-ref", "--format=%(refname)") == "refs/heads/datalake"


POINTS = ["stage before", "stage after", "swap before", "swap after", "move before", "move after"]
COMMITTED = {"swap after", "move before", "move after"}


@pytest.mark.parametrize("before", [[], [0]], ids=["empty", "grown"])
@pytest.mark.parametrize("point", POINTS)
def test_repeating_the_append_after_a_crash_writes_it_once(
    world: Any, point: str, before: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in before:
        world.append(number)
    crash(world, point, 1, monkeypatch)
    done = world.append(1)
    assert done.seqs == (len(before),)
    check(world, *before, 1)


@pytest.mark.parametrize("point", POINTS)
def test_another_append_after_a_crash_keeps_what_was_signed(
    world: Any, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(0)
    crash(world, point, 1, monkeypatch)
    world.append(2)
    check(world, *([0, 1, 2] if point in COMMITTED else [0, 2]))
    world.append(1)
    check(world, *([0, 1, 2] if point in COMMITTED else [0, 2, 1]))


@pytest.mark.parametrize("point", POINTS)
def test_the_sequencer_that_saw_the_failure_goes_on(world: Any, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sequencer = world.sequencer()
    sequencer.append([world.draft(0)], {})
    step, when = point.split(" ")
    target = world.store if step == "swap" else GitDir
    with monkeypatch.context() as patch:
        patch.setattr(target, step, faulty(getattr(target, step), effective=when == "after"))
        with pytest.raises(CrashError):
            sequencer.append([world.draft(1)], {})
    assert sequencer.append([world.draft(1)], {}).seqs == (1,)
    assert sequencer.append([world.draft(2)], {}).seqs == (2,)
    check(world, 0, 1, 2)


def test_settling_finishes_what_was_signed(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.append(0)
    crash(world, "swap after", 1, monkeypatch)
    assert len(world.lines()) == 1
    world.sequencer().settle()
    check(world, 0, 1)


def test_recovery_crashing_too_is_recovered_from(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.append(0)
    crash(world, "swap after", 1, monkeypatch)
    for point in ("move before", "move after"):
        with monkeypatch.context() as patch:
            patch.setattr(GitDir, "move", faulty(GitDir.move, effective=point == "move after"))
            with pytest.raises(CrashError):
                world.sequencer().settle()
    world.sequencer().settle()
    check(world, 0, 1)


def test_a_foreign_commit_between_signing_and_moving_is_built_upon(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.append(0)
    crash(world, "swap after", 1, monkeypatch)
    foreign = world.commit({"README.md": b"hello"})
    done = world.append(2)
    assert world.git("rev-parse", f"{done.commit}~2") == foreign
    check(world, 0, 1, 2)


def test_a_foreign_change_of_the_record_between_signing_and_moving_is_refused(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(0)
    crash(world, "swap after", 1, monkeypatch)
    world.commit({"datalake/ledger.jsonl": world.show("datalake/ledger.jsonl") + b"{}\n"})
    with pytest.raises(LedgerRefusedError, match="somebody else writes this ledger") as caught:
        world.append(2)
    assert caught.value.standing is Standing.DIFFERENT


def test_when_the_staged_commit_is_lost_repeating_the_append_rebuilds_it(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(0)
    crash(world, "swap after", 1, monkeypatch)
    (ref,) = world.git("for-each-ref", "--format=%(refname)", "refs/optr").splitlines()
    world.git("update-ref", "-d", ref)
    signed = world.store.load(world.signer.origin)
    with pytest.raises(LedgerRefusedError, match="repeat the interrupted append"):
        world.append(2)
    world.append(1)
    assert world.store.load(world.signer.origin) == signed
    check(world, 0, 1)


class Remote:
    """A bare repository that our git directory pushes to, plainly."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.path = world.directory / "remote.git"
        self.race: Callable[[], None] | None = None
        subprocess.run(["git", "init", "-q", "--bare", str(self.path)], check=True)

    def publish(self, commit: str, expected: str | None) -> bool:
        if self.race is not None:
            race, self.race = self.race, None
            race()
        del expected
        push = ["git", f"--git-dir={self.world.git_dir}", "push", "-q", str(self.path)]
        done = subprocess.run([*push, f"{commit}:refs/heads/datalake"], check=False, capture_output=True)
        if done.returncode:
            self.fetch()
        return done.returncode == 0

    def fetch(self) -> None:
        self.world.git("fetch", "-q", str(self.path), "+refs/heads/datalake:refs/heads/datalake")

    def tip(self) -> str:
        return str(self.world.git("ls-remote", str(self.path), "refs/heads/datalake")).split("\t")[0]

    def foreign(self, path: str, content: bytes) -> None:
        """Another clone pushes a commit."""
        local = self.world.tip()
        commit = self.world.commit({path: content})
        self.world.git("push", "-q", str(self.path), f"{commit}:refs/heads/datalake")
        self.world.git("update-ref", "refs/heads/datalake", local)


def test_appends_are_pushed(world: Any) -> None:
    remote = Remote(world)
    sequencer = world.sequencer(publish=remote.publish)
    for number in range(3):
        assert sequencer.append([world.draft(number)], files_of(number)).commit == remote.tip()
    check(world, 0, 1, 2)


def test_a_push_race_lost_to_a_commit_elsewhere_is_rebuilt_on_the_new_tip(world: Any) -> None:
    remote = Remote(world)
    sequencer = world.sequencer(publish=remote.publish)
    sequencer.append([world.draft(0)], {})
    remote.race = lambda: remote.foreign("README.md", b"theirs")
    done = sequencer.append([world.draft(1)], files_of(1))
    assert done.commit == remote.tip() == world.tip()
    assert world.show("README.md") == b"theirs"
    assert sequencer.append([world.draft(2)], {}).seqs == (2,)
    check(world, 0, 1, 2)


def test_a_push_race_lost_to_another_ledger_writer_is_refused(world: Any) -> None:
    remote = Remote(world)
    sequencer = world.sequencer(publish=remote.publish)
    sequencer.append([world.draft(0)], {})
    remote.race = lambda: remote.foreign("datalake/checkpoint", b"theirs")
    with pytest.raises(LedgerRefusedError, match="somebody else writes this ledger"):
        sequencer.append([world.draft(1)], {})


def test_a_push_refused_without_a_new_tip_gives_way_and_is_finished_later(world: Any) -> None:
    remote = Remote(world)
    sequencer = world.sequencer(publish=lambda *_: False)
    with pytest.raises(LedgerBusyError, match=r"push of .* was refused"):
        sequencer.append([world.draft(0)], {})
    assert parse_checkpoint(world.store.load(world.signer.origin)).size == 1
    done = world.sequencer(publish=remote.publish).append([world.draft(1)], {})
    assert (done.seqs, done.commit) == ((1,), remote.tip())
    check(world, 0, 1)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_network_failure_in_the_push_is_finished_by_the_next_append(world: Any, when: str) -> None:
    remote = Remote(world)
    world.sequencer(publish=remote.publish).append([world.draft(0)], {})
    with pytest.raises(CrashError):
        world.sequencer(publish=faulty(remote.publish, effective=when == "after")).append([world.draft(1)], {})
    done = world.sequencer(publish=remote.publish).append([world.draft(1)], {})
    assert (done.seqs, done.commit) == ((1,), remote.tip())
    check(world, 0, 1)


CHILD = """
import os, signal, sys
from pathlib import Path
from ledger.branch import GitDir
from ledger.entry import Draft
from ledger.keys import Signer
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints

directory, start, point = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

def die(*_args, **_options):
    os.kill(os.getpid(), signal.SIGKILL)

class Store(FileCheckpoints):
    def swap(self, *args):
        if point == "before swap":
            die()
        done = super().swap(*args)
        if point == "after swap":
            die()
        return done

if point == "before move":
    GitDir.move = die
sequencer = Sequencer(directory / "repository.git", Signer.load(directory / "key"), Store(directory / "store"))
for n in range(start, start + 1000):
    draft = Draft(f"run{n}/X", "X", f"issue-{n}", f"run{n}", "octocat", 1_764_000_000_000 + n, {"n": n})
    sequencer.append([draft], {f"datalake/workflows/issue-{n}/plan.md": b"plan"})
    print(n, flush=True)
"""


def spawn(world: Any, start: int, point: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", CHILD, str(world.directory), str(start), point]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT)


@pytest.mark.parametrize("point", ["before swap", "after swap", "before move"])
def test_a_process_killed_at_a_named_point_loses_nothing_signed(world: Any, point: str) -> None:
    world.append(0)
    with spawn(world, 1, point) as process:
        assert process.wait(60) == -signal.SIGKILL
    world.append(9)
    check(world, *([0, 9] if point == "before swap" else [0, 1, 9]))


def test_kill_9_at_any_moment_loses_no_acknowledged_line_and_writes_none_twice(world: Any) -> None:
    chance = random.Random(20261121)
    acknowledged: list[int] = []
    for life in range(6):
        with spawn(world, life * 1000, "none") as process:
            assert process.stdout is not None
            acknowledged.append(int(process.stdout.readline()))
            time.sleep(chance.uniform(0.0, 0.5))
            process.kill()
            acknowledged += [int(line) for line in process.stdout.read().split()]
        forget_locks(world.git_dir)
        world.sequencer().settle()
        assert world.verify(remembered=world.store.load(world.signer.origin)).problem is None
    written = Counter(json.loads(line)["n"] for line in world.lines())
    assert set(acknowledged) <= set(written)
    assert set(written.values()) == {1}
    world.git("fsck", "--no-dangling")


def test_sequencers_in_different_directories_share_one_store(world: Any) -> None:
    """Two machines, one database: the second must have fetched what the first signed."""
    remote = Remote(world)
    world.sequencer(publish=remote.publish).append([world.draft(0)], {})
    second = world.directory / "second.git"
    subprocess.run(["git", "init", "-q", "--bare", str(second)], check=True)
    sequencer = Sequencer(second, world.signer, world.store)
    with pytest.raises(LedgerRefusedError, match="Fetch the branch") as caught:
        sequencer.append([world.draft(1)], {})
    assert caught.value.standing is Standing.BEHIND
    fetch = ["git", f"--git-dir={second}", "fetch", "-q", str(remote.path), "refs/heads/datalake:refs/heads/datalake"]
    subprocess.run(fetch, check=True)
    assert sequencer.append([world.draft(1)], {}).seqs == (1,)
