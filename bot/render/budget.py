"""Texts that fit: GitHub counts bytes, so sections are left out whole, least important first, never cut in the middle.

Limits: summary and text of a check run 65,535; bodies of comments and pull requests 65,536 characters, of which we use
65,000 bytes. https://docs.github.com/en/rest/checks/runs
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

CHECK_TEXT_BYTES_MAX = 65_535
BODY_BYTES_MAX = 65_000
COMPARISON_BYTES_MAX = 32_000
TITLE_CHARACTERS_MAX = 200

ESSENTIAL = 0


class Section(NamedTuple):
    """A piece of a report.

    Attributes:
        text: Markdown, its own line feeds included.
        rank: 0 stays always; the higher, the sooner it is left out.
    """

    text: str
    rank: int = ESSENTIAL


def fit(sections: Sequence[Section], bytes_max: int) -> str:
    """Join sections in order, leaving out the least important (of equals, the last) until the text fits.

    A line says how many were left out. Essential sections must be bounded by whoever makes them.

    Raises:
        ValueError: the essential sections alone are too long, a fault of ours.
    """
    sizes = [len(section.text.encode()) for section in sections]
    total = sum(sizes)
    if total <= bytes_max:
        return "".join(section.text for section in sections)
    left_out: set[int] = set()
    for index in _expendable(sections):
        if total + len(_note(len(left_out)).encode()) <= bytes_max:
            break
        left_out.add(index)
        total -= sizes[index]
    kept = [section.text for index, section in enumerate(sections) if index not in left_out]
    text = "".join([*kept, _note(len(left_out))])
    if len(text.encode()) > bytes_max:
        raise ValueError(f"the essential sections take {total} bytes of {bytes_max}; bound them where they are made")
    return text


def _expendable(sections: Sequence[Section]) -> Iterable[int]:
    order = sorted(range(len(sections)), key=lambda index: (sections[index].rank, index), reverse=True)
    return (index for index in order if sections[index].rank > ESSENTIAL)


def _note(count: int) -> str:
    return f"\n_{count} parts left out to fit GitHub's limit; the `datalake` branch has everything._\n"
