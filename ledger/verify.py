"""Verification by anybody, from bytes alone: nothing here needs a key that is secret, a network or our other code.

One pass over the lines checks form, hash, place, chain, identity, time and the Merkle root; then the tree head's
signature, the tiles, and the digest of every file that a line speaks for. A file under `datalake/` that no line speaks
for is a finding too. What verification cannot see is a history rewritten by whoever holds the signing key, unless a
trusted key and a remembered checkpoint are given.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ledger.branch import GitDir
from ledger.chain import Chain
from ledger.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from ledger.commit import PLAIN_FILE
from ledger.crew import swept
from ledger.entry import Entry
from ledger.errors import NoteError
from ledger.faults import Fault, FaultFound, Problem
from ledger.layout import BRANCH, CHECKPOINT, KEYS, OPEN_SEGMENT, SEALED, TILES, key_path
from ledger.note import VerifierKey, parse_vkey
from ledger.scan import lines, lines_of, segments
from ledger.source import BranchSource, DirectorySource, DivisibleSource, Source
from ledger.sweep import SEGMENTS, Swept
from ledger.tiles import WIDTH

NO_CHECKPOINT = "no checkpoint beside this file: lines cut from its end would not be noticed"
NO_TRUST = "no trusted key given: the key on the branch was believed"


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        path: what was verified, as people call it.
        entries: lines read before the problem, or all.
        root: hex RFC 6962 root over them.
        problem: the first thing wrong, None when all is well.
        origin: the ledger's name, from the checkpoint; empty when none was read.
        notes: what this verification could not see, for people.
    """

    path: str
    entries: int
    root: str
    problem: Problem | None = None
    origin: str = ""
    notes: tuple[str, ...] = ()


def _unwatched(_lines: int) -> None:
    pass


@dataclass(frozen=True)
class Manner:
    """How a verification goes about it; the verdict is the same in any.

    Attributes:
        jobs: processes that sweep, at least 1; few lines are read by one in any case. More than one needs a main module
            that can be imported without running (multiprocessing's spawn).
        progress: called now and then with the number of lines read so far.
    """

    jobs: int = 1
    progress: Callable[[int], None] = _unwatched


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

    def block(self, swept: Swept) -> bool:
        """Take in what a block says, all of it, or nothing where two lines contradict each other."""
        said: dict[str, str] = {}
        for _, files in swept.files:
            if any(said.setdefault(path, digest) != digest for path, digest in files.items()):
                return False
        if any(self.digests.get(path, (stated := bytes.fromhex(digest))) != stated for path, digest in said.items()):
            return False
        for seq, files in swept.files:
            self.files(files, seq)
        self.matched.update(swept.matched)
        self.digests.update(swept.unmatched)
        return True


@dataclass
class _Pass:
    """One verification under way; it keeps how far it came, so that a finding can be reported with it."""

    source: DivisibleSource
    remembered: Checkpoint | None
    manner: Manner
    chain: Chain = field(default_factory=Chain)
    expected: _Expected = field(default_factory=_Expected)

    def read_lines(self) -> None:
        """Read every line: whole blocks by sweeping, what a sweep does not accept and the rest one by one."""
        paths = segments(self.source)
        blocks = range((len(paths) - 1) // SEGMENTS)
        with closing(swept(self.source, blocks, self.manner.jobs)) as sweeps:
            for block, one in enumerate(sweeps):
                if one is None or not self._take(one):
                    self._read(paths[block * SEGMENTS : (block + 1) * SEGMENTS])
                self.manner.progress(self.chain.size)
        self._read(paths[len(blocks) * SEGMENTS :])
        self.manner.progress(self.chain.size)

    def _take(self, one: Swept) -> bool:
        remembered = self.remembered
        if remembered is not None and self.chain.size < remembered.size <= self.chain.size + WIDTH:
            return False  # its root is compared between two of these lines
        if not self.chain.joins(one) or not self.expected.block(one):
            return False
        self.expected.tiles(self.chain.take(one))
        return True

    def _read(self, paths: Sequence[str]) -> None:
        with closing(lines_of(self.source, paths, self.chain.size)) as found:
            for line in found:
                self._line(*self.chain.accept(line))

    def _line(self, entry: Entry, full: dict[str, bytes]) -> None:
        self.expected.tiles(full)
        self.expected.files(entry.files, entry.seq)
        if self.remembered is not None and self.chain.size == self.remembered.size:
            self._compare(self.remembered)

    def _compare(self, remembered: Checkpoint) -> None:
        if self.chain.tree.root() != remembered.root:
            raise FaultFound(Fault.REMEMBERED, f"the first {remembered.size} lines have another root")

    def check_head(self, trusted: VerifierKey | None) -> str:
        keys = self._keys()
        data = _only(self.source, CHECKPOINT, Fault.CHECKPOINT)
        try:
            head = verify_checkpoint(data, keys)
            if trusted is not None:
                verify_checkpoint(data, [trusted])
        except NoteError as error:
            raise FaultFound(Fault.CHECKPOINT, str(error)) from error
        if head.size > self.chain.size:
            raise FaultFound(Fault.MISSING_LINES, f"{head.size} were signed, {self.chain.size} are here")
        if head.size < self.chain.size:
            raise FaultFound(Fault.SURPLUS_LINES, f"{head.size} were signed", head.size + 1)
        if head.root != self.chain.tree.root():
            raise FaultFound(Fault.ROOT)
        return head.origin

    def check_remembered(self, origin: str) -> None:
        if self.remembered is None:
            return
        if self.remembered.origin != origin:
            raise FaultFound(Fault.REMEMBERED, f"this is {origin}, remembered is {self.remembered.origin}")
        if self.remembered.size > self.chain.size:
            raise FaultFound(Fault.REMEMBERED, f"{self.remembered.size} lines were signed, {self.chain.size} are here")

    def _keys(self) -> list[VerifierKey]:
        paths = sorted(path for path in self.source.modes() if path.startswith(KEYS))
        keys = []
        with closing(self.source.read(paths)) as contents:
            for path, content in zip(paths, contents, strict=True):
                keys.append(_key(path, content))
        return keys

    def check_files(self) -> None:
        """Check every file that is neither a line, nor the checkpoint, against what the lines say."""
        partials = {path: hashlib.sha256(data).digest() for path, data in self.chain.edge.partials().items()}
        expected = {**self.expected.digests, **partials}
        modes = self.source.modes()
        judged = {OPEN_SEGMENT, CHECKPOINT, *self.expected.matched}
        here = sorted(path for path in modes if not path.startswith(SEALED) and path not in judged)
        missing = next((path for path in sorted(expected) if path not in modes), None)
        if missing is not None:
            self._report(Fault.TILE if missing.startswith(TILES) else Fault.FILE_MISSING, missing)
        with closing(self.source.read(here)) as contents:
            for path, content in zip(here, contents, strict=True):
                stated = expected.get(path) or self._earlier(path)
                if stated is None:
                    self._report(Fault.UNSPOKEN, path)
                if hashlib.sha256(content).digest() != stated:
                    self._report(Fault.TILE if path.startswith(TILES) else Fault.FILE, path)

    def _earlier(self, path: str) -> bytes | None:
        content = self.chain.edge.earlier_partial(path)
        return hashlib.sha256(content).digest() if content is not None else None

    def _report(self, fault: Fault, path: str) -> None:
        name = path if path.isprintable() and path.isascii() else ascii(path)
        raise FaultFound(fault, name[:300], self.expected.said_by.get(path))


def verify_branch(
    git_dir: Path,
    ref: str = BRANCH,
    trusted: str | None = None,
    remembered: bytes | None = None,
    manner: Manner = Manner(),
) -> Verification:
    """Verify the ledger on a branch.

    Args:
        git_dir: any git directory that holds the branch; objects are read, nothing is written.
        ref: full ref name, or a commit id.
        trusted: the vkey string that must have signed; without it the key on the branch is believed.
        remembered: a checkpoint (signed note) seen earlier, kept where the branch's writers cannot reach; the branch
            must extend it. It is believed as it is.
        manner: how to go about it.

    Raises:
        GitError: not a git directory, or git failed.
        NoteError: `trusted` or `remembered` is malformed.
    """
    label = f"{git_dir} {ref}"
    key = parse_vkey(trusted) if trusted is not None else None
    checkpoint = parse_checkpoint(remembered) if remembered is not None else None
    repository = GitDir(git_dir)
    commit = repository.tip(ref)
    if commit is None:
        problem = FaultFound(Fault.ABSENT, f"there is no {ref} here: fetch it").problem()
        return Verification(label, 0, Chain().tree.root().hex(), problem)
    return _verify_whole(label, BranchSource(repository, commit), key, checkpoint, manner)


def verify_file(
    path: Path,
    trusted: str | None = None,
    remembered: bytes | None = None,
    manner: Manner = Manner(),
) -> Verification:
    """Verify a ledger file (`ledger.jsonl`), together with what stands beside it.

    In a checkout of the branch the whole `datalake` directory is verified. A file alone is verified by its lines when
    it starts with the first; otherwise it is INCOMPLETE, unless the sealed segments stand beside it in `ledger/`.

    Raises:
        OSError: the file cannot be read.
        NoteError: `trusted` or `remembered` is malformed.
    """
    key = parse_vkey(trusted) if trusted is not None else None
    checkpoint = parse_checkpoint(remembered) if remembered is not None else None
    with path.open("rb"):
        pass
    beside = path.parent
    whole = any((beside / name).exists() for name in (CHECKPOINT, "keys", "tile"))
    if whole and path.name == OPEN_SEGMENT:
        return _verify_whole(str(path), DirectorySource(path, whole=True), key, checkpoint, manner)
    return _verify_lines(str(path), DirectorySource(path, whole=False), checkpoint, manner)


def describe(verification: Verification) -> list[str]:
    """Say it in lines for people: five when all is well; otherwise what failed, and what that implies."""
    first = [f"Verifying ledger: {verification.path}"]
    problem = verification.problem
    if problem is None:
        return [
            *first,
            f"Entries: {verification.entries}",
            "All hashes valid",
            "Chain linkage intact",
            "Ledger verified",
        ]
    at = f" at entry {problem.entry}" if problem.entry is not None else ""
    return [*first, f"Ledger verification failed{at}: {problem.detail}", f"This implies: {problem.implies}"]


def _verify_whole(
    label: str, source: DivisibleSource, trusted: VerifierKey | None, remembered: Checkpoint | None, manner: Manner
) -> Verification:
    running = _Pass(source, remembered, manner)
    origin = ""
    problem = None
    try:
        _check_modes(source)
        running.read_lines()
        origin = running.check_head(trusted)
        running.check_remembered(origin)
        running.check_files()
    except FaultFound as found:
        problem = found.problem()
    return _result(label, running.chain, problem, origin, () if trusted is not None else (NO_TRUST,))


def _verify_lines(label: str, source: DivisibleSource, remembered: Checkpoint | None, manner: Manner) -> Verification:
    running = _Pass(source, remembered, manner)
    problem = None
    try:
        _check_start(source)
        running.read_lines()
        if remembered is not None:
            running.check_remembered(remembered.origin)
    except FaultFound as found:
        problem = found.problem()
    return _result(label, running.chain, problem, "", (NO_CHECKPOINT,))


def _key(path: str, content: bytes) -> VerifierKey:
    try:
        key = parse_vkey(content.decode("utf-8").removesuffix("\n"))
    except (NoteError, UnicodeDecodeError) as error:
        raise FaultFound(Fault.KEYS, f"{path!a}: {error}") from error
    if content != f"{key}\n".encode() or path != key_path(key.key_id):
        raise FaultFound(Fault.KEYS, f"{path!a} does not hold the key it is named for")
    return key


def _check_start(source: Source) -> None:
    """Tell a later segment alone, which cannot be judged, from a ledger whose beginning was cut off."""
    if any(path.startswith(SEALED) for path in source.modes()):
        return
    with closing(lines(source)) as found:
        line = next(found, None)
    if line is None:
        return
    try:
        Chain().accept(line)
    except FaultFound as fault:
        if fault.fault is Fault.SEQUENCE:
            detail = "it does not start with the first line, and the sealed segments are not beside it in ledger/"
            raise FaultFound(Fault.UNREADABLE, detail) from fault
        raise


def _check_modes(source: Source) -> None:
    modes = source.modes()
    if not modes:
        raise FaultFound(Fault.ABSENT)
    odd = next((path for path, mode in sorted(modes.items()) if mode != PLAIN_FILE), None)
    if odd is not None:
        raise FaultFound(Fault.ODD_FILE, ascii(odd)[:300])


def _only(source: Source, path: str, fault: Fault) -> bytes:
    if path not in source.modes():
        raise FaultFound(fault, f"{path} is missing")
    with closing(source.read([path])) as contents:
        return next(contents)


def _result(label: str, chain: Chain, problem: Problem | None, origin: str, notes: tuple[str, ...]) -> Verification:
    return Verification(label, chain.size, chain.tree.root().hex(), problem, origin, notes)
