"""Where blocks, what is remembered and the end of the lines meet: which line is named, and how many were good."""

import io
import json
from collections.abc import Generator
from contextlib import closing
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bulk
from ledger import crew, entry
from ledger.audit import PIECE_BYTES
from ledger.branch import GitDir
from ledger.canonical import LINE_BYTES_MAX
from ledger.checkpoint import Checkpoint
from ledger.entry import Draft
from ledger.faults import Fault
from ledger.keyring import Asked, Cause
from ledger.keys import Signer
from ledger.merkle import leaf_hash, root
from ledger.rotation import hand_over, rotation_path
from ledger.source import BranchSource, DirectorySource
from ledger.verify import Manner, Verification, verify_file, verify_stream
from tests.ledger.conftest import ORIGIN, World

PATH = "workflows/issue-1/plan.md"
SIGNER = Signer(ORIGIN, bytes(32))


def sealed(count: int, files: dict[int, dict[str, str]] | None = None) -> list[bytes]:
    """Lines that no ledger has, as somebody would write them who can hash."""
    lines: list[bytes] = []
    previous = entry.GENESIS
    for n in range(count):
        body: dict[str, Any] = {"n": n, "files": files[n]} if files and n in files else {"n": n}
        lines.append(entry.seal(Draft(f"run{n}/X", "X", "issue-1", "run", "ada", n, body), n, previous))
        previous = json.loads(lines[-1])["hash"]
    return lines


def streamed(lines: list[bytes], remembered: bytes | None = None, **manner: Any) -> Verification:
    content = b"".join(line + b"\n" for line in lines)
    return verify_stream("lines", io.BytesIO(content), remembered, Manner(**manner))


def head(lines: list[bytes], origin: str = ORIGIN) -> bytes:
    return Signer(origin, bytes(32)).sign_checkpoint(len(lines), root(list(map(leaf_hash, lines))))


@pytest.mark.parametrize(
    ("first", "second"), [(3, 9), (3, 255), (3, 256), (3, 300), (255, 256), (511, 512), (513, 514)]
)
def test_two_lines_that_state_different_digests_of_a_file_are_found_at_the_second(first: int, second: int) -> None:
    lines = sealed(520, {first: {PATH: "1" * 64}, second: {PATH: "2" * 64}})
    found = streamed(lines)
    assert found.problem is not None
    assert (found.problem.fault, found.problem.entry, found.entries) == (Fault.FILE, second + 1, second + 1)
    assert found.problem.detail == f"file digest mismatch: {PATH}: two lines state different digests"
    assert streamed(sealed(520, {first: {PATH: "1" * 64}, second: {PATH: "1" * 64}})).problem is None


@pytest.mark.parametrize("size", [1, 31, 32, 255, 256, 257, 511, 512, 520])
def test_lines_are_compared_with_what_is_remembered_wherever_that_ends(size: int) -> None:
    lines = sealed(520)
    assert streamed(lines, head(lines[:size])).problem is None
    other = SIGNER.sign_checkpoint(size, bytes(32))
    found = streamed(lines, other)
    assert found.problem is not None
    assert (found.problem.fault, found.entries) == (Fault.REMEMBERED, size)
    assert found.problem.detail.endswith(f": the first {size} lines have another root")


def test_a_stream_that_stops_short_of_what_is_remembered_is_a_rollback() -> None:
    lines = sealed(300)
    found = streamed(lines[:299], head(lines))
    assert found.problem is not None
    assert found.problem.detail.endswith("300 lines were signed, 299 are here")


class Dribbling(io.BytesIO):
    """A pipe: it gives what it has, however much is asked for."""

    def __init__(self, content: bytes, at_once: int) -> None:
        super().__init__(content)
        self.at_once = at_once

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        return super().read(min(size, self.at_once))


@pytest.mark.parametrize("at_once", [1000, 9973, 2**18, 2**20])
@pytest.mark.parametrize("count", [1, 32, 33, 256, 257, 512, 520])
def test_it_does_not_matter_in_which_pieces_a_stream_comes(count: int, at_once: int) -> None:
    lines = sealed(count)
    found = verify_stream("lines", Dribbling(b"".join(line + b"\n" for line in lines), at_once), None, Manner())
    assert (found.problem, found.entries) == (None, count)
    assert found.root == root(list(map(leaf_hash, lines))).hex()


@pytest.mark.parametrize("good", [0, 5, 32, 300])
def test_of_a_line_without_end_no_more_is_read_than_shows_it(good: int) -> None:
    content = b"".join(line + b"\n" for line in sealed(good))
    file = io.BytesIO(content + b"x" * 2**22)
    found = verify_stream("lines", file, None, Manner())
    assert found.problem is not None
    assert (found.problem.fault, found.problem.entry) == (Fault.CANONICAL, good + 1)
    assert found.problem.detail == "not canonical: the line has more than 65535 bytes"
    assert file.tell() <= len(content) + 2 * PIECE_BYTES


def test_what_is_no_whole_stream_is_named_by_what_is_missing() -> None:
    lines = sealed(600)
    cases: list[tuple[bytes, Fault, int | None, int]] = [
        (b"", Fault.ABSENT, None, 0),
        (b"\n".join(lines), Fault.SEGMENTS, 600, 599),
        (b"\n".join(lines[:256]), Fault.SEGMENTS, 256, 255),
        (b"\n".join(lines[1:9]) + b"\n", Fault.UNREADABLE, None, 0),
        (b"\n".join([*lines[:9], *lines[10:]]) + b"\n", Fault.SEQUENCE, 10, 9),
        (b"\n".join([*lines[:300], *lines[301:]]) + b"\n", Fault.SEQUENCE, 301, 300),
        (b"\n".join([lines[0], b""]) + b"\n", Fault.CANONICAL, 2, 1),
        (b"\n".join([lines[0], b"x" * 70_000, *lines[1:]]) + b"\n", Fault.CANONICAL, 2, 1),
    ]
    for content, fault, at, good in cases:
        found = verify_stream("lines", io.BytesIO(content), None, Manner())
        assert found.problem is not None
        assert (found.problem.fault, found.problem.entry, found.entries) == (fault, at, good)


def test_readers_are_told_how_far_it_is(world: World) -> None:
    seen: list[tuple[int, int]] = []
    streamed(sealed(520), progress=lambda *told: seen.append(told))
    assert seen == [(256, 0), (512, 0), (520, 0)]
    seen.clear()
    world.sequencer().append([world.draft(n) for n in range(520)], {})
    assert world.verify(manner=Manner(progress=lambda *told: seen.append(told))).problem is None
    assert seen == [(256, 544), (512, 544), (520, 520)]
    kept = world.show("datalake/checkpoint")
    seen.clear()
    world.append(520)
    found = world.verify(remembered=kept, manner=Manner(incremental=True, progress=lambda *told: seen.append(told)))
    assert (found.problem, found.entries, seen) == (None, 521, [(521, 521)])


def test_what_is_remembered_of_another_ledger_or_of_more_lines_is_said(world: World) -> None:
    world.append(0, 1)
    lines = world.lines()
    for incremental in (False, True):
        manner = Manner(incremental=incremental)
        found = world.verify(remembered=head(lines, "optr/octocat/other"), manner=manner).problem
        assert found is not None
        assert found.detail.endswith(": this is optr/octocat/hello, remembered is optr/octocat/other")
        found = world.verify(remembered=SIGNER.sign_checkpoint(3, bytes(32)), manner=manner).problem
        assert found is not None
        assert found.detail.endswith(": 3 lines were signed, 2 are here")


def test_signed_sizes_are_told_beside_those_that_are_here(world: World) -> None:
    world.append(0, 1)
    short = world.show("datalake/checkpoint")
    world.append(2)
    long = world.show("datalake/checkpoint")
    lines = world.show("datalake/ledger.jsonl")
    world.commit({"datalake/checkpoint": short})
    found = world.verify().problem
    assert found is not None
    assert (found.fault, found.entry, found.detail) == (Fault.SURPLUS_LINES, 3, "lines not signed: 2 were signed")
    world.commit({"datalake/checkpoint": long, "datalake/ledger.jsonl": lines[: lines[:-1].rindex(b"\n") + 1]})
    found = world.verify().problem
    assert found is not None
    assert (found.fault, found.entry) == (Fault.MISSING_LINES, None)
    assert found.detail == "lines missing: 3 were signed, 2 are here"


def test_files_are_named_with_the_line_that_spoke_of_them_first(world: World, tmp_path: Path) -> None:
    world.append(0, 1)
    world.append(2)
    plan = world.checkout() / "workflows/issue-2/plan.md"
    lines = plan.parents[2] / "ledger.jsonl"
    plan.write_bytes(b"other")
    found = verify_file(lines).problem
    assert found is not None
    assert (found.fault, found.entry, found.detail) == (
        Fault.FILE,
        3,
        "file digest mismatch: workflows/issue-2/plan.md",
    )
    plan.unlink()
    found = verify_file(lines).problem
    assert found is not None
    assert (found.fault, found.entry) == (Fault.FILE_MISSING, 3)
    plan.write_bytes(b"plan 2\n")
    (odd := plan.with_name("p\u00e4\u202e")).write_bytes(b"")
    found = verify_file(lines).problem
    assert found is not None
    assert (found.fault, found.entry) == (Fault.UNSPOKEN, None)
    assert found.detail.endswith(r"'workflows/issue-2/p\xe4\u202e'")
    odd.unlink()
    assert verify_file(lines).problem is None


FEW_FILES = crew.BATCH_FILES * (2 * crew.WORKER_BATCHES_MIN - 1)


def test_no_more_processes_are_begun_than_there_is_work_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(0)
    source = DirectorySource(world.checkout() / "ledger.jsonl", whole=True)

    started: list[object] = []

    class Counted(crew._Worker[Any]):
        """Counted where it begins: one that has little to do may have ended before anybody looks."""

        def __init__(self, work: Any) -> None:
            started.append(work)
            super().__init__(work)

    monkeypatch.setattr(crew, "_Worker", Counted)

    def begun(found: Generator[object, None, None]) -> int:
        started.clear()
        with closing(found):
            next(found)
        return len(started)

    for files, jobs, wanted in [(FEW_FILES, 3, 0), (FEW_FILES + 1, 3, 2), (FEW_FILES * 2, 2, 2), (FEW_FILES * 2, 1, 0)]:
        assert begun(crew.hashed(source, ["ledger.jsonl"] * files, jobs)) == wanted
    git = GitDir(bulk.write(tmp_path / "bulk", 4 * 256).git_dir)
    blocks = BranchSource(git, str(git.tip()))
    assert begun(crew.swept(blocks, range(3), 9)) == 0
    with monkeypatch.context() as at:
        at.setattr(crew, "WORKER_BLOCKS_MIN", 1)
        for count, jobs, wanted in [(1, 9, 0), (3, 1, 0), (3, 2, 2), (2, 9, 2)]:
            assert begun(crew.swept(blocks, range(count), jobs)) == wanted
    assert not active_children()


def test_a_checkpoint_of_nothing_is_extended_by_every_ledger(world: World) -> None:
    world.append(0)
    empty = SIGNER.sign_checkpoint(0, root([]))
    assert Checkpoint(ORIGIN, 0, root([])).size == 0
    for incremental in (False, True):
        assert world.verify(remembered=empty, manner=Manner(incremental=incremental)).problem is None


@pytest.mark.parametrize("size", [255, 256, 257])
def test_a_hand_over_of_another_history_is_found_wherever_its_blocks_end(world: World, size: int) -> None:
    """It is compared between two lines, so that these are read one by one."""
    first = world.signer
    world.sequencer().append([world.draft(n) for n in range(size)], {})
    new = world.keys.stage(Asked("ada", 1_764_000_000_500, Cause.PLANNED))
    world.append(size)
    assert world.verify().problem is None
    world.commit({f"datalake/{rotation_path(new.vkey.key_id)}": hand_over(first, new, size, bytes(32))})
    found = world.verify().problem
    assert found is not None
    assert (found.fault, found.entry) == (Fault.ROTATION, None)
    assert found.detail.endswith(f": the first {size} lines have another root")


def test_a_branch_without_its_tree_head_is_tampered_with(world: World) -> None:
    world.append(0)
    world.commit({"datalake/checkpoint": None})
    found = world.verify()
    assert found.problem is not None
    assert (found.problem.fault, found.problem.detail) == (
        Fault.CHECKPOINT,
        "checkpoint invalid: checkpoint is missing",
    )


@pytest.mark.parametrize("at", [0, 254, 255, 256])
def test_the_longest_line_is_read_from_a_stream_wherever_it_stands(at: int) -> None:
    """A stream is read by pieces of a line: one that is as long as lines may be must not be cut in two."""
    short = sealed(300, {at: {}})
    room = LINE_BYTES_MAX - len(short[at])
    before, previous = short[:at], json.loads(short[at])["previousHash"]
    body = {"n": at, "files": {}, "pad": "x" * (room - len(',"pad":""'))}
    longest = entry.seal(Draft(f"run{at}/X", "X", "issue-1", "run", "ada", at, body), at, previous)
    assert len(longest) == LINE_BYTES_MAX
    lines, previous = [*before, longest], json.loads(longest)["hash"]
    for n in range(at + 1, 300):
        lines.append(entry.seal(Draft(f"run{n}/X", "X", "issue-1", "run", "ada", n, {"n": n}), n, previous))
        previous = json.loads(lines[-1])["hash"]
    found = streamed(lines)
    assert (found.problem, found.entries) == (None, 300)
