"""The index is a cache: lost, damaged, stale or of another history, the ledger is the same with it."""

import json
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ledger import head, merkle
from ledger.branch import PACKS_MAX, GitDir
from ledger.checkpoint import parse_checkpoint
from ledger.errors import LedgerBusyError, LedgerError, LedgerRefusedError, Standing
from ledger.index import MARKS_MAX, Index, Mark
from ledger.scan import scan
from ledger.sequencer import Sequencer
from ledger.source import BranchSource
from ledger.store import FileCheckpoints
from ledger.tiles import Edge, tile_path


def index_of(world: Any) -> Path:
    (path,) = (world.git_dir / "optr").glob("*.index")
    return Path(path)


@pytest.mark.parametrize("size", [1, 31, 32, 33, 255, 256, 257, 511, 512, 513])
def test_a_new_sequencer_reads_the_end_from_tiles_and_goes_on_as_one_that_read_all(
    world: Any, size: int, read_lines: list[int]
) -> None:
    world.append(*range(size), files={})
    read_lines[0] = 0
    git = GitDir(world.git_dir)
    chain = head._resume(git, world.tip(), head_of(world))
    assert read_lines == [0]
    whole = scan(BranchSource(git, world.tip()))
    assert (chain.previous_hash, chain.timestamp, chain.block) == (whole.previous_hash, whole.timestamp, whole.block)
    assert (chain.tree.size, chain.tree.peaks) == (whole.tree.size, whole.tree.peaks)
    assert chain.edge.partials() == whole.edge.partials()
    for number in range(size, size + 3):
        world.sequencer().append([world.draft(number)], {})
    assert world.verify(trusted=str(world.signer.vkey)).entries == size + 3


def head_of(world: Any) -> Any:
    return parse_checkpoint(world.show("datalake/checkpoint"))


@pytest.mark.parametrize("size", [255, 256, 65535, 65536, 65537, 65536 + 256, 2 * 65536])
def test_the_edge_resumes_from_its_own_partial_tiles_at_every_level(size: int) -> None:
    edge, tree = Edge(), merkle.Frontier()
    for number in range(size):
        leaf = merkle.leaf_hash(b"%d" % number)
        tree.append(leaf)
        list(edge.add(leaf))
    partials = edge.partials()
    again = Edge.resume(size, lambda level, full, width: partials[tile_path(level, full, width)])
    assert again.partials() == partials
    assert (again.frontier().size, again.frontier().peaks) == (size, tree.peaks)
    leaf = merkle.leaf_hash(b"next")
    assert list(again.add(leaf)) == list(edge.add(leaf))


def test_neither_a_warm_nor_a_new_sequencer_reads_the_lines_again(world: Any, read_lines: list[int]) -> None:
    sequencer = world.sequencer()
    sequencer.append([world.draft(n) for n in range(300)], {})
    read_lines[0] = 0
    sequencer.append([world.draft(300)], {})
    world.sequencer().append([world.draft(301)], {})
    assert read_lines == [2]


def test_a_lost_index_is_made_again_by_one_pass(world: Any, read_lines: list[int]) -> None:
    world.append(*range(40), files={})
    index_of(world).unlink()
    read_lines[0] = 0
    assert world.append(39, 40, files={}).seqs == (39, 40)
    assert read_lines == [41]


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b""])
def test_a_damaged_index_is_made_again(world: Any, content: bytes) -> None:
    world.append(0)
    path = index_of(world)
    for file in path.parent.glob("*.index-*"):
        file.unlink()
    path.write_bytes(content)
    assert world.append(0, 1).seqs == (0, 1)


def test_an_index_of_another_format_is_made_again(world: Any) -> None:
    world.append(0)
    database = sqlite3.connect(index_of(world))
    database.execute("PRAGMA user_version = 99")
    database.execute("ALTER TABLE place RENAME COLUMN seq TO number")
    database.commit()
    database.close()
    assert world.append(0, 1).seqs == (0, 1)


def test_an_index_that_is_behind_takes_in_what_was_added(world: Any, read_lines: list[int]) -> None:
    world.append(*range(40), files={})
    other = world.directory / "other.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(world.git_dir), str(other)], check=True)
    elsewhere = Sequencer(other, world.signer, world.store)
    elsewhere.append([world.draft(n) for n in range(40, 110)], {"datalake/workflows/issue-40/a": b"a"})
    elsewhere.append([world.draft(110)], {})
    world.git("fetch", "-q", str(other), "refs/heads/datalake:refs/heads/datalake")
    read_lines[0] = 0
    assert world.append(3, 70, 111, files={}).seqs == (3, 70, 111)
    assert read_lines == [72]
    assert world.verify().entries == 112


def test_a_sealed_line_changed_below_the_known_state_is_found(world: Any) -> None:
    world.append(*range(300), files={})
    path = "datalake/ledger/000/000/001.jsonl"
    world.commit({path: world.show(path).replace(b"codex", b"claud", 1)})
    with pytest.raises(LedgerRefusedError, match="entry 33: hash mismatch") as caught:
        world.append(300, files={})
    assert caught.value.standing is Standing.UNVERIFIED


def test_a_tile_changed_at_the_edge_is_refused(world: Any) -> None:
    world.append(*range(3), files={})
    world.commit({"datalake/tile/0/000.p/3": bytes(96)})
    with pytest.raises(LedgerRefusedError, match="tile mismatch: the tiles do not lead"):
        world.append(3)


def test_a_full_tile_changed_when_the_newest_block_is_full_is_refused(world: Any) -> None:
    world.append(*range(256), files={})
    world.commit({"datalake/tile/0/000": bytes(8192)})
    with pytest.raises(LedgerRefusedError, match="tile mismatch"):
        world.append(256, files={})


def test_an_index_of_a_history_that_was_abandoned_is_not_believed(world: Any) -> None:
    world.append(*range(5))
    world.git("update-ref", "-d", "refs/heads/datalake")
    fresh = FileCheckpoints(world.directory / "fresh")
    sequencer = world.sequencer(fresh)
    assert sequencer.append([world.draft(4), world.draft(7)], {}).seqs == (0, 1)
    assert sequencer.append([world.draft(4), world.draft(1)], {}).seqs == (0, 2)
    assert world.verify(remembered=fresh.load(world.signer.origin)).entries == 3


def test_an_append_whose_index_fails_is_done_and_the_next_one_takes_it_in(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer = world.sequencer()
    sequencer.append([world.draft(0)], {})

    def full(*_: Any) -> None:
        raise LedgerError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Index, "advance", full)
        assert sequencer.append([world.draft(1)], {}).seqs == (1,)
    assert sequencer.append([world.draft(1), world.draft(2)], {}).seqs == (1, 2)


def test_a_late_index_update_of_a_slow_process_is_dropped(world: Any) -> None:
    sequencer = world.sequencer()
    marks = []
    for n in range(MARKS_MAX + 5):
        sequencer.append([world.draft(n)], {})
        marks.append(sequencer._index.newest())
    sequencer._index.advance(1, {"late": 1}, Mark(marks[1].tree, "f" * 64, 0, marks[1].tip))
    assert sequencer._index.newest().tree.size == MARKS_MAX + 5
    assert world.append(2).seqs == (2,)


def test_an_index_held_by_another_process_says_busy(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.append(0)
    monkeypatch.setattr("ledger.index.BUSY_S", 0.05)
    holder = sqlite3.connect(index_of(world), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    index = Index(index_of(world))
    with pytest.raises(LedgerBusyError, match="another process"), index.writing():
        pass
    holder.execute("ROLLBACK")
    holder.close()


def test_an_index_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LedgerError, match="cannot be made"):
        Index(tmp_path / "file" / "x.index")


def test_packs_are_rolled_up_so_that_their_number_stays_small(world: Any) -> None:
    sequencer = world.sequencer()
    for n in range(PACKS_MAX + 15):
        sequencer.append([world.draft(n)], {})
    packs = list((world.git_dir / "objects" / "pack").glob("*.pack"))
    assert len(packs) < PACKS_MAX
    world.git("fsck", "--no-dangling")
    assert world.verify().entries == PACKS_MAX + 15


def test_a_stale_lock_on_packed_refs_is_cleared(world: Any) -> None:
    world.append(0)
    world.git("pack-refs", "--all")
    lock = world.git_dir / "packed-refs.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    assert world.append(1).size == 2


def test_the_state_beside_the_repository_is_not_in_the_record(world: Any) -> None:
    world.append(0)
    assert {path.suffix for path in (world.git_dir / "optr").iterdir()} >= {".index", ".lease"}
    assert not [path for path in world.paths() if "index" in path or "lease" in path]
    assert [json.loads(line)["seq"] for line in world.lines()] == [0]
