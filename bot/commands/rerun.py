"""`/optr rerun`."""

from bot import replies
from bot.admission import Request, start_run
from bot.commands.declaration import Argument, Call, Command, Place, comma_names, one_name
from bot.payloads import Account, Repository
from bot.permissions import Permission
from execution.runs import Run

NOTHING_YET = "There is no run here to repeat. `/optr run` starts one."


def request_again(
    guid: str, repository: Repository, requester: Account, run: Run, agents: tuple[str, ...] = ()
) -> Request:
    """Ask for what `run` was asked for, word for word; a changed issue is a matter for `/optr run`."""
    return Request(
        guid=guid,
        repository=repository,
        installation=run.installation,
        requester=requester.login,
        requester_id=requester.id,
        issue=run.issue,
        title=run.title,
        body=run.body,
        intent_sha256=run.intent_sha256,
        constraints=run.constraints,
        agents=agents or run.agents,
    )


async def handle(call: Call) -> str:
    """Start a new run with the newest run's intent; the old one's record stays as it is."""
    newest = await call.newest_run()
    if newest is None:
        return NOTHING_YET
    agents = call.arguments.get("agents") or call.arguments.get("agent", ())
    asked = request_again(call.guid, call.repository, call.account, newest, agents)
    admitted = await start_run(call.context, asked)
    return "" if admitted.started else replies.not_started(admitted.run, admitted.refused)


COMMAND = Command(
    name="rerun",
    meaning="Lets the agents compete again for the same request, word for word, once the last run has ended.",
    example="/optr rerun",
    permission=Permission.WRITE,
    handle=handle,
    arguments=(
        Argument("agent", "AGENT", "this agent alone tries again, in a run of its own", one_name, Place.OPTIONAL),
        Argument("agents", "a,b", "the agents that compete, instead of the last run's", comma_names),
    ),
)
