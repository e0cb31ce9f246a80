"""Someone labels an issue `optr-workflow`: the run begins."""

from collections.abc import Mapping

from bot import replies
from bot.admission import request_from_issue, start_run
from bot.names import LABEL
from bot.payloads import IssueLabeled
from bot.permissions import Permission
from bot.ports import Context
from bot.router import Delivery, Payload, Router

router = Router()


def is_ours(payload: Payload) -> bool:
    """Whether the label is ours, or cannot be read."""
    label = payload.get("label")
    name = label.get("name") if isinstance(label, Mapping) else None
    return not isinstance(name, str) or name.casefold() == LABEL


@router.on("issues", "labeled", people_only=True, wants=is_ours)
async def start(context: Context, delivery: Delivery) -> None:
    """Start a run for whoever may write here; the one who labels counts, not the one who wrote the issue."""
    event = delivery.read(IssueLabeled)
    if event.issue.pull_request is not None or not is_ours(delivery.body):
        return
    github = context.github(event.installation.id)
    repository, number, login = event.repository.full_name, event.issue.number, event.sender.login
    permission = await github.permission(repository, login)
    if not permission.allows(Permission.WRITE):
        text = replies.refusal(login, permission, Permission.WRITE, "Starting a run")
        await github.comment_once(repository, number, replies.refusal_marker(login), text)
        return
    if event.issue.state != "open":
        await github.comment_once(repository, number, f"closed-{delivery.guid}", replies.issue_is_closed())
        return
    request = request_from_issue(delivery.guid, event.repository, event.installation.id, event.sender, event.issue)
    admitted = await start_run(context, request)
    if admitted.started:
        await github.react(repository, issue=number, comment=None, content="eyes")
    elif not admitted.late:
        run = admitted.run
        marker = f"held-{delivery.guid}" if admitted.refused else replies.already_running_marker(run)
        await github.comment_once(repository, number, marker, replies.not_started(run, admitted.refused))
