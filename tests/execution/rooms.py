"""Real git repositories, real scratch directories and real sandboxes for the clean room's tests."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from execution.ports import Sandbox
from execution.records import Command, CommandLimits, CommandResult
from execution.sandbox import SandboxError
from execution.sandbox.bubblewrap import Bubblewrap
from execution.sandbox.disposal import dispose
from execution.sandbox.identity import hand_over
from execution.sandbox.landlock import Landlock
from execution.sandbox.probe import probe

_GIT_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "base",
    "GIT_AUTHOR_EMAIL": "base@localhost",
    "GIT_COMMITTER_NAME": "base",
    "GIT_COMMITTER_EMAIL": "base@localhost",
}


@dataclass(frozen=True)
class Origin:
    """A repository with a work tree, as a maintainer has it."""

    tree: Path

    @property
    def git_dir(self) -> Path:
        return self.tree / ".git"

    def git(self, *args: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *args], cwd=self.tree, env=_GIT_ENV, input=stdin, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def commit(self, files: Mapping[str, str | bytes]) -> str:
        """Write files, commit everything, return the commit's id."""
        for name, content in files.items():
            path = self.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", "base")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory that the sandbox's uid can walk down to, which pytest's own are not."""
    root = Path(tempfile.mkdtemp(prefix="optr-test-"))
    root.chmod(0o711)
    yield root
    dispose(root)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin(tmp_path / "origin")
    made.tree.mkdir()
    made.git("init", "--quiet", "--initial-branch=main")
    return made


@pytest.fixture(scope="session", params=["bubblewrap", "landlock"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Each backend that works here; in CI one that does not is a failure."""
    made: Sandbox = Bubblewrap() if request.param == "bubblewrap" else Landlock()
    try:
        asyncio.run(probe(made))
    except SandboxError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{request.param} must work in CI: {error}")
        pytest.skip(f"{request.param} does not work on this machine: {error}")
    return made


@pytest.fixture
def room(scratch: Path) -> Path:
    """An empty workspace that belongs to the sandbox."""
    made = scratch / "room"
    made.mkdir()
    hand_over(made)
    return made


def sh(sandbox: Sandbox, room: Path, script: str, **limits: float) -> CommandResult:
    """Run a shell script in the sandbox."""
    command = Command(argv=("sh", "-c", script), workspace=room, limits=CommandLimits.model_validate(limits))
    return asyncio.run(sandbox.run(command))


def py(sandbox: Sandbox, room: Path, code: str, **limits: float) -> CommandResult:
    """Run Python code in the sandbox."""
    limits_record = CommandLimits.model_validate(limits)
    command = Command(argv=("python3", "-c", code), workspace=room, limits=limits_record)
    return asyncio.run(sandbox.run(command))
