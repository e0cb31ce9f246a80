"""The clean room: one candidate in, evidence out. Nothing that the agent says or leaves behind is believed.

Every check runs in a checkout of its own, twice: on the candidate as it is, and on the candidate's code with the base's
tests and configuration put back, so that neither a weakened test nor a rewritten runner configuration helps. What stays
possible is code that recognises that it is being tested and ends the process with a friendly exit code; exit codes are
evidence about code that wants to work, and people still review the winner.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from execution.checkrun import CheckRunner, Observed
from execution.config import Check, Config, PatchRules
from execution.findings import FORM_WORDS, report_findings, scan_findings, weakened_files
from execution.gitcmd import GitError
from execution.invariants import SECURE
from execution.ports import Sandbox
from execution.preparation import Prepared
from execution.reading import Reading, adds_binary, holds_secret, read
from execution.records import Candidate
from execution.sandbox import SandboxError
from execution.sandbox.disposal import dispose
from execution.static_scan import ScanFinding, scan
from execution.trees import PatchEffectError, Trees, build_trees, list_paths
from execution.workspace import PASS_THROUGH, create_store
from governance.patch import PatchCode
from governance.shortening import ending
from scoring.evidence import CheckForm, CheckOutcome, CheckResult, DiffFacts, Reason, Record, ReportCounts

OUTPUT_TAIL_MAX = 4_000  # characters
MILLISECONDS = 1000
_CANNOT_RUN = frozenset({126, 127})  # the shell: found but not runnable, not found


@dataclass(frozen=True)
class Baseline:
    """What is known of the base before any candidate is looked at.

    Attributes:
        prepared: what was prepared for the checks.
        reports: by check id, what its report counts on the base.
    """

    prepared: tuple[Prepared, ...] = ()
    reports: Mapping[str, ReportCounts] = field(default_factory=dict)


class Verdict(Record):
    """What the clean room found out about one candidate.

    Attributes:
        violations: each makes the candidate inadmissible.
        warnings: what a reviewer should know.
        checks: every check in both forms; equal numbers where both forms are the same tree and it ran once.
        diff: facts about the patch; None when there is none that can be read.
        invariants: names that hold, sorted.
        verified_ms: how long verification took, milliseconds.
    """

    violations: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    diff: DiffFacts | None = None
    invariants: tuple[str, ...] = ()
    verified_ms: int = 0


class VerifierError(RuntimeError):
    """Verification could not be carried out: infrastructure, and no agent's fault.

    Attributes:
        checks: the check that could not be run, with outcome `error`; empty when it was something else.
    """

    def __init__(self, text: str, checks: tuple[CheckResult, ...] = ()) -> None:
        super().__init__(text)
        self.checks = checks


class Verifier:
    """Verifies candidates with one sandbox.

    Args:
        sandbox: where checks run.
        scratch: an existing directory that the sandbox's uid can walk down to.
        clock: seconds.
    """

    def __init__(self, sandbox: Sandbox, scratch: Path, clock: Callable[[], float]) -> None:
        self._sandbox = sandbox
        self._scratch = scratch
        self._clock = clock

    async def verify(
        self,
        *,
        git_dir: Path,
        base: str,
        candidate: Candidate,
        config: Config,
        checks: tuple[Check, ...],
        baseline: Baseline | None = None,
    ) -> Verdict:
        """Measure one candidate.

        Args:
            git_dir: a git directory that holds `base`.
            base: hex id of the commit that the candidate was written against.
            candidate: only its patch is read.
            config: from the base; its patch rules are applied.
            checks: what to run.
            baseline: what is known of the base; None when nothing was measured.

        Raises:
            VerifierError: sandbox, git or disk failed, or a check cannot run here even on the base.
        """
        started = self._clock()
        try:
            with room(self._scratch) as root:
                verdict = await self._measure(
                    root, git_dir, base, candidate.patch, config.patch, checks, baseline or Baseline()
                )
        except (GitError, OSError, SandboxError) as error:
            raise VerifierError(f"the candidate could not be verified: {error}") from error
        return verdict.model_copy(update={"verified_ms": round((self._clock() - started) * MILLISECONDS)})

    async def _measure(  # noqa: PLR0913, PLR0917 - one caller, which names nothing twice
        self,
        root: Path,
        git_dir: Path,
        base: str,
        patch: bytes,
        rules: PatchRules,
        checks: tuple[Check, ...],
        baseline: Baseline,
    ) -> Verdict:
        store = await asyncio.to_thread(create_store, git_dir, root / "git")
        base_paths = await asyncio.to_thread(list_paths, store, base)
        reading = read(patch, base_paths, rules)
        found = scan(reading.changes)
        warnings = (*reading.warnings, *scan_findings(found))
        if reading.violations:
            return Verdict(violations=reading.violations, warnings=warnings, diff=reading.diff)
        try:
            trees = await asyncio.to_thread(build_trees, store, base, patch, reading.changes)
        except PatchEffectError as error:
            refused = Reason(code=PatchCode.UNPARSABLE, text=f"{str(error)[:1].upper()}{str(error)[1:]}.")
            return Verdict(violations=(refused,), warnings=warnings, diff=reading.diff)
        weaker = await asyncio.to_thread(lambda: tuple(weakened_files(trees, reading.diff)))
        bench = _Bench(CheckRunner(self._sandbox, store, root, baseline.prepared), trees, baseline.reports)
        results = await bench.both_forms(checks)
        return Verdict(
            violations=tuple(_failures(results)),
            warnings=(*warnings, *weaker, *bench.warnings),
            checks=results,
            diff=reading.diff,
            invariants=_invariants(results, reading, found),
        )


@contextmanager
def room(scratch: Path) -> Iterator[Path]:
    """A directory for one verification that the sandbox's uid can walk down to; gone afterwards."""
    root = Path(tempfile.mkdtemp(prefix="optr-verify-", dir=scratch))
    try:
        root.chmod(PASS_THROUGH)
        yield root
    finally:
        dispose(root)


class _Bench:
    """Runs the checks of one candidate and collects what a reviewer should know of them."""

    def __init__(self, runner: CheckRunner, trees: Trees, reports: Mapping[str, ReportCounts]) -> None:
        self._runner = runner
        self._trees = trees
        self._reports = reports
        self.warnings: list[Reason] = []

    async def both_forms(self, checks: tuple[Check, ...]) -> tuple[CheckResult, ...]:
        """All checks on both trees; where the trees are one, each check runs once and is recorded for both forms."""
        first = [await self._run(check, CheckForm.CANDIDATE) for check in checks]
        if self._trees.base_tests == self._trees.candidate:
            second = [result.model_copy(update={"form": CheckForm.BASE_TESTS}) for result in first]
        else:
            second = [await self._run(check, CheckForm.BASE_TESTS) for check in checks]
        return (*first, *second)

    async def _run(self, check: Check, form: CheckForm) -> CheckResult:
        tree = self._trees.candidate if form is CheckForm.CANDIDATE else self._trees.base_tests
        try:
            seen = await self._runner.run(tree, check)
            if seen.done.exit_code in _CANNOT_RUN:
                await self._require_runnable(check)
        except SandboxError as error:
            failed = CheckResult(
                id=check.id,
                form=form,
                outcome=CheckOutcome.ERROR,
                exit_code=None,
                duration_ms=0,
                output_tail=str(error),
            )
            raise VerifierError(f"check {check.id!r} could not be run: {error}", (failed,)) from error
        result = _result(check, form, seen)
        self.warnings += report_findings(check, result, seen.report_problem, self._reports.get(check.id))
        return result

    async def _require_runnable(self, check: Check) -> None:
        """A command that is missing on the base too says something about this machine, nothing about the candidate."""
        done = (await self._runner.run(self._trees.base, check)).done
        if done.exit_code in _CANNOT_RUN:
            words = done.output.decode(errors="replace").strip()[-300:]
            raise SandboxError(f"its command does not exist in the sandbox, not even for the base: {words}")


def _result(check: Check, form: CheckForm, seen: Observed) -> CheckResult:
    return CheckResult(
        id=check.id,
        form=form,
        outcome=seen.outcome,
        exit_code=seen.done.exit_code,
        duration_ms=seen.done.duration_ms,
        required=check.required,
        proves=check.proves,
        output_tail=ending(seen.done.output.decode(errors="replace"), OUTPUT_TAIL_MAX),
        report=seen.report,
    )


def _failures(results: Iterable[CheckResult]) -> Iterable[Reason]:
    for result in results:
        if not result.required or result.outcome is CheckOutcome.PASSED:
            continue
        where = FORM_WORDS[result.form]
        if result.outcome is CheckOutcome.TIMED_OUT:
            text = f"Check `{result.id}` did not end in time {where}."
            yield Reason(code="CHECK_TIMED_OUT", text=text)
        else:
            text = f"Check `{result.id}` failed {where} (exit code {result.exit_code})."
            yield Reason(code="CHECK_FAILED", text=text)


def _invariants(results: Iterable[CheckResult], reading: Reading, found: tuple[ScanFinding, ...]) -> tuple[str, ...]:
    """Names that hold: every check that proves one passed in both forms, and our own measurement does not object."""
    clean = not found and not any(holds_secret(change) or adds_binary(change) for change in reading.changes)
    verdicts: dict[str, bool] = {SECURE: clean}
    for result in results:
        for name in result.proves:
            verdicts[name] = verdicts.get(name, True) and result.outcome is CheckOutcome.PASSED
    return tuple(sorted(name for name, holds in verdicts.items() if holds))
