"""`/optr pick`."""

from bot.commands.declaration import Argument, Call, Command, Place, one_name
from bot.intent import sanitise
from bot.permissions import Permission
from bot.render.words import code, name, sentence
from execution.problems import RunProblem

NOTHING_YET = "No run has been asked for here, so there is nothing to pick from."
SAY_WHY = "Say why in the same comment, in a line of its own; the reason is recorded too. Nothing was changed."


async def handle(call: Call) -> str:
    """Put another admissible candidate in the winner's place; who and why go on the ledger."""
    run = await call.newest_run()
    if run is None:
        return NOTHING_YET
    why = " ".join(sanitise(call.said).split())
    if not why:
        return SAY_WHY
    github, repository = call.context.github(call.installation), call.repository.full_name
    try:
        picked = await call.context.desk.pick(run, call.argument("agent"), call.sender, why)
    except RunProblem as problem:
        return f"Nothing was changed: {sentence(str(problem))}."
    number = (await call.context.runs.get(run.id) or run).pull_request
    told = f"Replaced by #{number}: {name(picked.by)} picked {name(picked.agent)}."
    await github.comment_once(repository, picked.replaces, f"picked-{picked.commit[:12]}", told)
    await github.close_pull_request(repository, picked.replaces)
    place = f"the winner's place of run `{code(run.workflow)}`: #{number}"
    return f"{name(picked.agent)} is in {place}. The ledger says who and why."


COMMAND = Command(
    name="pick",
    meaning="Overrides the selection with another admissible candidate; say why in a second line, both are recorded.",
    example="/optr pick claude",
    permission=Permission.WRITE,
    handle=handle,
    arguments=(Argument("agent", "AGENT", "whose candidate", one_name, Place.REQUIRED),),
)
