"""Going on from a remembered checkpoint without reading the lines under it again.

The remembered root is a commitment to the old lines. The tiles give the tree up to the last multiple of 256 below it;
the lines from there on are read, and with them the tree must have the remembered root. Tiles that lie cannot reach it,
so what is believed is what was remembered, nothing else.
"""

from collections.abc import Sequence
from contextlib import closing

from ledger.chain import Chain
from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.entry import parse
from ledger.errors import LedgerError, ProofError
from ledger.faults import FaultFound
from ledger.layout import CHECKPOINT, SEGMENT_LINES
from ledger.scan import lines_of
from ledger.source import Source
from ledger.tiles import HEIGHT, WIDTH, Edge, tile_path


def resumed(source: Source, remembered: Checkpoint, segments: Sequence[str]) -> Chain | None:
    """Return the ledger as far as the last multiple of 256 lines below the remembered size.

    Nothing is proven until the lines up to the remembered size were read and have its root. The chain knows no ids.

    Returns:
        None when there is nothing to skip, or when what is needed is missing or out of form.
    """
    base = max(remembered.size - 1, 0) // WIDTH * WIDTH
    path = base // SEGMENT_LINES
    if not base or path >= len(segments):
        return None
    try:
        head = parse_checkpoint(_read(source, CHECKPOINT))
        edge = Edge.resume(base, lambda level, full, width: _tile(source, head.size, (level, full, width)))
        with closing(lines_of(source, [segments[path]], base)) as found:
            first = parse(next(found))
    except (FaultFound, LedgerError):
        return None
    # The line before it was verified when the checkpoint was: this one says its hash, and the root binds this one.
    return Chain(first.previous_hash, 0, {}, edge.frontier(), edge)


def _tile(source: Source, size: int, place: tuple[int, int, int]) -> bytes:
    """Return the first hashes of a tile that has grown since."""
    level, full, width = place
    now = min(WIDTH, (size >> HEIGHT * level) - full * WIDTH)
    if now < width:
        raise ProofError(f"the tree of {size} lines is smaller than what is remembered")
    return _read(source, tile_path(level, full, now))[: width * 32]


def _read(source: Source, path: str) -> bytes:
    if path not in source.modes():
        raise ProofError(f"{path} is missing")
    with closing(source.read([path])) as contents:
        return next(contents)
