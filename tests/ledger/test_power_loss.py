"""Losing power is not kill -9: what was not synced may be gone, in any combination that POSIX allows.

The real calls of each durable write are recorded. Then, for every moment between two calls and every subset of the
effects that were not synced by then, the disk is put together as it might be found, and read.
"""

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ledger import durable
from ledger.errors import LedgerError
from ledger.keys import Signer
from ledger.store import FileCheckpoints

STRACE = shutil.which("strace")


@dataclass(frozen=True)
class Effect:
    """Something a crash may undo: a name set or removed in a directory, or a file's content."""

    directory: Path | None
    file: int | None
    names: Mapping[str, int | None] = field(default_factory=dict)
    content: bytes = b""


class Recorder(durable.Disk):
    """The real disk, with a log of effects and of what made them durable."""

    def __init__(self) -> None:
        self.log: list[Effect | tuple[str, Any]] = []
        self.files: dict[Path, int] = {}
        self.handles: dict[int, Path] = {}
        self.numbers = itertools.count(1)

    def create(self, path: Path, mode: int) -> int:
        handle = super().create(path, mode)
        self.files[path] = next(self.numbers)
        self.handles[handle] = path
        self.log.append(Effect(path.parent, None, {path.name: self.files[path]}))
        return handle

    def open_directory(self, path: Path) -> int:
        handle = super().open_directory(path)
        self.handles[handle] = path
        return handle

    def write(self, handle: int, data: bytes) -> None:
        super().write(handle, data)
        self.log.append(Effect(None, self.files[self.handles[handle]], content=data))

    def sync(self, handle: int) -> None:
        super().sync(handle)
        path = self.handles[handle]
        self.log.append(("directory", path) if path not in self.files else ("file", self.files[path]))

    def close(self, handle: int) -> None:
        super().close(handle)
        del self.handles[handle]

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self.files[target] = self.files[source]
        self.log.append(Effect(target.parent, None, {target.name: self.files[source]}))

    def replace(self, source: Path, target: Path) -> None:
        super().replace(source, target)
        self.files[target] = self.files.pop(source)
        self.log.append(Effect(target.parent, None, {target.name: self.files[target], source.name: None}))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        if self.files.pop(path, None) is not None:
            self.log.append(Effect(path.parent, None, {path.name: None}))

    def mkdir(self, path: Path, mode: int) -> None:
        super().mkdir(path, mode)
        self.log.append(Effect(path.parent, None, {path.name: -1}))


def disks(log: list[Any], target: Path) -> Iterator[tuple[bool, bytes | None]]:
    """Yield whether the whole log ran, and what bears the name of `target` after each possible crash."""
    for end in range(len(log) + 1):
        pending: list[Effect] = []
        settled: list[Effect] = []
        for step in log[:end]:
            if isinstance(step, Effect):
                pending.append(step)
                continue
            kind, what = step
            done = [one for one in pending if what == (one.directory if kind == "directory" else one.file)]
            settled += done
            pending = [one for one in pending if one not in done]
        for fates in itertools.product((None, 0.5, 1.0), repeat=len(pending)):
            if any(fate == 0.5 and one.file is None for fate, one in zip(fates, pending, strict=True)):
                continue  # only content can be torn
            kept = [(one, 1.0) for one in settled]
            kept += [(one, fate) for one, fate in zip(pending, fates, strict=True) if fate is not None]
            yield end == len(log), found(kept, target)


def found(kept: list[tuple[Effect, float]], target: Path) -> bytes | None:
    names: dict[Path, int | None] = {}
    contents: dict[int, bytes] = {}
    for effect, share in kept:
        if effect.file is not None:
            contents[effect.file] = effect.content[: int(len(effect.content) * share)]
        for name, file in effect.names.items():
            names[(effect.directory or Path()) / name] = file
    above = [one for one in target.parents if names.get(one, -1) is None]
    file = names.get(target)
    return None if above or file is None else contents.get(file, b"")


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
