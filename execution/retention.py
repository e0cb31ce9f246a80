"""Forgetting what the engine noted of work that ended long ago: its journal would grow for ever otherwise.

A run's own row, its account and the ledger stay: they answer questions about old runs. Whatever belongs to a run that
is not closed stays too, for its workflow may have ended long before a person merges. Nothing here is a step of a run;
it may be done twice, by two processes, at any time.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Callable

from dbos import DBOS

from execution.world import World
from governance.states import RunState

DELIVERY_FLOW = "optr.deliver"
PAGE = 200  # workflows looked at, and deleted, in one transaction
PAUSE_S = 6 * 60 * 60.0

_LOG = logging.getLogger(__name__)


async def forget(world: World, before_ms: int) -> int:
    """Delete the journal of deliveries and closed runs that ended before then (milliseconds since the epoch).

    Returns:
        How many workflows were deleted; their steps go with them.
    """
    before = dt.datetime.fromtimestamp(before_ms / 1000, dt.UTC).isoformat()
    forgotten = kept = 0
    while True:
        page = await DBOS.list_workflows_async(
            completed_before=before, limit=PAGE, offset=kept, load_input=False, load_output=False
        )
        over = [one.workflow_id for one in page if one.name == DELIVERY_FLOW or _is_over(world, one.workflow_id)]
        if over:
            await DBOS.delete_workflows_async(over)
        forgotten, kept = forgotten + len(over), kept + len(page) - len(over)
        if len(page) < PAGE:
            return forgotten


async def forget_forever(
    world: World, keep_ms: int, clock_ms: Callable[[], int], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Forget what is older than `keep_ms`, now and every PAUSE_S seconds, until cancelled."""
    while True:
        try:
            if forgotten := await forget(world, clock_ms() - keep_ms):
                _LOG.info("forgot %d workflows that ended long ago", forgotten)
        except Exception:  # noqa: BLE001 - a database that does not answer now is asked again later
            _LOG.exception("what ended long ago is not forgotten now")
        await sleep(PAUSE_S)


def _is_over(world: World, workflow: str) -> bool:
    """Whether the run that a workflow, or a branch of it, belongs to is closed; ids begin with the run's."""
    run = world.store.get(workflow.partition(".")[0])
    return run is None or run.state is RunState.CLOSED
