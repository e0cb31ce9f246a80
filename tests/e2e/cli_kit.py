"""A repository of a person's own, and `optr` as that person types it."""

import os
import pty
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 240.0
IDENTITY = {
    "GIT_AUTHOR_NAME": "Maintainer",
    "GIT_AUTHOR_EMAIL": "maintainer@example.com",
    "GIT_COMMITTER_NAME": "Maintainer",
    "GIT_COMMITTER_EMAIL": "maintainer@example.com",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}
CODE = "def add(a, b):\n    return a - b\n"
TEST = (
    "import unittest\n\nfrom calc import add\n\n\nclass AddTest(unittest.TestCase):\n"
    "    def test_add(self):\n        self.assertEqual(add(2, 2), 4)\n"
)
CONFIG = """version: 1
agents: [mender, breaker]
checks:
  - id: tests
    run: python3 -m unittest -q
    proves: [tested]
"""
MENDER = "sed -i s/-/+/ calc.py"
BREAKER = "echo oops > note.txt"


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Bench:
    """One repository and the state directory of the one who works on it."""

    repo: Path
    state: Path

    def environ(self, **more: str) -> dict[str, str]:
        """A plain person's environment: no keys, no settings but these."""
        home = {"HOME": str(self.state), "OPTR_STATE": str(self.state), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        return {**home, **more}

    def optr(self, *argv: str, cwd: Path | None = None, **environ: str) -> Ran:
        """Run `optr`, in the repository if nothing else is said."""
        done = subprocess.run(
            [sys.executable, "-m", "bot.cli", *argv],
            cwd=cwd or self.repo,
            env=self.environ(PYTHONPATH=str(ROOT), **environ),
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def execute(self, workflow: str, *argv: str, cwd: Path | None = None, **environ: str) -> Ran:
        """`optr execute` with the words that it cannot do without."""
        return self.optr("execute", "--workflow", workflow, "--intent", "Mend add", *argv, cwd=cwd, **environ)

    def git(self, *argv: str) -> str:
        """Stock git in the repository."""
        return git(self.repo, *argv)

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").split()

    def agent(self, name: str, script: str) -> None:
        """Declare and commit one more `command` agent."""
        write(self.repo, {f".github/agents/{name}.agent.md": profile(name, script)})
        self.commit(f"Add {name}")

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)

    def line_types(self) -> list[str]:
        """Types of the ledger's lines, oldest first; empty without a ledger."""
        if "datalake" not in self.branches():
            return []
        return [
            subject.split()[-1]
            for subject in self.git("log", "--reverse", "--format=%s", "heads/datalake", "--").splitlines()
        ]

    def recorded(self, path: str) -> str:
        """One file under datalake/workflows/."""
        return self.git("show", f"refs/heads/datalake:datalake/workflows/{path}")


def git(directory: Path, *argv: str) -> str:
    """Stock git; fails with its words."""
    environ = {**os.environ, **IDENTITY}
    done = subprocess.run(["git", *argv], cwd=directory, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def profile(name: str, script: str) -> str:
    """An agent file without a model key."""
    return f"---\nname: {name}\ntype: command\ncommand: [sh, -c, {script!r}]\n---\n"


def write(repo: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_text(text, encoding="utf-8")


def make_bench(root: Path, files: Mapping[str, str] | None = None) -> Bench:
    """A small project with a bug, a failing test and two agents, of which one mends it."""
    repo = root / "thing"
    repo.mkdir(parents=True)
    git(repo, "init", "--quiet", "--initial-branch=main")
    agents = {
        ".github/agents/mender.agent.md": profile("mender", MENDER),
        ".github/agents/breaker.agent.md": profile("breaker", BREAKER),
    }
    project = {"calc.py": CODE, "tests/__init__.py": "", "tests/test_calc.py": TEST, "docs/page.md": "# Page\n"}
    write(repo, {".github/optr.yml": CONFIG, **agents, **project, **(files or {})})
    bench = Bench(repo, root / "state")
    bench.state.mkdir()
    bench.commit("Start")
    return bench


def on_terminal(argv: Sequence[str], environ: Mapping[str, str], cwd: Path, columns: int) -> tuple[int, str]:
    """Run a command whose standard output is a terminal; its status and all that the terminal got."""
    keeper, end = pty.openpty()
    process = subprocess.Popen(
        argv, cwd=cwd, env={**environ, "COLUMNS": str(columns)}, stdin=end, stdout=end, stderr=subprocess.DEVNULL
    )
    os.close(end)
    got = bytearray()
    while True:
        ready, _, _ = select.select([keeper], [], [], SECONDS_MAX)
        assert ready, "the command said nothing for too long"
        try:
            chunk = os.read(keeper, 65_536)
        except OSError:  # Linux says EIO when the other end is closed
            break
        if not chunk:
            break
        got += chunk
    os.close(keeper)
    return process.wait(SECONDS_MAX), got.decode()
