"""Search/replace blocks: how an adviser without tools says what to change. Pure; nothing is ever guessed.

A block, every mark alone on its line and carrying the attempt's random word (here `w`), so that neither the request nor
a file can hold one by accident or on purpose:

    <<<<<<< w path/of/the/file
    the lines to replace, exactly as they stand
    ======= w
    the lines that stand there afterwards
    >>>>>>> w

Whole lines are compared, exactly, and must stand in the file once. Blocks apply in their order, each to what the former
left. No lines to replace means a new file, which must not exist yet; no lines afterwards means that they go. Text
outside blocks is talk. Files are neither deleted nor renamed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

BLOCKS_MAX = 100
PATH_CHARACTERS_MAX = 400
RESULT_BYTES_MAX = 1_000_000  # of one file
SHOWN_CHARACTERS_MAX = 80


class BlockError(ValueError):
    """The answer cannot be applied; the text says which block and why."""


@dataclass(frozen=True)
class Block:
    """One replacement.

    Attributes:
        number: its place in the answer, from 1.
        path: relative, checked, with forward slashes.
        search: the lines to replace; none for a new file.
        replace: the lines that stand there afterwards.
    """

    number: int
    path: str
    search: tuple[str, ...]
    replace: tuple[str, ...]


def parse_blocks(answer: str, word: str) -> tuple[tuple[Block, ...], str]:
    """Read the blocks of an answer.

    Returns:
        The blocks in order, and the text around them.

    Raises:
        BlockError: a mark stands where none may, a block does not end, there are too many, or a path is no good.
    """
    start, middle, end = f"<<<<<<< {word} ", f"======= {word}", f">>>>>>> {word}"
    blocks: list[Block] = []
    talk: list[str] = []
    path: str | None = None
    parts: list[list[str]] = []
    for line in answer.replace("\r\n", "\n").split("\n"):
        mark, number = line.rstrip(), len(blocks) + 1
        if mark.startswith(start):
            if path is not None:
                raise BlockError(f"block {number} does not end before the next begins")
            if number > BLOCKS_MAX:
                raise BlockError(f"there are more than {BLOCKS_MAX} blocks")
            path, parts = _checked_path(mark[len(start) :], number), [[]]
        elif mark == middle:
            if len(parts) != 1:
                raise BlockError(f"a middle mark stands outside a block or twice, at block {number}")
            parts.append([])
        elif mark == end:
            if path is None or len(parts) != 2:  # noqa: PLR2004 - what is searched and what replaces it
                raise BlockError(f"an end mark stands without the marks before it, at block {number}")
            blocks.append(Block(number, path, tuple(parts[0]), tuple(parts[1])))
            path, parts = None, []
        else:
            (parts[-1] if parts else talk).append(line)
    if path is not None:
        raise BlockError(f"block {len(blocks) + 1} does not end")
    return tuple(blocks), "\n".join(talk)


def apply_blocks(blocks: Collection[Block], files: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """The new contents of what the blocks change; all of them fit, or nothing is changed.

    Args:
        blocks: in order.
        files: the contents that the adviser was shown, by path, lines ending in a line feed.
        known: every path of the tree, links and what was not shown included.

    Raises:
        BlockError: a block does not fit exactly and once, or names what it was not shown.
    """
    changed: dict[str, str] = {}
    for block in blocks:
        standing = changed.get(block.path, files.get(block.path))
        changed[block.path] = _created(block, known) if standing is None else _replaced(block, standing)
        if len(changed[block.path].encode("utf-8", "replace")) > RESULT_BYTES_MAX:
            raise _refusal(block, f"would make a file of more than {RESULT_BYTES_MAX} bytes")
    return {path: text for path, text in changed.items() if text != files.get(path)}


def _created(block: Block, known: Collection[str]) -> str:
    if block.path in known:
        raise _refusal(block, "changes a file that was not shown to the adviser")
    above = block.path.split("/")[:-1]
    if any("/".join(above[: depth + 1]) in known for depth in range(len(above))):
        raise _refusal(block, "puts a file below something that is no directory")
    if any(path.startswith(f"{block.path}/") for path in known):
        raise _refusal(block, "names a directory")
    if block.search:
        raise _refusal(block, "searches in a file that does not exist")
    return "".join(f"{line}\n" for line in block.replace)


def _replaced(block: Block, standing: str) -> str:
    if not block.search:
        raise _refusal(block, "has nothing to search for, but the file exists")
    lines, wanted = standing.split("\n"), list(block.search)
    places = [place for place in range(len(lines) - len(wanted) + 1) if lines[place : place + len(wanted)] == wanted]
    if len(places) != 1:
        found = "does not match the file exactly" if not places else f"matches {len(places)} places, not one"
        raise _refusal(block, found)
    place = places[0]
    return "\n".join([*lines[:place], *block.replace, *lines[place + len(wanted) :]])


def _checked_path(path: str, number: int) -> str:
    parts = path.split("/")
    if not path or len(path) > PATH_CHARACTERS_MAX or not path.isprintable() or "\\" in path:
        raise BlockError(f"block {number} names no usable path")
    if any(part in {"", ".", ".."} or part.lower() == ".git" or part != part.strip() for part in parts):
        raise BlockError(f"block {number} names a path that may not be written: {path[:SHOWN_CHARACTERS_MAX]}")
    return path


def _refusal(block: Block, why: str) -> BlockError:
    return BlockError(f"block {block.number} ({block.path[:SHOWN_CHARACTERS_MAX]}) {why}")
