"""`/optr correct`."""

import re

from bot.commands.declaration import Argument, Call, Command, Place
from bot.intent import sanitise
from bot.permissions import Permission
from bot.render.neutral import neutralise
from bot.render.words import code
from execution.problems import RunProblem
from execution.stages.flow_correct import Asked
from governance.correction import CorrectionType

NOTHING_HERE = "There is no run here to correct."
SAY_WHY = "Say why in the same comment, below the command; the agent is told, the record keeps it. Nothing was done."
ANSWER_CHARACTERS_MAX = 400

_NODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


async def handle(call: Call) -> str:
    """Have one node of a waiting workflow done again, with the rest of the comment as the reason."""
    run = await call.newest_run()
    if run is None:
        return NOTHING_HERE
    reason = sanitise(call.said).strip()
    if not reason:
        return SAY_WHY
    if held := await call.context.brakes.standing(call.installation, call.repository.full_name):
        return held
    kind = CorrectionType(call.argument("type")) if call.argument("type") else None
    asked = Asked(call.argument("node"), reason, call.sender, kind, request=call.guid)
    try:
        made = await call.context.runs.correct(run.id, asked)
    except RunProblem as problem:
        return f"Nothing was done: {neutralise(str(problem), ANSWER_CHARACTERS_MAX)} (`{code(problem.code)}`)"
    scope = ", ".join(f"`{code(node)}`" for node in made.scope)
    return f"Run `{code(run.workflow)}` does this again: {scope}. Everything else that had finished stays as it is."


def _node(value: str) -> tuple[str, ...]:
    if not _NODE.fullmatch(value):
        raise ValueError("the id of a node, as the run's comment lists it")
    return (value,)


def _kind(value: str) -> tuple[str, ...]:
    if value.upper() not in set(CorrectionType):
        raise ValueError("reissue, amendment or invalidation")
    return (value.upper(),)


COMMAND = Command(
    name="correct",
    meaning="Has one node of a workflow that waits for it done again; the rest of the comment says why.",
    example="/optr correct TEST",
    permission=Permission.WRITE,
    handle=handle,
    arguments=(
        Argument("node", "NODE", "the node to do again; what depends on it follows", _node, Place.REQUIRED),
        Argument("type", "TYPE", "reissue, amendment or invalidation; else as its report asks", _kind),
    ),
)
