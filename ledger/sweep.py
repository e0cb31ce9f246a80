r"""A block of 256 lines judged at once: the same rules as `ledger.chain`, several times faster, and never on its own.

A sweep only ever says yes. It decodes with a fast codec, encodes again and compares all bytes; whatever is out of the
ordinary (a fault, but also a `\u` escape or deep nesting) gives None, and the strict reading decides and names it. So
the two can differ in speed, not in verdict. Without the codec every sweep gives None.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from operator import itemgetter
from types import GenericAlias
from typing import Annotated, Any

from ledger import canonical, entry
from ledger.errors import EntryError
from ledger.layout import SEGMENT_LINES
from ledger.merkle import HASH_BYTES
from ledger.tiles import WIDTH, bundle, bundle_path, tile_path

try:
    import msgspec
except ModuleNotFoundError:  # an auditor's environment may do without: slower, same verdict
    _CODEC = False
else:
    _CODEC = True

SEGMENTS = WIDTH // SEGMENT_LINES  # segments in a block
_DEPTH_MAX = 8  # nested objects and arrays; deeper lines are rare and left to the strict reading
_FIELDS = itemgetter("v", "seq", "timestamp", "id", "run", "actor", "type", "workflow", "previousHash", "hash")
_HASH = b'"hash":"'
_MEMBER = len(_HASH) + 64 + len(b'",')  # bytes of it with its digest and a comma (other members always follow)


@dataclass(frozen=True)
class Swept:
    """256 lines that are right among themselves; how they join what stands before is for the chain to say.

    Attributes:
        first: seq of the first line, a multiple of 256.
        previous_hash: what the first line says of the line before it.
        hash: the last line's.
        times: milliseconds of the first and of the last line.
        ids: in order.
        files: (seq, digests by path) of the lines that speak for files.
        root: of the subtree over the lines.
        matched: which of the block's tile and bundle were read and hold what they must.
        unmatched: SHA-256 that the others must have, by path.
    """

    first: int
    previous_hash: str
    hash: str
    times: tuple[int, int]
    ids: tuple[str, ...]
    files: tuple[tuple[int, Mapping[str, str]], ...]
    root: bytes
    matched: tuple[str, ...]
    unmatched: Mapping[str, bytes]


def sweep(segments: Sequence[bytes], first: int, tiles: Mapping[str, bytes] | None) -> Swept | None:
    """Judge the eight segments of one block.

    Args:
        segments: their bytes.
        first: the seq that the first line must have.
        tiles: the block's tile and entry bundle by path, as far as they are there; None where nobody will ask for them.

    Returns:
        None when the strict reading has to decide.
    """
    if not _CODEC or len(segments) != SEGMENTS:
        return None
    lines: list[bytes] = []
    rows: list[tuple[Any, ...]] = []
    files: list[tuple[int, Mapping[str, str]]] = []
    leaves: list[bytes] = []
    try:
        for part in segments:  # each by itself: what is gone over several times stays in the processor's cache
            found = _lines(part)
            records = _decoded(part)
            if records is None or len(records) != len(found):
                return None
            new = [*map(_FIELDS, records)]
            if not _hashed(found, [row[-1] for row in new]):
                return None
            files += _files(records, first + len(lines))
            leaves += [hashlib.sha256(b"\x00" + line).digest() for line in found]
            lines += found
            rows += new
        columns = list(zip(*rows, strict=True))
        if not _shaped(columns, first):
            return None
    except (KeyError, TypeError, EntryError):
        return None
    return _swept(lines, columns, first, files, leaves, tiles)


def _lines(segment: bytes) -> list[bytes]:
    """Split a segment of 32 lines that the codec reads as the strict reader does; none if it is anything else."""
    lines = [line[:-1] for line in BytesIO(segment)]  # in a third of the time that splitting takes
    whole = len(lines) == SEGMENT_LINES and segment.endswith(b"\n")
    if not whole or _escaped(segment) or not _sorts_alike(segment):
        return []
    return lines if max(map(len, lines)) <= canonical.LINE_BYTES_MAX else []


def _escaped(whole: bytes) -> bool:
    """Tell whether there is an escape by code point, which encoders write in more than one way."""
    return b"\\" in whole and b"\\u" in whole  # to look for one byte takes a tenth of the time


def _sorts_alike(whole: bytes) -> bool:
    """Tell whether sorting by code points, as the codec does, sorts by UTF-16 units: no surrogate pair is needed."""
    if whole.isascii():
        return True
    try:
        text = whole.decode("utf-8")
        return len(text.encode("utf-16-le")) == 2 * len(text)
    except UnicodeError:
        return False


def _decoded(whole: bytes) -> list[dict[str, Any]] | None:
    """Decode canonical lines: what encodes to the same bytes had no duplicate keys, odd order, spaces or escapes."""
    try:
        records = _decoder().decode_lines(whole)
        same = _encoder().encode_lines(records) == whole
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return records if same else None


@lru_cache(maxsize=1)
def _encoder() -> "msgspec.json.Encoder":
    return msgspec.json.Encoder(order="sorted")


@lru_cache(maxsize=1)
def _decoder() -> "msgspec.json.Decoder[dict[str, Any]]":
    """Make the decoder of objects that hold no floats and no integers out of range, at any depth."""
    integer = Annotated[int, msgspec.Meta(ge=-canonical.INTEGER_MAX, le=canonical.INTEGER_MAX)]
    scalar: Any = str | bool | integer | None
    value = scalar
    for _ in range(_DEPTH_MAX):
        value = scalar | GenericAlias(dict, (str, value)) | GenericAlias(list, (value,))
    return msgspec.json.Decoder(GenericAlias(dict, (str, value)))


def _shaped(columns: Sequence[Sequence[Any]], first: int) -> bool:
    versions, places, times, ids, runs, actors, types, workflows, previous, hashes = columns
    return (
        {*map(type, versions), *map(type, places), *map(type, times)} == {int}  # for a truth value equals one
        and {*versions} == {entry.VERSION}
        and [*places] == [*range(first, first + len(places))]
        and times[0] >= 0
        and [*times] == sorted(times)
        and all(map(_texts, (ids, runs, actors)))
        and len({*ids}) == len(ids)
        and all(map(entry.is_type, {*types}))
        and _all_workflows({*workflows})
        and previous[1:] == hashes[:-1]
    )


def _all_workflows(names: Iterable[str]) -> bool:
    return all(map(_is_workflow, names))


_is_workflow = lru_cache(maxsize=4096)(entry.is_workflow)


def _texts(column: Sequence[str]) -> bool:
    lengths = [*map(len, column)]
    return min(lengths) > 0 and max(lengths) <= entry.TEXT_CHARS_MAX and "".join(column).isprintable()


def _hashed(lines: Sequence[bytes], stated: Sequence[str]) -> bool:
    """Tell whether each line's hash is that of its bytes without the member `hash`, where cutting it out is safe."""
    return _hashes(lines, stated) == stated


def _hashes(lines: Sequence[bytes], stated: Sequence[str]) -> list[str]:
    """Compute each line's hash from its bytes without the member `hash`.

    Cut in the wrong place, what is left still holds the digest that it must have, which no bytes do: never right.
    """
    sha256 = hashlib.sha256
    starts = [line.find(_HASH) for line in lines]
    heads = b"".join([line[:start] for line, start in zip(lines, starts, strict=True)])
    if heads.count(b"{") == len(lines):  # only the line's own object was opened before it: it is the line's own member
        return [
            sha256(line[:start] + line[start + _MEMBER :]).hexdigest()
            for line, start in zip(lines, starts, strict=True)
        ]
    cuts = [line.partition(f'"hash":"{digest}",'.encode()) for line, digest in zip(lines, stated, strict=True)]
    return [sha256(head + tail).hexdigest() for head, _, tail in cuts]


def _files(records: Sequence[dict[str, Any]], first: int) -> tuple[tuple[int, Mapping[str, str]], ...]:
    speaking = [(first + at, record["files"]) for at, record in enumerate(records) if "files" in record]
    return tuple((seq, entry.spoken(files)) for seq, files in speaking)


def _swept(
    lines: Sequence[bytes],
    columns: Sequence[Sequence[Any]],
    first: int,
    files: Sequence[tuple[int, Mapping[str, str]]],
    hashes: Sequence[bytes],
    tiles: Mapping[str, bytes] | None,
) -> Swept:
    sha256 = hashlib.sha256
    level = leaves = b"".join(hashes)
    while len(level) > HASH_BYTES:
        pairs = range(0, len(level), 2 * HASH_BYTES)
        level = b"".join([sha256(b"\x01" + level[at : at + 2 * HASH_BYTES]).digest() for at in pairs])
    block = first // WIDTH
    wanted = {tile_path(0, block): leaves, bundle_path(block): bundle(lines)} if tiles is not None else {}
    found = tiles or {}
    _, _, times, ids, *_ = columns
    return Swept(
        first=first,
        previous_hash=columns[-2][0],
        hash=columns[-1][-1],
        times=(times[0], times[-1]),
        ids=tuple(ids),
        files=tuple(files),
        root=level,
        matched=tuple(path for path, content in wanted.items() if found.get(path) == content),
        unmatched={path: sha256(content).digest() for path, content in wanted.items() if found.get(path) != content},
    )
