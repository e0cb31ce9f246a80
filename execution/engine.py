"""The durable engine: a narrow front over DBOS, so that it can be replaced.

A run's id is its workflow's id and a delivery's GUID is its workflow's id, so asking twice is asking once. On SQLite
one process owns the state directory, held by an exclusive lock; on PostgreSQL several share the work, each under a
name of its own, and what a dead one left is taken over when its lease has run out. The application version is pinned,
because a hash of the source would orphan every unfinished run at each upgrade.
"""

import asyncio
import fcntl
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context
from pathlib import Path
from typing import IO, Any, TypeVar

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, SetWorkflowID
from dbos import error as dbos_errors

from execution.artifacts import RESULT
from execution.flows import Deliver, Flows, register
from execution.leases import Leases, keep
from execution.result import RunResult
from execution.retention import forget_forever
from execution.runs import NO_FACTS, Run
from execution.stages.flow_correct import Asked, issue_correction
from execution.stages.flow_state import corrections
from execution.store import SQLITE_BUSY_TIMEOUT_MS
from execution.world import World
from governance.correction import Correction
from governance.states import RunOutcome, RunState

T = TypeVar("T")

APPLICATION_VERSION = "optr-1"
EXECUTOR = "optr"
RUNS_QUEUE = "optr-runs"
DELIVERIES_QUEUE = "optr-deliveries"
RUNS_AT_ONCE_MAX = 4
DELIVERIES_AT_ONCE_MAX = 8
# SQLite lets waiting writers sleep and try again in no order: of twenty, one in a hundred waited for seconds. A pool
# hands its connections on in turn.
SQLITE_CONNECTIONS_MAX = 2
QUEUE_POLL_SECONDS = 0.25  # each look costs some 4 ms of CPU, all day long
DELIVERY_ATTEMPTS_MAX = 100
STOP_GRACE_SECONDS = 5
PASSING_POLL_SECONDS = 0.1  # DBOS's listener ends at its next look, and a person waits for that
DONE_STATUS = "SUCCESS"
FAILED_STATUS = frozenset({"ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})


class EngineBusyError(RuntimeError):
    """Another process owns the state directory."""


class Engine:
    """Starts, cancels and awaits durable work.

    Args:
        world: the stages' dependencies.
        database_url: where DBOS keeps its journal, an SQLAlchemy URL.
        lock: file that one process holds exclusively; None for a database that several processes may share.
        leases: this process among those that share the database; None where there is only one.
        on_delivery: called once per webhook delivery, inside a durable step; None where none arrive, which is a process
            that lives for one run: there nothing is queued and nothing polled.
    """

    def __init__(
        self,
        world: World,
        database_url: str,
        lock: Path | None,
        on_delivery: Deliver | None,
        leases: Leases | None = None,
        keep_ms: int | None = None,
    ) -> None:
        self._world = world
        self._url = database_url
        self._lock_path = lock
        self._lock: IO[str] | None = None
        self._on_delivery = on_delivery
        self._leases = leases
        self._keep_ms = keep_ms
        self._beside: list[asyncio.Task[None]] = []
        self._flows: Flows | None = None
        self._started: dict[str, Any] = {}

    async def start(self) -> None:
        """Take the lock, register the workflows and resume what a crash left unfinished.

        Raises:
            EngineBusyError: another process holds the lock.
        """
        self._take_lock()
        quieten()
        config: DBOSConfig = {
            "name": "optr",
            "system_database_url": self._url,
            "application_version": APPLICATION_VERSION,
            "executor_id": self._leases.executor if self._leases else EXECUTOR,
            "log_level": "WARNING",
        }
        if self._on_delivery is None:
            config["system_database_engine"] = _passing_journal(self._url)
            config["notification_listener_polling_interval_sec"] = PASSING_POLL_SECONDS
        if self._url.startswith("sqlite"):
            config["sys_db_pool_size"] = SQLITE_CONNECTIONS_MAX
        if self._leases is not None:
            await asyncio.to_thread(self._leases.beat)  # before any work is ours, or another would take it from us
        DBOS(config=config)
        self._flows = register(self._world, self._on_delivery or _refuse)
        DBOS.launch()
        if self._on_delivery is None:
            return
        for name, limit in ((RUNS_QUEUE, RUNS_AT_ONCE_MAX), (DELIVERIES_QUEUE, DELIVERIES_AT_ONCE_MAX)):
            await DBOS.register_queue_async(
                name, worker_concurrency=limit, polling_interval_sec=QUEUE_POLL_SECONDS, on_conflict="always_update"
            )
        if self._leases is not None:
            self._beside.append(asyncio.create_task(keep(self._leases, asyncio.sleep)))
        if self._keep_ms is not None:
            forgetting = forget_forever(self._world, self._keep_ms, self._world.now_ms)
            self._beside.append(asyncio.create_task(forgetting))

    async def stop(self) -> None:
        """Stop taking work; what runs is interrupted, and resumed at the next start or by another process."""
        for task in self._beside:
            task.cancel()
        if self._beside:
            await asyncio.wait(self._beside)
        if self._flows is not None:
            logging.getLogger("dbos").setLevel(logging.ERROR)  # it warns of each interruption, which is what a stop is
            await self._flows.under_way.interrupt()
        # What the queues still hand out while they close is interrupted too, if it is given the time.
        grace = STOP_GRACE_SECONDS if self._on_delivery is not None else 0
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True, workflow_completion_timeout_sec=grace)
        if self._leases is not None:
            self._leases.release()  # not in a thread: DBOS took the loop's threads with it
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def submit(self, run: Run) -> None:
        """Store a run and start it; a run already known is left as it is."""
        self._world.store.add(run)
        if self._on_delivery is None:
            with SetWorkflowID(run.id):
                self._started[run.id] = await DBOS.start_workflow_async(self._ready.run, run.id)  # type: ignore[arg-type]
        else:
            await _outside(self._enqueue(run.id, RUNS_QUEUE, self._ready.run, run.id))

    async def deliver(self, guid: str, event: str, payload: bytes) -> bool:
        """Take a delivery durably; False when this GUID is known and its work is done."""
        # A delivery is a state, not a member of a seen-set: one whose handling failed for good is handled anew.
        for attempt in range(1, DELIVERY_ATTEMPTS_MAX + 1):
            identity = f"delivery-{guid}" if attempt == 1 else f"delivery-{guid}.{attempt}"
            status = await DBOS.get_workflow_status_async(identity)
            if status is None or status.status not in FAILED_STATUS:
                break
        if status is not None and status.status == DONE_STATUS:
            return False
        await self._enqueue(identity, DELIVERIES_QUEUE, self._ready.deliver, guid, event, payload)
        return True

    async def proceed(self, run_id: str) -> None:
        """Go on with a run that waited for a person; again is a no-op."""
        await _outside(self._enqueue(approved_id(run_id), RUNS_QUEUE, self._ready.run, run_id))

    async def cancel(self, run_id: str, by: str, facts: Mapping[str, str] = NO_FACTS) -> bool:
        """Stop a run and close it as cancelled; False when it was closed before.

        `facts` are further members of its closing line.
        """
        run = self._world.run(run_id)
        if run.state is RunState.CLOSED:
            return False
        later = [f"{run_id}.correction.{number}" for number in range(1, len(corrections(self._world, run_id)) + 1)]
        for identity in (run_id, approved_id(run_id), *later):
            if await DBOS.get_workflow_status_async(identity) is not None:
                await _outside(DBOS.cancel_workflow_async(identity, cancel_children=True))
        await self.conclude(run_id, RunOutcome.CANCELLED, by, facts)
        return True

    async def correct(self, run_id: str, asked: Asked) -> Correction:
        """Issue a correction and start carrying it out; asked again while that lasts, it is the same one.

        Raises:
            RunProblem: CORRECTION_REFUSED or CORRECTION_LIMIT; nothing was changed.
        """
        made = issue_correction(self._world, run_id, asked)
        await _outside(self._correct(run_id, made.number))
        return made

    async def _correct(self, run_id: str, number: int) -> None:
        identity = f"{run_id}.correction.{number}"
        if self._on_delivery is None:
            with SetWorkflowID(identity):
                self._started[run_id] = await DBOS.start_workflow_async(self._ready.correct, run_id, number)  # type: ignore[arg-type]
        else:
            await self._enqueue(identity, RUNS_QUEUE, self._ready.correct, run_id, number)

    async def conclude(self, run_id: str, outcome: RunOutcome, by: str, facts: Mapping[str, str]) -> None:
        """Close a run with its closing ledger line and final word; the first conclusion stands."""
        await _outside(self._conclude(run_id, outcome, by, dict(facts)))

    async def _conclude(self, run_id: str, outcome: RunOutcome, by: str, facts: dict[str, str]) -> None:
        with SetWorkflowID(f"{run_id}.close.{outcome}"):
            handle: Any = await DBOS.start_workflow_async(
                self._ready.close,  # type: ignore[arg-type]
                run_id,
                str(outcome),
                by,
                facts,
            )
        await handle.get_result(polling_interval_sec=QUEUE_POLL_SECONDS)

    async def _enqueue(self, identity: str, queue: str, flow: Callable[..., Any], *args: object) -> None:
        with SetWorkflowID(identity):
            await DBOS.enqueue_workflow_async(queue, flow, *args)

    async def wait(self, run_id: str) -> RunResult:
        """The account of a run once its workflow has ended, which for GitHub runs means: it is in review or closed."""
        handle: Any = self._started.get(run_id) or await DBOS.retrieve_workflow_async(run_id)
        await handle.get_result(polling_interval_sec=QUEUE_POLL_SECONDS)
        return self._world.store.load(run_id, RESULT, RunResult)

    async def get(self, run_id: str) -> Run | None:
        """A run's row."""
        return self._world.store.get(run_id)

    async def result(self, run_id: str) -> RunResult | None:
        """A run's account as last shown."""
        return self._world.store.find(run_id, RESULT, RunResult)

    async def runs_of_issue(self, repository: str, issue: int) -> list[Run]:
        """Runs of an issue, newest first."""
        return self._world.store.of_issue(repository, issue)

    async def open_runs_of(self, repository: str) -> list[Run]:
        """Runs of a repository that are not closed, newest first."""
        return [run for run in self._world.store.open_runs() if run.repository == repository]

    async def open_runs_through(self, installation: int) -> list[Run]:
        """Runs of every repository of an installation that are not closed, newest first."""
        return [run for run in self._world.store.open_runs() if run.installation == installation]

    async def runs_in_review(self, repository: str) -> list[Run]:
        """Runs of a repository whose pull request is open."""
        return [run for run in await self.open_runs_of(repository) if run.state is RunState.IN_REVIEW]

    async def run_of_pull_request(self, repository: str, number: int) -> Run | None:
        """The run that opened a pull request."""
        return self._world.store.of_pull_request(repository, number)

    @property
    def _ready(self) -> Flows:
        if self._flows is None:
            raise RuntimeError("the engine is not started")
        return self._flows

    def _take_lock(self) -> None:
        if self._lock_path is not None:
            self._lock = exclusive(self._lock_path)


def exclusive(path: Path) -> IO[str]:
    """The file that one process of a state directory holds; closing it gives it back.

    Raises:
        EngineBusyError: another process holds it.
    """
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise EngineBusyError(
            f"another OPTR process uses the state directory {path.parent}; stop it, give this one"
            " another directory with OPTR_STATE, or share a PostgreSQL database with OPTR_DATABASE_URL"
        ) from None
    return lock


def _passing_journal(url: str) -> sa.Engine:
    """DBOS's journal in an SQLite file that goes with its process: as DBOS sets it up, but no write waits for the disk.

    What must outlast the run, the ledger and its checkpoints, is not in it.
    """
    journal = sa.create_engine(url)

    @sa.event.listens_for(journal, "connect")
    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        for pragma in (f"busy_timeout={SQLITE_BUSY_TIMEOUT_MS}", "foreign_keys=ON", "synchronous=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    return journal


def approved_id(run_id: str) -> str:
    """The id under which a run goes on after a person let it."""
    return f"{run_id}.approved"


async def _refuse(guid: str, event: str, payload: bytes) -> None:
    del guid, event, payload
    raise RuntimeError("this process takes no webhook deliveries")


async def _outside(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` outside the step that may be running.

    A delivery's handler runs in a step, and DBOS rightly lets no step start workflows of its own; what a handler starts
    is not a part of its delivery but a new, independent thing under its own id, so starting it again changes nothing.
    """
    return await asyncio.get_running_loop().create_task(work, context=Context())


def quieten() -> None:
    """Let the engine log through ours: its warnings stay, start-up chatter and cancellations are no news."""
    log = logging.getLogger("dbos")
    log.setLevel(logging.WARNING)
    if not log.handlers:
        log.addHandler(logging.NullHandler())  # without any, DBOS gives itself one that writes in a form of its own
    log.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether somebody should read it; a workflow that ends because it was cancelled is no error."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, dbos_errors.DBOSAwaitedWorkflowCancelledError)
