"""Blocks of lines that were forged well: every hash and link fits, and one thing is not as it must be."""

import hashlib
import itertools
import json
import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from ledger import canonical, entry
from ledger.chain import Chain
from ledger.crew import BATCH_FILES, JOBS_MAX, cores, hashed, swept
from ledger.entry import Draft
from ledger.faults import Fault, FaultFound
from ledger.layout import segment_path
from ledger.merkle import leaf_hash, root
from ledger.source import Source
from ledger.sweep import Swept, sweep
from ledger.tiles import WIDTH, bundle, bundle_path, tile_path

DIGEST = hashlib.sha256(b"").hexdigest()
SPOKEN = {"workflows/issue-7/plan.md": DIGEST}
SPEAKING = (7, 200)  # lines, in different segments


def honest(count: int) -> list[bytes]:
    lines: list[bytes] = []
    previous = entry.GENESIS
    for n in range(count):
        body: dict[str, Any] = {"n": n, "files": SPOKEN} if n in SPEAKING else {"n": n}
        lines.append(entry.seal(Draft(f"run{n}/X", "X", "issue-1", "run", "ada", n, body), n, previous))
        previous = json.loads(lines[-1])["hash"]
    return lines


PLAIN = honest(2 * WIDTH)
ELSEWHERE = hashlib.sha256(b"elsewhere").hexdigest()


def forged(at: int, **members: object) -> list[bytes]:
    """The first block with members of one line changed, and every hash and link from there on made to fit."""
    lines = PLAIN[:at]
    previous: str | None = None
    for number in range(at, WIDTH):
        record = json.loads(PLAIN[number])
        record |= members if number == at else {"previousHash": previous}
        record.pop("hash")
        previous = hashlib.sha256(canonical.encode(record)).hexdigest()
        lines.append(canonical.encode({**record, "hash": previous}))
    return lines


def segments(lines: list[bytes]) -> list[bytes]:
    return [b"".join(line + b"\n" for line in lines[at : at + 32]) for at in range(0, len(lines), 32)]


def strict(lines: Iterable[bytes]) -> Chain | None:
    chain = Chain()
    try:
        for line in lines:
            chain.accept(line)
    except FaultFound:
        return None
    return chain


LONGEST = "x" * entry.TEXT_CHARS_MAX
WRONG: list[tuple[int, dict[str, object]]] = [
    (0, {"timestamp": -1}),
    (9, {"timestamp": 7}),
    (255, {"timestamp": 253}),
    (9, {"timestamp": 2**53 - 1}),
    (9, {"id": "run8/X"}),
    (255, {"id": "run0/X"}),
    (9, {"previousHash": ELSEWHERE}),
    (255, {"previousHash": ELSEWHERE}),
    (1, {"previousHash": ELSEWHERE}),
    (9, {"seq": 8}),
    (9, {"seq": 10}),
    (9, {"v": 2}),
    (9, {"v": 0}),
    (9, {"v": True}),
    (9, {"seq": "9"}),
    (9, {"type": "x"}),
    (9, {"type": 9}),
    (9, {"workflow": "../x"}),
    (9, {"workflow": None}),
    (9, {"files": {"../x": DIGEST}}),
    (9, {"files": {"workflows/x/y": DIGEST[1:]}}),
    (9, {"files": [DIGEST]}),
    (9, {"files": None}),
]
WRONG += [
    (at, {name: text}) for at in (0, 255) for name in ("id", "run", "actor") for text in ("", f"{LONGEST}x", "\n")
]


@pytest.mark.parametrize(("at", "members"), WRONG)
def test_a_block_with_one_thing_wrong_is_never_taken_whole(at: int, members: dict[str, object]) -> None:
    lines = forged(at, **members)
    assert strict(lines) is None
    found = sweep(segments(lines), 0, {})
    assert found is None or not Chain().joins(found)


RIGHT: list[tuple[int, dict[str, object]]] = [
    (0, {"timestamp": 0}),
    (9, {"timestamp": 8}),
    (9, {"timestamp": 10}),
    (9, {"id": LONGEST, "run": LONGEST, "actor": LONGEST}),
    (9, {"id": "r", "run": "r", "actor": "r"}),
    (9, {"files": {}}),
    (9, {"a": {"hash": ELSEWHERE, "id": 1}}),
    (9, {"a": [{"hash": ELSEWHERE, "id": 1}]}),
    (9, {"a": ["hash"]}),
    (9, {"a": "{"}),
    (9, {"a": '"hash":"'}),
    (9, {"a": '"'}),
    (9, {"n": 2**53 - 1, "m": -(2**53) + 1, "o": True, "p": None, "q": [[[[]]]]}),
    (9, {"z": {"hash": ELSEWHERE}}),
    (9, {"a": "line\n", "b": {"c": "\\"}}),
]


@pytest.mark.parametrize(("at", "members"), RIGHT)
def test_a_block_that_is_odd_and_right_is_taken_as_its_lines_are(at: int, members: dict[str, object]) -> None:
    lines = forged(at, **members)
    chain, found = strict(lines), sweep(segments(lines), 0, {})
    assert chain is not None
    assert found is not None
    fast = Chain()
    assert fast.joins(found)
    fast.take(found)
    assert (fast.previous_hash, fast.timestamp, fast.places) == (chain.previous_hash, chain.timestamp, chain.places)
    assert fast.tree.root() == chain.tree.root()


def test_a_block_says_what_its_lines_say() -> None:
    for block in (0, 1):
        lines = PLAIN[block * WIDTH :][:WIDTH]
        leaves = b"".join(map(leaf_hash, lines))
        tiles = {tile_path(0, block): leaves, bundle_path(block): bundle(lines)}
        first = block * WIDTH
        wanted = Swept(
            first=first,
            previous_hash=json.loads(lines[0])["previousHash"],
            hash=json.loads(lines[-1])["hash"],
            times=(first, first + 255),
            ids=tuple(f"run{n}/X" for n in range(first, first + WIDTH)),
            files=() if block else tuple((n, SPOKEN) for n in SPEAKING),
            root=root(list(map(leaf_hash, lines))),
            matched=(tile_path(0, block), bundle_path(block)),
            unmatched={},
        )
        assert sweep(segments(lines), first, tiles) == wanted
        assert sweep(segments(lines), first, None) == replace(wanted, matched=(), unmatched={})
        digests = {path: hashlib.sha256(content).digest() for path, content in tiles.items()}
        for there in ([], [tile_path(0, block)], [bundle_path(block)]):
            found = sweep(segments(lines), first, {path: tiles[path] for path in there})
            assert found is not None
            assert found.matched == tuple(there)
            assert found.unmatched == {path: digest for path, digest in digests.items() if path not in there}
        assert sweep(segments(lines), WIDTH - first, tiles) is None, "these lines stand elsewhere"


def test_segments_are_cut_where_they_must_be() -> None:
    parts = segments(PLAIN[:WIDTH])
    whole = b"".join(parts)
    assert sweep(parts, 0, {}) is not None
    long = whole.index(b"\n", len(parts[0])) + 1
    bitten = len(parts[0]) + 5
    for cut in ([long, len(parts[0]) + len(parts[1])], [bitten, len(parts[0]) + len(parts[1])]):
        places = [0, *cut]
        odd = [whole[start:end] for start, end in itertools.pairwise(places)]
        assert sweep([*odd, *parts[2:]], 0, {}) is None
    assert sweep([*parts[:-1], parts[-1][:-1]], 0, {}) is None
    assert sweep([*parts[:-1], parts[-1] + b" "], 0, {}) is None


@pytest.mark.parametrize(
    "line",
    [
        b"no line",
        b"[]",
        b"7",
        b"{}",
        PLAIN[9] + b" ",
        PLAIN[9].replace(b'"n":9', b'"n": 9'),
        PLAIN[9].replace(b'"n":9', b'"n":9.5'),
        PLAIN[9].replace(b'"n":9', b'"n":9007199254740992'),
        PLAIN[9].replace(b'"n":9', b'"n":9,"n":9'),
        PLAIN[9].replace(b'"n":9', b'"n":"\\u0061"'),
        PLAIN[9].replace(b'"n":9', b'"n":"\xff"'),
        PLAIN[9].replace(b'"n":9', b'"n":' + b"[" * 3000 + b"]" * 3000),
        PLAIN[9].replace(b'"n":9', b'"n":8'),
    ],
)
def test_bytes_that_no_ledger_writes_are_not_swept(line: bytes) -> None:
    lines = [*PLAIN[:9], line, *PLAIN[10:WIDTH]]
    assert sweep(segments(lines), 0, {}) is None
    assert strict(lines) is None


@pytest.mark.parametrize("value", ["\x01", "a\x1f", [[[[[[[[[[1]]]]]]]]]]])
def test_escapes_by_code_point_and_deep_nesting_are_left_to_the_strict_reading(value: object) -> None:
    lines = forged(9, a=value)
    assert strict(lines) is not None
    assert sweep(segments(lines), 0, {}) is None


@pytest.mark.parametrize("members", [{'a"hash': "x"}, {'a"hash': ELSEWHERE}, {"a": {'"hash': ELSEWHERE}}])
def test_a_name_that_ends_like_the_hash_changes_no_verdict(members: dict[str, object]) -> None:
    lines = forged(9, **members)
    found = sweep(segments(lines), 0, {})
    assert strict(lines) is not None
    assert found is None or found.root == root(list(map(leaf_hash, lines)))
    digest = json.loads(lines[9])["hash"].encode()
    wrong = [*lines[:9], lines[9].replace(digest, ELSEWHERE.encode()), *lines[10:]]
    assert (sweep(segments(wrong), 0, {}), strict(wrong)) == (None, None)


def test_a_line_is_swept_up_to_the_longest_that_is_allowed() -> None:
    room = canonical.LINE_BYTES_MAX - len(PLAIN[9]) - len(',"pad":""')
    for more in (0, 1):
        lines = forged(9, pad="x" * (room + more))
        assert (len(lines[9]) - canonical.LINE_BYTES_MAX, strict(lines) is None) == (more, bool(more))
        assert (sweep(segments(lines), 0, {}) is None) is bool(more)


@pytest.mark.parametrize("word", ["gr\u00fc\u00df \u65e5\u672c", "\U0001f600", "\ud7ff\ue000"])
def test_whatever_people_write_is_judged_alike(word: str) -> None:
    for members in ({"a": word}, {"a": {word: 1}}, {"a": {"\uffee": 1, word: 2}}):
        lines = forged(9, **members)
        chain, found = strict(lines), sweep(segments(lines), 0, {})
        assert chain is not None
        assert (found is not None) is (max(map(ord, word)) < 0x10000), "beyond, the strict reading decides"
        assert found is None or found.root == root(list(map(leaf_hash, lines)))


# A source that fails ------------------------------------------------------------------------------------------------


class Memory(Source):
    """Files in memory, some of which cannot be read."""

    def __init__(self, files: Mapping[str, bytes], torn: Iterable[str] = ()) -> None:
        self.files = dict(files)
        self.torn = set(torn)
        self.begun = 0

    def modes(self) -> Mapping[str, str]:
        return dict.fromkeys(self.files, "100644")

    def only(self, paths: Iterable[str]) -> Source:
        wanted = set(paths)
        return Memory({path: content for path, content in self.files.items() if path in wanted}, self.torn)

    def read(self, paths: Iterable[str]) -> Generator[bytes, None, None]:
        self.begun += 1
        for path in paths:
            if path in self.torn:
                raise FaultFound(Fault.UNREADABLE, path)
            yield self.files[path]


@pytest.mark.parametrize("count", [0, 1, 5, BATCH_FILES, BATCH_FILES + 1, 2 * BATCH_FILES + 3])
def test_every_file_is_answered_for_in_its_place(count: int) -> None:
    files = {f"f{n:04d}": b"%d" % n for n in range(count)}
    paths = list(files)
    for torn in (set(), {*paths[:2], *paths[-2:]}, set(paths[2:4]), set(paths[:3])):
        wanted = [None if path in torn else hashlib.sha256(files[path]).digest() for path in paths]
        assert list(hashed(Memory(files, torn), paths, 1)) == wanted


def ledger(blocks: int) -> dict[str, bytes]:
    lines = honest(blocks * WIDTH)
    files = {segment_path(at): content for at, content in enumerate(segments(lines))}
    for block in range(blocks):
        part = lines[block * WIDTH :][:WIDTH]
        files[tile_path(0, block)] = b"".join(map(leaf_hash, part))
        files[bundle_path(block)] = bundle(part)
    return files


def test_blocks_that_cannot_be_read_are_left_out_and_the_others_are_swept() -> None:
    files = ledger(4)
    for torn in ([], [0], [1], [3], [1, 2], [0, 3], [0, 1, 2, 3]):
        source = Memory(files, [segment_path(8 * block + 7 * (block % 2)) for block in torn])
        with closing(swept(source, range(4), 1)) as found:
            seen = [None if one is None else one.first // WIDTH for one in found]
        assert seen == [None if block in torn else block for block in range(4)]
        assert source.begun <= 1 + len(torn)
    with closing(swept(Memory(files), range(2, 4), 1)) as found:
        assert [one and (one.first, one.matched) for one in found] == [
            (block * WIDTH, (tile_path(0, block), bundle_path(block))) for block in (2, 3)
        ]
    lost = {path: content for path, content in files.items() if path not in {tile_path(0, 1), bundle_path(2)}}
    with closing(swept(Memory(lost), range(4), 1)) as found:
        assert [one and tuple(one.unmatched) for one in found] == [(), (tile_path(0, 1),), (bundle_path(2),), ()]


def test_as_many_processors_are_counted_as_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(JOBS_MAX + 44)))
    assert cores() == JOBS_MAX == 256
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert cores() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1
