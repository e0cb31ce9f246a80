"""Someone presses "Re-run" on one of our checks. GitHub resets nothing by itself."""

from bot import replies
from bot.admission import start_run
from bot.commands.rerun import request_again
from bot.gate_check import run_of_check
from bot.names import CHECK_GATE, CHECK_RUN
from bot.payloads import CheckRunEvent
from bot.permissions import Permission
from bot.ports import Context
from bot.router import Delivery, Router
from execution.runs import Run

router = Router()


@router.on("check_run", "rerequested", people_only=True)
async def again(context: Context, delivery: Delivery) -> None:
    """The gate judges again for anybody; a new run takes write permission, as the label does."""
    event = delivery.read(CheckRunEvent)
    check = event.check_run
    if check.app is None or check.app.id != context.app_id:
        return
    if check.name == CHECK_GATE:
        await _judge(context, event)
    elif check.name == CHECK_RUN and (run := await run_of(context, event)) is not None:
        await _rerun(context, delivery, event, run)


async def _judge(context: Context, event: CheckRunEvent) -> None:
    repository = event.repository.full_name
    numbers = [link.number for link in event.check_run.pull_requests]
    if not numbers and (run := await run_of(context, event)) is not None and run.pull_request:
        numbers = [run.pull_request]  # GitHub names no pull request when the head is in a fork
    for number in numbers:
        run = await context.runs.run_of_pull_request(repository, number)
        if run is not None:
            pull_request = await context.github(event.installation.id).pull_request(repository, number)
            await context.gate.evaluate(run, pull_request)


async def _rerun(context: Context, delivery: Delivery, event: CheckRunEvent, run: Run) -> None:
    github = context.github(event.installation.id)
    repository, login = event.repository.full_name, event.sender.login
    permission = await github.permission(repository, login)
    if not permission.allows(Permission.WRITE):
        text = replies.refusal(login, permission, Permission.WRITE, "Running the agents again")
        await github.comment_once(repository, run.issue, replies.refusal_marker(login), text)
        return
    admitted = await start_run(context, request_again(delivery.guid, event.repository, event.sender, run))
    if not admitted.started:
        text = replies.not_started(admitted.run, admitted.refused)
        marker = f"held-{delivery.guid}" if admitted.refused else replies.already_running_marker(admitted.run)
        await github.comment_once(repository, run.issue, marker, text)


async def run_of(context: Context, event: CheckRunEvent) -> Run | None:
    """The run that a check speaks for; a run of another repository does not count, whatever the id says."""
    run = await context.runs.get(run_of_check(event.check_run.external_id or ""))
    return run if run is not None and run.repository == event.repository.full_name else None
