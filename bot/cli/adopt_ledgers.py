"""`optr adopt-ledgers`: go on after the state that wrote the ledgers last is lost."""

import asyncio
import os
from typing import TYPE_CHECKING, Any

from bot.cli.options import Json, Verbose
from bot.cli.output import emit, emit_json
from bot.exit_codes import ExitCode

if TYPE_CHECKING:
    from bot.adoption import Adopted

ADOPTION_VERSION = 1
EPILOG = """Examples:

set -a && . ./optr.env && optr adopt-ledgers

optr adopt-ledgers --json | jq '.ledgers[] | select(.problem)'"""


def adopt_ledgers(*, json: Json = False, verbose: Verbose = False) -> ExitCode:
    """Take the App's ledgers as they stand on their branches, after a restore of a database that is not the newest.

    For the operator whose newer database is lost for good; the App is stopped meanwhile. A ledger is taken when its
    branch verifies under the key in OPTR_STATE and goes on from what is remembered; a line LEDGER_ADOPTED on it says
    so. Lines that were cut off before this are not missed afterwards.

    Ends with 0 when every ledger is taken or needed not be, otherwise with 20.
    """
    del verbose  # read by `bot.cli.app.run`
    from bot.adoption import adopt_ledgers as adopt  # noqa: PLC0415 - `--help` must not wait for it
    from bot.settings import Settings  # noqa: PLC0415

    made = asyncio.run(adopt(Settings.from_environ(os.environ)))
    if json:
        emit_json({"version": ADOPTION_VERSION, "ledgers": [_told(one) for one in made]})
    else:
        for one in made:
            emit(_line(one))
        if not made:
            emit("no ledger is known here that the App can reach")
    return ExitCode.TAMPERED if any(one.problem for one in made) else ExitCode.OK


def _line(one: "Adopted") -> str:
    from bot.render.neutral import visible  # noqa: PLC0415

    if one.problem:
        return f"{one.repository}: not taken: {visible(one.problem)}"
    if one.before == one.after:
        return f"{one.repository}: as it was signed last, {one.after} lines"
    return f"{one.repository}: taken as it stands, {one.after} lines where {one.before} were remembered"


def _told(one: "Adopted") -> dict[str, Any]:
    return {
        "repository": one.repository,
        "remembered": one.before,
        "size": one.after,
        "problem": one.problem or None,
    }
