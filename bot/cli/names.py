"""Reading names from the command line."""

import re

from bot.errors import OptrError
from ledger.errors import DraftError
from ledger.layout import check_workflow_name

NAMES_MAX = 64
_CONSTRAINT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def workflow(name: str) -> str:
    """Return a workflow name that is safe as a directory, a branch and a ledger member.

    Raises:
        OptrError: saying which rule it breaks.
    """
    try:
        return check_workflow_name(name)
    except DraftError as error:
        raise OptrError(str(error), where="--workflow", remedy="Try something like --workflow fix-parser") from None


def comma_list(text: str, option: str) -> tuple[str, ...]:
    """`a, b` as ("a", "b"); empty when nothing is given.

    Raises:
        OptrError: an empty, malformed or repeated name, or too many.
    """
    names = tuple(name.strip() for name in text.split(",")) if text.strip() else ()
    for name in names:
        if not _CONSTRAINT.fullmatch(name):
            why = "names have 1 to 64 of a-z, 0-9, dot, underscore and hyphen, starting with a letter or digit"
            raise OptrError(f"{option}: {ascii(name)[:80]} is not a name", where=option, why=why, remedy="Write a,b,c")
    if len(set(names)) != len(names):
        raise OptrError(f"{option} names something twice", where=option, remedy="Keep one of them")
    if len(names) > NAMES_MAX:
        raise OptrError(f"{option} has {len(names)} names", where=option, remedy=f"Give at most {NAMES_MAX}")
    return names
