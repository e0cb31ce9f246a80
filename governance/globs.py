"""Path globs of a lane: `*` and `?` stay inside one segment, a segment `**` stands for any number of segments.

Everything here is polynomial in the length of its input: patterns may come from a repository, paths from a model.
"""

import re
from collections.abc import Callable, Sequence

GLOB_MAX = 1000  # characters of one pattern or path
ANY_SEGMENTS = "**"

_NOT_PLAIN = re.compile(r"[\\\x00-\x1f\x7f]")


def matches(pattern: str, path: str) -> bool:
    """Whether a repository path (POSIX, relative) is inside `pattern`. A path that is not plain is inside nothing."""
    if not is_plain(path) or len(pattern) > GLOB_MAX:
        return False
    return _segments_match(pattern.split("/"), path.split("/"), _wildcard)


def covers(outer: str, inner: str) -> bool:
    """Whether every path inside `inner` is surely inside `outer`.

    Sound, not complete: it may deny an inclusion that holds, never grant one that does not. `**` inside is covered only
    by `**` outside; a segment with wildcards only by `*`, by itself, or by `**`.
    """
    if max(len(outer), len(inner)) > GLOB_MAX or not is_plain(inner):
        return False
    return outer == inner or _segments_match(outer.split("/"), inner.split("/"), _segment_covers)


def is_plain(path: str) -> bool:
    """Whether it is relative, has no empty, `.` or `..` segment, no backslash and no control character."""
    if len(path) > GLOB_MAX or _NOT_PLAIN.search(path):
        return False
    return all(segment not in {"", ".", ".."} for segment in path.split("/"))


def _segments_match(pattern: Sequence[str], path: Sequence[str], fits: Callable[[str, str], bool]) -> bool:
    """Match segment lists; `reached[j]` says whether the pattern so far can end after `path[:j]`."""
    reached = [True] + [False] * len(path)
    for segment in pattern:
        following = [False] * (len(path) + 1)
        for index in range(len(path) + 1):
            if segment == ANY_SEGMENTS:
                following[index] = reached[index] or (index > 0 and following[index - 1])
            elif index > 0 and reached[index - 1]:
                following[index] = fits(segment, path[index - 1])
        reached = following
    return reached[-1]


def _segment_covers(outer: str, inner: str) -> bool:
    if outer == inner:
        return True
    if inner == ANY_SEGMENTS:
        return False
    if "*" in inner or "?" in inner:
        return outer == "*"
    return _wildcard(outer, inner)


def _wildcard(pattern: str, text: str) -> bool:
    """Match `*` and `?` without backtracking further than the last star."""
    at, star, mark = 0, -1, 0
    index = 0
    while index < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, mark = at, index
            at += 1
        elif at < len(pattern) and pattern[at] in {"?", text[index]}:
            at += 1
            index += 1
        elif star >= 0:
            mark += 1
            at, index = star + 1, mark
        else:
            return False
    return all(char == "*" for char in pattern[at:])
