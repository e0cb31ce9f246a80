"""Text from people, models and repositories, made inert before it stands in anything we post.

After it, nothing notifies a person, links an issue, closes one, loads an image, carries HTML, opens a fence, hides
characters, reverses reading order, or looks like a slash command to any bot. GitHub finds mentions and references in
the text *after* Markdown and entities are resolved, so escaping is not enough: a zero-width space of ours parts them.
What counts: https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls
"""

import re
import unicodedata

PART = "\u200b"
ELLIPSIS = "…"
QUOTE_LINES_MAX = 60
READ_FACTOR = 8
"""Characters read for each one shown: a megabyte of invisible text must not cost a second."""

_DROPPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")
_VARIATION = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_SPACES = re.compile(r"\s+")
_MARKS_IN_A_ROW_MAX = 3

# Each is a place to part: what stands before the zero-width space, and what must follow for it to matter.
_PARTED = re.compile(
    r"@(?=\S)"  # mentions and mail addresses
    r"|#(?=\w)"  # issue references, also owner/name#1
    r"|\bgh-(?=\d)"  # GH-1
    r"|:(?=/)"  # any scheme's address
    r"|\bw{3}(?=\.)"  # www. addresses
    r"|\b(?:mailto|xmpp):",  # addresses without slashes
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"[\\`*\[\]|~$#]|(?<![^\W_])_|_(?![^\W_])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LINE_START = re.compile(r"^(?:[-+=/]|\d{1,9}(?=[.)](?: |$)))")
_TOKEN = re.compile(r"\\.|&[a-z]+;|.", re.DOTALL)


def visible(text: str) -> str:
    """Drop what cannot be seen or changes how the rest is read; keep line feeds, turn other white space to spaces."""
    kept: list[str] = []
    marks = 0
    for character in _VARIATION.sub("", text):
        marks = marks + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
        if character == "\n":
            kept.append(character)
        elif character.isspace():
            kept.append(" ")
        elif not _hidden(character) and marks <= _MARKS_IN_A_ROW_MAX:
            kept.append(character)
    return "".join(kept)


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in _DROPPED_CATEGORIES or character in _BLANK_LETTERS


def plain(text: str, limit: int) -> str:
    """One line for places that show no Markdown (titles): at most `limit` characters, parted but not escaped."""
    return _cut(_part(_one_line(text[: limit * READ_FACTOR])), limit)


def neutralise(text: str, limit: int) -> str:
    """One line for any place in Markdown (body, list item, table cell, bold): at most `limit` characters.

    Cutting never splits an escape. The result is empty only when nothing visible was given.
    """
    return _cut(_escape(_part(_one_line(text[: limit * READ_FACTOR]))), limit)


def quote(text: str, limit: int) -> str:
    """Several lines as a block quote; at most `limit` characters of text and 60 lines, each line inert."""
    lines = [line for line in visible(text[: limit * READ_FACTOR]).split("\n") if line.strip()]
    quoted: list[str] = []
    left = limit
    for line in lines[:QUOTE_LINES_MAX]:
        shown = neutralise(line, left)
        if not shown:
            break
        quoted.append(f"> {shown}")
        left -= len(shown)
    if len(quoted) < len(lines) or len(text) > limit * READ_FACTOR:
        quoted.append(f"> {ELLIPSIS}")
    return "\n>\n".join(quoted)


def fenced(text: str, limit: int) -> str:
    """The last `limit` characters as a code block that its content cannot close; lines are kept."""
    shown = visible(text[-limit * READ_FACTOR :])[-limit:].strip("\n").replace("<!--", f"<!{PART}--")
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def _one_line(text: str) -> str:
    return _SPACES.sub(" ", visible(text)).strip()


def _part(line: str) -> str:
    return _PARTED.sub(lambda found: found.group() + PART, line)


def _escape(line: str) -> str:
    escaped = _ESCAPED.sub(lambda found: "\\" + found.group(), line)
    for character, entity in _ENTITIES.items():
        escaped = escaped.replace(character, entity)
    if found := _LINE_START.match(escaped):
        start = found.group()
        digits = start[0].isdigit()
        return f"{start}\\{escaped[len(start) :]}" if digits else f"\\{escaped}"
    return escaped


def _cut(line: str, limit: int) -> str:
    if len(line) <= limit:
        return line
    kept: list[str] = []
    length = len(ELLIPSIS)
    for token in _TOKEN.findall(line):
        length += len(token)
        if length > limit:
            break
        kept.append(token)
    return ("".join(kept).rstrip() + ELLIPSIS) if limit > 0 else ""
