"""One pass over the lines: shape, hash, place, chain, identity, time and tree, all from the same bytes.

The chain: each line names the hash of the line before it, the first one "0".

    seq 0    previousHash    0
             hash            16f4a7142acd9f6aace9529d92955cfd869f14411fa68c020e08c7c58305712e
    seq 1    previousHash    16f4a7142acd9f6aace9529d92955cfd869f14411fa68c020e08c7c58305712e
             hash            1507ad2c8ff47f664c84c23581037946a2f8dd0e21b5aa7a3c47b4353f6183e1
"""

from dataclasses import dataclass, field

from ledger import entry, merkle
from ledger.errors import CanonicalError, EntryError, VersionError
from ledger.faults import Fault, FaultFound
from ledger.sweep import Swept
from ledger.tiles import HEIGHT, WIDTH, Edge, bundle, bundle_path


@dataclass
class Chain:
    """The ledger as far as it was read.

    Attributes:
        previous_hash: the newest line's hash; "0" before the first.
        timestamp: the newest line's, milliseconds.
        places: seq by entry id.
        tree: the compact Merkle tree; its size counts the lines.
        edge: the unfinished tiles.
        block: the newest lines since the last multiple of 256, 1 to 256 of them; none in an empty ledger.
    """

    previous_hash: str = entry.GENESIS
    timestamp: int = 0
    places: dict[str, int] = field(default_factory=dict)
    tree: merkle.Frontier = field(default_factory=merkle.Frontier)
    edge: Edge = field(default_factory=Edge)
    block: list[bytes] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Lines read."""
        return self.tree.size

    def fork(self) -> "Chain":
        """Return a copy to try lines on; `places` of the copy starts empty, so that the cost does not grow."""
        return Chain(self.previous_hash, self.timestamp, {}, self.tree.copy(), self.edge.copy(), list(self.block))

    def accept(self, line: bytes) -> tuple[entry.Entry, dict[str, bytes]]:
        """Check the next line against everything before it, and take it in.

        Returns:
            The entry, and the tiles and bundle that became full by it, by path.

        Raises:
            FaultFound: naming the line, counted from 1.
        """
        number = self.size + 1
        read = _parse(line, number)
        self._check(read, number)
        self.places[read.id] = read.seq
        self.previous_hash, self.timestamp = read.hash, read.timestamp
        leaf = merkle.leaf_hash(line)
        self.tree.append(leaf)
        full = dict(self.edge.add(leaf))
        if len(self.block) == WIDTH:
            self.block.clear()
        self.block.append(line)
        if len(self.block) == WIDTH:
            full[bundle_path(read.seq // WIDTH)] = bundle(self.block)
        return read, full

    def joins(self, swept: Swept) -> bool:
        """Tell whether a block that was swept follows; if not, accepting its lines one by one names what is wrong."""
        return (
            swept.first == self.size
            and swept.previous_hash == self.previous_hash
            and swept.times[0] >= self.timestamp
            and self.places.keys().isdisjoint(swept.ids)
        )

    def take(self, swept: Swept) -> dict[str, bytes]:
        """Take in a block that `joins`; `block` is empty afterwards.

        Returns:
            The tiles above level 0 that became full by it, by path.
        """
        self.places.update(zip(swept.ids, range(swept.first, swept.first + WIDTH), strict=True))
        self.previous_hash, self.timestamp = swept.hash, swept.times[1]
        self.tree.append(swept.root, HEIGHT)
        self.block.clear()
        return dict(self.edge.add_tile(swept.root))

    def _check(self, read: entry.Entry, number: int) -> None:
        if read.true_hash() != read.hash:
            raise FaultFound(Fault.HASH, entry=number)
        if read.seq != self.size:
            raise FaultFound(Fault.SEQUENCE, f"seq is {read.seq}, its place is {self.size}", number)
        if read.previous_hash != self.previous_hash:
            raise FaultFound(Fault.CHAIN, entry=number)
        if read.id in self.places:
            raise FaultFound(Fault.DUPLICATE, f"entry {self.places[read.id] + 1} has it too", number)
        if read.timestamp < self.timestamp:
            raise FaultFound(Fault.TIME, entry=number)


def _parse(line: bytes, number: int) -> entry.Entry:
    try:
        return entry.parse(line)
    except CanonicalError as error:
        raise FaultFound(Fault.CANONICAL, str(error), number) from error
    except VersionError as error:
        raise FaultFound(Fault.VERSION, str(error), number) from error
    except EntryError as error:
        raise FaultFound(Fault.SHAPE, str(error), number) from error
