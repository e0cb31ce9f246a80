"""A comment that begins a line with `/optr`."""

from collections.abc import Mapping

from bot import replies
from bot.commands.declaration import Call
from bot.commands.grammar import Invocation, Mistake, beside, mentions, parse_comment
from bot.commands.registry import COMMANDS
from bot.payloads import IssueCommented
from bot.permissions import Permission
from bot.ports import Context
from bot.router import Delivery, Payload, Router

router = Router()


def may_ask(payload: Payload) -> bool:
    """Whether the comment has our word anywhere, or cannot be read; what it means there, `obey` finds out."""
    comment = payload.get("comment")
    body = comment.get("body") if isinstance(comment, Mapping) else None
    return not isinstance(body, str) or mentions(body)


@router.on("issue_comment", "created", people_only=True, wants=may_ask)
async def obey(context: Context, delivery: Delivery) -> None:
    """Carry out the command; `created` only, so that an edit can never change what was asked."""
    event = delivery.read(IssueCommented)
    asked = None if _by_app(context, event) else parse_comment(event.comment.body, COMMANDS)
    if asked is None:
        return
    github = context.github(event.installation.id)
    repository, login = event.repository.full_name, event.sender.login
    permission = await github.permission(repository, login)
    if isinstance(asked, Mistake):
        await _answer(context, event, permission, "mistake", asked.text)
        return
    command = COMMANDS[asked.name]
    if not permission.allows(command.permission):
        text = replies.refusal(login, permission, command.permission, f"`{command.usage}`")
        await github.comment_once(repository, event.issue.number, replies.refusal_marker(login), text)
        return
    text = await command.handle(_call(context, delivery.guid, event, asked))
    if permission.allows(Permission.WRITE):
        await github.react(repository, issue=event.issue.number, comment=event.comment.id, content="eyes")
    if text:
        await _answer(context, event, permission, asked.name, text)


def _by_app(context: Context, event: IssueCommented) -> bool:
    """Whether an App wrote it, or somebody else than the sender: then nobody asked."""
    author = event.comment.user
    through = event.comment.performed_via_github_app
    return (
        author is None or author.login != event.sender.login or (through is not None and through.id == context.app_id)
    )


def _call(context: Context, guid: str, event: IssueCommented, asked: Invocation) -> Call:
    return Call(
        context=context,
        guid=guid,
        repository=event.repository,
        installation=event.installation.id,
        issue=event.issue,
        account=event.sender,
        arguments=asked.arguments,
        commands=COMMANDS,
        said=beside(event.comment.body),
        comment=event.comment.id,
    )


async def _answer(context: Context, event: IssueCommented, permission: Permission, about: str, text: str) -> None:
    """Answer each comment once; people from outside get one answer a command and issue, or they could flood it."""
    if permission.allows(Permission.WRITE):
        marker = f"answer-{event.comment.id}"
    else:
        marker = f"answer-{event.sender.login.lower()}-{about}"
    github = context.github(event.installation.id)
    await github.comment_once(event.repository.full_name, event.issue.number, marker, text)
