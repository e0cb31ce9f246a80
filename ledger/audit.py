"""One verification under way: lines, tree head, tiles and files, each against the others.

Whole blocks are swept, by several processes where asked; what a sweep does not accept is read one line at a time, and
that reading names the fault. An incremental verification works alike: it says yes, or all is read.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from itertools import islice
from typing import BinaryIO

from ledger.anchors import Anchor, check_anchors
from ledger.canonical import LINE_BYTES_MAX
from ledger.chain import Chain
from ledger.checkpoint import Checkpoint
from ledger.crew import hashed, swept
from ledger.entry import Entry
from ledger.errors import NoteError, RotationError
from ledger.faults import Fault, FaultFound
from ledger.layout import (
    CHECKPOINT,
    COSIGNED,
    KEYS,
    OPEN_SEGMENT,
    SEALED,
    SEGMENT_LINES,
    TILES,
    WITNESSES,
    key_path,
)
from ledger.note import VerifierKey
from ledger.policy import Policy
from ledger.resume import resumed
from ledger.rotation import KEY_ROTATED, Rotation, Term, lineage, rotations, verify_head
from ledger.scan import lines_of, segments
from ledger.shown import cut
from ledger.source import DivisibleSource, Source
from ledger.sweep import SEGMENTS, Swept, sweep
from ledger.tiles import WIDTH

PIECE_BYTES = 2**18  # of a stream, read at once
NOT_FIRST = "it does not start with the first line, and the sealed segments are not beside it in ledger/"


def _unwatched(_read: int, _all: int) -> None:
    pass


@dataclass(frozen=True)
class Manner:
    """How a verification goes about it, and what else it asks for.

    Attributes:
        jobs: processes that sweep, at least 1; few lines are read by one in any case. More than one needs a main module
            that can be imported without running (multiprocessing's spawn).
        progress: called now and then with the number of lines read so far, and of those there may be at most.
        incremental: do not read again what stands under the remembered checkpoint, nor the files its lines speak for.
        policy: which witnesses must vouch for the tree head.
        anchors: tree heads that the ledger must extend, see `ledger.anchors`.
    """

    jobs: int = 1
    progress: Callable[[int, int], None] = _unwatched
    incremental: bool = False
    policy: Policy | None = None
    anchors: tuple[Anchor, ...] = ()


SIMPLY = Manner()


@dataclass
class _Expected:
    """What the lines say of the other files: digests by path, and the line (from 1) that says so.

    `matched` are tiles and bundles that were compared while the lines were read.
    """

    digests: dict[str, bytes] = field(default_factory=dict)
    said_by: dict[str, int] = field(default_factory=dict)
    matched: set[str] = field(default_factory=set)

    def tiles(self, full: dict[str, bytes]) -> None:
        self.digests |= {path: hashlib.sha256(content).digest() for path, content in full.items()}

    def files(self, files: Mapping[str, str], seq: int) -> None:
        for path, digest in files.items():
            stated = bytes.fromhex(digest)
            if self.digests.setdefault(path, stated) != stated:
                raise FaultFound(Fault.FILE, f"{path}: two lines state different digests", seq + 1)
            self.said_by.setdefault(path, seq + 1)

    def block(self, swept: Swept) -> None:
        """Take in what a block says; what contradicts itself is raised as by a reading of its lines."""
        for seq, files in swept.files:
            self.files(files, seq)
        self.matched.update(swept.matched)
        self.digests.update(swept.unmatched)


@dataclass
class Audit:
    """One verification under way; it keeps how far it came, so that a finding can be reported with it.

    Attributes:
        source: what is verified.
        remembered: what it must extend.
        manner: how.
        chain: the lines read so far.
        expected: what they say of other files.
        unread: lines that were believed instead of being read.
    """

    source: DivisibleSource
    remembered: Checkpoint | None
    manner: Manner
    chain: Chain = field(default_factory=Chain)
    expected: _Expected = field(default_factory=_Expected)
    unread: int = 0
    _handed_over: dict[int, Rotation] = field(default_factory=dict)
    _head: Checkpoint | None = None

    def read_lines(self) -> None:
        """Read every line: whole blocks by sweeping, what a sweep does not accept and the rest one by one.

        Raises:
            FaultFound: the first thing wrong.
        """
        paths = segments(self.source)
        self._handed_over = {one.before.size: one for one in rotations(self._keys())}
        if self.manner.incremental and self.remembered is not None and self._resume(self.remembered, paths):
            return
        self._read_from(0, paths)

    def _resume(self, remembered: Checkpoint, paths: Sequence[str]) -> bool:
        """Go on behind what is remembered; whatever is odd is left to a reading of all lines, which names it."""
        chain = resumed(self.source, remembered, paths)
        if chain is None:
            return False
        self.chain, self.unread = chain, chain.size
        try:
            self._read_from(chain.size // WIDTH, paths)
        except FaultFound:
            self.chain, self.expected, self.unread = Chain(), _Expected(), 0
            return False
        return True

    def _read_from(self, first: int, paths: Sequence[str]) -> None:
        blocks = range(first, (len(paths) - 1) // SEGMENTS)
        with closing(swept(self.source, blocks, self.manner.jobs)) as sweeps:
            for block, one in zip(blocks, sweeps, strict=True):
                if one is None or not self._take(one):
                    self._read(paths[block * SEGMENTS : (block + 1) * SEGMENTS])
                self.manner.progress(self.chain.size, len(paths) * SEGMENT_LINES)
        self._read(paths[blocks.stop * SEGMENTS :])
        self.manner.progress(self.chain.size, self.chain.size)

    def read_stream(self, file: BinaryIO) -> None:
        """Read lines that come without segments, from the first to the end of `file`.

        Raises:
            FaultFound: the first thing wrong; UNREADABLE when the first line is not the ledger's first.
        """
        segments = _segments_of(file)
        while parts := [*islice(segments, SEGMENTS)]:
            one = sweep(parts, self.chain.size, None)
            if one is None or not self._take(one):
                self._read_lines(b"".join(parts))
            self.manner.progress(self.chain.size, 0)
        if not self.chain.size:
            raise FaultFound(Fault.ABSENT)

    def _read_lines(self, content: bytes) -> None:
        *found, rest = content.split(b"\n")
        for line in found:
            try:
                self._line(*self.chain.accept(line))
            except FaultFound as fault:
                if fault.fault is Fault.SEQUENCE and not self.chain.size:
                    raise FaultFound(Fault.UNREADABLE, NOT_FIRST) from fault
                raise
        if len(rest) > LINE_BYTES_MAX:  # wherever it ends; no more of it was read
            raise FaultFound(Fault.CANONICAL, f"the line has more than {LINE_BYTES_MAX} bytes", self.chain.size + 1)
        if rest:
            raise FaultFound(Fault.SEGMENTS, "the last line does not end in a line feed", self.chain.size + 1)

    def _take(self, one: Swept) -> bool:
        remembered = self.remembered
        if remembered is not None and self.chain.size < remembered.size <= self.chain.size + WIDTH:
            return False  # its root is compared between two of these lines
        if any(self.chain.size <= size <= self.chain.size + WIDTH for size in self._handed_over):
            return False  # so is a hand-over's, and its line is looked at
        if not self.chain.joins(one):
            return False
        try:
            self.expected.block(one)
        except FaultFound:
            return False  # the reading of its lines comes upon the same, and knows how many were good before
        self.expected.tiles(self.chain.take(one))
        return True

    def _read(self, paths: Sequence[str]) -> None:
        with closing(lines_of(self.source, paths, self.chain.size)) as found:
            for line in found:
                self._line(*self.chain.accept(line))

    def _line(self, entry: Entry, full: dict[str, bytes]) -> None:
        self.expected.tiles(full)
        self.expected.files(entry.files, entry.seq)
        self._hand_over(entry)
        if self.remembered is not None and self.chain.size == self.remembered.size:
            self._compare(self.remembered)

    def _hand_over(self, entry: Entry) -> None:
        """Check that a hand-over is of this history, and that its line stands where it says."""
        closed, due = self._handed_over.get(self.chain.size), self._handed_over.get(entry.seq)
        if closed is not None and self.chain.tree.root() != closed.before.root:
            raise FaultFound(Fault.ROTATION, f"{closed.path}: the first {self.chain.size} lines have another root")
        if due is not None and (entry.record["type"] != KEY_ROTATED or due.path not in entry.files):
            raise FaultFound(Fault.ROTATION, f"{due.path}: this line is not the one of its hand-over", entry.seq + 1)

    def _compare(self, remembered: Checkpoint) -> None:
        if self.chain.tree.root() != remembered.root:
            raise FaultFound(Fault.REMEMBERED, f"the first {remembered.size} lines have another root")

    def check_head(self, trusted: VerifierKey | None) -> str:
        """Check the signed tree head against the lines, and return the ledger's name.

        Raises:
            FaultFound: CHECKPOINT, KEYS, ROTATION, MISSING_LINES, SURPLUS_LINES or ROOT.
        """
        terms = self.terms()
        data = only(self.source, CHECKPOINT, Fault.CHECKPOINT)
        try:
            head = verify_head(data, terms, trusted)
        except NoteError as error:
            raise FaultFound(Fault.CHECKPOINT, str(error)) from error
        if head.size > self.chain.size:
            raise FaultFound(Fault.MISSING_LINES, f"{head.size} were signed, {self.chain.size} are here")
        if head.size < self.chain.size:
            raise FaultFound(Fault.SURPLUS_LINES, f"{head.size} were signed", head.size + 1)
        if head.root != self.chain.tree.root():
            raise FaultFound(Fault.ROOT)
        self._check_places(head.size, terms[0])
        self._head = head
        return head.origin

    def _check_places(self, size: int, first: Term) -> None:
        """Check that every key but the first came with its hand-over, and no hand-over without its line."""
        late = next((one for one in self._handed_over.values() if one.before.size >= size), None)
        if late is not None:
            raise FaultFound(Fault.ROTATION, f"{late.path} hands over after {late.before.size} lines of {size}")
        places = {before + 1 for before in self._handed_over}
        for path, entry in self.expected.said_by.items():
            if path.startswith(KEYS) and entry not in places and path != key_path(first.key.key_id):
                raise FaultFound(Fault.ROTATION, f"{path}: nothing hands over here", entry)

    def check_remembered(self, origin: str) -> None:
        """Check that this is the ledger that is remembered, and not a shorter form of it.

        Raises:
            FaultFound: REMEMBERED.
        """
        if self.remembered is None:
            return
        if self.remembered.origin != origin:
            raise FaultFound(Fault.REMEMBERED, f"this is {origin}, remembered is {self.remembered.origin}")
        if self.remembered.size > self.chain.size:
            raise FaultFound(Fault.REMEMBERED, f"{self.remembered.size} lines were signed, {self.chain.size} are here")

    def check_anchors(self) -> None:
        """Check, after head and files, that the ledger extends every tree head that was anchored.

        Raises:
            FaultFound: ANCHOR.
        """
        if self._head is not None:
            read = partial(only, self.source, fault=Fault.TILE)
            check_anchors(self.manner.anchors, self._head, self.terms(), read)

    def _keys(self) -> dict[str, bytes]:
        paths = sorted(path for path in self.source.modes() if path.startswith(KEYS))
        with closing(self.source.read(paths)) as contents:
            return dict(zip(paths, contents, strict=True))

    def terms(self) -> tuple[Term, ...]:
        """Return the terms of the keys that lines speak for; `check_files` names the others.

        Raises:
            FaultFound: KEYS or ROTATION.
        """
        files = {path: data for path, data in self._keys().items() if self.unread or path in self.expected.digests}
        try:
            return lineage(files)
        except RotationError as error:
            raise FaultFound(Fault.ROTATION, str(error)) from error
        except NoteError as error:
            raise FaultFound(Fault.KEYS, str(error)) from error

    def check_files(self) -> None:
        """Check every file that is neither a line, nor the checkpoint, against what the lines say.

        Raises:
            FaultFound: FILE, FILE_MISSING, TILE, UNSPOKEN or UNREADABLE.
        """
        partials = {path: hashlib.sha256(data).digest() for path, data in self.chain.edge.partials().items()}
        expected = {**self.expected.digests, **partials}
        modes = self.source.modes()
        judged = {OPEN_SEGMENT, CHECKPOINT, COSIGNED, WITNESSES, *self.expected.matched}
        here = sorted(path for path in modes if not path.startswith(SEALED) and path not in judged)
        if self.unread:  # a line that was not read may speak for the others
            here = [path for path in here if path in expected or self._earlier(path)]
        missing = next((path for path in sorted(expected) if path not in modes), None)
        if missing is not None:
            self._report(Fault.TILE if missing.startswith(TILES) else Fault.FILE_MISSING, missing)
        with closing(hashed(self.source, here, self.manner.jobs)) as digests:
            for path, digest in zip(here, digests, strict=True):
                found = digest or hashlib.sha256(only(self.source, path, Fault.UNREADABLE)).digest()
                stated = expected.get(path) or self._earlier(path)
                if stated is None:
                    self._report(Fault.UNSPOKEN, path)
                if found != stated:
                    self._report(Fault.TILE if path.startswith(TILES) else Fault.FILE, path)

    def _earlier(self, path: str) -> bytes | None:
        content = self.chain.edge.earlier_partial(path)
        return hashlib.sha256(content).digest() if content is not None else None

    def _report(self, fault: Fault, path: str) -> None:
        name = path if path.isprintable() and path.isascii() else ascii(path)
        raise FaultFound(fault, cut(name), self.expected.said_by.get(path))


def _segments_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield 32 lines at a time, and at the end the rest; of a line that is too long no more is held than shows it."""
    lines: list[bytes] = []
    while piece := file.read(PIECE_BYTES):
        lines += BytesIO(lines.pop() + piece if lines else piece)
        whole = (len(lines) - 1) // SEGMENT_LINES * SEGMENT_LINES  # what is read next may belong to the last line
        yield from (b"".join(lines[at : at + SEGMENT_LINES]) for at in range(0, whole, SEGMENT_LINES))
        del lines[:whole]
        if len(lines[-1]) > LINE_BYTES_MAX + 1:
            break
    if lines:
        yield b"".join(lines)


def only(source: Source, path: str, fault: Fault) -> bytes:
    """Return the content of one file; raise `fault` where it is not there."""
    if path not in source.modes():
        raise FaultFound(fault, f"{path} is missing")
    with closing(source.read([path])) as contents:
        return next(contents)
