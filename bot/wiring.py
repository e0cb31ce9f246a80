"""The App put together: one place where settings become objects."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from bot.afterwards import Afterwards, Chore
from bot.anchors import Anchors
from bot.brakes import Brakes
from bot.cosigning import TURNS, Cosigning, asked_policy
from bot.desk import RecordDesk
from bot.endpoints import LOCK_FILE, MILLISECONDS, engine_url, github_settings, state_url
from bot.errors import OptrError
from bot.forge import GitHubForge
from bot.gate_check import GitHubGate
from bot.github.checks import CheckRuns
from bot.github.comments import Comments
from bot.github.copilot import CopilotGitHub
from bot.github.git import GitRemote
from bot.github.hooks import AppHooks
from bot.github.installations import Installations
from bot.github.survey import Survey
from bot.github.view import InstallationView
from bot.handlers import all_handlers
from bot.human_reviews import HumanReviews
from bot.ledgers import Ledgers
from bot.metrics import Metrics
from bot.models_file import operator_registry
from bot.ports import Context
from bot.reading import books_to_read
from bot.reconcile.loop import Reconciler, Sides
from bot.reconcile.runs import RunKeeper
from bot.router import Dispatcher
from bot.sandboxes import operator_sandbox, remedy
from bot.scratch import scratch_of
from bot.server import Deps
from bot.settings import Settings
from bot.settings_table import Anchoring
from bot.standing import require_last_state
from bot.trials import Trials
from execution.agents.build import ModelAccess
from execution.engine import Engine
from execution.leases import Leases
from execution.prepared_cache import open_cache
from execution.sandbox import SandboxError
from execution.spending import DAY_MS
from execution.store import Store, StoredCheckpoints
from execution.turns import Turns
from execution.upkeep import Upkeep
from execution.whose import working_for
from execution.world import World

START = "start"  # whose tokens those of the first look are
TURNS_DIRECTORY = "turns"


@asynccontextmanager
async def assemble(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Deps]:
    """Everything the server needs, closed at the end.

    Raises:
        OptrError: no sandbox works here, or the witnesses' policy cannot be used.
        AppKeyError: the private key cannot sign.
    """
    store = Store(state_url(settings))
    try:
        async with _scratch(settings.state) as scratch, aiohttp.ClientSession() as session:
            router = all_handlers()
            metrics = Metrics(router.subscriptions())
            metrics.watch(store, lambda: int(time.time() * MILLISECONDS))
            app = App(settings, environ, session, store, scratch, metrics)
            yield Deps(engine=app, wants=router.wants, metrics=metrics, key_terms=app.key_terms)
    finally:
        store.close()


class App:
    """The engine's life with everything it needs of GitHub (`bot.ports.Intake`)."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        session: aiohttp.ClientSession,
        store: Store,
        scratch: Path,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._settings = settings
        self._environ = environ
        self._store = store
        self._scratch = scratch
        self._installations = Installations(
            session, github_settings(settings), time.time, asyncio.sleep, metrics.called
        )
        self._remote = remote = GitRemote(
            settings.state,
            settings.github_url,
            self._installations.git_token,
            settings.github_timeout_ms / MILLISECONDS,
        )
        self._ledgers = ledgers = Ledgers(settings.state, remote, StoredCheckpoints(store))
        self._checks = checks = CheckRuns(str(settings.app_id), time.time)
        self._comments = Comments(self._installations.login)
        self._afterwards = Afterwards(self._chores(), self._installations.revoke)
        ledgers.appended = self._afterwards.published
        people = HumanReviews(store, ledgers, time.time)
        self._gate = GitHubGate(self._installations, remote, ledgers, checks, people)
        self._forge = GitHubForge(self._installations, remote, ledgers, self._gate, checks, self._comments)
        self._anchors = Anchors(self._installations, remote, ledgers, time.time)
        self._engine: Engine | None = None
        self.key_terms = ledgers.terms
        self._dispatcher: Dispatcher | None = None
        self._background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Probe the sandbox, ask GitHub who we are, then resume and take work.

        Raises:
            OptrError: no sandbox works here.
            SetupProblem: the operator's models file is wrong.
            GitHubError: GitHub does not know this App, or cannot be reached.
            EngineBusyError: another process uses the state directory.
            StateIsNotTheLastError: the state is older than the ledgers, or has not their keys.
        """
        try:
            sandbox = await operator_sandbox(self._environ)
        except SandboxError as error:
            raise OptrError("no sandbox works here", why=str(error), remedy=remedy(self._environ)) from None
        copilot = CopilotGitHub(self._installations)
        world = World(
            store=self._store,
            forge=lambda _run: self._forge,
            sandbox=sandbox,
            access=ModelAccess(
                environ=self._environ,
                registry=operator_registry(self._environ),
                copilot_token=copilot.token,
                history=copilot.history,
            ),
            scratch=self._scratch,
            prepared=lambda: open_cache(self._settings.state, time.time()),
            clock=time.time,
            turns=Turns(self._settings.state / TURNS_DIRECTORY),
            observer=self._metrics,
        )
        lock = None if self._settings.database_url else self._settings.state / LOCK_FILE
        engine = Engine(
            world,
            engine_url(self._settings),
            lock,
            self._on_delivery,
            _leases(self._settings, self._store),
            keep_ms=self._settings.keep_days * DAY_MS,
        )
        context = Context(
            runs=engine,
            github=lambda number: InstallationView(self._installations, self._comments, number),
            gate=self._gate,
            desk=RecordDesk(world, self._ledgers, self._trials(world)),
            brakes=Brakes(self._store, self._settings.state, self._settings.runs_of_person, world.now_ms),
            own_login=await self._installations.login(),
            app_id=self._settings.app_id,
            clock_ms=world.now_ms,
        )
        self._dispatcher = Dispatcher(all_handlers(), context)
        await self._require_last_state()
        await engine.start()
        self._engine = engine
        reconciler = self._reconciler(context, engine, Upkeep(world))
        self._background = [asyncio.create_task(one.forever()) for one in (reconciler, self._afterwards)]

    def _chores(self) -> list[Chore]:
        """What is owed to a ledger that has grown.

        Raises:
            OptrError: the witnesses' policy cannot be used.
        """
        chores: list[Chore] = []
        if self._settings.witness_policy is not None:
            policy = asked_policy(self._settings.witness_policy)
            turns = Turns(self._settings.state / TURNS)
            cosigning = Cosigning(policy, self._ledgers, self._remote, self._metrics.witnessed, turns)
            self._metrics.watch_witnesses(lambda: cosigning.behind)
            chores.append(cosigning)
        return chores

    def _trials(self, world: World) -> Trials:
        return Trials(world, self._installations, self._remote, self._checks, self._ledgers)

    async def _require_last_state(self) -> None:
        books, known = books_to_read(self._settings, self._installations, StoredCheckpoints(self._store))
        try:
            with working_for(START):
                await require_last_state(books, known)
        finally:
            await self._installations.revoke(START)

    def _reconciler(self, context: Context, engine: Engine, upkeep: Upkeep) -> Reconciler:
        survey = Survey(self._installations)
        sides = Sides(
            survey=survey,
            hooks=AppHooks(self._installations.app),
            inbox=upkeep,
            taker=engine,
            keeper=RunKeeper(context, upkeep, survey),
            handles=all_handlers().handles,
            anchor=self._anchors.keep if self._settings.anchors is Anchoring.ON else None,
            look_at=self._afterwards.published,
        )
        return Reconciler(context, sides, self._settings.reconcile_ms / MILLISECONDS)

    async def stop(self) -> None:
        """Stop the engine and give back every token; unfinished work is resumed at the next start."""
        for task in self._background:
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)
        if self._engine is not None:
            await self._engine.stop()
        await self._installations.revoke()

    async def deliver(self, guid: str, event: str, payload: bytes) -> bool:
        """Store a delivery durably; False when it is known and finished."""
        if self._engine is None:
            raise RuntimeError("the engine is not started")
        return await self._engine.deliver(guid, event, payload)

    async def _on_delivery(self, guid: str, event: str, payload: bytes) -> None:
        if self._dispatcher is None:
            raise RuntimeError("a delivery was handed over before the App was ready")
        await self._dispatcher.on_delivery(guid, event, payload)


@asynccontextmanager
async def _scratch(state: Path) -> AsyncIterator[Path]:
    with scratch_of(state) as made:
        yield made


def _leases(settings: Settings, store: Store) -> Leases | None:
    """This boot among the processes of a shared database; alone on SQLite."""
    if settings.database_url is None:
        return None
    place = f"{socket.gethostname()}:{os.getpid()}"
    return Leases(store, f"optr-{secrets.token_hex(8)}", place, settings.lease_ms / MILLISECONDS)
