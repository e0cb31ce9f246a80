"""`/optr resume`."""

from bot.admission import is_active
from bot.commands.declaration import Call, Command
from bot.permissions import Permission
from bot.render.words import code
from governance.states import RunState

NOTHING = "OPTR is not paused here, and no run stands still."


async def handle(call: Call) -> str:
    """Lift the repository's kill switch, and start the newest run again should nobody be working on it."""
    lifted = await call.context.brakes.resume(call.repository.full_name)
    told = ["OPTR is not paused in this repository any more; set the label, or `/optr run`."] if lifted else []
    run = await call.newest_run()
    held = await call.context.brakes.standing(call.installation, call.repository.full_name)
    if held:  # the operator's: nobody but the operator lifts it
        told.append(held)
    elif run is not None and is_active(run):
        await call.context.runs.submit(run)
        waits = run.state in {RunState.AWAITING_APPROVAL, RunState.IN_REVIEW}
        told.append(
            f"Run `{code(run.workflow)}` waits for a person ({str(run.state).replace('_', ' ')})."
            if waits
            else f"Run `{code(run.workflow)}` goes on from where it was."
        )
    return " ".join(told) or NOTHING


COMMAND = Command(
    name="resume",
    meaning="Lifts `/optr pause`, and lets a run that stands still go on from where it was.",
    example="/optr resume",
    permission=Permission.ADMIN,
    handle=handle,
)
