"""Reading a comment: which line, if any, is a command.

A command is a line that starts with `/optr`, where a reader sees plain text: not in a code block, not in a quote (nor
in a line that Markdown adds to one), not in an HTML comment. The vocabulary is closed and arguments are typed. One
command a comment; when in doubt nothing is done and the answer says why.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from bot.commands.declaration import Argument, Command, Place
from bot.names import COMMAND_WORD

COMMENT_CHARACTERS_MAX = 65_536
LINE_CHARACTERS_MAX = 500

_HTML_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_QUOTE = re.compile(r" {0,3}>")
# HTML blocks whose content Markdown leaves alone (https://spec.commonmark.org/0.31.2/#html-blocks, kind 1), and
# elements that GitHub shows as code or as a quote.
_RAW_START = re.compile(r" {0,3}<(pre|script|style|textarea|code|samp|kbd|tt|blockquote|q)(?=[\s>]|$)", re.IGNORECASE)
_TICKS = re.compile(r"\\?(`+)")
_SPEAKABLE = re.compile(r"[A-Za-z0-9_=,.-]{1,40}")


@dataclass(frozen=True)
class Invocation:
    """A well-formed command.

    Attributes:
        name: in the vocabulary.
        arguments: parsed values by argument name.
    """

    name: str
    arguments: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Mistake:
    """Something meant for us that we do not understand; `text` is the answer."""

    text: str


def parse_comment(body: str, commands: Mapping[str, Command]) -> Invocation | Mistake | None:
    """The comment's command, a mistake to answer, or None when nothing is meant for us."""
    lines = [line for line in _plain_lines(body[:COMMENT_CHARACTERS_MAX]) if _is_ours(line)]
    if not lines:
        return None
    if len(lines) > 1:
        return Mistake(f"One command a comment, please: this one has {len(lines)}, so none was carried out.")
    return _parse_line(lines[0], commands)


def mentions(body: str) -> bool:
    """Whether `parse_comment` can find anything, for a fraction of its cost."""
    return COMMAND_WORD in _HTML_COMMENT.sub("", body[:COMMENT_CHARACTERS_MAX])


def beside(body: str) -> str:
    """What a comment says in plain text beside its command: no code, no quotes, at most COMMENT_CHARACTERS_MAX."""
    lines = (line for line in _plain_lines(body[:COMMENT_CHARACTERS_MAX]) if not _is_ours(line))
    return "\n".join(lines).strip()


def _is_ours(line: str) -> bool:
    return line == COMMAND_WORD or line.startswith((f"{COMMAND_WORD} ", f"{COMMAND_WORD}\t"))


def _plain_lines(body: str) -> Iterator[str]:
    """Lines that a reader sees as plain text, without trailing white space."""
    paragraph: list[str] = []
    for line in (*_outside_blocks(body), ""):
        paragraph.append(line)
        if not line:
            yield from _outside_spans(paragraph)
            paragraph.clear()


def _outside_spans(paragraph: list[str]) -> Iterator[str]:
    """Lines that do not begin inside a code span: one may go on over lines until as many backticks close it."""
    text = "\n".join(paragraph)
    ticks = [(found.end(1) - len(found[1]), len(found[1]), found.start()) for found in _TICKS.finditer(text)]
    waiting: dict[int, list[int]] = {}
    for start, count, _ in reversed(ticks):
        waiting.setdefault(count, []).append(start)  # those of one length, the first of them last
    inside = 0  # where the newest span ends
    spans: deque[tuple[int, int]] = deque()
    for start, count, begins in ticks:
        same = waiting[count]
        same.pop()
        if start < inside or begins != start or not same:  # within a span, escaped, or never closed
            continue
        inside = same[-1] + count
        spans.append((start, inside))
    at = 0
    for line in paragraph:
        while spans and spans[0][1] <= at:
            spans.popleft()
        if not (spans and spans[0][0] < at):
            yield line
        at += len(line) + 1


def _outside_blocks(body: str) -> Iterator[str]:
    """Lines outside code blocks, quotes and HTML that hides or quotes; an empty one where such a block begins."""
    fence = raw = ""
    quoted = False
    for line in _HTML_COMMENT.sub("", body).replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if fence:
            fence = "" if _closes(fence, line) else fence
        elif raw:
            raw = "" if f"</{raw}" in line.lower() else raw
        elif (found := _FENCE.match(line)) and not (found[1][0] == "`" and "`" in found[2]):
            fence, quoted = found[1], False
            yield ""
        elif found := _RAW_START.match(line):
            raw, quoted = ("" if f"</{found[1].lower()}" in line.lower() else found[1].lower()), False
            yield ""
        else:
            # A quote goes on over lines without its mark until an empty line ends the paragraph.
            quoted = bool(line.strip()) and (quoted or _QUOTE.match(line) is not None)
            if not quoted:
                yield line.rstrip()


def _closes(fence: str, line: str) -> bool:
    mark = line.strip()
    indented = len(line) - len(line.lstrip(" ")) > 3  # noqa: PLR2004 - four spaces make code, also inside a fence
    return not indented and len(mark) >= len(fence) and set(mark) == {fence[0]}


def _parse_line(line: str, commands: Mapping[str, Command]) -> Invocation | Mistake:
    if len(line) > LINE_CHARACTERS_MAX:
        return Mistake(f"That command line is longer than {LINE_CHARACTERS_MAX} characters, so nothing was done.")
    words = line.split()[1:] or ["help"]
    command = commands.get(words[0])
    if command is None:
        return _unknown("command", words[0], list(commands))
    arguments: dict[str, tuple[str, ...]] = {}
    free = [argument for argument in command.arguments if argument.place is not Place.NAMED]
    for word in words[1:]:
        placed = free.pop(0) if free and "=" not in word else None
        parsed = _argument(f"{placed.name}={word}" if placed else word, command)
        if isinstance(parsed, Mistake):
            return parsed
        name, value = parsed
        if name in arguments:
            return Mistake(f"`{name}` is given twice. Usage: `{command.usage}`")
        arguments[name] = value
    missing = [argument.form for argument in free if argument.place is Place.REQUIRED]
    if missing:
        return Mistake(f"`{missing[0]}` is missing, so nothing was done. Usage: `{command.usage}`")
    return Invocation(command.name, arguments)


def _argument(word: str, command: Command) -> tuple[str, tuple[str, ...]] | Mistake:
    name, equals, value = word.partition("=")
    known: dict[str, Argument] = {argument.name: argument for argument in command.arguments}
    if name not in known:
        return _unknown(f"argument of `{COMMAND_WORD} {command.name}`", name, list(known))
    try:
        return name, known[name].parse(value)
    except ValueError as error:
        given = "" if equals else f" `{name}` needs a value."
        return Mistake(f"`{name}` takes {error}.{given} Usage: `{command.usage}`")


def _unknown(kind: str, word: str, known: list[str]) -> Mistake:
    shown = f"`{word}`" if _SPEAKABLE.fullmatch(word) else "That"
    close = get_close_matches(word[:40], known, n=1, cutoff=0.5)
    hint = f"Did you mean `{close[0]}`?" if close else f"`{COMMAND_WORD} help` lists what there is."
    return Mistake(f"{shown} is no known {kind}, so nothing was done. {hint}")
