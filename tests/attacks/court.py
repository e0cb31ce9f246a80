"""The court that hostile candidates are brought before: real git, real sandbox, real checks."""

import asyncio
import base64
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from execution.config import Check, Config, PatchRules
from execution.ports import Sandbox
from execution.records import AgentOutcome, AgentReport, Attempt, Candidate
from execution.verification import Baseline, Verdict, Verifier
from execution.workspace import Workspace, discard, prepare, take_patch
from scoring.evidence import CheckForm, CheckOutcome
from tests.execution.rooms import Origin, sh

A, B, ZERO = "a" * 40, "b" * 40, "0" * 40
BASE = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "tests/test_calc.py": (
        "import unittest\nfrom calc import add\n\n\nclass Adding(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n"
    ),
    "Makefile": "test:\n\tpython3 -m unittest discover -s tests\n",
    "README.md": "# Calc\n",
    "AGENTS.md": "Be good.\n",
    ".github/optr.yml": "checks: [{id: tests, run: make test}]\n",
    "logo.bin": bytes(range(256)) * 4096,
}
FIXED = "def add(a, b):\n    return a + b\n"
UNITTEST = Check(id="tests", run="python3 -m unittest discover -q -s tests", proves=("tested",), timeout_s=30)


class Court:
    """Verifies whatever is handed to it against one base."""

    def __init__(self, origin: Origin, scratch: Path, sandbox: Sandbox) -> None:
        self.origin, self.scratch, self.sandbox = origin, scratch, sandbox
        self.base = origin.commit(BASE)

    def judge(
        self,
        patch: bytes,
        check: Check = UNITTEST,
        rules: PatchRules | None = None,
        baseline: Baseline | None = None,
        claims: tuple[str, ...] = (),
    ) -> Verdict:
        verifier = Verifier(self.sandbox, self.scratch, time.monotonic)
        attempt = Attempt(outcome=AgentOutcome.COMPLETED, report=AgentReport(invariants=claims))
        return asyncio.run(
            verifier.verify(
                git_dir=self.origin.git_dir,
                base=self.base,
                candidate=Candidate(agent="mallory", attempt=attempt, patch=patch),
                config=Config(patch=rules or PatchRules()),
                checks=(check,),
                baseline=baseline,
            )
        )

    def written(self, files: dict[str, str | None]) -> bytes:
        workspace = self.workspace()
        for name, content in files.items():
            path = workspace.tree / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        patch = take_patch(workspace)
        discard(workspace)
        return patch

    def done_inside(self, script: str) -> bytes:
        """The patch of a candidate whose commands ran in the sandbox."""
        workspace = self.workspace()
        try:
            sh(self.sandbox, workspace.tree, script)
            return take_patch(workspace)
        finally:
            discard(workspace)

    def workspace(self) -> Workspace:
        return prepare(self.origin.git_dir, self.base, self.scratch)


@pytest.fixture
def court(origin: Origin, scratch: Path, sandbox: Sandbox) -> Iterator[Court]:
    made = Court(origin, scratch, sandbox)
    yield made
    assert list(scratch.iterdir()) == [], "an attack left something behind"


def codes(verdict: Verdict) -> set[str]:
    return {reason.code for reason in verdict.violations}


def outcome(verdict: Verdict, form: CheckForm) -> CheckOutcome:
    return next(result.outcome for result in verdict.checks if result.form is form)


def new_file(path: str, line: str = "x", mode: str = "100644") -> bytes:
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\nindex {ZERO}..{B}\n--- /dev/null\n+++ b/{path}\n"
        f"@@ -0,0 +1 @@\n+{line}\n"
    ).encode()


def binary_block(kind: str, size: int, data: bytes) -> bytes:
    """A block as git writes it: base85 lines of at most 52 bytes, each led by its length."""
    packed = zlib.compress(data, 9)
    lines = [f"{kind} {size}".encode()]
    for start in range(0, len(packed), 52):
        piece = packed[start : start + 52]
        length = len(piece)
        lead = chr(ord("A") + length - 1) if length <= 26 else chr(ord("a") + length - 27)
        lines.append(lead.encode() + base64.b85encode(piece, pad=True))
    return b"\n".join(lines) + b"\n\n"
