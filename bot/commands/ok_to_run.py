"""`/optr ok-to-run`."""

from bot.commands.declaration import Argument, Call, Command, Place, whole_commit
from bot.github.errors import Call as Asked
from bot.github.objects import PullRequestObject, read
from bot.permissions import Permission
from bot.render.words import code
from bot.trial_lines import Word

ON_ISSUE = "`/optr ok-to-run` belongs on a pull request; on an issue `/optr run` starts a run."
NOT_OPEN = "This pull request is not open, so nothing was run."
OURS = "This pull request is OPTR's own: its commit was verified before it was opened, and `optr/gate` stands on it."


def other_head(head: str) -> str:
    """Another commit than the head was named."""
    return (
        f"That is not this pull request's head, which is `{code(head)}` now, so nothing was run. "
        "Look at what it changes, then name it."
    )


async def handle(call: Call) -> str:
    """Try the head that was named, and no other; nothing of the pull request is run without this."""
    if call.issue.pull_request is None:
        return ON_ISSUE
    if await call.newest_run() is not None:
        return OURS
    repository, number = call.repository.full_name, call.issue.number
    found = await call.context.github(call.installation).pull_request(repository, number)
    pull = read(PullRequestObject, found, Asked("GET", f"/repos/{repository}/pulls/{number}"))
    held = await call.context.brakes.standing(call.installation, repository)
    return await call.context.desk.try_out(_word(call, pull), _obstacle(call, pull) or held)


def _obstacle(call: Call, pull: PullRequestObject) -> str:
    """Why this commit of this pull request is not run; an empty string when it is."""
    if pull.state != "open":
        return NOT_OPEN
    return other_head(pull.head.sha) if pull.head.sha != call.argument("sha") else ""


def _word(call: Call, pull: PullRequestObject) -> Word:
    return Word(
        installation=call.installation,
        repository=call.repository.full_name,
        pull_request=pull.number,
        base=pull.base.ref,
        head=call.argument("sha"),
        by=call.sender,
        account=call.account.id,
        comment=call.comment,
    )


COMMAND = Command(
    name="ok-to-run",
    meaning="Runs the base's checks on a pull request's head, a fork's too, with no secret and no network.",
    example="/optr ok-to-run 0123456789abcdef0123456789abcdef01234567",
    permission=Permission.WRITE,
    handle=handle,
    arguments=(
        Argument("sha", "SHA", "all 40 digits of the head that you have looked at", whole_commit, Place.REQUIRED),
    ),
)
