"""What stands beside the repository: whose turn it is to append, and where each id is."""

import fcntl
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ledger.chain import Chain
from ledger.errors import LedgerBusyError, LedgerError
from ledger.index import MARKS_MAX, Index, Mark
from ledger.lease import LEASE_WAIT_S, Lease
from ledger.merkle import Frontier, leaf_hash

ROOT = Path(__file__).parents[2]


class Time:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_a_lease_is_one_holders_at_a_time(tmp_path: Path) -> None:
    path, time = tmp_path / "a" / "b" / "x.lease", Time()
    with Lease(path, time.clock, time.sleep).held() as first:
        assert (first, time.slept) == (True, [])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with Lease(path, time.clock, time.sleep).held() as second:
            assert second is False
            assert time.now - 100.0 == pytest.approx(LEASE_WAIT_S, abs=0.01)
    before = len(time.slept)
    with Lease(path, time.clock, time.sleep).held() as third:
        assert (third, len(time.slept)) == (True, before), "who is through gives it back at once"


@pytest.mark.parametrize(("tick", "had"), [(LEASE_WAIT_S / 2, True), (LEASE_WAIT_S, False)])
def test_who_waits_has_it_as_soon_as_it_is_given_back_and_asks_no_longer_than_said(
    tmp_path: Path, tick: float, *, had: bool
) -> None:
    path, now = tmp_path / "x.lease", [0.0]
    with path.open("wb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        naps: list[float] = []

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            now[0] += tick
            if len(naps) == 2:
                fcntl.flock(holder, fcntl.LOCK_UN)

        with Lease(path, lambda: now[0], sleep).held() as held:
            assert held is had
    assert len(naps) == (2 if had else 1)
    assert max(naps) < 0.1, "seconds; it looks often"


def test_a_lease_ends_with_its_block_whatever_happens(tmp_path: Path) -> None:
    path, time = tmp_path / "x.lease", Time()
    with pytest.raises(KeyboardInterrupt), Lease(path).held():
        raise KeyboardInterrupt
    with Lease(path, time.clock, time.sleep).held() as held:
        assert held is True
    assert not time.slept
    with pytest.raises(OSError, match="exists"), Lease(path / "x").held():
        pass


def mark(size: int, word: str = "line", tip: str = "a" * 40) -> Mark:
    """The state after `size` lines of a history."""
    tree = Frontier()
    for number in range(size):
        tree.append(leaf_hash(b"%s %d" % (word.encode(), number)))
    return Mark(tree, f"{size:064x}", 1000 + size, tip)


def facts(one: Mark | None) -> tuple[object, ...] | None:
    return None if one is None else (one.tree.size, one.tree.peaks, one.previous_hash, one.timestamp, one.tip)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "a" / "state" / "x.index")


def filled(index: Index, *sizes: int) -> Index:
    """Take in lines `r0`, `r1`, ..., with marks of these sizes."""
    before = 0
    for size in sizes:
        index.advance(before, {f"r{n}": n for n in range(before, size)}, mark(size))
        before = size
    return index


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_a_mark_is_given_back_as_it_was_put(index: Index, size: int) -> None:
    filled(index, size)
    wanted = mark(size)
    assert facts(index.newest()) == facts(index.exact(size, wanted.tree.root())) == facts(wanted)
    assert index.exact(size, mark(size, "other").tree.root()) is None
    assert index.exact(size + 1, wanted.tree.root()) is None


def test_nothing_is_known_at_first(index: Index) -> None:
    assert (index.newest(), index.exact(0, Frontier().root()), index.places(["r0"], 9)) == (None, None, {})
    assert index.places([], 9) == {}


def test_a_mark_of_a_chain_does_not_move_with_it() -> None:
    chain = Chain()
    kept = Mark.of(chain, "a" * 40)
    chain.tree.append(leaf_hash(b"x"))
    assert (kept.tree.size, kept.previous_hash, kept.timestamp) == (0, chain.previous_hash, chain.timestamp)


@pytest.mark.parametrize("count", [1, 499, 500, 501, 1000, 1001])
def test_any_number_of_ids_can_be_asked_for(index: Index, count: int) -> None:
    index.advance(0, {f"r{n}": n for n in range(1200)}, mark(1))
    asked = {f"r{n}": n for n in range(100, 100 + count)}
    assert index.places([*asked, "nobody"], 1200) == asked


def test_only_lines_of_the_state_that_is_asked_about_count(index: Index) -> None:
    filled(index, 3)
    assert index.places(["r0", "r1", "r2"], 2) == {"r0": 0, "r1": 1}
    assert index.places(["r2"], 3) == {"r2": 2}


def test_going_on_from_the_newest_state_keeps_the_earlier_ones(index: Index) -> None:
    filled(index, 2, 5)
    assert index.places([f"r{n}" for n in range(9)], 9) == {f"r{n}": n for n in range(5)}
    for size in (2, 5):
        assert facts(index.exact(size, mark(size).tree.root())) == facts(mark(size))
    index.advance(2, {f"r{n}": n for n in range(2, 5)}, mark(5, tip="b" * 40))
    assert facts(index.newest()) == facts(mark(5, tip="b" * 40)), "the same lines in another commit"
    assert index.places(["r4"], 5) == {"r4": 4}


def test_another_history_takes_the_place_of_the_lines_it_does_not_share(index: Index) -> None:
    filled(index, 2, 4, 6)
    index.advance(2, {"r2": 2, "new": 3}, mark(4, "new"))
    assert facts(index.newest()) == facts(mark(4, "new"))
    assert index.exact(2, mark(2).tree.root()) is not None
    assert index.exact(4, mark(4).tree.root()) is None
    assert index.exact(6, mark(6).tree.root()) is None
    assert index.places(["r0", "r1", "r2", "r3", "r5", "new"], 9) == {"r0": 0, "r1": 1, "r2": 2, "new": 3}
    index.advance(0, {"first": 0}, mark(1, "newer"))
    assert index.places(["r0", "r1", "r2", "new", "first"], 9) == {"first": 0}
    assert (facts(index.newest()), index.exact(2, mark(2).tree.root())) == (facts(mark(1, "newer")), None)


def test_who_is_far_behind_changes_nothing(index: Index) -> None:
    filled(index, 2, 4)
    index.advance(3, {"late": 3}, mark(4, "late"))
    assert facts(index.newest()) == facts(mark(4))
    assert index.places(["r3", "late"], 9) == {"r3": 3}


def test_only_the_newest_states_are_kept(index: Index) -> None:
    filled(index, *range(1, MARKS_MAX + 3))
    kept = [size for size in range(1, MARKS_MAX + 3) if index.exact(size, mark(size).tree.root()) is not None]
    assert kept == list(range(3, MARKS_MAX + 3))
    assert len(index.places([f"r{n}" for n in range(99)], 99)) == MARKS_MAX + 2, "ids are never forgotten"


def interrupted(index: Index) -> None:
    with index.writing():
        index.clear()
        raise KeyboardInterrupt


def contradicting(index: Index) -> None:
    with index.writing():
        index.add({"r1": 1})
        index.add({"r0": 1})


def test_what_a_block_writes_is_there_whole_or_not_at_all(index: Index, tmp_path: Path) -> None:
    other = Index(tmp_path / "a" / "state" / "x.index")
    with index.writing():
        index.add({"r0": 0})
        assert other.places(["r0"], 9) == {}
        index.put(mark(1))
    assert other.places(["r0"], 9) == {"r0": 0}
    with pytest.raises(KeyboardInterrupt):
        interrupted(index)
    assert (other.places(["r0"], 9), facts(other.newest())) == ({"r0": 0}, facts(mark(1)))
    with pytest.raises(LedgerError, match=r"x\.index cannot be used: .* Remove it; it is made again"):
        contradicting(index)
    assert other.places(["r0", "r1"], 9) == {"r0": 0}
    with index.writing():
        index.clear()
    assert (other.places(["r0"], 9), other.newest()) == ({}, None)


def test_any_thread_may_use_it(index: Index) -> None:
    worker = threading.Thread(target=filled, args=(index, 2))
    worker.start()
    worker.join()
    assert index.places(["r1"], 2) == {"r1": 1}


def test_an_index_is_private_and_lasts(index: Index, tmp_path: Path) -> None:
    filled(index, 2)
    assert stat.S_IMODE((tmp_path / "a" / "state").stat().st_mode) == 0o700
    del index
    again = Index(tmp_path / "a" / "state" / "x.index")
    assert (facts(again.newest()), again.places(["r1"], 2)) == (facts(mark(2)), {"r1": 1})


@pytest.mark.parametrize("damage", ["text", "format"])
def test_what_is_no_index_of_ours_is_forgotten_with_all_that_belongs_to_it(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.index"
    database = sqlite3.connect(path)
    if damage == "text":
        path.write_bytes(b"not a database " * 500)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).write_bytes(b"left behind")
    else:
        filled(Index(path), 2)
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        database.execute("PRAGMA user_version = 2")
        database.commit()
    assert Index(path).newest() is None
    database.close()
    assert filled(Index(path), 2).places(["r1"], 2) == {"r1": 1}


FILLS_UP = """
import resource, sys
from pathlib import Path
from ledger.errors import LedgerError
from ledger.index import Index

index = Index(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    with index.writing():
        index.add({f"{n:0900}": n for n in range(9_999)})
except LedgerError as error:
    print(error)
with index.writing():
    index.add({"r0": 0})
print(index.places(["r0", f"{0:0900}"], 9))
"""


def test_a_full_disk_is_told_as_one_and_the_index_stays_usable(tmp_path: Path) -> None:
    path = tmp_path / "x.index"
    argv = [sys.executable, "-c", FILLS_UP, str(path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said, found = done.stdout.splitlines()
    assert said.startswith(f"the index {path} cannot be written: ")
    assert said.endswith("Make room on its disk, or see that it works, and append again; nothing was appended")
    assert found == "{'r0': 0}"


def test_a_failure_that_is_nobodys_turn_is_not_called_busy(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "a" / "state" / "x.index"
    other = sqlite3.connect(path)
    other.execute("DROP TABLE place")
    other.commit()
    other.close()
    for act in (lambda: index.places(["r0"], 1), lambda: index.advance(0, {"r0": 0}, mark(1))):
        with pytest.raises(LedgerError, match=f"the index {path} cannot be used: no such table: place") as refused:
            act()
        assert not isinstance(refused.value, LedgerBusyError)
    assert index.newest() is None
    (tmp_path / "a" / "state" / "y.index").mkdir()
    with pytest.raises(LedgerError, match=r"y\.index cannot be used: unable to open"):
        Index(tmp_path / "a" / "state" / "y.index")
