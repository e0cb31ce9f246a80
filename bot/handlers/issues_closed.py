"""The issue is closed: a run that has not yet opened its pull request is no longer wanted."""

from bot import replies
from bot.admission import is_active
from bot.payloads import IssueEvent
from bot.permissions import Permission
from bot.ports import Context, GitHub
from bot.router import Delivery, Router
from execution.runs import Run

router = Router()


@router.on("issues", "closed")
async def cancel(context: Context, delivery: Delivery) -> None:
    """Cancel the issue's run.

    A run with a pull request is left alone: merging `Closes #7` closes the issue too, and the pull request's own event
    says how the run ended. Whoever wrote the issue may close it, so their permission is asked for. A bot that may close
    issues was given that by an owner; GitHub knows no permission of bots to ask for.
    """
    event = delivery.read(IssueEvent)
    repository, number, login = event.repository.full_name, event.issue.number, event.sender.login
    if login == context.own_login:
        return
    async with context.lock(repository, number):  # a run that is being started now is seen once it is stored
        runs = await context.runs.runs_of_issue(repository, number)
    run = next((run for run in runs if is_active(run) and not run.pull_request), None)
    if run is None:
        return
    github = context.github(event.installation.id)
    if not await _may_close(github, event, run):
        text = replies.closing_needs_permission(login, run)
        await github.comment_once(repository, number, f"closing-{run.id}", text)
        return
    await context.runs.cancel(run.id, login)
    if (ended := await context.runs.get(run.id)) is not None and ended.pull_request:
        # It was being opened while the issue was closed: nobody has seen it yet, and nobody wants it.
        await github.close_pull_request(repository, ended.pull_request)


async def _may_close(github: GitHub, event: IssueEvent, run: Run) -> bool:
    sender = event.sender
    wrote = event.issue.user
    if sender.is_bot:
        return wrote is None or wrote.login != sender.login
    if run.is_requester(sender.login, sender.id):
        return True
    return (await github.permission(event.repository.full_name, sender.login)).allows(Permission.WRITE)
