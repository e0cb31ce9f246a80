"""Losing power is not kill -9: what was not synced may be gone, in any combination that POSIX allows.

Every disk that the model of `tests/ledger/power.py` can leave behind is read.
"""

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger import durable
from ledger.errors import LedgerError
from ledger.keys import Signer
from ledger.store import FileCheckpoints
from tests.ledger.power import Effect, Recorder, disks

STRACE = shutil.which("strace")


def test_a_new_file_is_whole_or_absent_and_there_once_the_call_returned(tmp_path: Path) -> None:
    disk, path = Recorder(), tmp_path / "key"
    durable.create(path, b"secret", disk=disk)
    outcomes = set(disks(disk.log, path))
    assert {content for _, content in outcomes} == {None, b"secret"}
    assert {content for done, content in outcomes if done} == {b"secret"}


def test_a_replaced_file_is_old_or_new_and_new_once_the_call_returned(tmp_path: Path) -> None:
    disk, path = Recorder(), tmp_path / "checkpoint"
    durable.replace(path, b"old", disk=disk)
    before = len(disk.log)
    durable.replace(path, b"new", disk=disk)
    later = [outcome for at, outcome in enumerate_from(disk.log, path, before)]
    assert {content for _, content in later} == {b"old", b"new"}
    assert {content for done, content in later if done} == {b"new"}


def enumerate_from(log: list[Any], path: Path, start: int) -> Iterator[tuple[int, tuple[bool, bytes | None]]]:
    for end in range(start, len(log) + 1):
        for _, content in (one for one in disks(log[:end], path) if one[0]):
            yield end, (end == len(log), content)


@pytest.mark.parametrize("skipped", ["file", "directory"])
def test_the_model_finds_a_write_that_skips_a_sync(tmp_path: Path, skipped: str) -> None:
    disk, path = Recorder(), tmp_path / "checkpoint"
    durable.replace(path, b"new", disk=disk)
    log = [step for step in disk.log if isinstance(step, Effect) or step[0] != skipped]
    after = {content for done, content in disks(log, path) if done}
    assert (b"" in after) if skipped == "file" else (None in after)


def test_a_swapped_checkpoint_is_the_old_or_the_new_one_in_directories_that_stay(tmp_path: Path) -> None:
    disk, signer = Recorder(), Signer("optr/octocat/hello", bytes(32))
    directory = tmp_path / "a" / "store"
    store = FileCheckpoints(directory, disk)
    first, second = (signer.sign_checkpoint(size, bytes([size]) * 32) for size in (1, 2))
    assert store.swap(signer.origin, None, first)
    (path,) = directory.glob("*.checkpoint")
    before = len(disk.log)
    assert {content for done, content in disks(disk.log, path) if done} == {first}
    for made in (directory, directory.parent):
        settled = [step for step in disk.log if step == ("directory", made.parent)]
        assert settled, f"the name of {made} may be lost"
    assert store.swap(signer.origin, first, second)
    later = [outcome for _, outcome in enumerate_from(disk.log, path, before)]
    assert {content for _, content in later} == {first, second}
    assert {content for done, content in later if done} == {second}


class Failing(durable.Disk):
    """Fails the nth call, before or after it took effect."""

    def __init__(self, number: int, *, effective: bool) -> None:
        self.left = number
        self.effective = effective

    def fail(self, call: Callable[..., Any], *args: Any) -> Any:
        self.left -= 1
        if self.left:
            return call(*args)
        if self.effective:
            call(*args)
        raise OSError(5, "Input/output error")

    def write(self, handle: int, data: bytes) -> None:
        self.fail(super().write, handle, data)

    def sync(self, handle: int) -> None:
        self.fail(super().sync, handle)

    def replace(self, source: Path, target: Path) -> None:
        self.fail(super().replace, source, target)

    def mkdir(self, path: Path, mode: int) -> None:
        self.fail(super().mkdir, path, mode)


@pytest.mark.parametrize("effective", [False, True], ids=["not persisted", "persisted but reported failed"])
def test_every_call_of_a_swap_fails_and_the_ledger_goes_on(world: Any, *, effective: bool) -> None:
    """Fail the nth call for n = 1, 2, … until a whole append passes."""
    world.append(0)
    numbers = [0]
    for nth in itertools.count(1):
        number = nth
        store = FileCheckpoints(world.directory / "store", Failing(nth, effective=effective))
        try:
            world.sequencer(store).append([world.draft(number)], {})
            break
        except OSError:
            assert world.sequencer().append([world.draft(number)], {}).seqs == (nth,)
        numbers.append(number)
        assert world.verify(remembered=world.store.load(world.signer.origin)).problem is None
    assert nth > 4
    assert [line.count(b'"n":%d,' % n) for n, line in enumerate(world.lines())] == [1] * (nth + 1)


def test_a_torn_store_is_refused_not_believed(world: Any) -> None:
    world.append(0)
    (path,) = (world.directory / "store").glob("*.checkpoint")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(LedgerError, match="damaged"):
        world.append(1)


@pytest.mark.skipif(STRACE is None, reason="needs strace to see git's own system calls")
def test_git_syncs_the_pack_and_the_refs_before_they_take_their_names(world: Any, tmp_path: Path) -> None:
    """Trace an append: every file that git renames or links into place was fsynced, and then its directory was."""
    world.append(0)
    child = f"""
from pathlib import Path
from ledger.entry import Draft
from ledger.keys import Signer
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from tests.ledger.power import Effect, Recorder, disks
home = Path({str(world.directory)!r})
drafts = [Draft("run1/X", "X", "issue-1", "run1", "octocat", 1_764_000_000_001, {{}})]
signer = Signer.load(home / "key")
Sequencer(home / "repository.git", signer, FileCheckpoints(home / "store")).append(drafts, {{}})
"""
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat"
    done = subprocess.run(
        [str(STRACE), "-f", "-y", "-e", calls, "-o", str(trace), sys.executable, "-c", child],
        capture_output=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    if b"ptrace" in done.stderr and b"not permitted" in done.stderr:
        pytest.skip("ptrace is not permitted here")
    assert done.returncode == 0, done.stderr.decode()[-500:]
    text = trace.read_text()
    synced = [line.partition("<")[2].partition(">")[0] for line in text.splitlines() if "sync(" in line]
    for directory in ("objects/pack", "refs/heads", "refs/optr/staged", "store"):
        assert any(path.endswith(f"/{directory}") for path in synced), f"{directory} was never synced"
    for name in ("/objects/pack/tmp_pack_", "/objects/pack/tmp_idx_", "/refs/heads/datalake.lock"):
        assert any(name in path for path in synced), f"{name} was not synced before it was renamed"
