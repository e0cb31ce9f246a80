"""No moment of losing power leaves a ledger signed by a key that is gone, or that nobody can follow to.

Each process is also killed before each of its calls, and another goes on where it stopped, before power is lost: what
the first one did is seen by the second, and need not be durable.
"""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ledger import durable
from ledger.branch import GitDir
from ledger.keyring import Asked, Cause, KeyRing
from ledger.keys import Signer
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from ledger.terms import terms_on
from tests.ledger.conftest import ORIGIN, World, make_world
from tests.ledger.power import Killed, Mortal, states

ASKED = Asked("ada", 1_764_000_000_500, Cause.PLANNED)


def lives(act: Any, disk: Mortal, until: int) -> bool:
    """Whether a process that may make so many calls came to its end."""
    disk.spare(until)
    try:
        act()
    except Killed:
        return False
    finally:
        disk.spare(None)
    return True


def test_a_first_key_that_can_sign_stays_whoever_made_it(tmp_path: Path) -> None:
    for calls in itertools.count():
        state = tmp_path / str(calls)
        state.mkdir()
        path, disk = state / "ledgers/octocat/hello/key", Mortal()
        whole = lives(lambda: Signer.begin(path, ORIGIN, state, disk), disk, calls)  # noqa: B023 - called at once
        signs = Signer.begin(path, ORIGIN, state, disk)
        for found in states(disk.log, [path]):
            assert found[path] == signs.secret_text().encode(), f"lost after {calls} calls of the first process"
        for end in range(len(disk.log)):
            assert {found[path] for found in states(disk.log[:end], [path])} <= {None, signs.secret_text().encode()}
        if whole:
            break
    assert calls > 8
    assert path.stat().st_mode & 0o777 == 0o600
    assert {one.stat().st_mode & 0o777 for one in (path.parent, path.parent.parent)} == {0o700}


def test_of_two_who_begin_both_get_the_key_that_was_first(tmp_path: Path) -> None:
    path = tmp_path / "o/r/key"

    class Overtaken(durable.Disk):
        def link(self, source: Path, target: Path) -> None:
            Signer.generate(target, ORIGIN)
            super().link(source, target)

    mine = Signer.begin(path, ORIGIN, tmp_path, Overtaken())
    assert mine.vkey == Signer.load(path).vkey == Signer.begin(path, ORIGIN, tmp_path).vkey
    assert [one.name for one in path.parent.iterdir()] == ["key"]


def test_what_another_process_remembered_is_durable_before_it_is_believed(tmp_path: Path) -> None:
    disk, signer = Mortal(), Signer(ORIGIN, bytes(32))
    first, second = (signer.sign_checkpoint(size, bytes(32)) for size in (1, 2))
    writer, reader = FileCheckpoints(tmp_path / "s", disk), FileCheckpoints(tmp_path / "s", disk)
    assert reader.load(ORIGIN) is None
    assert writer.swap(ORIGIN, None, first)
    assert not lives(lambda: writer.swap(ORIGIN, first, second), disk, 3), "killed before its last call, a sync"
    (path,) = (tmp_path / "s").glob("*.checkpoint")
    assert {found[path] for found in states(disk.log, [path])} == {first, second}
    assert reader.load(ORIGIN) == second
    assert {found[path] for found in states(disk.log, [path])} == {second}
    calls = len(disk.log)
    assert reader.load(ORIGIN) == second
    assert len(disk.log) == calls, "once is enough"


class Rotating:
    """A ledger of one line whose next key is about to be put beside the present one, in a copy of its own each time."""

    def __init__(self, base: World, successor: bytes, directory: Path) -> None:
        self.directory = shutil.copytree(base.directory, directory)
        self.key, self.git_dir, self.store = directory / "key", directory / "repository.git", directory / "store"
        self.successor = successor
        self.disk = Mortal()
        for path in [self.key, *self.store.glob("*.checkpoint")]:
            self.disk.hold(path)
        self.begins = len(self.disk.log)
        self.seen = itertools.count()
        self.keep_git()

    def keep_git(self) -> None:
        """Git's own side syncs what it does; see test_power_loss."""
        kept = self.directory.with_name(f"{self.directory.name}.git{next(self.seen)}")
        self.disk.log.append(("git", shutil.copytree(self.git_dir, kept)))

    def stage(self) -> None:
        durable.create(self.key.with_name("key.next"), self.successor, disk=self.disk)

    def hand_over(self) -> None:
        ring = KeyRing(Signer.load(self.key), self.key, self.disk)
        Sequencer(self.git_dir, ring, FileCheckpoints(self.store, self.disk)).settle()

    def rotate(self) -> None:
        self.stage()
        self.hand_over()

    def left(self) -> Iterator[tuple[Path, dict[str, bytes]]]:
        """The repository, and the files beside it by name, that each loss of power may leave."""
        names = {one.name for one in self.directory.glob("key*")} | {"key", "key.next"}
        files = [self.directory / name for name in names] + list(self.store.glob("*.checkpoint"))
        for end in range(self.begins + 1, len(self.disk.log) + 1):
            git = next(
                step[1] for step in reversed(self.disk.log[:end]) if isinstance(step, tuple) and step[0] == "git"
            )
            for found in states(self.disk.log[:end], files):
                there = {path.relative_to(self.directory): content for path, content in found.items()}
                yield git, {str(path): content for path, content in there.items() if content is not None}


@cache
def refs_of(git: Path) -> bytes:
    return GitDir(git).run("for-each-ref")


@contextmanager
def seen_by(rotating: Rotating, patch: pytest.MonkeyPatch) -> Iterator[None]:
    with patch.context() as at:
        for name in ("stage", "move"):
            real = getattr(GitDir, name)

            def kept(*args: Any, _real: Any = real) -> Any:
                done = _real(*args)
                rotating.keep_git()
                return done

            at.setattr(GitDir, name, kept)
        yield


def recovered(git: Path, files: dict[str, bytes], directory: Path, first: Signer) -> None:
    """Whoever appends next does so by a key that those who have the first one can follow to."""
    shutil.copytree(git, directory / "repository.git")
    (directory / "store").mkdir()
    for name, content in files.items():
        (directory / name).touch(0o600)
        (directory / name).write_bytes(content)
    keys, store = KeyRing.open(directory / "key"), FileCheckpoints(directory / "store")
    world = World(directory, directory / "repository.git", keys, store)
    world.append(1)
    assert world.verify(trusted=str(first.vkey), remembered=store.load(ORIGIN)).problem is None
    for term in terms_on(world.git_dir):
        assert world.keys.find(term.key.public.hex()).vkey == term.key
    assert world.signer.vkey == terms_on(world.git_dir)[-1].key


def test_no_loss_of_power_while_a_key_is_rotated_loses_a_key_that_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "base").mkdir()
    base = make_world(tmp_path / "base")
    base.append(0)
    first = base.signer
    base.keys.stage(ASKED)
    successor = (base.directory / "key.next").read_bytes()
    (base.directory / "key.next").unlink()
    tried: set[Any] = set()
    for calls in itertools.count():
        rotating = Rotating(base, successor, tmp_path / f"killed{calls}")
        with seen_by(rotating, monkeypatch):
            done = lives(rotating.rotate, rotating.disk, calls)
            if not done:
                rotating.hand_over()
        for git, files in rotating.left():
            if (state := (refs_of(git), frozenset(files.items()))) not in tried:
                tried.add(state)
                (directory := tmp_path / f"found{len(tried)}").mkdir()
                recovered(git, files, directory, first)
        if done:
            break
    assert calls > 9
    assert len(tried) > 7
