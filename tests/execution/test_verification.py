import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from execution.checks import detect
from execution.config import Check, Config, PatchRules
from execution.invariants import MEASURED_INVARIANTS
from execution.ports import Sandbox
from execution.records import AgentOutcome, AgentReport, Attempt, Candidate, Command, CommandResult
from execution.sandbox import SandboxError
from execution.verification import Verdict, Verifier, VerifierError
from execution.workspace import discard, prepare, take_patch
from scoring.evidence import CheckForm, CheckOutcome
from tests.execution.rooms import Origin

BASE = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "test_calc.py": (
        "import unittest\nfrom calc import add\n\n\nclass Adding(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n"
    ),
}
FIX = {"calc.py": "def add(a, b):\n    return a + b\n"}
UNITTEST = Check(id="tests", run="python3 -m unittest -q", proves=("tested",), timeout_s=60)


class Desk:
    """One origin, one verifier, and a way to write candidates as an agent would."""

    def __init__(self, origin: Origin, scratch: Path, sandbox: Sandbox) -> None:
        self.origin = origin
        self.scratch = scratch
        self.base = origin.commit(BASE)
        self.verifier = Verifier(sandbox, scratch, time.monotonic)

    def patch(self, files: dict[str, str | None]) -> bytes:
        workspace = prepare(self.origin.git_dir, self.base, self.scratch)
        for name, content in files.items():
            path = workspace.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if content is None else path.write_text(content)
        patch = take_patch(workspace)
        discard(workspace)
        return patch

    def verify(self, files: dict[str, str | None] | bytes, *checks: Check, rules: PatchRules | None = None) -> Verdict:
        patch = files if isinstance(files, bytes) else self.patch(files)
        report = AgentReport(invariants=("tested", "secure", "type_safe", "perfect"))
        attempt = Attempt(outcome=AgentOutcome.COMPLETED, report=report)
        return asyncio.run(
            self.verifier.verify(
                git_dir=self.origin.git_dir,
                base=self.base,
                candidate=Candidate(agent="a", attempt=attempt, patch=patch),
                config=Config(patch=rules or PatchRules()),
                checks=checks or (UNITTEST,),
            )
        )


@pytest.fixture
def desk(origin: Origin, scratch: Path, sandbox: Sandbox) -> Desk:
    return Desk(origin, scratch, sandbox)


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.violations]


def outcomes(verdict: Verdict) -> dict[CheckForm, CheckOutcome]:
    return {result.form: result.outcome for result in verdict.checks}


def test_a_good_fix(desk: Desk) -> None:
    verdict = desk.verify(FIX)
    assert verdict.violations == ()
    assert verdict.warnings == ()
    assert verdict.invariants == ("secure", "tested")
    assert verdict.diff is not None
    assert (verdict.diff.paths, verdict.diff.added, verdict.diff.deleted) == (("calc.py",), 1, 1)
    assert verdict.verified_ms > 0
    assert list(desk.scratch.iterdir()) == []


def test_equal_trees_are_run_once_and_recorded_twice(desk: Desk) -> None:
    first, second = desk.verify(FIX).checks
    assert (first.form, second.form) == (CheckForm.CANDIDATE, CheckForm.BASE_TESTS)
    assert first.model_copy(update={"form": second.form}) == second
    assert first.duration_ms > 0


def test_a_fix_that_does_not_fix(desk: Desk) -> None:
    verdict = desk.verify({"calc.py": "def add(a, b):\n    return a * b\n"})
    assert codes(verdict) == ["CHECK_FAILED", "CHECK_FAILED"]
    assert verdict.violations[0].text == "Check `tests` failed on the candidate as it is (exit code 1)."
    assert "base's tests" in verdict.violations[1].text
    assert verdict.invariants == ("secure",)
    assert "FAILED" in verdict.checks[0].output_tail


def test_a_weakened_test_fails_with_the_bases_tests(desk: Desk) -> None:
    weakened = BASE["test_calc.py"].replace("5", "-1")
    verdict = desk.verify({"test_calc.py": weakened})
    assert outcomes(verdict) == {CheckForm.CANDIDATE: CheckOutcome.PASSED, CheckForm.BASE_TESTS: CheckOutcome.FAILED}
    assert codes(verdict) == ["CHECK_FAILED"]
    assert [reason.code for reason in verdict.warnings] == ["TESTS_CHANGED"]
    assert verdict.diff is not None
    assert verdict.diff.tests_changed == ("test_calc.py",)
    assert verdict.invariants == ("secure",)


def test_new_tests_run_in_the_first_form_only(desk: Desk) -> None:
    files = {
        **FIX,
        "test_more.py": "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.fail('mine')\n",
    }
    verdict = desk.verify(files)
    assert outcomes(verdict) == {CheckForm.CANDIDATE: CheckOutcome.FAILED, CheckForm.BASE_TESTS: CheckOutcome.PASSED}
    assert verdict.diff is not None
    assert verdict.diff.tests_added == ("test_more.py",)
    assert verdict.diff.tests_changed == ()


def test_a_check_that_hangs(desk: Desk) -> None:
    verdict = desk.verify({"calc.py": "import time\ntime.sleep(60)\n"}, UNITTEST.model_copy(update={"timeout_s": 1}))
    assert codes(verdict) == ["CHECK_TIMED_OUT", "CHECK_TIMED_OUT"]
    assert [result.exit_code for result in verdict.checks] == [None, None]


def test_a_check_that_is_not_required_only_informs(desk: Desk) -> None:
    verdict = desk.verify(FIX, Check(id="lint", run="exit 7", proves=("documented",), required=False))
    assert verdict.violations == ()
    assert [result.exit_code for result in verdict.checks] == [7, 7]
    assert verdict.invariants == ("secure",)


def test_an_invariant_needs_every_check_that_proves_it(desk: Desk) -> None:
    verdict = desk.verify(FIX, UNITTEST, Check(id="more", run="false", proves=("tested",), required=False))
    assert "tested" not in verdict.invariants


def test_no_checks_prove_nothing(desk: Desk) -> None:
    verdict = asyncio.run(
        desk.verifier.verify(
            git_dir=desk.origin.git_dir,
            base=desk.base,
            candidate=Candidate(agent="a", attempt=Attempt(outcome=AgentOutcome.COMPLETED), patch=desk.patch(FIX)),
            config=Config(),
            checks=(),
        )
    )
    assert (verdict.violations, verdict.checks, verdict.invariants) == ((), (), ("secure",))


def test_the_detected_command_works(desk: Desk) -> None:
    verdict = desk.verify(FIX, *detect(BASE)[0])
    assert (verdict.violations, verdict.invariants) == ((), ("secure", "tested"))


def test_a_check_sees_neither_the_agents_leftovers_nor_the_check_before_it(desk: Desk) -> None:
    first = Check(id="first", run="touch left; echo 'raise SystemExit(9)' > calc.py")
    second = Check(
        id="second", run="test ! -e left && python3 -c 'import calc' && git status --porcelain | wc -l | grep -x 0"
    )
    assert desk.verify(FIX, first, second).violations == ()


def test_an_empty_patch(desk: Desk) -> None:
    verdict = desk.verify(b"")
    assert (codes(verdict), verdict.diff, verdict.checks) == (["PATCH_EMPTY"], None, ())


def test_rules_come_from_the_configuration(desk: Desk) -> None:
    files = {**FIX, "infra/x.tf": "x\n", "b.txt": "x\n"}
    rules = PatchRules(files_max=2, protected=("infra/**",))
    assert codes(desk.verify(files, rules=rules)) == ["PATCH_TOO_MANY_FILES", "PATCH_PROTECTED"]
    assert codes(desk.verify(files, rules=PatchRules(bytes_max=10))) == ["PATCH_TOO_LARGE"]
    relaxed = desk.verify(files, rules=PatchRules(protected=("infra/**",), protected_policy="require_approval"))
    assert (codes(relaxed), [reason.code for reason in relaxed.warnings]) == ([], ["PATCH_PROTECTED"])


def test_a_patch_for_another_base(desk: Desk) -> None:
    patch = desk.patch(FIX).replace(b"return a - b", b"return a / b")
    verdict = desk.verify(patch)
    assert codes(verdict) == ["PATCH_UNPARSABLE"]
    assert "does not apply" in verdict.violations[0].text


def test_a_credential_is_seen_and_not_repeated(desk: Desk) -> None:
    key = "ghp_" + "a1B2" * 10
    verdict = desk.verify({**FIX, "settings.py": f"TOKEN = '{key}'\n"})
    assert [reason.code for reason in verdict.warnings] == ["SECRET_SHAPE"]
    assert verdict.invariants == ("tested",)
    assert key not in verdict.model_dump_json()


def test_measured_invariants_are_defined() -> None:
    assert set(MEASURED_INVARIANTS) == {"secure"}


def test_a_command_that_the_machine_lacks_blames_nobody(desk: Desk) -> None:
    with pytest.raises(VerifierError, match="not even for the base") as trouble:
        desk.verify(FIX, Check(id="absent", run="no-such-runner --all"))
    assert [result.outcome for result in trouble.value.checks] == [CheckOutcome.ERROR]
    assert list(desk.scratch.iterdir()) == []


def test_a_candidate_that_fakes_a_missing_command_is_blamed(desk: Desk) -> None:
    verdict = desk.verify({"calc.py": "raise SystemExit(127)\n"}, Check(id="run", run="python3 calc.py"))
    assert codes(verdict) == ["CHECK_FAILED", "CHECK_FAILED"]


class _Broken:
    """A sandbox whose wall fell over, as bubblewrap's does when the kernel refuses a namespace."""

    name = "broken"

    async def run(self, command: Command) -> CommandResult:
        raise SandboxError("no namespace")


def test_sandbox_trouble_is_infrastructure(desk: Desk) -> None:
    desk.verifier = Verifier(_Broken(), desk.scratch, time.monotonic)
    with pytest.raises(VerifierError, match="no namespace") as trouble:
        desk.verify(FIX)
    assert [result.outcome for result in trouble.value.checks] == [CheckOutcome.ERROR]


def test_a_base_that_is_not_there_is_infrastructure(desk: Desk) -> None:
    patch = desk.patch(FIX)
    desk.base = "f" * 40
    with pytest.raises(VerifierError, match="could not be verified"):
        desk.verify(patch)


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_another_language(origin: Origin, scratch: Path, sandbox: Sandbox) -> None:
    desk = Desk(origin, scratch, sandbox)
    desk.base = origin.commit(
        {
            "sum.js": "module.exports = (a, b) => a - b;\n",
            "sum.test.js": "const s = require('./sum'); process.exit(s(1, 2) === 3 ? 0 : 1);\n",
        }
    )
    check = Check(id="node", run="node sum.test.js", timeout_s=60)
    if os.path.realpath(shutil.which("node") or "").startswith("/usr/"):
        assert desk.verify({"sum.js": "module.exports = (a, b) => a + b;\n"}, check).violations == ()
