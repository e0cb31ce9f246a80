"""Prepared dependencies outlive their process, and only what is still ours is believed."""

import os
from pathlib import Path

import pytest

from execution.config import Prepare
from execution.ports import Sandbox
from execution.preparation import CACHE_DIRECTORY
from execution.prepared_cache import ENTRIES_MAX, IDLE_SECONDS_MIN, open_cache
from execution.sandbox.disposal import dispose
from tests.execution.rooms import Origin
from tests.execution.test_preparation import Counting, ensure_in

NOW = 2_000_000_000.0


@pytest.fixture
def state(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    return scratch / "state"


def test_a_second_process_finds_what_the_first_prepared(
    origin: Origin, scratch: Path, state: Path, sandbox: Sandbox
) -> None:
    base, counting = origin.commit({"pins.txt": "dep==1\n"}), Counting(sandbox)
    declared = Prepare(run="mkdir .optr-deps && cp pins.txt .optr-deps/seen")
    made = []
    for process in ("first", "second"):
        own = scratch / process
        own.mkdir(mode=0o711)
        own.chmod(0o711)
        made.append(ensure_in(open_cache(state, NOW), counting, own, origin, base, declared))
        dispose(own)  # as the end of a process sweeps its workspaces
    assert made[0] == made[1]
    assert len(counting.asked) == 1
    assert (made[1][0].source / "seen").read_text() == "dep==1\n"


def test_a_directory_that_is_not_ours_any_more_is_not_believed(state: Path, scratch: Path) -> None:
    first = open_cache(state, NOW)
    assert open_cache(state, NOW) == first
    first.chmod(0o777)
    second = open_cache(state, NOW)
    assert second != first
    dispose(second)
    second.symlink_to(scratch)
    third = open_cache(state, NOW)
    assert third not in {first, second}
    (state / "prepared").write_text("/etc\n")
    assert open_cache(state, NOW) != Path("/etc")
    assert third.stat().st_mode & 0o777 == 0o711


def test_what_was_not_used_for_long_goes_and_nothing_else(state: Path) -> None:
    cache = open_cache(state, NOW) / CACHE_DIRECTORY
    cache.mkdir()
    for number in range(ENTRIES_MAX + 3):
        entry = cache / f"entry-{number:02}"
        entry.mkdir()
        os.utime(entry, (NOW, NOW - number * IDLE_SECONDS_MIN))
    for name, age in (("half-old", 2 * IDLE_SECONDS_MIN), ("half-young", 5)):
        (cache / name).mkdir()
        os.utime(cache / name, (NOW, NOW - age))
    open_cache(state, NOW)
    left = {path.name for path in cache.iterdir()}
    assert left == {f"entry-{number:02}" for number in range(ENTRIES_MAX)} | {"half-young"}
    open_cache(state, NOW + 1)  # nothing more
    assert len(list(cache.iterdir())) == len(left)
