"""``LocalGitHub``: one local GitHub on its own thread, for tests of any package.

``from tests.github.server import LocalGitHub``; in pytest use the fixture ``local_github``.
"""

import asyncio
import base64
import itertools
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.github.check_records import CheckBook
from tests.github.client import RestClient, app_jwt, basic
from tests.github.emulator import Emulator
from tests.github.facade import application
from tests.github.git_store import GitStore, git_environment
from tests.github.identity import Identity
from tests.github.journal import Journal
from tests.github.judge import shared_judge
from tests.github.outbox import Outbox
from tests.github.wire import Json
from tests.github.world import World
from tools.node_setup import NodeMissingError, is_ready, node_program

START_TIMEOUT_SECONDS = 60
GIT_TIMEOUT_SECONDS = 60
_names = itertools.count(1)


@dataclass(frozen=True)
class User:
    """A human with a personal token."""

    login: str
    id: int
    token: str


@dataclass(frozen=True)
class App:
    """A registered App, with what its process needs to run."""

    id: int
    slug: str
    client_id: str
    bot_login: str
    private_key_pem: str
    webhook_secret: str | None


@dataclass(frozen=True)
class Repository:
    """A repository; ``head`` is the first commit, None when it is empty."""

    id: int
    node_id: str
    full_name: str
    head: str | None

    @property
    def owner(self) -> str:
        """Return the account's login."""
        return self.full_name.partition("/")[0]

    @property
    def name(self) -> str:
        """Return the repository's own name."""
        return self.full_name.partition("/")[2]


@dataclass(frozen=True)
class Installed:
    """An App on an account."""

    id: int
    app_id: int


def missing_parts() -> str | None:
    """Return why the local GitHub cannot start here, or None."""
    try:
        node_program()
    except NodeMissingError as error:
        return str(error)
    if not is_ready():
        return "the Node parts are not installed: run python -m tools.node_setup"
    return None if shutil.which("git") else "git is not installed"


def unique_name(prefix: str) -> str:
    """Return a name that no other test of this process uses."""
    return f"{prefix}-{next(_names)}"


class LocalGitHub:
    """Starts and stops one local GitHub; every method blocks and may be called from any thread."""

    def __init__(self) -> None:
        self.url = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopped: asyncio.Event | None = None
        self._root = Path(tempfile.mkdtemp(prefix="local-github-"))

    @property
    def git_url(self) -> str:
        """Return the base of clone URLs: ``{git_url}/{owner}/{name}.git``."""
        return self.url

    def start(self) -> "LocalGitHub":
        """Start the emulator and the facade; returns when both answer. Raises what failed."""
        ready: Future[str] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), name="local-github", daemon=True)
        self._thread.start()
        self.url = ready.result(START_TIMEOUT_SECONDS)
        return self

    def stop(self) -> None:
        """Stop everything and remove the repositories."""
        if self._loop is not None and self._stopped is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(START_TIMEOUT_SECONDS)
        shutil.rmtree(self._root, ignore_errors=True)

    async def _run(self, ready: "Future[str]") -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        emulator = Emulator()
        try:
            world = self._world(emulator)
            await world.outbox.start()
            runner = web.AppRunner(application(world), access_log=None, shutdown_timeout=0.5)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            world.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            await emulator.start(world.url)
        except Exception as error:  # noqa: BLE001 - whatever stopped the start belongs to the caller
            ready.set_exception(error)
            await emulator.stop()
            return
        ready.set_result(world.url)
        await self._stopped.wait()
        await world.outbox.stop()
        await runner.cleanup()
        await emulator.stop()

    def _world(self, emulator: Emulator) -> World:
        identity, journal, judge = Identity(), Journal(), shared_judge()
        outbox = Outbox(identity, judge, journal)
        return World("", emulator, identity, outbox, GitStore(self._root), judge, journal, CheckBook())

    def knob(self, knob_name: str, /, **values: Any) -> Any:
        """Turn a test knob and return its answer. Raises UnexpectedStatusError."""
        return RestClient(self.url).post(f"/_test/{knob_name}", values, status=200)

    def user(self, login: str, repository: Repository | None = None, role: str = "read") -> User:
        """Make (or find) a user with a fresh token, and give it a role on a repository."""
        made = User(**self.knob("users", login=login))
        if repository is not None and repository.owner != login:
            self.knob("collaborators", repository=repository.full_name, login=login, role=role)
        return made

    def as_user(self, login: str, repository: Repository | None = None, role: str = "read") -> RestClient:
        """Return a client that acts as a human."""
        return RestClient(self.url, f"token {self.user(login, repository, role).token}")

    def create_repository(
        self, owner: str, name: str, files: Mapping[str, bytes], *, private: bool = True
    ) -> Repository:
        """Make a repository whose first commit on ``main`` holds the files."""
        encoded = {path: base64.b64encode(data).decode() for path, data in files.items()}
        return Repository(**self.knob("repositories", owner=owner, name=name, files=encoded, private=private))

    def create_app(
        self,
        webhook_url: str | None,
        webhook_secret: str | None,
        permissions: Mapping[str, str],
        events: Sequence[str],
        name: str | None = None,
    ) -> App:
        """Register an App owned by ``app-owner``."""
        fields: Json = {
            "name": name or unique_name("app"),
            "owner": "app-owner",
            "webhook_url": webhook_url,
            "webhook_secret": webhook_secret,
            "permissions": dict(permissions),
            "events": list(events),
        }
        return App(**self.knob("apps", **fields))

    def install(self, app: App, repository: Repository | None = None, account: str | None = None) -> Installed:
        """Install an App on one repository, or on a whole account."""
        name = repository.full_name if repository is not None else None
        return Installed(**self.knob("installations", app_id=app.id, repository=name, account=account))

    def as_app(self, app: App) -> RestClient:
        """Return a client that signs as the App itself."""
        return RestClient(self.url, f"Bearer {app_jwt(app.id, app.private_key_pem)}")

    def as_installation(self, app: App, installed: Installed, **narrowed: Any) -> RestClient:
        """Return a client with a fresh installation token, narrowed by ``repositories`` or ``permissions``."""
        return RestClient(self.url, f"token {self.installation_token(app, installed, **narrowed)}")

    def installation_token(self, app: App, installed: Installed, **narrowed: Any) -> str:
        """Mint an installation token."""
        path = f"/app/installations/{installed.id}/access_tokens"
        return str(self.as_app(app).post(path, narrowed)["token"])

    def fault(self, effect: str, **rule: Any) -> int:
        """Make the next matching request fail; see tests/github/faults.py."""
        return int(self.knob("faults", effect=effect, **rule)["id"])

    def violations(self, repository: Repository | None = None) -> list[Json]:
        """Return what broke GitHub's description, in one repository or anywhere."""
        name = {"repository": repository.full_name} if repository is not None else {}
        return list(self.knob("violations", **name)["violations"])

    def written(self) -> list[Json]:
        """Take what Apps wrote for people since this was asked last: method, path, text."""
        return list(self.knob("written/take")["written"])

    def deliveries(self, repository: Repository | None = None, event: str | None = None) -> list[Json]:
        """Return webhook deliveries with payloads, oldest first."""
        return list(
            self.knob("webhooks", repository=repository.full_name if repository else None, event=event)["deliveries"]
        )

    def git(self, *arguments: str, token: str | None = None, cwd: Path | None = None) -> str:
        """Run stock git with a token sent as a header, and return its output. Raises CalledProcessError."""
        environment = git_environment() | {"GIT_TERMINAL_PROMPT": "0"}
        if token is not None:
            environment |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "http.extraHeader",
                "GIT_CONFIG_VALUE_0": f"Authorization: {basic(token)}",
            }
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_SECONDS,
        )
        return done.stdout.strip()
