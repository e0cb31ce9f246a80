"""`/optr cancel`."""

from bot.admission import is_active
from bot.commands.declaration import Call, Command
from bot.permissions import Permission
from governance.states import RunOutcome

NOTHING_RUNS = "No run is open here, so there is nothing to cancel."


async def handle(call: Call) -> str:
    """Cancel the newest run. The answer follows from the run's state, so that a second delivery answers the same."""
    run = await call.newest_run()
    if run is None or (not is_active(run) and run.outcome is not RunOutcome.CANCELLED):
        return NOTHING_RUNS
    if is_active(run):
        await call.context.runs.cancel(run.id, call.sender)
        run = await call.newest_run() or run  # it may just have opened its pull request
    left = f" Pull request #{run.pull_request} stays open; close it if it is not wanted." if run.pull_request else ""
    return f"Run `{run.workflow}` is cancelled; what it did so far stays on the record.{left}"


COMMAND = Command(
    name="cancel",
    meaning="Stops the open run; its record is kept and says who stopped it.",
    example="/optr cancel",
    permission=Permission.WRITE,
    handle=handle,
)
