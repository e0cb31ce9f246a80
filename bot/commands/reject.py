"""`/optr reject`."""

from bot.commands.declaration import Call, Command
from bot.permissions import Permission
from bot.render.words import code
from governance.codes import ReasonCode
from governance.states import RunOutcome, RunState

NOTHING_WAITS = "No run waits for an approval here. Closing the pull request unmerged rejects its run."


async def handle(call: Call) -> str:
    """End a run that waits for an approval; nothing was started."""
    run = await call.newest_run()
    if run is None or (run.state is not RunState.AWAITING_APPROVAL and run.code != ReasonCode.REFUSED_APPROVAL):
        return NOTHING_WAITS
    facts = {"problem": f"{call.sender} rejected the plan", "code": str(ReasonCode.REFUSED_APPROVAL)}
    await call.context.runs.conclude(run.id, RunOutcome.REFUSED, call.sender, facts)
    return f"The plan of run `{code(run.workflow)}` is rejected; no agent was started, and the record says so."


COMMAND = Command(
    name="reject",
    meaning="Rejects the plan of a run that waits for a person; the run ends, and its record says who said no.",
    example="/optr reject",
    permission=Permission.WRITE,
    handle=handle,
)
