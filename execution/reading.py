"""What a patch's text alone tells: findings of the rules, facts about the diff, hints for a reviewer."""

from collections.abc import Iterable
from dataclasses import dataclass

from execution.checks import is_config_path, is_test_path, shadows_runner
from execution.config import PatchRules
from execution.redaction import SHAPES
from governance.patch import (
    ChangeKind,
    FileChange,
    Finding,
    PatchCode,
    PatchPolicy,
    PatchSyntaxError,
    judge_patch,
    parse_patch,
    shown,
)
from scoring.evidence import DiffFacts, Reason

PATHS_NAMED_MAX = 5


@dataclass(frozen=True)
class Reading:
    """What came of it.

    Attributes:
        changes: the files, empty when the patch could not be read.
        violations: each makes the candidate inadmissible.
        warnings: what a reviewer should know.
        diff: the facts; None when the patch is empty or could not be read.
    """

    changes: tuple[FileChange, ...]
    violations: tuple[Reason, ...]
    warnings: tuple[Reason, ...]
    diff: DiffFacts | None


def read(patch: bytes, base_paths: frozenset[str], rules: PatchRules) -> Reading:
    """Parse and judge a patch.

    Args:
        patch: as the candidate handed it back.
        base_paths: every path of the base tree.
        rules: from the base's configuration.
    """
    policy = PatchPolicy(**rules.model_dump(exclude={"paths"}))  # the lane is the mandate's, judged with the report
    if len(patch) > policy.bytes_max:  # not worth parsing
        judged = judge_patch((), size=len(patch), base_paths=base_paths, rules=policy)
        found = tuple(_reason(finding) for finding in judged.violations if finding.code is PatchCode.TOO_LARGE)
        return Reading((), found, (), None)
    try:
        changes = parse_patch(patch)
    except PatchSyntaxError as error:
        refused = Reason(code=PatchCode.UNPARSABLE, text=f"The patch cannot be read: {error}.")
        return Reading((), (refused,), (), None)
    judged = judge_patch(changes, size=len(patch), base_paths=base_paths, rules=policy)
    facts = _facts(changes) if changes else None
    warnings = (*map(_reason, judged.warnings), *_warnings(changes, base_paths))
    return Reading(changes, tuple(map(_reason, judged.violations)), warnings, facts)


def _reason(finding: Finding) -> Reason:
    return Reason(code=finding.code, text=finding.text)


def _facts(changes: Iterable[FileChange]) -> DiffFacts:
    changes = tuple(changes)
    tests = [change for change in changes if is_test_path(change.path)]
    created = {change.path for change in tests if change.kind is ChangeKind.ADDED}
    changed = {change.path for change in tests if change.kind is not ChangeKind.ADDED}
    return DiffFacts(
        paths=tuple(sorted({change.path for change in changes})),
        added=sum(change.added for change in changes),
        deleted=sum(change.deleted for change in changes),
        tests_added=tuple(sorted(created - changed)),
        tests_changed=tuple(sorted(changed)),
    )


def _warnings(changes: tuple[FileChange, ...], base_paths: frozenset[str]) -> Iterable[Reason]:
    altered = [change for change in changes if change.kind is not ChangeKind.ADDED]
    tests = [change.path for change in altered if is_test_path(change.path)]
    settings = [change.path for change in changes if is_config_path(change.path)]
    shadows = [change.path for change in changes if shadows_runner(change.path, base_paths)]
    secrets = [change.path for change in changes if holds_secret(change)]
    for code, text, paths in (
        ("TESTS_CHANGED", "Existing tests are changed or deleted", tests),
        ("CONFIGURATION_CHANGED", "Files that steer the tests are changed", settings),
        ("RUNNER_SHADOWED", "New files would be imported in place of the test runner's modules", shadows),
        ("SECRET_SHAPE", "Added lines have the shape of a credential", secrets),
    ):
        if paths:
            yield Reason(code=code, text=f"{text}: {_named(paths)}.")


def _named(paths: list[str]) -> str:
    more = len(paths) - PATHS_NAMED_MAX
    return ", ".join(map(shown, paths[:PATHS_NAMED_MAX])) + (f" and {more} more" if more > 0 else "")


def holds_secret(change: FileChange) -> bool:
    """Whether an added line has the shape of a credential or private key."""
    return SHAPES.search("\n".join(change.added_lines)) is not None


def adds_binary(change: FileChange) -> bool:
    """Whether the file brings binary content."""
    return change.binary and change.kind is not ChangeKind.DELETED
