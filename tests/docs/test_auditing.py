"""The auditor's page: every command in it, as it stands, on the repository that the demo left."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.conftest import Demo
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "auditing.md"
REMOTE = "https://github.com/OWNER/REPOSITORY.git"


def _follow(script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(directory)}
    argv = ["bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def steps(demo: Demo) -> list[str]:
    found = blocks(PAGE, "sh")
    assert sum(step.count(REMOTE) for step in found) == 1
    return [step.replace(REMOTE, str(demo.repository)) for step in found]


def test_every_command_of_the_page_works(steps: list[str], tmp_path: Path) -> None:
    done = _follow("".join(steps), tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\d+ lines, \d+ files, root [0-9a-f]{64}$", done.stdout, re.MULTILINE)
    assert "Signature Verified Successfully" in done.stdout
    assert done.stdout.count("Ledger verified") == 2
    assert "As stored" in done.stdout
    assert "gitCommit" in done.stdout


@pytest.mark.parametrize(
    ("damage", "step"),
    [
        ("sed -i '0,/codex/s//coder/' record/datalake/ledger.jsonl\n", 1),
        ("sed -i '$d' record/datalake/ledger.jsonl\n", 1),
        ("echo >> record/datalake/workflows/*/plan.md\n", 1),
        ("touch record/datalake/workflows/more\n", 1),
        ("sed -i '3{s/^A/B/;t;s/./A/}' record/datalake/checkpoint\n", 2),
    ],
)
def test_its_steps_find_what_was_changed(steps: list[str], tmp_path: Path, damage: str, step: int) -> None:
    assert _follow(steps[0] + damage + "".join(steps[1 : step + 1]), tmp_path).returncode != 0


def test_what_cannot_be_run_here_is_said() -> None:
    assert len(blocks(PAGE, "go")) == 1
    assert "**Not run by our tests**" in PAGE.read_text("utf-8")
