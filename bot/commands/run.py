"""`/optr run`."""

from dataclasses import replace

from bot import replies
from bot.admission import request_from_issue, start_run
from bot.commands.declaration import Argument, Call, Command, comma_names
from bot.permissions import Permission

ON_PULL_REQUEST = "`/optr run` belongs on an issue; on a pull request `/optr rerun` lets the agents compete again."


async def handle(call: Call) -> str:
    """Start a run with the issue's text as it stands in this event."""
    if call.issue.pull_request is not None:
        return ON_PULL_REQUEST
    if call.issue.state != "open":
        return replies.issue_is_closed()
    asked = request_from_issue(call.guid, call.repository, call.installation, call.account, call.issue)
    constraints = tuple(dict.fromkeys((*asked.constraints, *call.arguments.get("constraints", ()))))
    asked = replace(asked, agents=call.arguments.get("agents", ()), constraints=constraints)
    admitted = await start_run(call.context, asked)
    return "" if admitted.started else replies.not_started(admitted.run, admitted.refused)


COMMAND = Command(
    name="run",
    meaning="Starts a run on this issue with its present title and text, as the label does.",
    example="/optr run agents=codex,claude",
    permission=Permission.WRITE,
    handle=handle,
    arguments=(
        Argument("agents", "a,b", "the agents that compete, instead of those in `.github/optr.yml`", comma_names),
        Argument("constraints", "a,b", "further constraints for the intent", comma_names),
    ),
)
