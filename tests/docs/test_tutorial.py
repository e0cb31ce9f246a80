"""The tutorial's commands, as they stand, on the repository that the demo left."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.conftest import Demo
from tests.docs.pages import ROOT, blocks

PLACE = "/tmp/optr-demo"


def test_every_command_of_the_tutorial_works(demo: Demo, tmp_path: Path) -> None:
    first, *steps = blocks(ROOT / "docs/tutorial.md", "sh")
    assert first == f"make demo KEEP={PLACE}\n"
    script = "".join(steps)
    assert PLACE in script
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    here = script.replace(PLACE, str(demo.repository))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", here],
        cwd=tmp_path,
        env={**environ, "GIT_PAGER": "cat"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout
    assert re.search(r"^\* main$", told, re.MULTILINE)
    assert "test_milliseconds.py" in told
    assert "Ledger verification failed at entry 2: hash mismatch" in done.stderr
    assert "status 20" in told
    assert told.count("Ledger verified") == 2
    said, measured = re.search(r'optr-selection\.json":"(\w{64})"\n(\w{64})  -', told).groups()
    assert said == measured
