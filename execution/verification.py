"""The clean room: one candidate in, evidence out. Nothing that the agent says or leaves behind is believed.

Every check runs in a checkout of its own, twice: on the candidate as it is, and on the candidate's code with the base's
tests and configuration put back, so that neither a weakened test nor a rewritten runner configuration helps. What stays
possible is code that recognises that it is being tested and ends the process with a friendly exit code; exit codes are
evidence about code that wants to work, and people still review the winner.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from execution.config import Check, Config, PatchRules
from execution.gitcmd import GitError
from execution.ports import Sandbox
from execution.reading import adds_binary, holds_secret, read
from execution.records import Candidate, Command, CommandLimits, CommandResult
from execution.sandbox import SandboxError
from execution.sandbox.disposal import dispose
from execution.sandbox.toolchain import python_paths
from execution.trees import PatchEffectError, Trees, build_trees, list_paths
from execution.workspace import PASS_THROUGH, create_store, discard, prepare
from governance.patch import FileChange, PatchCode
from scoring.evidence import CheckForm, CheckOutcome, CheckResult, DiffFacts, Reason, Record

OUTPUT_TAIL_MAX = 4_000  # characters
MILLISECONDS = 1000
_CANNOT_RUN = frozenset({126, 127})  # the shell: found but not runnable, not found

SECURE = "secure"
MEASURED_INVARIANTS: Mapping[str, str] = MappingProxyType(
    {SECURE: "no added line has the shape of a credential or private key, and no binary content is added"}
)

_FORM_WORDS = {
    CheckForm.CANDIDATE: "on the candidate as it is",
    CheckForm.BASE_TESTS: "on the candidate's code with the base's tests and configuration",
}


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
        self, *, git_dir: Path, base: str, candidate: Candidate, config: Config, checks: tuple[Check, ...]
    ) -> Verdict:
        """Measure one candidate.

        Args:
            git_dir: a git directory that holds `base`.
            base: hex id of the commit that the candidate was written against.
            candidate: only its patch is read.
            config: from the base; its patch rules are applied.
            checks: what to run.

        Raises:
            VerifierError: sandbox, git or disk failed, or a check cannot run here even on the base.
        """
        started = self._clock()
        root = await asyncio.to_thread(self._make_room)
        try:
            verdict = await self._measure(root, git_dir, base, candidate.patch, config.patch, checks)
        except (GitError, OSError, SandboxError) as error:
            raise VerifierError(f"the candidate could not be verified: {error}") from error
        finally:
            await asyncio.to_thread(dispose, root)
        return verdict.model_copy(update={"verified_ms": round((self._clock() - started) * MILLISECONDS)})

    def _make_room(self) -> Path:
        root = Path(tempfile.mkdtemp(prefix="optr-verify-", dir=self._scratch))
        root.chmod(PASS_THROUGH)
        return root

    async def _measure(
        self, root: Path, git_dir: Path, base: str, patch: bytes, rules: PatchRules, checks: tuple[Check, ...]
    ) -> Verdict:
        store = await asyncio.to_thread(create_store, git_dir, root / "git")
        base_paths = await asyncio.to_thread(list_paths, store, base)
        reading = read(patch, base_paths, rules)
        if reading.violations:
            return Verdict(violations=reading.violations, warnings=reading.warnings, diff=reading.diff)
        try:
            trees = await asyncio.to_thread(build_trees, store, base, patch, reading.changes)
        except PatchEffectError as error:
            refused = Reason(code=PatchCode.UNPARSABLE, text=f"{str(error)[:1].upper()}{str(error)[1:]}.")
            return Verdict(violations=(refused,), warnings=reading.warnings, diff=reading.diff)
        results = await self._run_both_forms(root, trees, checks)
        return Verdict(
            violations=tuple(_failures(results)),
            warnings=reading.warnings,
            checks=results,
            diff=reading.diff,
            invariants=_invariants(results, reading.changes),
        )

    async def _run_both_forms(self, root: Path, trees: Trees, checks: tuple[Check, ...]) -> tuple[CheckResult, ...]:
        """All checks on both trees; where the trees are one, each check runs once and is recorded for both forms."""
        first = [await self._run(root, trees, check, CheckForm.CANDIDATE) for check in checks]
        if trees.base_tests == trees.candidate:
            second = [result.model_copy(update={"form": CheckForm.BASE_TESTS}) for result in first]
        else:
            second = [await self._run(root, trees, check, CheckForm.BASE_TESTS) for check in checks]
        return (*first, *second)

    async def _run(self, root: Path, trees: Trees, check: Check, form: CheckForm) -> CheckResult:
        tree = trees.candidate if form is CheckForm.CANDIDATE else trees.base_tests
        try:
            done = await self._execute(root, trees.store, tree, check)
            if done.exit_code in _CANNOT_RUN:
                await self._require_runnable(root, trees, check)
        except SandboxError as error:
            failed = _result(check, form, CheckOutcome.ERROR, CommandResult(exit_code=None, output=str(error).encode()))
            raise VerifierError(f"check {check.id!r} could not be run: {error}", (failed,)) from error
        return _result(check, form, _outcome(done), done)

    async def _require_runnable(self, root: Path, trees: Trees, check: Check) -> None:
        """A command that is missing on the base too says something about this machine, nothing about the candidate."""
        done = await self._execute(root, trees.store, trees.base, check)
        if done.exit_code in _CANNOT_RUN:
            words = done.output.decode(errors="replace").strip()[-300:]
            raise SandboxError(f"its command does not exist in the sandbox, not even for the base: {words}")

    async def _execute(self, root: Path, store: Path, tree: str, check: Check) -> CommandResult:
        """Run a check in a fresh checkout: what one check leaves behind, the next one never sees."""
        workspace = await asyncio.to_thread(prepare, store, tree, root)
        try:
            return await self._sandbox.run(
                Command(
                    argv=("sh", "-c", check.run),
                    workspace=workspace.tree,
                    env={"CI": "true"},
                    limits=CommandLimits(wall_seconds=check.timeout_s),
                    read_only=python_paths(),
                )
            )
        finally:
            await asyncio.to_thread(discard, workspace)


def _outcome(done: CommandResult) -> CheckOutcome:
    if done.timed_out:
        return CheckOutcome.TIMED_OUT
    return CheckOutcome.PASSED if done.exit_code == 0 else CheckOutcome.FAILED


def _result(check: Check, form: CheckForm, outcome: CheckOutcome, done: CommandResult) -> CheckResult:
    return CheckResult(
        id=check.id,
        form=form,
        outcome=outcome,
        exit_code=done.exit_code,
        duration_ms=done.duration_ms,
        required=check.required,
        proves=check.proves,
        output_tail=done.output.decode(errors="replace")[-OUTPUT_TAIL_MAX:],
    )


def _failures(results: Iterable[CheckResult]) -> Iterable[Reason]:
    for result in results:
        if not result.required or result.outcome is CheckOutcome.PASSED:
            continue
        where = _FORM_WORDS[result.form]
        if result.outcome is CheckOutcome.TIMED_OUT:
            text = f"Check `{result.id}` did not end in time {where}."
            yield Reason(code="CHECK_TIMED_OUT", text=text)
        else:
            text = f"Check `{result.id}` failed {where} (exit code {result.exit_code})."
            yield Reason(code="CHECK_FAILED", text=text)


def _invariants(results: Iterable[CheckResult], changes: tuple[FileChange, ...]) -> tuple[str, ...]:
    """Names that hold: every check that proves one passed in both forms, and our own measurement does not object."""
    verdicts: dict[str, bool] = {SECURE: not any(holds_secret(change) or adds_binary(change) for change in changes)}
    for result in results:
        for name in result.proves:
            verdicts[name] = verdicts.get(name, True) and result.outcome is CheckOutcome.PASSED
    return tuple(sorted(name for name, holds in verdicts.items() if holds))
