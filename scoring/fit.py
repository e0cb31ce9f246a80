"""Intent fit: how well an agent's declared capabilities match what is asked. Pure, coarse, and the same for everybody.

An intent is routed by keywords to tasks; the title decides, the body only when the title says nothing. A profile
comes from the base commit, so an agent cannot declare capabilities for itself. Keywords are no understanding: the
worst that a mis-read intent does is to scale the scores of the candidates, it admits and refuses nobody.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

FIT_FULL = 1000  # thousandths: the task is the agent's main one, the first task among its capabilities
FIT_LISTED = 900  # the task is among the agent's others, or the profile names no task at all
FIT_UNLISTED = 500  # the profile names tasks, and not this one
TEXT_CHARS_MAX = 20_000  # characters of an intent that are looked at


class Work(StrEnum):
    """What an intent can ask for; a profile's capabilities that say one of these words are its tasks."""

    CODE = "code"
    WORKFLOW = "workflow"
    COMPLIANCE = "compliance"
    REVIEW = "review"
    RELEASE = "release"


# The first three rows are the original's words; the last two are what its own examples need to tell agents apart.
KEYWORDS: Mapping[Work, tuple[str, ...]] = MappingProxyType(
    {
        Work.CODE: ("implement", "fix", "refactor", "optimize", "debug"),
        Work.WORKFLOW: ("generate", "report", "analyze", "orchestrate"),
        Work.COMPLIANCE: ("audit", "compliance", "verify", "validate"),
        Work.REVIEW: ("review",),
        Work.RELEASE: ("merge", "release"),
    }
)


def _inflected(word: str) -> str:
    """A pattern for a word and its forms: fixes, debugging, optimised, analysing, verified; not verification."""
    stem = re.sub("z(?=e$)", "[sz]", word)
    if word.endswith("e"):
        return f"{stem[:-1]}(?:e|es|ed|ing)"
    if word.endswith("y"):
        return f"{stem[:-1]}(?:y|ies|ied|ying)"
    return f"{stem}{word[-1]}?(?:s|es|ed|ing)?"


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(map(_inflected, words))})\b", re.IGNORECASE)


_PATTERNS = MappingProxyType({work: _pattern(words) for work, words in KEYWORDS.items()})


def tasks_of(title: str, body: str = "") -> tuple[Work, ...]:
    """What is asked for, in the order of `Work`; empty when no keyword occurs."""
    return _found(title) or _found(body)


def fit(capabilities: Sequence[str], tasks: Sequence[Work]) -> int:
    """How well an agent fits, thousandths: the mean over the tasks.

    Args:
        capabilities: of the profile, the main one first.
        tasks: from `tasks_of`; none fits everybody fully.
    """
    if not tasks:
        return FIT_FULL
    own = [word for word in capabilities if word in set(Work)]
    return sum(_fit(own, task) for task in tasks) // len(tasks)


def _fit(own: Sequence[str], task: Work) -> int:
    if not own:
        return FIT_LISTED
    if own[0] == task:
        return FIT_FULL
    return FIT_LISTED if task in own else FIT_UNLISTED


def _found(text: str) -> tuple[Work, ...]:
    looked_at = text[:TEXT_CHARS_MAX]
    return tuple(work for work, pattern in _PATTERNS.items() if pattern.search(looked_at))
