"""What a reviewer should know beside the verdict: reports that contradict, tests that demand less, lines that smell."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from execution.config import Check
from execution.gitcmd import run_git
from execution.static_scan import ScanFinding
from execution.trees import Trees
from execution.weakening import compare_files, compare_reports, is_source
from governance.patch import shown
from scoring.evidence import CheckForm, CheckOutcome, CheckResult, DiffFacts, Reason, ReportCounts

TEST_FILES_MAX = 100  # changed test files that are compared; of more the reader is told
TEST_FILE_BYTES_MAX = 2**20  # of a changed test file; a larger one is not compared, and the reader is told

FORM_WORDS: Mapping[CheckForm, str] = {
    CheckForm.CANDIDATE: "on the candidate as it is",
    CheckForm.BASE_TESTS: "on the candidate's code with the base's tests and configuration",
}


def report_findings(
    check: Check, result: CheckResult, problem: str | None, base: ReportCounts | None
) -> Iterator[Reason]:
    """What the report of one check, or its absence, tells beside the exit code.

    Args:
        check: the check; nothing is told when it declares no report.
        result: how it ended.
        problem: why the report could not be read, or None.
        base: what the same check reports on the base; None when unknown.
    """
    if check.junit is None:
        return
    where = f"of check `{check.id}` {FORM_WORDS[result.form]}"
    if problem is not None:
        yield Reason(code="JUNIT_UNREADABLE", text=f"The report {where} counts for nothing: {problem}.")
    if result.report is None:
        return
    if (contradiction := _contradiction(result, result.report)) is not None:
        yield Reason(code="JUNIT_CONTRADICTS", text=f"The report {where} {contradiction}; the exit code counts.")
    less = list(compare_reports(base, result.report)) if base is not None else []
    if less and result.outcome is CheckOutcome.PASSED:
        yield Reason(code="TESTS_WEAKENED", text=f"In the report {where}, {' and '.join(less)}.")


def _contradiction(result: CheckResult, report: ReportCounts) -> str | None:
    bad = report.failures + report.errors
    if result.outcome is CheckOutcome.PASSED and bad:
        return f"names {bad} failing tests, while the command ended with 0"
    if result.outcome is CheckOutcome.PASSED and report.tests == 0:
        return "names no test at all, while the command ended with 0"
    if result.outcome is CheckOutcome.FAILED and report.tests and not bad:
        return f"names no failing test, while the command ended with {result.exit_code}"
    return None


def weakened_files(trees: Trees, diff: DiffFacts | None) -> Iterator[Reason]:
    """Changed test files that demand less than the base's, and those that could not be compared; a lost one is empty.

    Raises:
        GitError: the trees cannot be read.
    """
    changed = [path for path in (diff.tests_changed if diff else ()) if is_source(path)]
    for path in changed[:TEST_FILES_MAX]:
        before, after = (_text(trees.store, tree, path) for tree in (trees.base, trees.candidate))
        if before is None or after is None:
            why = f"was not compared with the base's: more than {TEST_FILE_BYTES_MAX} bytes"
            yield Reason(code="TESTS_WEAKENED", text=f"{shown(path)} {why}.")
        elif less := list(compare_files(before, after)):
            yield Reason(code="TESTS_WEAKENED", text=f"{shown(path)} demands less: {' and '.join(less)}.")
    if (left := len(changed) - TEST_FILES_MAX) > 0:
        why = f"only the first {TEST_FILES_MAX} are compared with the base's"
        yield Reason(code="TESTS_WEAKENED", text=f"{left} more changed test files were not looked at: {why}.")


def _text(store: Path, tree: str, path: str) -> str | None:
    """A file's text, empty where no file of that name is; None of one that is larger than is read."""
    listed = run_git(store, "--literal-pathspecs", "ls-tree", "-z", "--long", tree, "--", path)
    if not listed.startswith(b"100"):
        return ""
    if int(listed.split(maxsplit=4)[3]) > TEST_FILE_BYTES_MAX:
        return None
    return run_git(store, "cat-file", "blob", f"{tree}:{path}").decode("utf-8", "replace")


def scan_findings(found: Sequence[ScanFinding]) -> Iterator[Reason]:
    """One warning for each rule, naming the files."""
    by_rule: dict[str, list[str]] = {}
    words = {finding.rule.id: finding.rule.text for finding in found}
    for finding in found:
        by_rule.setdefault(finding.rule.id, []).append(shown(finding.path))
    for rule, paths in by_rule.items():
        yield Reason(code="STATIC_FINDING", text=f"Added lines look like {words[rule]} (`{rule}`): {_few(paths)}.")


def _few(paths: Iterable[str]) -> str:
    named = list(dict.fromkeys(paths))
    return ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")  # noqa: PLR2004
