"""The documentation's pages, and what can be read in them."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def docs() -> list[Path]:
    return sorted((ROOT / "docs").rglob("*.md"))


def pages() -> list[Path]:
    """Every page that people read: those of `docs`, at the top, and beside the local GitHub."""
    return [*sorted(ROOT.glob("*.md")), *docs(), ROOT / "tests/github/README.md"]


@cache
def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """The page without its code blocks."""
    return _BLOCK.sub("", text(path))


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of a language, in order."""
    return [code for _, told, code in _BLOCK.findall(text(path)) if told == language]


def links(path: Path) -> list[str]:
    return _LINK.findall(prose(path))


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    return {anchor(heading) for heading in _HEADING.findall(prose(path))}


def anchor(heading: str) -> str:
    """Lower case, punctuation dropped, blanks to hyphens: https://github.com/gjtorikian/html-pipeline's rule."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
