"""The fast reading of whole blocks accepts nothing that the strict one refuses, and names nothing by itself."""

import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import bulk
from ledger import crew, entry, sweep
from ledger.chain import Chain
from ledger.entry import Draft
from ledger.faults import FaultFound
from ledger.source import DirectorySource
from ledger.tiles import WIDTH, bundle, bundle_path, tile_path
from ledger.verify import Manner, Verification, verify_branch, verify_file

EXAMPLES = 1000 if os.environ.get("OPTR_HYPOTHESIS") == "nightly" else 60

TEXT = st.text(max_size=12)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
BODIES = st.dictionaries(TEXT.filter(lambda key: key not in entry.COMMON | {"files"}), VALUES, max_size=4)
DIGEST = hashlib.sha256(b"").hexdigest()
NASTY = [
    b"1.0", b"-0", b"1e3", b"9007199254740992", b"123456789012345678901234567890", b"true", b"null", b"[]", b"{}",
    b'""', b'"\\u0041"', b'"\\u001F"', b'"\\u001f"', b'"\\/"', b'"\x01"', b'"\x7f"', b'"\xff"', b'"\xed\xa0\x80"',
    b'"\\ud800"', b" 1", b"1 ", b"01", b"+1", b"NaN", b"Infinity", b'"a"b', b"[" * 9 + b"]" * 9, b"[" * 70 + b"]" * 70,
    '{"\U00010000":1,"\uffff":2}'.encode(), '{"\uffff":2,"\U00010000":1}'.encode(), b'{"b":1,"a":2}', b'{"a":1,"a":1}',
    b'{"hash":"' + DIGEST.encode() + b'","id":1}', b'{"a\\"hash":"x"}',
]  # fmt: skip


def block(bodies: list[dict[str, Any]]) -> list[bytes]:
    """256 sealed lines, the first of them with these bodies."""
    lines: list[bytes] = []
    previous = entry.GENESIS
    for number in range(WIDTH):
        body = bodies[number] if number < len(bodies) else {"n": number}
        if number % 100 == 7:
            body = {**body, "files": {f"workflows/issue-{number}/plan.md": DIGEST}}
        draft = Draft(f"run{number}/OPTR_SELECTED", "OPTR_SELECTED", f"issue-{number}", "run", "octocat", number, body)
        lines.append(entry.seal(draft, number, previous))
        previous = json.loads(lines[-1])["hash"]
    return lines


PLAIN = block([])


def segments(lines: list[bytes]) -> list[bytes]:
    return [b"".join(line + b"\n" for line in lines[at : at + 32]) for at in range(0, len(lines), 32)]


def swept(lines: list[bytes]) -> sweep.Swept | None:
    found = sweep.sweep(segments(lines), 0, {bundle_path(0): bundle(lines) if max(map(len, lines)) < 2**16 else b""})
    return found if found is not None and Chain().joins(found) else None


def strict(lines: list[bytes]) -> tuple[Chain, dict[str, bytes], list[tuple[int, Any]]] | None:
    chain, tiles, files = Chain(), {}, []
    content = b"".join(segments(lines)).split(b"\n")[:-1]
    if len(content) != WIDTH:
        return None
    try:
        for line in content:
            read, full = chain.accept(line)
            tiles |= full
            if "files" in read.record:
                files.append((read.seq, dict(read.files)))
    except FaultFound:
        return None
    return chain, tiles, files


def agree(lines: list[bytes]) -> bool:
    """Check that what a sweep accepts is accepted strictly, with the same outcome; tell whether it was accepted."""
    found = swept(lines)
    if found is None:
        return False
    judged = strict(lines)
    assert judged is not None
    chain, tiles, files = judged
    fast = Chain()
    above = fast.take(found)
    assert (fast.previous_hash, fast.timestamp, fast.places) == (chain.previous_hash, chain.timestamp, chain.places)
    assert (fast.size, fast.tree.root(), fast.edge.partials()) == (WIDTH, chain.tree.root(), chain.edge.partials())
    assert [(seq, dict(digests)) for seq, digests in found.files] == files
    below = {**found.unmatched, **{path: hashlib.sha256(tiles[path]).digest() for path in found.matched}}
    assert {**above, **below} == {path: hashlib.sha256(content).digest() for path, content in tiles.items()}
    return True


def resealed(lines: list[bytes], at: int) -> list[bytes]:
    """Give every line from `at` on the hash that its bytes ask for and the link to the line before."""
    lines = list(lines)
    for number in range(at, len(lines)):
        if number:
            old = lines[number].partition(b'"previousHash":"')[2].partition(b'"')[0]
            newer = lines[number - 1].partition(b'"hash":"')[2].partition(b'"')[0]
            lines[number] = lines[number].replace(b'"previousHash":"' + old, b'"previousHash":"' + newer, 1)
        head, mark, tail = lines[number].partition(b'"hash":"')
        if mark:
            digest = hashlib.sha256(head + tail.partition(b'",')[2]).hexdigest().encode()
            lines[number] = head + mark + digest + b'",' + tail.partition(b'",')[2]
    return lines


slow = settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])


@slow
@given(st.lists(BODIES, max_size=5))
def test_honest_lines_end_alike_both_ways(bodies: list[dict[str, Any]]) -> None:
    lines = block(bodies)
    assert strict(lines) is not None
    plain = b"".join(lines)
    assert agree(lines) or b"\\u" in plain or not plain.isascii()  # what may be left to the strict reading


@slow
@given(st.data())
def test_changed_bytes_are_never_accepted_by_the_sweep_alone(data: st.DataObject) -> None:
    lines = list(PLAIN)
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, WIDTH - 1))
        line = lines[at]
        start = data.draw(st.integers(0, len(line)))
        end = data.draw(st.integers(start, min(start + 3, len(line))))
        lines[at] = line[:start] + data.draw(st.binary(max_size=3)) + line[end:]
    if data.draw(st.booleans()):
        lines = resealed(lines, 0)
    assert not agree(lines) or lines == PLAIN or strict(lines) is not None


@pytest.mark.parametrize(
    "field",
    ["n", "seq", "timestamp", "v", "id", "actor", "type", "workflow", "run", "files", "hash", "previousHash"],
)
def test_values_that_are_almost_right_are_judged_alike(field: str) -> None:
    for value in NASTY:
        for reseal in (True, False):
            lines = list(PLAIN)
            record = json.loads(lines[7])
            old = f'"{field}":{json.dumps(record[field], separators=(",", ":"))}'.encode()
            assert old in lines[7]
            lines[7] = lines[7].replace(old, f'"{field}":'.encode() + value, 1)
            if reseal:
                lines = resealed(lines, 7)
            if not agree(lines):
                continue
            assert field == "n" or (field, value) == ("files", b"{}") or lines == PLAIN, (field, value)


def test_a_hash_that_is_no_text_behind_an_object_of_the_body_is_left_to_the_strict_reading() -> None:
    lines = block([{"a": {"hash": "x"}}])
    assert agree(lines)
    number = 7
    digest = json.loads(lines[number])["hash"]
    lines[number] = lines[number].replace(f'"hash":"{digest}"'.encode(), b'"hash":7')
    assert swept(lines) is None
    assert strict(lines) is None


def test_most_odd_but_honest_bodies_are_swept() -> None:
    bodies: list[dict[str, Any]] = [
        {"text": 'quotes " and \\ and \n', "list": [1, [2, {"x": None}]], "a": {"hash": "x", "b": True}},
        {"aa": [1], "hashes": ["hash"], "name": "Grüße, 日本"},
        {'a"hash': "x"},
    ]  # fmt: skip
    for body in bodies[:2]:
        assert agree(block([body])), body
    assert strict(block([bodies[2]])) is not None


def test_orders_that_differ_between_code_points_and_code_units_are_left_to_the_strict_reading() -> None:
    lines = block([{"x": {"\U00010000": 1, "\uffff": 2}}])
    assert swept(lines) is None
    assert strict(lines) is not None


def test_moved_repeated_and_lost_lines_are_not_swept() -> None:
    for lines in (
        [PLAIN[1], PLAIN[0], *PLAIN[2:]],
        [*PLAIN[:5], PLAIN[4], *PLAIN[6:]],
        [*PLAIN[:-1], b""],
        [*PLAIN[:-1], PLAIN[-1][:-1]],
        [*PLAIN[:-2], PLAIN[-2] + PLAIN[-1]],
        [*PLAIN[:9], PLAIN[9].replace(b"run9/", b"run8/"), *PLAIN[10:]],
    ):
        assert swept(lines) is None
        assert swept(resealed(lines, 0)) is None


def test_without_the_codec_nothing_is_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert swept(PLAIN) is not None
    monkeypatch.setattr(sweep, "_CODEC", False)
    assert swept(PLAIN) is None


def test_tiles_are_compared_while_lines_are_read() -> None:
    right = {bundle_path(0): bundle(PLAIN)}
    found = sweep.sweep(segments(PLAIN), 0, right)
    assert found is not None
    assert found.matched == (bundle_path(0),)
    assert set(found.unmatched) == {tile_path(0, 0)}
    wrong = sweep.sweep(segments(PLAIN), 0, {bundle_path(0): bundle(PLAIN)[:-1] + b"x"})
    assert wrong is not None
    assert wrong.unmatched[bundle_path(0)] == hashlib.sha256(right[bundle_path(0)]).digest()


LINES = 5 * WIDTH + 40  # five blocks and a rest


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bulk.Ledger:
    return bulk.write(tmp_path_factory.mktemp("large"), LINES)


@pytest.fixture
def checkout(large: bulk.Ledger, tmp_path: Path) -> Path:
    archive = ["git", f"--git-dir={large.git_dir}", "archive", "refs/heads/datalake"]
    content = subprocess.run(archive, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tmp_path)], check=True, input=content)
    return tmp_path / "datalake"


@pytest.fixture
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "WORKER_BLOCKS_MIN", 1)


def verdicts(path: Path) -> Iterator[Verification]:
    for jobs in (1, 2, 3):
        yield verify_file(path, manner=Manner(jobs))


@pytest.mark.usefixtures("few_blocks")
def test_several_processes_come_to_the_same_verdict(checkout: Path, large: bulk.Ledger) -> None:
    ledger = checkout / "ledger.jsonl"
    seen: list[int] = []
    good = verify_branch(large.git_dir, manner=Manner(2, lambda read, _all: seen.append(read)))
    assert (good.problem, good.entries, seen) == (None, LINES, [256, 512, 768, 1024, 1280, LINES])
    assert [(one.problem, one.root) for one in verdicts(ledger)] == [(None, good.root)] * 3
    for name, at in (("ledger/000/000/035.jsonl", 1500), ("ledger/000/000/009.jsonl", 3000), ("tile/entries/002", 9)):
        content = bytearray((checkout / name).read_bytes())
        content[at] ^= 1
        (checkout / name).write_bytes(content)
    first, *others = verdicts(ledger)
    assert first.problem is not None
    assert (first.problem.entry, first.entries) == (9 * 32 + 3, 9 * 32 + 2)
    assert others == [first] * 2


@pytest.mark.usefixtures("few_blocks")
def test_a_tile_that_was_changed_is_found_whoever_reads_it(checkout: Path) -> None:
    for name in ("tile/entries/001", "tile/0/003"):
        content = (checkout / name).read_bytes()
        (checkout / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        found = list(verdicts(checkout / "ledger.jsonl"))
        assert [one.problem and one.problem.detail for one in found] == [f"tile mismatch: {name}"] * 3
        (checkout / name).unlink()
        found = list(verdicts(checkout / "ledger.jsonl"))
        assert [one.problem and one.problem.detail for one in found] == [f"tile mismatch: {name}"] * 3
        (checkout / name).write_bytes(content)


def test_files_are_hashed_by_several_processes_in_order(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "BATCH_FILES", 3)
    monkeypatch.setattr(crew, "WORKER_BATCHES_MIN", 1)
    paths = sorted(item.relative_to(checkout).as_posix() for item in checkout.rglob("*") if item.is_file())
    source = DirectorySource(checkout / "ledger.jsonl", whole=True)
    (checkout / paths[9]).unlink()
    for jobs in (1, 2, 3):
        found = dict(zip(paths, crew.hashed(source, paths, jobs), strict=True))
        assert [path for path, digest in found.items() if digest is None] == [paths[9]]
        for path in (paths[0], paths[8], paths[10], paths[-1]):
            assert found[path] == hashlib.sha256((checkout / path).read_bytes()).digest()


@pytest.mark.usefixtures("few_blocks")
def test_an_id_that_returns_in_another_block_is_named(large: bulk.Ledger, checkout: Path) -> None:
    lines = b"".join(path.read_bytes() for path in sorted((checkout / "ledger").rglob("*.jsonl"))).splitlines()
    old, taken = (json.loads(lines[at])["id"].encode() for at in (1000, 100))
    lines = resealed([*lines[:1000], lines[1000].replace(b'"' + old, b'"' + taken, 1), *lines[1001:]], 1000)
    for number in range(len(lines) // 32):
        content = b"".join(line + b"\n" for line in lines[number * 32 : number * 32 + 32])
        (checkout / f"ledger/000/000/{number:03d}.jsonl").write_bytes(content)
    for found in verdicts(checkout / "ledger.jsonl"):
        assert found.problem is not None
        assert (found.problem.entry, found.problem.detail) == (1001, "duplicate id: entry 101 has it too")


@pytest.mark.usefixtures("few_blocks")
def test_nothing_is_left_behind_and_a_killed_worker_changes_nothing(large: bulk.Ledger) -> None:
    verify_branch(large.git_dir, manner=Manner(2))  # multiprocessing's own tracker starts once
    before = sorted(Path("/proc/self/fd").iterdir())

    def kill() -> None:
        for _ in range(200):
            for child in multiprocessing.active_children():
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGKILL)
                    return
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    found = verify_branch(large.git_dir, manner=Manner(2))
    killer.join()
    assert (found.problem, found.entries) == (None, LINES)
    assert multiprocessing.active_children() == []
    assert sorted(Path("/proc/self/fd").iterdir()) == before


HOLDING = """
import sys, time
from multiprocessing import active_children
from pathlib import Path
from ledger import crew
from ledger.branch import GitDir
from ledger.source import BranchSource

crew.WORKER_BLOCKS_MIN = 1
git = GitDir(Path(sys.argv[1]))
sweeps = crew.swept(BranchSource(git, git.tip()), range(100), 2)
next(sweeps)
print(*[child.pid for child in active_children()], flush=True)
time.sleep(60)
"""


def test_workers_end_when_their_reader_is_killed(tmp_path: Path) -> None:
    made = bulk.write(tmp_path, 101 * WIDTH)  # more than fits into the workers' pipes
    reader = subprocess.Popen([sys.executable, "-c", HOLDING, str(made.git_dir)], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    workers = [Path("/proc") / pid for pid in reader.stdout.readline().split()]
    assert len(workers) == 2
    reader.kill()
    reader.communicate()
    deadline = time.monotonic() + 60
    while any(map(_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_alive, workers))


def _alive(process: Path) -> bool:
    """Tell whether a process runs; one whose parent never collects it is done, too."""
    try:
        return (process / "stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
