"""Looking after work that went wrong outside of its own workflow: what nobody works on any more is seen and ended.

Nothing here is a step of a run. Everything may be done twice, by two processes, in any order.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dbos import DBOS
from pydantic import BaseModel, ConfigDict

from execution.engine import FAILED_STATUS, approved_id
from execution.owed import owing, pay
from execution.runs import Run
from execution.stages.conclude import conclude, record_late
from execution.stages.publish import show
from execution.world import World
from governance.states import RunOutcome

DELIVERY_FLOW = "optr.deliver"
UNREACHED = "unreached"
_ENDED = "SUCCESS"
_CANCELLED = "CANCELLED"


class Working(StrEnum):
    """What the engine knows of a run's workflow."""

    UNKNOWN = "unknown"  # stored, never started
    UNDER_WAY = "under_way"
    ENDED = "ended"
    CANCELLED = "cancelled"
    BROKEN = "broken"  # it failed beyond its own repair


@dataclass(frozen=True)
class FailedDelivery:
    """A delivery whose handling failed for good.

    Attributes:
        guid, event, payload: as it came.
        attempts: how often its handling was begun.
        failed_ms: when it failed last, milliseconds since the epoch.
    """

    guid: str
    event: str
    payload: bytes
    attempts: int
    failed_ms: int


class Unreached(BaseModel):
    """Since when GitHub has refused a run's repository, milliseconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since_ms: int


class Upkeep:
    """The engine as whoever looks after it sees it.

    Args:
        world: the stages' dependencies.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    async def open_runs(self) -> list[Run]:
        """Every run that is not closed, newest first."""
        return self._world.store.open_runs()

    async def closed_since(self, since_ms: int, most: int) -> list[Run]:
        """Closed runs asked for since then, newest first."""
        return self._world.store.closed_since(since_ms, most)

    async def working(self, run_id: str) -> Working:
        """Whether anybody works on a run."""
        status = await DBOS.get_workflow_status_async(approved_id(run_id))
        status = status or await DBOS.get_workflow_status_async(run_id)
        if status is None:
            return Working.UNKNOWN
        if status.status == _ENDED:
            return Working.ENDED
        if status.status == _CANCELLED:
            return Working.CANCELLED
        return Working.BROKEN if status.status in FAILED_STATUS else Working.UNDER_WAY

    async def end(self, run_id: str, outcome: RunOutcome, facts: Mapping[str, str]) -> None:
        """Close a run that its own workflow did not close; the first conclusion stands.

        Raises:
            LedgerError: the closing line could not be written now.
        """
        await conclude(self._world, run_id, outcome, "optr", facts)
        await self.show(run_id)

    async def unreached(self, run_id: str, now_ms: int) -> int:
        """Since when the run's repository has been out of reach, milliseconds since the epoch; from now, when new."""
        if (known := self._world.store.find(run_id, UNREACHED, Unreached)) is not None:
            return known.since_ms
        self._world.store.put(run_id, UNREACHED, Unreached(since_ms=now_ms))
        return now_ms  # never read back: another process may find it within reach, and forget this, at any moment

    async def reached(self, run_id: str) -> None:
        """The run's repository can be reached."""
        if self._world.store.find(run_id, UNREACHED, Unreached) is not None:
            self._world.store.drop(run_id, UNREACHED)

    async def owing(self) -> list[Run]:
        """Runs whose closing line is kept here because their repository was out of reach."""
        return owing(self._world)

    async def pay(self, run: Run, installation: int) -> bool:
        """Append a kept line through that installation; False when the ledger refuses it, or another process did it.

        Raises:
            LedgerError: not now; what the forge raises goes through as well.
        """
        return await pay(self._world, run, installation)

    async def show(self, run_id: str) -> None:
        """Make record, check run and comment say what is so; costs no call when they do."""
        await record_late(self._world, run_id)
        await show(self._world, run_id)

    async def failed_deliveries(self, since_ms: int, most: int) -> list[FailedDelivery]:
        """Deliveries that came since then and could not be handled, oldest first."""
        since = dt.datetime.fromtimestamp(since_ms / 1000, dt.UTC).isoformat()
        found = await DBOS.list_workflows_async(
            name=DELIVERY_FLOW, status=sorted(FAILED_STATUS), start_time=since, limit=most, load_output=False
        )
        failed: dict[str, FailedDelivery] = {}
        for status in found:
            if status.input is None:
                continue
            guid, event, payload = status.input["args"]
            before = failed.pop(guid, None)
            attempts = before.attempts + 1 if before else 1
            failed[guid] = FailedDelivery(guid, event, payload, attempts, status.updated_at or 0)
        return list(failed.values())
