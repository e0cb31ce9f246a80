"""No moment of losing power, and no kill, loses the key of a local ledger, or leaves it where nobody finds it."""

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from execution.local_ledger import open_ledger
from execution.problems import SetupProblem
from ledger import durable
from ledger.keys import Signer
from tests.ledger.conftest import World, make_world
from tests.ledger.power import Killed, Mortal, states

OLD = "0" * 16  # the name of the directory that the key was in when the repository was elsewhere


class Moved:
    """A repository that is no longer where its key's directory says, and the state directory of whoever moved it."""

    def __init__(self, world: World, state: Path) -> None:
        self.git_dir, self.state = world.git_dir, state
        self.homes = state / "local"
        self.fill({OLD: {"key": (world.directory / "key").read_bytes(), "repository": os.fsencode(state / "gone")}})

    def fill(self, content: dict[str, dict[str, bytes]]) -> None:
        shutil.rmtree(self.homes, ignore_errors=True)
        for name, files in content.items():
            (self.homes / name).mkdir(parents=True, mode=0o700)
            for file, data in files.items():
                durable.create(self.homes / name / file, data)

    def open(self, disk: durable.FileSystem = durable.DISK) -> Signer:
        return open_ledger(self.state, self.git_dir, "thing", {}, disk).signer

    def home(self) -> Path:
        (home,) = {key.parent for key in self.homes.glob("*/key")}
        return home


@pytest.fixture
def moved(tmp_path: Path) -> Moved:
    world = make_world(tmp_path)
    world.append(1)
    return Moved(world, tmp_path / "state")


def left(disk: Mortal, names: list[Path]) -> set[tuple[tuple[str, str, bytes], ...]]:
    """The files, by directory and name, that each loss of power may leave at the end of what the disk saw."""
    return {
        tuple((path.parent.name, path.name, data) for path, data in found.items() if data is not None)
        for found in states(disk.log, names)
    }


def by_directory(files: tuple[tuple[str, str, bytes], ...]) -> dict[str, dict[str, bytes]]:
    return {home: {name: data for at, name, data in files if at == home} for home, _, _ in files}


def cut_short(act: Callable[[], object], disk: Mortal, calls: int) -> bool:
    """Whether a process that may make so many calls was killed before its end."""
    disk.spare(calls)
    try:
        act()
    except Killed:
        return True
    finally:
        disk.spare(None)
    return False


def test_a_key_that_moves_is_found_whenever_power_was_lost(moved: Moved) -> None:
    key, again = moved.homes / OLD / "key", set()
    secret = key.read_bytes()
    begun = {OLD: {file.name: file.read_bytes() for file in (moved.homes / OLD).iterdir()}}
    moved.open()
    home = moved.home()
    names = [directory / file for directory in (key.parent, home) for file in ("key", "repository")]
    for calls in itertools.count():
        moved.fill(begun)
        disk = Mortal()
        for file in begun[OLD]:
            disk.hold(key.with_name(file))
        killed = cut_short(lambda: moved.open(disk), disk, calls)  # noqa: B023 - called at once
        again |= left(disk, names)
        if not killed:
            break
    assert calls >= 6
    assert len(again) >= 3, "as it was, with the new path in the old place, and moved"
    for files in again:
        moved.fill(by_directory(files))
        assert moved.open().secret_text().encode() == secret
        assert moved.home() == home
        assert (home / "repository").read_bytes() == os.fsencode(moved.git_dir)


def test_whoever_goes_on_after_a_kill_makes_durable_what_the_killed_one_did(moved: Moved) -> None:
    begun = {OLD: {file.name: file.read_bytes() for file in (moved.homes / OLD).iterdir()}}
    moved.open()
    home = moved.home()
    for calls in itertools.count():
        moved.fill(begun)
        disk = Mortal()
        for file in begun[OLD]:
            disk.hold(moved.homes / OLD / file)
        killed = cut_short(lambda: moved.open(disk), disk, calls)  # noqa: B023 - called at once
        moved.open(disk)
        (found,) = left(disk, [home / "key", home / "repository"])
        assert dict(by_directory(found)[home.name]) == begun[OLD] | {"repository": os.fsencode(moved.git_dir)}
        if not killed:
            break


def test_a_first_key_that_a_killed_process_made_is_durable_before_it_is_used(tmp_path: Path) -> None:
    bare = make_world(tmp_path)
    for calls in itertools.count():
        state, disk = tmp_path / f"state{calls}", Mortal()
        state.mkdir()
        killed = cut_short(lambda: open_ledger(state, bare.git_dir, "thing", {}, disk), disk, calls)  # noqa: B023
        signer = open_ledger(state, bare.git_dir, "thing", {}, disk).signer
        (key,) = (state / "local").glob("*/key")
        assert {found[key] for found in states(disk.log, [key])} == {signer.secret_text().encode()}
        if not killed:
            break


def test_a_directory_in_which_no_key_was_ever_made_does_not_stop_the_move(moved: Moved) -> None:
    moved.open()
    home = moved.home()
    secret = (home / "key").read_bytes()
    moved.fill({OLD: {"key": secret, "repository": b"/nowhere"}, home.name: {"repository": b"/x", ".key.0123": b"x"}})
    assert moved.open().secret_text().encode() == secret
    assert sorted(file.name for file in home.iterdir()) == ["key", "repository"]


def test_something_of_a_person_in_the_way_stops_the_move_and_is_kept(moved: Moved) -> None:
    moved.open()
    home = moved.home()
    secret = (home / "key").read_bytes()
    moved.fill({OLD: {"key": secret, "repository": b"/nowhere"}, home.name: {"key.old": b"kept"}})
    with pytest.raises(SetupProblem, match="cannot be written: Directory not empty"):
        moved.open()
    assert (home / "key.old").read_bytes() == b"kept"
    assert (moved.homes / OLD / "key").read_bytes() == secret
