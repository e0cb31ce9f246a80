"""Merkle tiles and entry bundles (https://c2sp.org/tlog-tiles), as files under `tile/`.

Hash tiles are written full and partial, as the standard asks. Of entry bundles only full ones are written: the newest
lines are in the segments already, and a partial bundle would make each append rewrite up to 256 lines.
Partial tiles stay until their full tile is written, then the whole `.p` directory goes.

    tile/0/000.p/34          the hashes of leaves 0 to 33, 32 bytes each
    tile/1/000               the roots over leaves 0 to 255, 256 to 511, ...
    tile/entries/x001/234    lines 315,904 to 316,159, each after its length in two bytes, big-endian

A tile's first two hashes, and a bundle's first bytes, in hex (0x0108 is 264; then the line begins, `{"actor":"`):

    6824b61749cb7eb9c6cbb9de3c0f46afd495e84e3030f50f14b1b60befd3aa57
    d3d0481a693c3f3beb44d1bbfa9420cb5ffe4a8b70623c4d9f01397062fa2f95

    01087b226163746f72223a22
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from ledger.errors import ProofError
from ledger.layout import TILES
from ledger.merkle import HASH_BYTES, Frontier, root

WIDTH = 256  # hashes in a full tile, entries in a full bundle
HEIGHT = 8  # tree levels that one tile spans
LENGTH_BYTES = 2  # big-endian length before each entry of a bundle
_PARTIAL = re.compile(r"tile/(\d{1,2})/((?:x\d{3}/)*\d{3})\.p/([1-9]\d{0,2})")


def index_path(index: int) -> str:
    """Return a tile index as path elements: 1234067 becomes `x001/x234/067`."""
    groups = [f"{index % 1000:03d}"]
    while index >= 1000:  # noqa: PLR2004 - three digits a group
        index //= 1000
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Return the path of a hash tile, relative to `datalake/`; `width` below 256 makes it partial."""
    suffix = "" if width == WIDTH else f".p/{width}"
    return f"{TILES}{level}/{index_path(index)}{suffix}"


def bundle_path(index: int) -> str:
    """Return the path of a full entry bundle, relative to `datalake/`."""
    return f"{TILES}entries/{index_path(index)}"


def bundle(lines: Sequence[bytes]) -> bytes:
    """Return the entry bundle of `lines`: each with its length before it."""
    lengths = [len(line).to_bytes(LENGTH_BYTES, "big") for line in lines]
    return b"".join(chain.from_iterable(zip(lengths, lines, strict=True)))


def parse_bundle(data: bytes) -> list[bytes]:
    """Read an entry bundle back into its lines, strictly.

    Raises:
        ProofError: it ends within an entry, or an entry is empty.
    """
    lines, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + LENGTH_BYTES], "big")
        line = data[at + LENGTH_BYTES : at + LENGTH_BYTES + size]
        if not size or len(line) != size:
            raise ProofError(f"the bundle's entry at byte {at} is empty or cut off")
        lines.append(line)
        at += LENGTH_BYTES + size
    return lines


class Edge:
    """The right edge of the tile tree: per level, the hashes of the tile that is not full yet."""

    __slots__ = ("_full", "_open")

    def __init__(self) -> None:
        self._open: list[list[bytes]] = []
        self._full: list[int] = []

    def copy(self) -> "Edge":
        """Return an independent copy."""
        twin = Edge()
        twin._open = [list(hashes) for hashes in self._open]
        twin._full = list(self._full)
        return twin

    @classmethod
    def resume(cls, size: int, read: Callable[[int, int, int], bytes]) -> "Edge":
        """Return the edge of a tree of `size` leaves from its partial tiles, unverified.

        Args:
            size: leaves.
            read: returns the content of the partial tile at (level, index, width).

        Raises:
            ProofError: a tile has the wrong length.
        """
        edge = cls()
        for level in range((size.bit_length() + HEIGHT - 1) // HEIGHT):
            full, width = divmod(size >> HEIGHT * level, WIDTH)
            content = read(level, full, width) if width else b""
            if len(content) != width * HASH_BYTES:
                raise ProofError(f"{tile_path(level, full, width)} has {len(content)} bytes, not {width * HASH_BYTES}")
            edge._open.append([content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)])
            edge._full.append(full)
        return edge

    def frontier(self) -> Frontier:
        """Return the compact tree that these hashes make."""
        peaks: list[bytes] = []
        size = 0
        for level, hashes in reversed(list(enumerate(self._open))):
            part = Frontier()
            for one in hashes:
                part.append(one)
            peaks += part.peaks
            size += len(hashes) << HEIGHT * level
        return Frontier(size, peaks)

    def leaves(self) -> list[bytes]:
        """Return the leaf hashes since the last multiple of 256."""
        return list(self._open[0]) if self._open else []

    def add(self, leaf: bytes) -> Iterator[tuple[str, bytes]]:
        """Add a leaf hash; yield path and content of each tile that became full by it."""
        yield from self._add(0, leaf)

    def add_tile(self, head: bytes) -> Iterator[tuple[str, bytes]]:
        """Add the root over 256 leaves at once, where no tile of level 0 is open; yield as `add`, from level 1 on."""
        if not self._open:
            self._open.append([])
            self._full.append(0)
        self._full[0] += 1
        yield from self._add(1, head)

    def _add(self, lowest: int, leaf: bytes) -> Iterator[tuple[str, bytes]]:
        for level in range(lowest, len(self._open) + 1):
            if level == len(self._open):
                self._open.append([])
                self._full.append(0)
            hashes = self._open[level]
            hashes.append(leaf)
            if len(hashes) < WIDTH:
                return
            yield tile_path(level, self._full[level]), b"".join(hashes)
            leaf = root(hashes)
            self._open[level] = []
            self._full[level] += 1

    def partials(self) -> dict[str, bytes]:
        """Return the partial tiles of the present size, by path."""
        return {
            tile_path(level, self._full[level], len(hashes)): b"".join(hashes)
            for level, hashes in enumerate(self._open)
            if hashes
        }

    def earlier_partial(self, path: str) -> bytes | None:
        """Return what a partial tile at `path` must hold if an earlier size left it, or None if none can be there."""
        found = _PARTIAL.fullmatch(path)
        if found is None or int(found[1]) >= len(self._open):
            return None
        level, width = int(found[1]), int(found[3])
        hashes = self._open[level]
        if width > len(hashes) or tile_path(level, self._full[level], width) != path:
            return None
        return b"".join(hashes[:width])


def partial_directory(full_tile: str) -> str:
    """Return the directory that held the partial forms of a tile that is full now."""
    return f"{full_tile}.p"


class TileNodes:
    """Complete subtrees of a tree of `size` leaves, read from its tiles.

    Args:
        size: leaves in the tree.
        read: returns the content of a path relative to `datalake/`.
    """

    def __init__(self, size: int, read: Callable[[str], bytes]) -> None:
        self._size = size
        self._read = read
        self._cache: dict[str, bytes] = {}

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree over leaves [index * 2^level, (index + 1) * 2^level).

        Raises:
            ProofError: a tile has the wrong length.
        """
        tile_level, height = divmod(level, HEIGHT)
        first = index << height
        tile, offset = divmod(first, WIDTH)
        width = min(WIDTH, (self._size >> HEIGHT * tile_level) - tile * WIDTH)
        path = tile_path(tile_level, tile, width)
        content = self._cache.get(path)
        if content is None:
            content = self._cache[path] = self._read(path)
        if len(content) != width * HASH_BYTES:
            raise ProofError(f"{path} has {len(content)} bytes; it must have {width * HASH_BYTES}")
        hashes = [content[at * HASH_BYTES : (at + 1) * HASH_BYTES] for at in range(offset, offset + (1 << height))]
        return root(hashes)
