"""Reading a ledger's lines in order, checking each; shared by verification and by the sequencer's start."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from ledger.chain import Chain
from ledger.entry import Entry
from ledger.faults import Fault, FaultFound
from ledger.layout import OPEN_SEGMENT, SEALED, SEGMENT_LINES, segment_path
from ledger.shown import quoted
from ledger.source import Source


def scan(source: Source, on_line: Callable[[Entry, dict[str, bytes], Chain], None] | None = None) -> Chain:
    """Read every line of `source`, from the first.

    Args:
        source: the ledger's files.
        on_line: called after each line with the entry, the tiles that became full by it, and the chain so far.

    Raises:
        FaultFound: the first thing wrong.
    """
    chain = Chain()
    with closing(lines(source)) as found:
        for line in found:
            read, full = chain.accept(line)
            if on_line is not None:
                on_line(read, full, chain)
    return chain


def lines(source: Source) -> Generator[bytes, None, None]:
    """Yield every line, without line feeds, checking that the segments are the ones that should be there.

    Raises:
        FaultFound: SEGMENTS or ABSENT.
    """
    yield from lines_of(source, segments(source), 0)


def segments(source: Source) -> list[str]:
    """Return the paths of the segments, in order; the open one is the last.

    Raises:
        FaultFound: SEGMENTS or ABSENT.
    """
    modes = source.modes()
    if OPEN_SEGMENT not in modes:
        raise FaultFound(Fault.SEGMENTS if modes else Fault.ABSENT, f"{OPEN_SEGMENT} is missing")
    sealed = sorted(path for path in modes if path.startswith(SEALED))
    wanted = [segment_path(index) for index in range(len(sealed))]
    if sealed != wanted:
        odd = min(set(sealed) ^ set(wanted))
        raise FaultFound(Fault.SEGMENTS, f"{quoted(odd)} is {'not expected' if odd in modes else 'missing'}")
    return [*wanted, OPEN_SEGMENT]


def lines_of(source: Source, paths: Sequence[str], before: int) -> Generator[bytes, None, None]:
    """Yield the lines of some segments, in order; `before` lines precede them.

    Raises:
        FaultFound: SEGMENTS.
    """
    number = before
    with closing(source.read(paths)) as contents:
        for path, content in zip(paths, contents, strict=True):
            segment = _split(path, content, number)
            number += len(segment)
            yield from segment


def _split(path: str, content: bytes, before: int) -> list[bytes]:
    *segment, rest = content.split(b"\n")
    if rest:
        raise FaultFound(Fault.SEGMENTS, f"{path} does not end in a line feed", before + len(segment) + 1)
    full = path != OPEN_SEGMENT
    if not 0 < len(segment) <= SEGMENT_LINES or (full and len(segment) != SEGMENT_LINES):
        allowed = SEGMENT_LINES if full else f"1 to {SEGMENT_LINES}"
        raise FaultFound(Fault.SEGMENTS, f"{path} has {len(segment)} lines; it must have {allowed}")
    return segment
