"""What a patch says it does, read strictly: output of `git diff --binary --full-index --no-renames`, nothing looser.

The format is that of https://git-scm.com/docs/diff-format. Whatever this grammar does not know is an error, because a
line that we skip is a line that `git apply` may not.
"""

import base64
import re
import zlib
from enum import StrEnum
from typing import NoReturn

from governance.record import Record

ABSENT = "000000"
REGULAR, EXECUTABLE, SYMLINK, SUBMODULE = "100644", "100755", "120000", "160000"

_MODES = frozenset({REGULAR, EXECUTABLE, SYMLINK, SUBMODULE})
_INDEX = re.compile(rb"index ([0-9a-f]{40}|[0-9a-f]{64})\.\.([0-9a-f]{40}|[0-9a-f]{64})(?: ([0-7]{6}))?")
_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: .*)?", re.DOTALL)
_BINARY_SIZE = re.compile(rb"(literal|delta) (\d{1,12})")
_BINARY_LINE = re.compile(rb"[A-Za-z][0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]{5,65}")
_DELTA_HEADER_LINES = 4
_DELTA_HEADER_BYTES = 20  # two numbers of at most ten bytes
_NO_FINAL_LINE_FEED = b"\\ No newline at end of file"
_ESCAPES = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}
_ESCAPED = re.compile(rb"\\(?:([0-3][0-7]{2})|([abtnvfr\"\\]))")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')


class ChangeKind(StrEnum):
    """What happens to a file."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    MODE = "mode"  # its mode changes, with or without its content


class FileChange(Record):
    """One file of a patch.

    Attributes:
        path: repository path.
        kind: see ChangeKind.
        added, deleted: lines; 0 for binary files.
        binary: whether the content is given as binary.
        expanded: bytes that applying a binary part would need, by its own account; 0 for text.
        old_mode, new_mode: octal git modes; "000000" where the file is absent, "" where git states none.
        added_lines: the added lines' text, without line feeds, undecodable bytes replaced.
    """

    record_kind = "patch-file"

    path: str
    kind: ChangeKind
    added: int = 0
    deleted: int = 0
    binary: bool = False
    expanded: int = 0
    old_mode: str
    new_mode: str
    added_lines: tuple[str, ...] = ()


class PatchSyntaxError(ValueError):
    """A patch that git would not have written; the message names the line."""


def parse_patch(patch: bytes) -> tuple[FileChange, ...]:
    """Read a patch, in its order. A file that changes its type appears twice: deleted, then added.

    Raises:
        PatchSyntaxError: naming the line, counted from 1, and what is wrong with it.
    """
    if not patch:
        return ()
    lines = _Lines(patch)
    changes = []
    while lines.current() is not None:
        changes.append(_file(lines))
    return tuple(changes)


class _Lines:
    """The patch's lines and where we stand. A line ends at a line feed only: carriage returns are content."""

    def __init__(self, patch: bytes) -> None:
        if not patch.endswith(b"\n"):
            raise PatchSyntaxError("the patch's last line is cut off")
        self._lines = patch[:-1].split(b"\n")
        self._at = 0

    def current(self) -> bytes | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def take(self) -> bytes:
        line = self.current()
        if line is None:
            self.refuse("the patch ends early")
        self._at += 1
        return line

    def take_after(self, prefix: bytes) -> bytes | None:
        """The rest of the current line when it starts with `prefix`, else None and nothing is taken."""
        line = self.current()
        return self.take()[len(prefix) :] if line is not None and line.startswith(prefix) else None

    def refuse(self, why: str) -> NoReturn:
        raise PatchSyntaxError(f"line {min(self._at + 1, len(self._lines))}: {why}")


def _file(lines: _Lines) -> FileChange:
    name = _name_of_header(lines)
    old, new, declared = _modes(lines)
    indexed = _index_mode(lines)
    if declared and indexed:
        lines.refuse("the mode is stated twice")
    if not declared:
        old = new = indexed or lines.refuse("a file without a mode")
    if indexed is None and (ABSENT in (old, new) or not declared):
        lines.refuse("a file without an index line")
    expanded, added, deleted = (None, (), 0) if indexed is None else _content(lines, name, old, new)
    kind = _kind(old, new)
    if kind is ChangeKind.MODIFIED and not (expanded is not None or added or deleted):
        lines.refuse("a file without any change")
    return FileChange(
        path=name.decode(),
        kind=kind,
        added=len(added),
        deleted=deleted,
        binary=expanded is not None,
        expanded=expanded or 0,
        old_mode=old,
        new_mode=new,
        added_lines=tuple(line.decode(errors="replace") for line in added),
    )


def _kind(old: str, new: str) -> ChangeKind:
    if old == ABSENT:
        return ChangeKind.ADDED
    if new == ABSENT:
        return ChangeKind.DELETED
    return ChangeKind.MODIFIED if old == new else ChangeKind.MODE


def _name_of_header(lines: _Lines) -> bytes:
    """The path of `diff --git a/P b/P`: without renames both halves say the same, which settles where one ends."""
    rest = lines.take_after(b"diff --git ")
    if rest is None:
        lines.refuse("expected `diff --git`")
    if rest.startswith(b'"'):
        halves = [_unquote(lines, half) for half in _QUOTED.findall(rest)]
        whole = b" ".join(b'"' + half + b'"' for half in _QUOTED.findall(rest))
        if whole != rest:
            lines.refuse("a file header that cannot be read")
    else:
        middle = len(rest) // 2
        halves = [rest[:middle], rest[middle + 1 :]]
        if rest[middle : middle + 1] != b" ":
            lines.refuse("a file header whose halves differ")
    if len(halves) != 2 or not (halves[0].startswith(b"a/") and halves[1].startswith(b"b/")):  # noqa: PLR2004  # two halves
        lines.refuse("a file header without a/ and b/")
    if halves[0][2:] != halves[1][2:] or not halves[0][2:]:
        lines.refuse("a file header whose halves differ")
    return _utf8(lines, halves[0][2:])


def _utf8(lines: _Lines, name: bytes) -> bytes:
    try:
        name.decode()
    except UnicodeDecodeError:
        lines.refuse("a path that is not UTF-8")
    return name


def _unquote(lines: _Lines, quoted: bytes) -> bytes:
    """Undo git's C-style quoting (core.quotePath)."""

    def plain(match: re.Match[bytes]) -> bytes:
        octal, letter = match.groups()
        return bytes([int(octal, 8) if octal else _ESCAPES[letter]])

    if b"\\" in _ESCAPED.sub(b"", quoted):
        lines.refuse("a quoted path with an unknown escape")
    return _ESCAPED.sub(plain, quoted)


def _modes(lines: _Lines) -> tuple[str, str, bool]:
    """Old and new mode from the extended header; the flag says whether there was one."""
    if (mode := lines.take_after(b"new file mode ")) is not None:
        return ABSENT, _mode(lines, mode), True
    if (mode := lines.take_after(b"deleted file mode ")) is not None:
        return _mode(lines, mode), ABSENT, True
    if (mode := lines.take_after(b"old mode ")) is not None:
        later = lines.take_after(b"new mode ")
        if later is None or later == mode:
            lines.refuse("an old mode without a new one")
        return _mode(lines, mode), _mode(lines, later), True
    return "", "", False


def _mode(lines: _Lines, mode: bytes) -> str:
    text = mode.decode(errors="replace")
    return text if text in _MODES else lines.refuse("a file mode that git does not have")


def _index_mode(lines: _Lines) -> str | None:
    """The mode on the index line, "" when it states none, None when there is no such line."""
    line = lines.current()
    if line is None or not line.startswith(b"index "):
        return None
    match = _INDEX.fullmatch(line)
    if match is None:
        lines.refuse("an index line without full object ids")
    lines.take()
    return "" if match[3] is None else _mode(lines, match[3])


def _content(lines: _Lines, name: bytes, old: str, new: str) -> tuple[int | None, tuple[bytes, ...], int]:
    """(expanded size if binary, added lines, number of deleted lines) of what follows the index line."""
    line = lines.current()
    if line == b"GIT binary patch":
        lines.take()
        return max(_binary(lines), _binary(lines)), (), 0  # forward, then reverse
    if line is None or not line.startswith(b"--- "):
        return None, (), 0  # an empty file comes or goes
    _require_side(lines, b"--- ", b"a/" + name, absent=old == ABSENT)
    _require_side(lines, b"+++ ", b"b/" + name, absent=new == ABSENT)
    added: list[bytes] = []
    deleted = 0
    if not (lines.current() or b"").startswith(b"@@"):
        lines.refuse("a file without hunks")
    while (lines.current() or b"").startswith(b"@@"):
        deleted += _hunk(lines, added)
    return None, tuple(added), deleted


def _require_side(lines: _Lines, prefix: bytes, name: bytes, *, absent: bool) -> None:
    rest = lines.take_after(prefix)
    if rest is None:
        lines.refuse(f"expected `{prefix.decode().strip()}`")
    rest = rest.removesuffix(b"\t")  # git's mark for names with blanks
    if rest.startswith(b'"') and rest.endswith(b'"'):
        rest = _unquote(lines, rest[1:-1])
    if rest != (b"/dev/null" if absent else name):
        lines.refuse("a file name that differs from the header's")


def _hunk(lines: _Lines, added: list[bytes]) -> int:
    """Read one hunk, append its added lines, return the number of deleted ones."""
    match = _HUNK.fullmatch(lines.take())
    if match is None:
        lines.refuse("a hunk header that cannot be read")
    old_left, new_left = (1 if count is None else int(count) for count in (match[2], match[4]))
    deleted = 0
    while old_left or new_left:
        line = lines.take()
        sign = line[:1]
        old_left -= sign in (b" ", b"-")
        new_left -= sign in (b" ", b"+")
        if not (sign in (b" ", b"-", b"+") or line == _NO_FINAL_LINE_FEED) or old_left < 0 or new_left < 0:
            lines.refuse("a hunk that does not hold what its header says")
        if sign == b"+":
            added.append(line[1:])
        deleted += sign == b"-"
    if lines.current() == _NO_FINAL_LINE_FEED:
        lines.take()
    return deleted


def _binary(lines: _Lines) -> int:
    """Read one block, ended by an empty line, and return the bytes that it says it becomes."""
    match = _BINARY_SIZE.fullmatch(lines.take())
    if match is None:
        lines.refuse("a binary block without a size")
    body = []
    for line in iter(lines.take, b""):
        if _BINARY_LINE.fullmatch(line) is None:
            lines.refuse("a binary line that cannot be read")
        body.append(line[1:])
    size = int(match[2])
    return max(size, _delta_result(lines, body)) if match[1] == b"delta" else size


def _delta_result(lines: _Lines, body: list[bytes]) -> int:
    """The size of what a delta makes: the second number of its header, 7 bits a byte, least first."""
    packed = b"".join(body[:_DELTA_HEADER_LINES])
    try:
        head = zlib.decompressobj().decompress(base64.b85decode(packed), _DELTA_HEADER_BYTES)
    except (ValueError, zlib.error):
        lines.refuse("a delta that cannot be unpacked")
    numbers, value, shift = [], 0, 0
    for byte in head:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004  # the continuation bit
            numbers.append(value)
            value = shift = 0
    if len(numbers) < 2:  # noqa: PLR2004  # source size, result size
        lines.refuse("a delta without a header")
    return numbers[1]
