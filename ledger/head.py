"""The end of the ledger as the sequencer needs it: read from the signed checkpoint, the tiles and the newest lines.

The cost does not grow with the ledger: the right edge of the tiles gives the Merkle tree and must lead to the signed
root; the newest lines must be the leaves that the tiles say; which ids are taken is asked of the index. Only when the
index does not know this state are lines read: those that were added since the state it knows, when git shows nothing
but additions since, otherwise all of them, each checked.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from ledger import merkle
from ledger.branch import Change, GitDir
from ledger.chain import Chain
from ledger.checkpoint import Checkpoint
from ledger.commit import PLAIN_FILE
from ledger.entry import Entry, parse
from ledger.errors import MissingObjectError, ProofError
from ledger.faults import Fault, FaultFound
from ledger.index import Index, Mark
from ledger.layout import (
    CHECKPOINT,
    COSIGNED,
    DIRECTORY,
    OPEN_SEGMENT,
    SEALED,
    SEGMENT_LINES,
    TILES,
    WITNESSES,
    sealed_count,
    segment_path,
)
from ledger.scan import lines
from ledger.tiles import HEIGHT, WIDTH, Edge, TileNodes, tile_path

_REPLACED = (OPEN_SEGMENT, CHECKPOINT, COSIGNED, WITNESSES)  # the only files that are written anew
_FLUSH = 4096  # ids held in memory during a pass over all lines


@dataclass
class Head:
    """The branch at `commit`, which holds `checkpoint`; `chain.places` is not filled, the index knows them."""

    commit: str | None
    checkpoint: bytes | None
    chain: Chain


def read_head(git: GitDir, tip: str, signed: Checkpoint, index: Index) -> Chain:
    """Return the ledger's end in commit `tip`, whose checkpoint was verified to be `signed`.

    Afterwards the index knows the ids of the first `signed.size` lines.

    Raises:
        FaultFound: the lines or the tiles are not those of the checkpoint.
        LedgerError: git or the index failed.
    """
    if not _known(git, tip, signed, index):
        _rebuild(git, tip, signed, index)
    try:
        return _resume(git, tip, signed)
    except ProofError as error:
        raise FaultFound(Fault.TILE, str(error)) from error


def _known(git: GitDir, tip: str, signed: Checkpoint, index: Index) -> bool:
    """Bring the index from what it knows to `tip`, if that can be done from what was added."""
    base = index.exact(signed.size, signed.root) or index.newest()
    if base is None or base.tree.size > signed.size:
        return False
    changes = git.changes(base.tip, tip) if base.tip != tip else {}
    if changes is None or not _only_adds(changes):
        return False
    if (base.tree.size, base.tree.root()) == (signed.size, signed.root):
        return not any(path.startswith((SEALED, OPEN_SEGMENT)) for path in changes)
    chain = Chain(base.previous_hash, base.timestamp, {}, base.tree.copy())
    try:
        for line in _added(git, tip, changes, base.tree.size, signed.size):
            chain.accept(line)
    except FaultFound:
        return False  # the pass over all lines names it
    if (chain.size, chain.tree.root()) != (signed.size, signed.root) or index.places(chain.places, base.tree.size):
        return False
    index.advance(base.tree.size, chain.places, Mark.of(chain, tip))
    return True


def _only_adds(changes: Mapping[str, Change]) -> bool:
    """Tell whether the files changed as appends change them."""
    for path, change in changes.items():
        partial = path.startswith(TILES) and ".p/" in path
        if change.new is None:
            if not partial:
                return False
        elif change.new.mode != PLAIN_FILE or (change.old is not None and path not in _REPLACED):
            return False
    return True


def _added(git: GitDir, tip: str, changes: Mapping[str, Change], old: int, new: int) -> list[bytes]:
    """Return the lines from `old` to `new`, having checked that the open segment of `old` was kept.

    Raises:
        FaultFound: segments are missing or too many, or the open segment was changed.
    """
    segments = [segment_path(number) for number in range(sealed_count(old), sealed_count(new))]
    changed = changes.get(OPEN_SEGMENT)
    there = {path for path in changes if path.startswith(SEALED)}
    if changed is None or changed.old is None or there != set(segments):
        raise FaultFound(Fault.SEGMENTS)
    (before,) = git.blobs([changed.old.oid])
    content = b"".join(_contents(git, tip, [*segments, OPEN_SEGMENT]))
    if not content.startswith(before) or not content.endswith(b"\n"):
        raise FaultFound(Fault.SEGMENTS)
    return content[len(before) : -1].split(b"\n")


def _rebuild(git: GitDir, tip: str, signed: Checkpoint, index: Index) -> None:
    """Read every line, check it, and fill the index anew; memory does not grow with the ledger."""
    chain = Chain()
    with index.writing():
        index.clear()
        with closing(lines(_Segments(git, tip))) as found:
            for line in found:
                chain.accept(line)
                if len(chain.places) == _FLUSH:
                    _flush(index, chain)
        _flush(index, chain)
        if (chain.size, chain.tree.root()) != (signed.size, signed.root):
            raise FaultFound(Fault.ROOT, "the lines on the branch are not those of its checkpoint")
        index.put(Mark.of(chain, tip))


def _flush(index: Index, chain: Chain) -> None:
    twice = index.places(chain.places, chain.size)
    if twice:
        first = min(twice, key=lambda one: chain.places[one])
        raise FaultFound(Fault.DUPLICATE, f"entry {twice[first] + 1} has it too", chain.places[first] + 1)
    index.add(chain.places)
    chain.places.clear()


def _resume(git: GitDir, tip: str, signed: Checkpoint) -> Chain:
    size = signed.size
    block = (size - 1) // WIDTH  # the newest lines lie in it; it may just have become full
    segments = range(block * WIDTH // SEGMENT_LINES, sealed_count(size))
    wanted = [*map(segment_path, segments), OPEN_SEGMENT]
    paths = [tile_path(*place) for place in _edge_tiles(size)]
    contents = dict(zip([*wanted, *paths], _contents(git, tip, [*wanted, *paths]), strict=True))
    edge = Edge.resume(size, lambda level, full, width: contents[tile_path(level, full, width)])
    tree = edge.frontier()
    if tree.root() != signed.root:
        raise ProofError("the tiles do not lead to the root of the checkpoint")
    newest = b"".join(contents[path] for path in wanted).split(b"\n")[:-1]
    leaves = [merkle.leaf_hash(line) for line in newest]
    if leaves != _leaves(git, tip, signed, edge):
        raise ProofError("the newest lines are not those that the tiles say")
    last = _parse(newest[-1], size)
    return Chain(last.hash, last.timestamp, {}, tree, edge, newest)


def _parse(line: bytes, size: int) -> Entry:
    try:
        read = parse(line)
    except ValueError as error:
        raise FaultFound(Fault.SHAPE, str(error), size) from error
    if read.seq != size - 1:
        raise FaultFound(Fault.SEQUENCE, f"seq is {read.seq}, its place is {size - 1}", size)
    return read


def _edge_tiles(size: int) -> Iterator[tuple[int, int, int]]:
    for level in range((size.bit_length() + HEIGHT - 1) // HEIGHT):
        full, width = divmod(size >> HEIGHT * level, WIDTH)
        if width:
            yield level, full, width


def _leaves(git: GitDir, tip: str, signed: Checkpoint, edge: Edge) -> list[bytes]:
    """Return the leaf hashes of the newest block; those of a full block are proven to be under the root first."""
    if signed.size % WIDTH:
        return edge.leaves()
    count = signed.size // WIDTH
    (content,) = _contents(git, tip, [tile_path(0, count - 1)])
    hashes = [content[at : at + merkle.HASH_BYTES] for at in range(0, len(content), merkle.HASH_BYTES)]
    nodes = TileNodes(signed.size, lambda path: git.file(tip, f"{DIRECTORY}/{path}") or b"")
    proof = merkle.inclusion_proof(count - 1, count, lambda level, index: nodes.node(level + HEIGHT, index))
    merkle.verify_inclusion(count - 1, count, merkle.root(hashes), proof, signed.root)
    return hashes


def _contents(git: GitDir, tip: str, paths: Sequence[str]) -> list[bytes]:
    """Return the content of `paths`, relative to `datalake/`.

    Raises:
        FaultFound: one is missing, or is no plain file.
    """
    there = git.named(tip, [f"{DIRECTORY}/{path}" for path in paths])
    for path in paths:
        blob = there.get(f"{DIRECTORY}/{path}")
        if blob is None or blob.mode != PLAIN_FILE:
            raise FaultFound(Fault.TILE if path.startswith(TILES) else Fault.SEGMENTS, f"{path} is missing")
    try:
        return list(git.blobs([there[f"{DIRECTORY}/{path}"].oid for path in paths]))
    except MissingObjectError as error:
        raise FaultFound(Fault.UNREADABLE, str(error)) from error


class _Segments:
    """The lines' files of one commit, without the many others."""

    def __init__(self, git: GitDir, commit: str) -> None:
        self._git = git
        there = git.files(commit, f"{DIRECTORY}/{SEALED}".rstrip("/")) | git.named(
            commit, [f"{DIRECTORY}/{OPEN_SEGMENT}"]
        )
        self._blobs = {path.removeprefix(f"{DIRECTORY}/"): blob for path, blob in there.items()}

    def modes(self) -> Mapping[str, str]:
        return {path: blob.mode for path, blob in self._blobs.items()}

    def read(self, paths: Iterable[str]) -> Generator[bytes, None, None]:
        try:
            yield from self._git.blobs(self._blobs[path].oid for path in paths)
        except MissingObjectError as error:
            raise FaultFound(Fault.UNREADABLE, str(error)) from error
