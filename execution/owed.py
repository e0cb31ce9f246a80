"""Closing lines of runs whose repository is out of reach: kept here until it can be reached again.

Where the App was uninstalled GitHub refuses every call, so such a run ends without one. Its line has no place in the
ledger before it is appended: what is kept is the draft, and the ledger gives it its number when access comes back.
"""

from pydantic import BaseModel, ConfigDict

from execution.runs import Run
from execution.world import World
from governance.codes import ReasonCode
from ledger.entry import Draft
from ledger.errors import LedgerRefusedError

OWED = "owed"
REFUSED = "owed-refused"


class Owed(BaseModel):
    """A closing line that is not on its ledger; members as those of `ledger.entry.Draft`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    type: str
    workflow: str
    run: str
    actor: str
    timestamp: int
    body: dict[str, object]


def has_no_access(code: str) -> bool:
    """Whether a run ended with this code because its repository cannot be reached: nothing of it is asked of GitHub."""
    return code == ReasonCode.ACCESS_ENDED


def owe(world: World, run: Run, draft: Draft) -> None:
    """Keep a closing line, for a run that got as far as its base commit.

    Of an earlier one nothing is on a ledger, and a repository without a commit must not get its first branch from us.
    """
    if run.base_commit:
        body = dict(draft.body)
        kept = Owed(**{**{name: getattr(draft, name) for name in Owed.model_fields}, "body": body})
        world.store.put(run.id, OWED, kept)


def owing(world: World) -> list[Run]:
    """Runs whose closing line is kept here, newest first."""
    return world.store.runs_with(OWED)


async def pay(world: World, run: Run, installation: int) -> bool:
    """Append a kept line through the installation that reaches the repository now; tell whether it stands there.

    A line that the ledger refuses stays kept, under another name, and is not tried again. One that another process has
    paid meanwhile is left to it.

    Raises:
        LedgerError: not now.
        OSError: not now; what the forge raises otherwise goes through as well.
    """
    kept = world.store.find(run.id, OWED, Owed)
    if kept is None:
        return False
    draft = Draft(**kept.model_dump())
    refused = False
    try:
        await world.forge(run).append(run.model_copy(update={"installation": installation}), [draft], {})
    except LedgerRefusedError:
        refused = True
        world.store.put(run.id, REFUSED, kept)
    world.store.drop(run.id, OWED)
    return not refused
