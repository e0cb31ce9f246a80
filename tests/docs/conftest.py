"""The demo, run once as a newcomer would, for all tests that read what it left."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO_SECONDS_MAX = 300


@dataclass(frozen=True)
class Demo:
    """The kept repository, and what was printed."""

    repository: Path
    printed: str


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    kept = tmp_path_factory.mktemp("demo") / "kept"
    argv = [sys.executable, "-m", "bot.cli", "demo", "--keep", str(kept)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=DEMO_SECONDS_MAX)
    assert done.returncode == 0, done.stderr
    return Demo(kept, done.stdout)


@pytest.fixture(scope="session")
def jq() -> None:
    """GitHub's runners have it; a machine without it skips, CI fails."""
    if shutil.which("jq") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("needs jq, as GitHub's runners have it")
