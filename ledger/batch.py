"""What one append writes, computed from the ledger's state alone: same state and same drafts, same bytes.

That sameness is what lets an append that was interrupted after signing be repeated instead of being lost.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ledger import entry
from ledger.chain import Chain
from ledger.errors import DraftError
from ledger.keyring import Succession
from ledger.keys import Signer
from ledger.layout import (
    CHECKPOINT,
    DIRECTORY,
    OPEN_SEGMENT,
    SEGMENT_LINES,
    key_path,
    sealed_count,
    segment_path,
)
from ledger.rotation import KEY_ROTATED, hand_over, rotation_path
from ledger.tiles import WIDTH, partial_directory

OWN = "ledger"  # workflow and run of the lines that the ledger writes of itself
_MILLISECONDS = 1000


@dataclass(frozen=True)
class Batch:
    """One commit's worth.

    Attributes:
        chain: the ledger after it; its `places` are empty.
        checkpoint: the signed tree head after it.
        write: content by repository path.
        delete: repository paths that go.
        message: the commit's message.
        seconds: the commit's time, that of the newest line.
    """

    chain: Chain
    checkpoint: bytes
    write: Mapping[str, bytes]
    delete: Sequence[str]
    message: str
    seconds: int


class Layout:
    """An append under way: lines and files on top of `before`, which stays untouched.

    Args:
        before: the ledger so far.
        signer: its key; the first line speaks for the verification key's file.

    Attributes:
        places: seq by id of the lines laid out.
        files: content by path relative to `datalake/`, of what they speak for.
    """

    def __init__(self, before: Chain, signer: Signer) -> None:
        self.places: dict[str, int] = {}
        self.files: dict[str, bytes] = {}
        self._before = before
        self._after = before.fork()
        self._signer = signer
        self._drafts: list[entry.Draft] = []
        self._lines: list[bytes] = []
        self._tiles: dict[str, bytes] = {}

    def add(self, drafts: Sequence[entry.Draft], files: Mapping[str, bytes]) -> None:
        """Lay out `drafts`, new ones only and at least one; the last speaks for `files`. All of it, or nothing.

        Args:
            drafts: in order.
            files: content by path relative to `datalake/`.

        Raises:
            EntryError, CanonicalError: a draft cannot become a line.
            DraftError: the last draft's own `files` contradict `files`.
        """
        spoken = dict(files)
        if not self._after.size:
            spoken[key_path(self._signer.vkey.key_id)] = f"{self._signer.vkey}\n".encode()
        after = self._after.fork()
        lines: list[bytes] = []
        tiles: dict[str, bytes] = {}
        for draft in [*drafts[:-1], _speak_for(drafts[-1], spoken)]:
            placed = replace(draft, timestamp=max(draft.timestamp, after.timestamp))
            lines.append(entry.seal(placed, after.size, after.previous_hash))
            tiles |= after.accept(lines[-1])[1]
        self.places |= after.places
        self.files |= spoken
        self._after = after
        self._drafts += drafts
        self._lines += lines
        self._tiles |= tiles

    def batch(self) -> Batch:
        """Sign the new tree head and return the commit's content; at least one line was laid out."""
        after = self._after.fork()
        root = after.tree.root()
        checkpoint = self._signer.sign_checkpoint(after.size, root)
        segments, partials = _segments(self._before, self._lines), after.edge.partials()
        write = {**self.files, **segments, **self._tiles, **partials, CHECKPOINT: checkpoint}
        return Batch(
            chain=after,
            checkpoint=checkpoint,
            write={f"{DIRECTORY}/{path}": content for path, content in write.items()},
            delete=[f"{DIRECTORY}/{partial_directory(path)}" for path in self._tiles],
            message=_message(self._drafts, after.size, root),
            seconds=after.timestamp // _MILLISECONDS,
        )


def rotated(before: Chain, old: Signer, successor: Succession) -> Layout:
    """Lay out the line that hands over from `old`; the new key signs the tree head that it leads to."""
    new, asked = successor.signer, successor.asked
    layout = Layout(before, new)
    body = {"oldKey": str(old.vkey), "newKey": str(new.vkey), "cause": str(asked.cause)}
    line = entry.Draft(f"{KEY_ROTATED}/{new.vkey.key_id}", KEY_ROTATED, OWN, OWN, asked.actor, asked.asked_ms, body)
    files = {
        key_path(new.vkey.key_id): f"{new.vkey}\n".encode(),
        rotation_path(new.vkey.key_id): hand_over(old, new, before.size, before.tree.root()),
    }
    layout.add([line], files)
    return layout


def _speak_for(draft: entry.Draft, files: Mapping[str, bytes]) -> entry.Draft:
    if not files:
        return draft
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    own = draft.body.get("files", {})
    if not isinstance(own, Mapping) or any(digests.get(path, digest) != digest for path, digest in own.items()):
        raise DraftError(f"draft {draft.id!r}: its own member files contradicts the files that are written with it")
    return replace(draft, body={**draft.body, "files": {**own, **digests}})


def _segments(chain: Chain, lines: Sequence[bytes]) -> dict[str, bytes]:
    first = sealed_count(chain.size)
    # The open segment lies within the block: 256 lines are eight segments.
    newest = [*chain.block[first * SEGMENT_LINES % WIDTH :], *lines]
    chunks = [newest[at : at + SEGMENT_LINES] for at in range(0, len(newest), SEGMENT_LINES)]
    contents = [b"".join(line + b"\n" for line in chunk) for chunk in chunks]
    sealed = {segment_path(first + at): content for at, content in enumerate(contents[:-1])}
    return {**sealed, OPEN_SEGMENT: contents[-1]}


def _message(drafts: Sequence[entry.Draft], size: int, root: bytes) -> str:
    newest = drafts[-1]
    more = f" and {len(drafts) - 1} more" if len(drafts) > 1 else ""
    return f"audit(optr): {newest.workflow} {newest.type}{more}\n\nLedger-Size: {size}\nLedger-Root: {root.hex()}\n"
