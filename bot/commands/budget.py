"""`/optr budget`."""

from collections.abc import Iterable

from bot.commands.declaration import Call, Command
from bot.permissions import Permission
from bot.ports import Purse
from bot.render.words import code, money
from execution.spending import Scope

NOTHING_YET = "No run has been asked for here, so nothing was reserved or spent."
NO_PLAN = "There is no plan yet, so nothing is reserved or spent."


async def handle(call: Call) -> str:
    """What the newest run holds, and what its limits leave."""
    run = await call.newest_run()
    if run is None:
        return NOTHING_YET
    purse = await call.context.desk.purse(run)
    return NO_PLAN if purse is None else "\n".join([f"Budget of run `{code(run.workflow)}`:", "", *_lines(purse)])


def _lines(purse: Purse) -> Iterable[str]:
    yield f"- at worst {money(purse.worst)}, reserved {money(purse.reserved)}, spent so far {money(purse.spent)}"
    for scope, cap in purse.caps.items():
        if scope is Scope.RUN:
            yield f"- limit of one run: {money(cap)}"
        else:
            taken = purse.taken.get(scope, 0)
            yield f"- limit of {scope} in 24 hours: {money(cap)}, {money(max(cap - taken, 0))} left"


COMMAND = Command(
    name="budget",
    meaning="Shows what the newest run reserved and spent, and what the limits of repository and installation leave.",
    example="/optr budget",
    permission=Permission.READ,
    handle=handle,
)
