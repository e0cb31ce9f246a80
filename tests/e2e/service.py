"""The App as its operator runs it, a process of its own; and the repositories it serves, as people see them."""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from bot.demo.prepare import demo_issue, prepare_project
from tests.github.client import RestClient
from tests.github.server import App, Installed, LocalGitHub, Repository, unique_name

ROOT = Path(__file__).parents[2]
LABEL = "optr-workflow"
WAIT_SECONDS_MAX = 90.0
POLL_SECONDS = 0.1
# GitHub asks for a second between writes, the local one does not: the tests would mostly wait.
WRITE_INTERVAL_MS = "20"
# What the engine says when a run is cancelled, and when it takes up again what a kill interrupted.
USUAL = ("was cancelled during execution", "no longer owned by this execution", "Workflow already exists in queue")
# A model SDK's finished stream that the garbage collector meets in another thread; Python says so and goes on.
STREAM_LEFT = re.compile(
    r"Exception ignored in: <async_generator object \S+ at \S+>\n"
    r"Traceback.*?\nValueError: async generator already executing",
    re.DOTALL,
)
TROUBLE = frozenset({"warning", "error", "critical"})
RULES = """\
version: 1
agents: [{agents}]
checks:
  - {{id: tests, run: python3 -m unittest discover -s tests -t ., proves: [tested], timeout_s: 60}}
"""
PROFILE = """\
---
name: {name}
type: command
command: {command}
limits: {{wall_seconds: 120}}
---
Belongs to the tests.
"""

T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str | Callable[[], str], seconds: float = WAIT_SECONDS_MAX) -> T:
    """The first thing that `look` finds; fails with `what` when it finds nothing in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(POLL_SECONDS)
    pytest.fail(f"not within {seconds:.0f} s: {what if isinstance(what, str) else what()}")


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sample_files(directory: Path) -> dict[str, bytes]:
    """The sample project's files, by path."""
    project = prepare_project(directory / "sample")
    files = (path for path in project.rglob("*") if path.is_file() and ".git" not in path.relative_to(project).parts)
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in files}


def racing(files: Mapping[str, bytes], *agents: str, **commands: Sequence[str]) -> dict[str, bytes]:
    """`files` where `agents` race by default, with a profile for each of `commands`."""
    rules = {".github/optr.yml": RULES.format(agents=", ".join(agents)).encode()}
    profiles = {
        f".github/agents/{name}.agent.md": PROFILE.format(name=name, command=json.dumps(command)).encode()
        for name, command in commands.items()
    }
    return {**files, **rules, **profiles}


@dataclass
class Service:
    """One App and its process.

    Attributes:
        github, app: where it is registered, and as what.
        home: a directory for its key, state and log.
        environ: the whole environment of the process.
        port: where it listens.
        tolerated: log lines that hold one of these are expected: the test provoked them.
    """

    github: LocalGitHub
    app: App
    home: Path
    environ: dict[str, str]
    port: int
    tolerated: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    _checked: int = 0

    @classmethod
    def create(cls, github: LocalGitHub, home: Path, environ: Mapping[str, str]) -> "Service":
        """Register an App from app.yml and prepare its environment; nothing is started."""
        manifest = yaml.safe_load((ROOT / "app.yml").read_text(encoding="utf-8"))
        port, secret = free_port(), secrets.token_hex(32)
        hook = f"http://127.0.0.1:{port}/webhook"
        app = github.create_app(hook, secret, manifest["default_permissions"], manifest["default_events"])
        key = home / "app.pem"
        key.touch(mode=0o600)
        key.write_text(app.private_key_pem, encoding="utf-8")
        own = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "OPTR_GITHUB_API": github.url,
            "OPTR_GITHUB_URL": github.git_url,
            "OPTR_APP_ID": str(app.id),
            "OPTR_PRIVATE_KEY_FILE": str(key),
            "OPTR_WEBHOOK_SECRET": secret,
            "OPTR_STATE": str(home / "state"),
            "OPTR_PORT": str(port),
            "OPTR_WRITE_INTERVAL": WRITE_INTERVAL_MS,
        }
        return cls(github, app, home, {**own, **environ}, port)

    @property
    def log(self) -> Path:
        return self.home / "optr.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settle(self, files: Mapping[str, bytes]) -> "Place":
        """A private repository with those files, with the App installed."""
        repository = self.github.create_repository(unique_name("team"), "duration", files)
        return Place(self, self.github.install(self.app, repository), repository)

    def start(self, **more: str) -> None:
        """Start `optr serve` and wait until it is ready."""
        self.launch(**more)
        eventually(self.ready, lambda: f"the App is ready; its log:\n{self.tail()}", 60)

    def launch(self, **more: str) -> None:
        """Start `optr serve`."""
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "bot.cli", "serve"]
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**self.environ, **more}, stdout=log, stderr=log, start_new_session=True
            )

    def ready(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            pytest.fail(f"the App ended with {self.process.returncode}:\n{self.tail()}")
        return self.answers("/ready")

    def answers(self, path: str) -> bool:
        """Whether a GET of `path` is answered 200."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def await_death(self) -> None:
        """Wait until the process has killed itself at its crash point."""
        assert self.process is not None
        try:
            code = self.process.wait(WAIT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the crash point was not reached:\n{self.tail()}")
        assert code == -signal.SIGKILL, f"ended with {code}:\n{self.tail()}"

    def stop(self) -> None:
        """End it as an operator would."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(60) == 0, self.tail()

    def kill(self) -> None:
        """End it in any case."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-6000:] if self.log.exists() else ""

    def secrets(self) -> list[str]:
        """What must stand nowhere but in the process's own memory and key file."""
        names = ("OPTR_WEBHOOK_SECRET", "OPENAI_API_KEY", "ANTHROPIC_API_KEY")
        held = [self.environ[name] for name in names if name in self.environ]
        return [*held, *self.app.private_key_pem.splitlines()[1:3], "ghs_", "PRIVATE KEY"]

    def check_log(self) -> None:
        """Fail when what was logged since the last check tells of trouble that no test asked for, or holds a secret."""
        whole = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        told, self._checked = whole[self._checked :], len(whole)
        assert not [secret for secret in self.secrets() if secret in told], f"a secret is in {self.log}"
        trouble = [line for line in STREAM_LEFT.sub("", told).splitlines() if _is_trouble(line)]
        unexpected = [line for line in trouble if not any(words in line for words in (*USUAL, *self.tolerated))]
        assert not unexpected, "\n".join(unexpected)


def _is_trouble(line: str) -> bool:
    try:
        told = json.loads(line)
    except ValueError:
        return "Traceback" in line or "Error" in line
    return "traceback" in told or told.get("level") in TROUBLE


@dataclass
class Lake:
    """A fresh clone of a `datalake` branch."""

    path: Path

    def lines(self) -> list[dict[str, Any]]:
        """The ledger's lines; a test's ledger never fills its first segment."""
        text = (self.path / "datalake/ledger.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def types(self) -> list[str]:
        return [line["type"] for line in self.lines()]

    def workflow(self, name: str) -> Path:
        return self.path / "datalake/workflows" / name

    def verified(self) -> str:
        """What our verifier says, in a process of its own; fails when the ledger does not verify."""
        command = [sys.executable, "-m", "ledger", "verify", "--repo", str(self.path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "Ledger verified" in done.stdout
        return done.stdout


@dataclass
class Place:
    """One private repository where the App is installed."""

    service: Service
    installed: Installed
    repository: Repository
    _clients: dict[tuple[str, str], RestClient] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"/repos/{self.repository.full_name}"

    @property
    def base(self) -> str:
        """The first commit of `main`."""
        return self.repository.head or ""

    def human(self, login: str, role: str = "write") -> RestClient:
        """A person with that role here."""
        key = (login, role)
        if key not in self._clients:
            self._clients[key] = self.service.github.as_user(login, self.repository, role)
        return self._clients[key]

    @property
    def reader(self) -> RestClient:
        """Somebody who can only look."""
        return self.human("reader", "read")

    def open_issue(self, login: str = "ada") -> int:
        """The demonstration's issue."""
        title, body = demo_issue()
        return int(self.human(login).post(f"{self.path}/issues", {"title": title, "body": body})["number"])

    def label(self, issue: int, client: RestClient | None = None, name: str = LABEL) -> None:
        """Set the label; again takes it away first, because GitHub tells of changes only."""
        client, labels = client or self.human("ada"), f"{self.path}/issues/{issue}/labels"
        if name in {label["name"] for label in client.get(labels)}:
            client.delete(f"{labels}/{name}", status=200)
        client.post(labels, {"labels": [name]}, status=200)

    def ask(self, login: str = "ada") -> int:
        """Open the demonstration's issue and label it."""
        issue = self.open_issue(login)
        self.label(issue, self.human(login))
        return issue

    def say(self, issue: int, text: str, client: RestClient | None = None) -> int:
        """Comment; returns the comment's id."""
        answer = (client or self.human("ada")).post(f"{self.path}/issues/{issue}/comments", {"body": text})
        return int(answer["id"])

    def ours(self, issue: int) -> list[Any]:
        """The App's comments, oldest first."""
        found = self.reader.get(f"{self.path}/issues/{issue}/comments")
        return [comment for comment in found if comment["user"]["login"] == self.service.app.bot_login]

    def our_comment(self, issue: int, words: str | tuple[str, ...]) -> Any:
        """Our first comment that holds `words`, any of them, or None."""
        wanted = (words,) if isinstance(words, str) else words
        return next((c for c in self.ours(issue) if any(word in c["body"] for word in wanted)), None)

    def heard(self, issue: int, words: str | tuple[str, ...], seconds: float = WAIT_SECONDS_MAX) -> Any:
        """Our comment that holds `words`, any of them, once it is there."""

        def look() -> Any:
            return self.our_comment(issue, words)

        return eventually(look, lambda: f"{words!r} in {self.ours(issue)}\n{self.service.tail()}", seconds)

    def heard_all(self, issue: int, *words: str) -> Any:
        """Our comment that holds each of `words`, once it is there."""

        def look() -> Any:
            return next((c for c in self.ours(issue) if all(word in c["body"] for word in words)), None)

        return eventually(look, lambda: f"{words} in {self.ours(issue)}\n{self.service.tail()}")

    def checks(self, commit: str, name: str) -> list[Any]:
        found = self.reader.get(f"{self.path}/commits/{commit}/check-runs", filter="all")["check_runs"]
        return [check for check in found if check["name"] == name]

    def concluded(self, commit: str, name: str, conclusion: str) -> Any:
        """The check of that name on `commit`, once it has that conclusion."""

        def look() -> Any:
            return next((check for check in self.checks(commit, name) if check["conclusion"] == conclusion), None)

        return eventually(look, lambda: f"{name} {conclusion} in {self.checks(commit, name)}\n{self.service.tail()}")

    def at_work(self, commit: str, name: str) -> None:
        """Wait until the check of that name stands on `commit` and has not ended."""

        def look() -> bool:
            return any(check["status"] == "in_progress" for check in self.checks(commit, name))

        eventually(look, lambda: f"{name} at work in {self.checks(commit, name)}\n{self.service.tail()}")

    def pulls(self) -> list[Any]:
        return list(self.reader.get(f"{self.path}/pulls?state=all"))

    def opened(self, issue: int) -> Any:
        """The pull request of the issue's run, once the run waits for review."""
        word = self.heard(issue, ("waits for a human", "closed:"))["body"]
        assert "waits for a human" in word, word
        return next(pull for pull in self.pulls() if pull["head"]["ref"].startswith(f"optr/issue-{issue}"))

    def branches(self) -> set[str]:
        return {branch["name"] for branch in self.reader.get(f"{self.path}/branches")}

    def nothing_happened(self, issue: int) -> bool:
        """Whether the App has left no trace at all."""
        return (self.ours(issue), self.checks(self.base, "optr"), self.branches()) == ([], [], {"main"})

    def drained(self) -> None:
        """Wait until every webhook has been answered and a question asked after them is answered too."""
        self.service.github.knob("webhooks/drain")
        issue = self.open_issue("ada")
        self.say(issue, "/optr status")
        self.heard(issue, "No run has been asked for here")

    def clone(self, branch: str = "main", login: str = "reader") -> Path:
        """A fresh clone with stock git."""
        target = self.service.home / unique_name("clone")
        url = f"{self.service.github.git_url}/{self.repository.full_name}.git"
        self.service.github.git("clone", "--quiet", "--branch", branch, url, str(target), token=self._token(login))
        return target

    def push(self, branch: str, path: str, data: bytes, login: str) -> str:
        """Add a commit to a branch with stock git; returns it."""
        git, clone = self.service.github.git, self.clone(branch, login)
        (clone / path).write_bytes(data)
        person = ("-c", f"user.name={login}", "-c", f"user.email={login}@example.com")
        git(*person, "commit", "--quiet", "--all", "--message", "A change by hand", cwd=clone)
        git("push", "--quiet", "origin", branch, cwd=clone, token=self._token(login))
        return git("rev-parse", "HEAD", cwd=clone)

    def fork(self, login: str) -> "Place":
        """A fork of this repository under the account of somebody who can only look; the App is not in it."""
        made = self.human(login, "read").post(f"{self.path}/forks", {"name": unique_name("copy")}, status=202)
        copy = Repository(made["id"], made["node_id"], made["full_name"], self.repository.head)
        return Place(self.service, self.installed, copy)

    def lake(self) -> Lake:
        return Lake(self.clone("datalake"))

    def _token(self, login: str) -> str:
        role = "read" if login == "reader" else "write"
        return (self.human(login, role).authorization or "").removeprefix("token ")
