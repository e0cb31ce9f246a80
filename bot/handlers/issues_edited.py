"""The issue's text changes under a run.

What was asked is frozen when it is asked, so a run at work goes on with the text that it began with. A plan that still
waits for its approval is superseded: whoever approves it now would have read another text.
"""

from bot import replies
from bot.admission import is_active, request_from_issue, start_run
from bot.intent import intent_of
from bot.payloads import IssueEdited
from bot.permissions import Permission
from bot.ports import Context
from bot.router import Delivery, Router
from execution.runs import Run
from governance.codes import ReasonCode
from governance.states import RunOutcome, RunState

router = Router()


@router.on("issues", "edited")
async def note(context: Context, delivery: Delivery) -> None:
    """Supersede a plan that waits; tell that a run at work goes on. A run in review is nobody's surprise.

    Also when a bot edits: whoever approves reads what stands there now, not who wrote it.
    """
    event = delivery.read(IssueEdited)
    repository, issue = event.repository.full_name, event.issue
    if event.sender.login == context.own_login:
        return
    runs = await context.runs.runs_of_issue(repository, issue.number)
    if not runs or not {"title", "body"} & set(event.changes):
        return
    newest = runs[0]
    if intent_of(issue.title, issue.body or "").sha256 == newest.intent_sha256:
        return
    if newest.state is RunState.AWAITING_APPROVAL or newest.outcome is RunOutcome.SUPERSEDED:
        await _supersede(context, delivery, event, newest)
    elif is_active(newest) and not newest.pull_request:
        text = replies.text_is_frozen(newest)
        github = context.github(event.installation.id)
        await github.comment_once(repository, issue.number, f"edited-{newest.id}", text)


async def _supersede(context: Context, delivery: Delivery, event: IssueEdited, run: Run) -> None:
    """End the waiting run and, when the editor may, ask anew; a second delivery finds what the first one left."""
    github, repository, login = context.github(event.installation.id), event.repository.full_name, event.sender.login
    may_write = (await github.permission(repository, login)).allows(Permission.WRITE)
    facts = {"problem": replies.EDITED_WHILE_WAITING, "code": str(ReasonCode.RUN_SUPERSEDED)}
    await context.runs.conclude(run.id, RunOutcome.SUPERSEDED, login, facts)
    if may_write:
        await start_run(
            context,
            request_from_issue(delivery.guid, event.repository, event.installation.id, event.sender, event.issue),
        )
    text = replies.superseded(run, again=may_write)
    await github.comment_once(repository, event.issue.number, f"superseded-{run.id}", text)
