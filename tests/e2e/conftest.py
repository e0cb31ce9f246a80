"""The App as its operator runs it: a process of its own, a local GitHub, a recorded model."""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from bot.demo.cassette import demo_cassettes
from bot.demo.prepare import prepare_project
from bot.demo.recorded import RecordedModel, recorded_model
from tests.github.client import RestClient
from tests.github.server import App, Installed, LocalGitHub, Repository, unique_name

ROOT = Path(__file__).parents[2]
WAIT_SECONDS_MAX = 90.0
POLL_SECONDS = 0.2

T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str, seconds: float = WAIT_SECONDS_MAX) -> T:
    """The first thing that `look` finds; fails with `what` when it finds nothing in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := look()) is not None and found is not False:
            return found
        time.sleep(POLL_SECONDS)
    pytest.fail(f"not within {seconds:.0f} s: {what}")


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def model() -> Iterator[RecordedModel]:
    """The recorded model, in a thread."""
    ready: list[Any] = []
    started, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with recorded_model(demo_cassettes()) as served:
            ready.append(served)
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(10)
    yield ready[0]
    stop.set()
    thread.join(10)


@dataclass
class Place:
    """One App on one private repository."""

    github: LocalGitHub
    app: App
    installed: Installed
    repository: Repository
    environ: dict[str, str]
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def path(self) -> str:
        return f"/repos/{self.repository.full_name}"

    def start(self, **more: str) -> None:
        """Start `optr serve` and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bot.cli", "serve"],
                cwd=ROOT,
                env={**self.environ, **more},
                stdout=log,
                stderr=log,
            )
        eventually(self.ready, f"the App is ready; its log:\n{self.tail()}", 60)

    def ready(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            pytest.fail(f"the App ended with {self.process.returncode}:\n{self.tail()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """End it as an operator would."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(60) == 0, self.tail()

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-6000:] if self.log.exists() else ""

    def human(self, login: str, role: str = "write") -> RestClient:
        """A person with that role here."""
        return self.github.as_user(login, self.repository, role)

    def comments(self, issue: int) -> list[Any]:
        reader = self.human("reader", "read")
        return list(reader.get(f"{self.path}/issues/{issue}/comments"))

    def checks(self, commit: str, name: str) -> list[Any]:
        reader = self.human("reader", "read")
        found = reader.get(f"{self.path}/commits/{commit}/check-runs")["check_runs"]
        return [check for check in found if check["name"] == name]

    def pulls(self) -> list[Any]:
        return list(self.human("reader", "read").get(f"{self.path}/pulls?state=all"))

    def clone(self, target: Path, branch: str = "main") -> Path:
        """A clone with stock git, as a reader."""
        token = self.github.user("reader", self.repository, "read").token
        url = f"{self.github.git_url}/{self.repository.full_name}.git"
        self.github.git("clone", "--quiet", "--branch", branch, url, str(target), token=token)
        return target


def sample_files(tmp_path: Path) -> dict[str, bytes]:
    """The sample project's files, by path."""
    project = prepare_project(tmp_path / "sample")
    files = (path for path in project.rglob("*") if path.is_file() and ".git" not in path.relative_to(project).parts)
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def place(local_github: LocalGitHub, model: RecordedModel, tmp_path: Path) -> Iterator[Place]:
    """An App, created and installed on a private repository that holds the sample project; not started."""
    manifest = yaml.safe_load((ROOT / "app.yml").read_text(encoding="utf-8"))
    port, secret = free_port(), secrets.token_hex(32)
    app = local_github.create_app(
        f"http://127.0.0.1:{port}/webhook", secret, manifest["default_permissions"], manifest["default_events"]
    )
    repository = local_github.create_repository(unique_name("team"), "duration", sample_files(tmp_path))
    installed = local_github.install(app, repository)
    key = tmp_path / "app.pem"
    key.touch(mode=0o600)
    key.write_text(app.private_key_pem, encoding="utf-8")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "OPTR_GITHUB_API": local_github.url,
        "OPTR_GITHUB_URL": local_github.git_url,
        "OPTR_APP_ID": str(app.id),
        "OPTR_PRIVATE_KEY_FILE": str(key),
        "OPTR_WEBHOOK_SECRET": secret,
        "OPTR_STATE": str(tmp_path / "state"),
        "OPTR_PORT": str(port),
        **model.environ,
    }
    made = Place(local_github, app, installed, repository, environ, port, tmp_path / "optr.log")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()
