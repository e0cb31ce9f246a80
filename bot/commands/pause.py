"""`/optr pause`."""

from bot.commands.declaration import Call, Command
from bot.permissions import Permission
from bot.render.words import name
from governance.states import RunState


async def handle(call: Call) -> str:
    """Set the repository's kill switch, and stop the runs that have not opened their pull request."""
    repository = call.repository.full_name
    pause = await call.context.brakes.pause(repository, call.sender)
    stopped = 0
    for run in await call.context.runs.open_runs_of(repository):
        if run.state is not RunState.IN_REVIEW:
            stopped += await call.context.runs.cancel(run.id, call.sender)
    return (
        f"OPTR is paused in this repository by {name(pause.by)}; {stopped} runs at work were cancelled. Pull requests "
        "in review stay. `/optr resume` lifts it."
    )


COMMAND = Command(
    name="pause",
    meaning="Kill switch of this repository: cancels the runs at work, and no run starts until it is lifted.",
    example="/optr pause",
    permission=Permission.ADMIN,
    handle=handle,
)
