"""What is asked, made safe to hand to a model: only what a reader of the issue could see, and not more than a page.

An issue's text is hostile until shown otherwise: comments, invisible characters and image descriptions are the known
places to hide instructions that the maintainer who sets the label never reads.
"""

import hashlib
import re
from dataclasses import dataclass

from bot.render import neutral

TITLE_CHARACTERS_MAX = 256
BODY_CHARACTERS_MAX = 20_000
RAW_CHARACTERS_MAX = 65_536  # GitHub stores no more in an issue; bounds the work below
PASSES_MAX = 8
NO_TITLE = "(no title)"
CUT_NOTE = "\n\n[cut by OPTR: the rest is longer than it reads]"

# An unclosed comment hides everything after it on GitHub's page too.
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_IMAGE_TARGET = re.compile(r"\([^()]{0,2000}\)|\[[^\[\]]{0,1000}\]")
_HTML_IMAGE = re.compile(r"<(?:img|source|picture|svg)\b[^>]*>?", re.IGNORECASE)
_REFERENCE_COMMENT = re.compile(r"^ {0,3}\[(?!\^)[^\[\]\n]{0,1000}\]:.*$", re.MULTILINE)
_HIDING_ATTRIBUTE = re.compile(
    r"(<[a-z][^<>]{0,1000}?)\s(?:alt|title|aria-label)\s{0,3}=\s{0,3}"
    r"(?:\"[^\"]{0,4000}\"|'[^']{0,4000}'|[^\s<>\"']{1,200})",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class IntentText:
    """A request's text.

    Attributes:
        title, body: what a reader sees, cut; still untrusted.
        sha256: hex digest of the original title, a line feed, and the original body.
    """

    title: str
    body: str
    sha256: str


def intent_of(title: str, body: str) -> IntentText:
    """Sanitise a request; the hash is of what was there before."""
    original = f"{title}\n{body}".encode("utf-8", "surrogatepass")
    return IntentText(
        title=" ".join(_visible(title).split())[:TITLE_CHARACTERS_MAX].strip() or NO_TITLE,
        body=sanitise(body),
        sha256=hashlib.sha256(original).hexdigest(),
    )


def sanitise(text: str) -> str:
    """What a reader of `text` sees, at most BODY_CHARACTERS_MAX characters; a cut is said."""
    shown = _visible(text).strip()
    if len(shown) <= BODY_CHARACTERS_MAX and len(text) <= RAW_CHARACTERS_MAX:
        return shown
    return shown[: BODY_CHARACTERS_MAX - len(CUT_NOTE)].rstrip() + CUT_NOTE


def _visible(text: str) -> str:
    """`text` without HTML comments, image descriptions, hidden attributes and invisible characters.

    Repeated until nothing changes, because taking one away can join two halves of another; text built to need more
    than PASSES_MAX passes loses the characters that such constructs begin with.
    """
    text = text[:RAW_CHARACTERS_MAX]
    for _ in range(PASSES_MAX):
        cleaned = _strip_once(text)
        if cleaned == text:
            return text
        text = cleaned
    return re.sub(r"!+\[", "[", text.replace("<", "&lt;"))


def _strip_once(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    shown = "\t".join(map(neutral.visible, lines.split("\t")))  # tabs matter: a request may quote a Makefile
    shown = _strip_images(_COMMENT.sub("", shown))
    shown = _HTML_IMAGE.sub("", _REFERENCE_COMMENT.sub("", shown))
    return _HIDING_ATTRIBUTE.sub(r"\1", shown)


def _strip_images(text: str) -> str:
    """Take out `![description](target)`; brackets inside a description are balanced, a backslash escapes."""
    opened: list[tuple[int, bool]] = []
    cuts: list[tuple[int, int]] = []
    at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "[":
            is_image = at > 0 and text[at - 1] == "!"
            opened.append((at - is_image, is_image))
        elif text[at] == "]" and opened:
            start, is_image = opened.pop()
            if is_image:
                target = _IMAGE_TARGET.match(text, at + 1)
                cuts.append((start, target.end() if target else at + 1))
        at += 1
    return _without(text, cuts)


def _without(text: str, cuts: list[tuple[int, int]]) -> str:
    kept, at = [], 0
    for start, end in sorted(cuts):
        kept.append(text[at:start])
        at = max(at, end)
    return "".join([*kept, text[at:]])
