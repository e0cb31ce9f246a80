"""The comparison's Markdown for people at a terminal, and as plain text for files and pipes.

The text is the check run's. What only GitHub needs, escapes and zero-width spaces, is taken out here; the text was made
inert before, and `visible` drops whatever could steer a terminal once more.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Markdown, TableElement
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from bot.cli.output import emit
from bot.render.neutral import visible

WRAPPED_COLUMNS_MIN = 16  # narrower than this, a column that wraps is set below the table instead
GAP = 2  # columns between two of the table's
FOLDING = ("invariants", "checks")  # what leaves the table first where the terminal is narrow

_THEME = Theme(
    {
        "markdown.code": "cyan",
        "markdown.item.bullet": "dim",
        "markdown.table.header": "bold",
        "markdown.table.border": "dim",
    }
)
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_CELL = re.compile(r"((?:\\.|[^\\|])*)\|")
_RULE = re.compile(r"\|[-:|]+\|")
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}


def show_markdown(text: str) -> None:
    """Write `text` to standard output: rendered on a terminal as wide as that is, plain otherwise."""
    console = Console(theme=_THEME, highlight=False, emoji=False)
    if console.is_terminal and not console.is_dumb_terminal:
        # Not cropped: a command that is longer than the line must stay whole to be copied.
        console.print(_Rendered(visible(text), hyperlinks=False), crop=False)
        return
    emit(plain_text(text))


def plain_text(text: str) -> str:
    """Markdown of ours as it reads best unrendered: no escapes, no entities, tables aligned anew."""
    return "\n".join(_plain_lines(visible(text).split("\n")))


def _plain_lines(lines: Sequence[str]) -> Iterator[str]:
    table: list[list[str]] = []
    fenced = False
    for line in (*lines, ""):
        if line.startswith("|") and not fenced:
            table.append([cell.strip() if _RULE.fullmatch(line) else _unescaped(cell.strip()) for cell in _cells(line)])
            continue
        yield from _aligned(table)
        table = []
        fenced ^= line.startswith("```")
        yield line if fenced else _unescaped(line)


def _cells(line: str) -> list[str]:
    return _CELL.findall(line[1:])


def _unescaped(text: str) -> str:
    shown = _ESCAPE.sub(r"\1", text)
    for entity, character in _ENTITIES.items():
        shown = shown.replace(entity, character)
    return shown


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Heading, rule and rows under each other; the rule says which columns are figures."""
    if len(rows) < 2:  # noqa: PLR2004 - a heading and its rule make a table
        return
    heading, rule, *body = rows
    widths = [max(map(cell_len, column)) for column in zip(heading, *body, strict=True)]
    right = [mark.endswith(":") for mark in rule]
    yield _row(heading, widths, right)
    marks = ["-" * (width + 1) + (":" if is_right else "-") for width, is_right in zip(widths, right, strict=True)]
    yield f"|{'|'.join(marks)}|"
    for row in body:
        yield _row(row, widths, right)


def _row(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        " " * (width - cell_len(cell)) + cell if is_right else cell + " " * (width - cell_len(cell))
        for cell, width, is_right in zip(cells, widths, right, strict=True)
    ]
    return f"| {' | '.join(padded)} |"


class _Command(CodeBlock):
    """A command to copy: as it is, indented, never wrapped by us."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in str(self.text).rstrip().split("\n"):
            yield Text(f"  {line}", style="markdown.code", no_wrap=True, overflow="ignore")


class _Comparison(TableElement):
    """The table: figures stay whole, words wrap, and what does not fit stands below."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.header is None or self.header.row is None or self.body is None:
            return
        headings = [cell.content.plain for cell in self.header.row.cells]
        rows = [[_marked(cell.content) for cell in row.cells] for row in self.body.rows]
        folded = _folded(headings, rows, options.max_width)
        table = Table(
            box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, style="markdown.table.border"
        )
        for heading, cell in zip(headings, self.header.row.cells, strict=True):
            if heading not in folded:
                table.add_column(heading, justify=cell.justify, no_wrap=heading not in FOLDING)
        for row in rows:
            table.add_row(*(cell for heading, cell in zip(headings, row, strict=True) if heading not in folded))
        yield table
        for heading in folded:
            yield _below(heading, headings, rows)


def _marked(cell: Text) -> Text:
    shown = cell.copy()
    shown.highlight_regex("✓", "green")
    shown.highlight_regex("✗", "red")
    return shown


def _folded(headings: Sequence[str], rows: Sequence[Sequence[Text]], width: int) -> list[str]:
    natural = [max(cell_len(text) for text in column) for column in zip(headings, *_texts(rows), strict=True)]
    folded: list[str] = []
    for candidate in FOLDING:
        kept = [(heading, wide) for heading, wide in zip(headings, natural, strict=True) if heading not in folded]
        needed = sum(min(wide, WRAPPED_COLUMNS_MIN) if heading in FOLDING else wide for heading, wide in kept)
        if needed + GAP * (len(kept) - 1) > width and candidate in headings:
            folded.append(candidate)
    return folded


def _texts(rows: Sequence[Sequence[Text]]) -> list[list[str]]:
    return [[cell.plain for cell in row] for row in rows]


def _below(heading: str, headings: Sequence[str], rows: Sequence[Sequence[Text]]) -> Table:
    """One folded column as lines of its own, each with its agent."""
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_row("", "")
    grid.add_row(Text(heading, style="markdown.table.header"), "")
    place, agent = headings.index(heading), headings.index("agent")
    for row in rows:
        grid.add_row(row[agent], row[place])
    return grid


class _Rendered(Markdown):
    elements: ClassVar[dict[str, Any]] = {
        **Markdown.elements,
        "fence": _Command,
        "code_block": _Command,
        "table_open": _Comparison,
    }
