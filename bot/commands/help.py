"""`/optr help`."""

from bot.commands.declaration import Call, Command
from bot.commands.page import table
from bot.names import LABEL
from bot.permissions import Permission


async def handle(call: Call) -> str:
    """The same table as docs/commands.md."""
    intro = f"The label `{LABEL}` on an issue starts a run: agents compete, one wins, you decide. In comments:"
    return f"{intro}\n\n{table(call.commands)}"


COMMAND = Command(
    name="help",
    meaning="Lists the commands, who may use them, and an example of each.",
    example="/optr help",
    permission=Permission.READ,
    handle=handle,
)
