"""The branch's history: what each commit did to the record, and which of them only appended.

An honest commit adds lines after the last one, adds files, and may replace the checkpoint and partial tiles. Whatever
else touches `datalake/ledger.jsonl`, a sealed segment or a file that a line speaks for is a departure, named with the
commit, the file and the line (RFC 6962 section 2.1: a log only grows). Objects are read, nothing is written; the cost
is that of what changed, whatever the ledger's size.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ledger.branch import Change, GitDir
from ledger.commit import PLAIN_FILE, Blob
from ledger.errors import MissingObjectError
from ledger.layout import DIRECTORY, KEYS, OPEN_SEGMENT, SEALED, SEGMENT_LINES, WORKFLOWS, segment_path
from ledger.shown import quoted


class Departed(StrEnum):
    """In which way a commit did not only append; the value is what users read."""

    CHANGED = "line changed"
    REMOVED = "lines removed"
    FILE_CHANGED = "file changed"
    FILE_REMOVED = "file removed"
    MERGED = "other history merged"


@dataclass(frozen=True)
class Departure:
    """One thing that a commit did besides appending.

    Attributes:
        commit: which commit, hex.
        how: what it did.
        path: the file, relative to `datalake/`; empty for a merge.
        line: the first line of the ledger concerned, counted from 1; None when it is not about lines.
    """

    commit: str
    how: Departed
    path: str = ""
    line: int | None = None

    def words(self) -> str:
        """Say it in one line, whatever a stranger called the file."""
        path = self.path if self.path.isprintable() else quoted(self.path)
        place = f" at line {self.line}" if self.line is not None else ""
        return f"{self.commit[:12]} {self.how}{f' in {path}' if path else ''}{place}"


@dataclass(frozen=True)
class Step:
    """One commit of the branch's first-parent history.

    Attributes:
        commit: hex.
        grew: whether all lines before it are still there, byte for byte and in their places.
        size: lines that the ledger has after it.
        departures: what it did besides appending.
    """

    commit: str
    grew: bool
    size: int
    departures: tuple[Departure, ...]


def steps(git: GitDir, tip: str) -> Iterator[Step]:
    """Yield every commit from the first to `tip`, along first parents.

    Raises:
        GitError: git failed, or (MissingObjectError) part of the history is not here.
    """
    commits = git.run("rev-list", "--first-parent", "--reverse", tip).decode().split()
    for first in git.cut_off().intersection(commits):
        raise MissingObjectError(f"this clone is shallow: what was before commit {first[:12]} is not here")
    merges = set(git.run("rev-list", "--first-parent", "--min-parents=2", tip).decode().split())
    changed = git.history(commits)
    contents = git.blobs([blob.oid for commit in commits for blob in _wanted(changed[commit])])
    lines = _Lines()
    for commit in commits:
        found = [Departure(commit, Departed.MERGED)] if commit in merges else []
        moved = lines.move(changed[commit], contents)
        if moved is not None:
            found.append(Departure(commit, *moved))
        found += _files(commit, changed[commit])
        yield Step(commit, moved is None, lines.size, tuple(found))


@dataclass
class _Lines:
    """The segments of one commit: the sealed ones' paths, and the open one's lines."""

    sealed: set[str] = field(default_factory=set)
    open: list[bytes] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.sealed) * SEGMENT_LINES + len(self.open)

    def move(self, changes: Mapping[str, Change], contents: Iterator[bytes]) -> tuple[Departed, str, int] | None:
        """Take in one commit's changes; return the first thing in them that is not an append."""
        touched = {path: changes[path] for path in sorted(changes) if _holds_lines(path)}
        texts = {path: _texts(change, contents) for path, change in touched.items()}
        before, tail = len(self.sealed) * SEGMENT_LINES, list(self.open)
        problem = _sealed_problem(touched, texts)
        for path, change in touched.items():
            if path != OPEN_SEGMENT and change.new is None:
                self.sealed.discard(path)
            elif path != OPEN_SEGMENT:
                self.sealed.add(path)
            else:
                self.open = texts[path][1]
        if problem is not None:
            return problem
        added = [line for path in sorted(texts) if path != OPEN_SEGMENT for line in texts[path][1]]
        return _tail_problem(before, tail, [*added, *self.open])


def _sealed_problem(
    touched: Mapping[str, Change], texts: Mapping[str, tuple[list[bytes], list[bytes]]]
) -> tuple[Departed, str, int] | None:
    for path, change in touched.items():
        if path == OPEN_SEGMENT or change.old is None:
            continue
        old, new = texts[path]
        first = _first_difference(old, new)
        how = Departed.CHANGED if first < min(len(old), len(new)) else Departed.REMOVED
        return how, path, _start(path) + first + 1
    return None


def _tail_problem(before: int, old: Sequence[bytes], new: Sequence[bytes]) -> tuple[Departed, str, int] | None:
    first = _first_difference(old, new)
    if first == len(old):
        return None
    return Departed.CHANGED if first < len(new) else Departed.REMOVED, OPEN_SEGMENT, before + first + 1


def _first_difference(old: Sequence[bytes], new: Sequence[bytes]) -> int:
    pairs = zip(old, new, strict=False)
    return next((place for place, (was, now) in enumerate(pairs) if was != now), min(len(old), len(new)))


def _files(commit: str, changes: Mapping[str, Change]) -> Iterator[Departure]:
    for path, change in sorted(changes.items()):
        if path.startswith((WORKFLOWS, KEYS)) and change.old is not None:
            yield Departure(commit, Departed.FILE_REMOVED if change.new is None else Departed.FILE_CHANGED, path)


def _holds_lines(path: str) -> bool:
    return path == OPEN_SEGMENT or path.startswith(SEALED)


def _start(path: str) -> int:
    digits = "".join(part for part in path if part.isdigit())
    index = int(digits) if digits else 0
    return index * SEGMENT_LINES if path == segment_path(index) else 0


def _wanted(changes: Mapping[str, Change]) -> Iterator[Blob]:
    for path in sorted(changes):
        if _holds_lines(path):
            yield from (blob for blob in (changes[path].old, changes[path].new) if blob is not None and _is_file(blob))


def _is_file(blob: Blob | None) -> bool:
    return blob is not None and blob.mode == PLAIN_FILE


def _texts(change: Change, contents: Iterator[bytes]) -> tuple[list[bytes], list[bytes]]:
    old = next(contents) if _is_file(change.old) else b""
    new = next(contents) if _is_file(change.new) else b""
    return _split(old), _split(new)


def _split(content: bytes) -> list[bytes]:
    *whole, rest = content.split(b"\n")
    return [*(line + b"\n" for line in whole), *([rest] if rest else [])]


def contains_lines(git: GitDir, older: str, newer: str) -> bool:
    """Tell whether every line of commit `older` stands in its place, byte for byte, in commit `newer`."""
    ours, theirs = _segments(git, older), _segments(git, newer)
    for path, blob in ours.items():
        if path != OPEN_SEGMENT and theirs.get(path) != blob:
            return False
    if OPEN_SEGMENT not in ours or OPEN_SEGMENT not in theirs:
        return OPEN_SEGMENT not in ours
    later = [path for path in sorted(theirs) if path != OPEN_SEGMENT and path not in ours]
    old, *new = git.blobs([ours[OPEN_SEGMENT].oid, *(theirs[path].oid for path in (*later, OPEN_SEGMENT))])
    return b"".join(new).startswith(old)


def _segments(git: GitDir, commit: str) -> dict[str, Blob]:
    sealed = git.files(commit, f"{DIRECTORY}/{SEALED.rstrip('/')}")
    files = {**sealed, **git.named(commit, [f"{DIRECTORY}/{OPEN_SEGMENT}"])}
    return {path.removeprefix(f"{DIRECTORY}/"): blob for path, blob in files.items()}
