"""Tests that demand less than before: fewer, more of them skipped, or with fewer assertions. Hints, never a verdict.

The verdict does not need them: every check also runs with the base's own tests. They tell a reviewer what would be
lost by merging.
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from scoring.evidence import ReportCounts

_ASSERTION = re.compile(
    r"\bassert\w*\b|\bself\.(?:assert\w+|fail)\b|\bexpect\s*[(!]|\.should\b|\bpytest\.raises\b"
    r"|\bt\.(?:Error|Fatal|Fail)\w*\b|\brequire\.[A-Z]\w*|\b(?:EXPECT|ASSERT|CHECK|REQUIRE)_?[A-Z]*\s*\("
)
_SKIP = re.compile(
    r"\bskip(?:If|Unless|Test|if|unless)?\b|\bxfail\b|\bexpectedFailure\b|\bx(?:it|describe|test)\s*\("
    r"|\b(?:it|test|describe)\.(?:skip|todo|failing)\b|#\[ignore|@(?:Ignore|Disabled)\b|\bt\.Skip\w*\b"
)
_COMMENT = re.compile(r"^\s*(?:#(?!\[)|//|\*|/\*)")
_SOURCE_SUFFIXES = (
    *(".py", ".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts", ".go", ".rs", ".rb", ".java", ".kt", ".cs"),
    *(".scala", ".swift", ".php", ".c", ".cc", ".cpp", ".h", ".hpp", ".exs", ".dart"),
)


def is_source(path: str) -> bool:
    """Whether assertions can be counted in it."""
    return PurePosixPath(path).suffix in _SOURCE_SUFFIXES


def compare_files(before: str, after: str) -> Iterable[str]:
    """What a changed test file demands less, in words; nothing when it demands as much.

    Args:
        before: the base's text.
        after: the candidate's; empty when it deletes the file.
    """
    was, now = _count(_ASSERTION, before), _count(_ASSERTION, after)
    if now < was:
        yield f"{now} assertions where the base has {was}"
    if (more := _count(_SKIP, after) - _count(_SKIP, before)) > 0:
        yield f"{more} more {'mark' if more == 1 else 'marks'} that skip tests or expect them to fail"


def compare_reports(base: ReportCounts, mine: ReportCounts) -> Iterable[str]:
    """What ran less than on the base, in words."""
    if mine.tests < base.tests:
        yield f"{mine.tests} tests ran where the base runs {base.tests}"
    if mine.skipped > base.skipped:
        yield f"{mine.skipped} tests were skipped where the base skips {base.skipped}"


def _count(pattern: re.Pattern[str], text: str) -> int:
    """Occurrences outside of lines that are comments: an assertion commented out is gone."""
    return sum(len(pattern.findall(line)) for line in text.splitlines() if not _COMMENT.match(line))
