"""`/optr verify`."""

from bot.commands.declaration import Call, Command
from bot.permissions import Permission
from bot.render.words import code, sentence

NOTHING_YET = "No run has been asked for here, so there is no record to verify."


async def handle(call: Call) -> str:
    """Fetch the ledger, verify it from its first line, and compare what it says of the newest run with our state."""
    run = await call.newest_run()
    if run is None:
        return NOTHING_YET
    found = await call.context.desk.verify(run)
    if found.problem is not None:
        return f"✗ The ledger does not verify: {sentence(found.problem)}"
    lines = [f"✓ The ledger verifies: {found.size} lines, root `{code(found.root)}`."]
    if found.tree is None:
        lines.append(f"- It records no winner of run `{code(run.workflow)}`.")
    elif found.tree == run.head_tree:
        lines.append(f"- The winner of run `{code(run.workflow)}` has the tree `{code(found.tree)}`, as recorded here.")
    else:
        lines.append(f"- ✗ It records the tree `{code(found.tree)}` for the winner; the App's own state says another.")
    lines.append("- Check it yourself: `git fetch origin datalake && optr verify-ledger`.")
    return "\n".join(lines)


COMMAND = Command(
    name="verify",
    meaning="Verifies the ledger from its first line, and that it records this run's winner.",
    example="/optr verify",
    permission=Permission.WRITE,
    handle=handle,
)
