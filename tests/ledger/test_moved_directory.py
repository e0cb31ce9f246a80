"""A directory that is moved is under its old name or its new one, with all that is in it, and durably so in the end."""

from pathlib import Path

import pytest

from ledger import durable
from tests.ledger.power import Mortal, states


@pytest.fixture
def old(tmp_path: Path) -> Path:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "key").write_bytes(b"secret")
    return tmp_path / "old"


def test_power_that_is_lost_leaves_it_in_one_place_and_afterwards_in_the_new_one(old: Path) -> None:
    disk, new = Mortal(), old.with_name("new")
    disk.hold(old / "key")
    held = len(disk.log)
    durable.move_directory(old, new, disk)
    there = {
        end: {tuple(found.values()) for found in states(disk.log[:end], [old / "key", new / "key"])}
        for end in range(held, len(disk.log) + 1)
    }
    assert there.pop(len(disk.log)) == {(None, b"secret")}
    assert set().union(*there.values()) == {(b"secret", None), (None, b"secret")}
    assert (new / "key").read_bytes() == b"secret"
    assert not old.exists()


def test_both_directories_that_lost_and_gained_a_name_are_synced(old: Path) -> None:
    synced = []

    class Watched(durable.Disk):
        def open_directory(self, path: Path) -> int:
            synced.append(path)
            return super().open_directory(path)

    (old.parent / "elsewhere").mkdir()
    durable.move_directory(old, old.parent / "elsewhere" / "new", Watched())
    assert synced == [old.parent / "elsewhere", old.parent]
    synced.clear()
    durable.move_directory(old.parent / "elsewhere" / "new", old.parent / "elsewhere" / "newer", Watched())
    assert synced == [old.parent / "elsewhere"], "once is enough"


def test_an_empty_directory_gives_way_and_a_full_one_does_not(old: Path) -> None:
    new = old.with_name("new")
    new.mkdir()
    (new / "other").write_bytes(b"kept")
    with pytest.raises(OSError, match="not empty"):
        durable.move_directory(old, new)
    assert ((old / "key").read_bytes(), (new / "other").read_bytes()) == (b"secret", b"kept")
    (new / "other").unlink()
    durable.move_directory(old, new)
    assert (new / "key").read_bytes() == b"secret"
