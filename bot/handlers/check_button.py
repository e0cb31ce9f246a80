"""Someone presses a button under a run's check."""

from bot import replies
from bot.buttons import pressed
from bot.commands.declaration import Call
from bot.commands.registry import COMMANDS
from bot.handlers.check_run import run_of
from bot.names import CHECK_RUN
from bot.payloads import CheckRunAction, Issue
from bot.ports import Context
from bot.router import Delivery, Router
from execution.runs import Run

router = Router()


@router.on("check_run", "requested_action", people_only=True)
async def press(context: Context, delivery: Delivery) -> None:
    """Do what the command of the same name does, for the run that the button is bound to."""
    event = delivery.read(CheckRunAction)
    check = event.check_run
    if check.app is None or check.app.id != context.app_id or check.name != CHECK_RUN:
        return
    run = await run_of(context, event)
    if run is None:
        return
    github, repository = context.github(event.installation.id), event.repository.full_name
    verb = pressed(event.requested_action.identifier, run.id, run.state, run.outcome)
    if verb is None:
        await github.comment_once(repository, run.issue, f"button-{delivery.guid}", replies.button_is_over(run))
        return
    login, command = event.sender.login, COMMANDS[verb]
    permission = await github.permission(repository, login)
    if not permission.allows(command.permission):
        text = replies.refusal(login, permission, command.permission, f"`{command.usage}`")
        await github.comment_once(repository, run.issue, replies.refusal_marker(login), text)
        return
    if text := await command.handle(_call(context, delivery, event, run)):
        await github.comment_once(repository, run.issue, f"button-{delivery.guid}", text)


def _call(context: Context, delivery: Delivery, event: CheckRunAction, run: Run) -> Call:
    return Call(
        context=context,
        guid=delivery.guid,
        repository=event.repository,
        installation=event.installation.id,
        issue=Issue(number=run.issue, title=run.title, body=run.body),
        account=event.sender,
        arguments={},
        commands=COMMANDS,
        bound=run,
    )
