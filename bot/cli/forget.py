"""`optr forget`: erase what the App's state keeps of somebody."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.options import Json, Verbose
from bot.cli.output import emit, emit_json
from bot.errors import OptrError
from bot.exit_codes import ExitCode

if TYPE_CHECKING:
    from bot.forgetting import Forgotten

FORGET_VERSION = 1
EPILOG = """Examples:

optr forget --repository octo/site --dry-run

optr forget --person octocat --account 583231

optr forget --installation 12345 --for-good"""

Repository = Annotated[str, typer.Option("--repository", help="One repository.", metavar="OWNER/NAME")]
Installation = Annotated[
    int, typer.Option("--installation", help="One installation's number.", min=0, metavar="NUMBER")
]
Person = Annotated[str, typer.Option("--person", help="The login of one person.", metavar="LOGIN")]
Account = Annotated[int, typer.Option("--account", help="Their number, for old logins.", min=0, metavar="NUMBER")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be erased; erase nothing.")]
Unfinished = Annotated[bool, typer.Option("--unfinished", help="End and erase what is under way, too.")]
ForGood = Annotated[bool, typer.Option("--for-good", help="Give up the ledgers: keys, what was signed, runs' rows.")]


def forget(  # noqa: PLR0913 - each option of the command is one argument
    *,
    repository: Repository = "",
    installation: Installation = 0,
    person: Person = "",
    account: Account = 0,
    dry_run: DryRun = False,
    unfinished: Unfinished = False,
    for_good: ForGood = False,
    json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Erase what the App's own state keeps of a repository, an installation or a person; the App is stopped meanwhile.

    Runs' texts, patches and results, deliveries and the engine's journal go in one transaction, on SQLite and on
    PostgreSQL; copies of repositories and prepared dependencies with them. What cannot be erased is said, with why.
    """
    del verbose  # read by `bot.cli.app.run`
    from bot.forgetting import forget as erase  # noqa: PLC0415 - `--help` must not wait for it
    from bot.github.git import NameRefusedError, checked_repository  # noqa: PLC0415
    from bot.settings import Settings  # noqa: PLC0415
    from execution.erasure import Asked, Subject  # noqa: PLC0415

    if sum((bool(repository), bool(installation), bool(person or account))) != 1:
        raise OptrError(
            "whose data is not clear", remedy="Give one of --repository, --installation and --person (with --account)"
        )
    subject = Subject(installation, repository, person, account)
    if for_good and subject.is_person:
        raise OptrError("a person has no ledger", where="--for-good", remedy="Leave it out with --person")
    try:
        if repository:
            checked_repository(repository)
    except NameRefusedError as error:
        raise OptrError(str(error), where="--repository", remedy="Name it OWNER/NAME") from None
    asked = Asked(subject, dry_run, unfinished, for_good)
    done = erase(Settings.from_environ(os.environ), asked)
    if json:
        emit_json(_told(done, dry=dry_run))
    else:
        _say(done, dry=dry_run)
    return ExitCode.OK


def _say(done: "Forgotten", *, dry: bool) -> None:
    word = "would be erased" if dry else "erased"
    for table, rows in sorted(done.erasure.rows.items()):
        emit(f"{word}: {rows} rows of {table}")
    for path in done.files:
        emit(f"{word}: {path}")
    if not (done.erasure.rows or done.files):
        emit("nothing of theirs is kept here")
    if dry and done.erasure.unfinished:
        emit(f"under way: {', '.join(done.erasure.unfinished)}; --unfinished erases them, too")
    for one in done.stays:
        emit(f"stays: {one}")


def _told(done: "Forgotten", *, dry: bool) -> dict[str, object]:
    return {
        "version": FORGET_VERSION,
        "dryRun": dry,
        "rows": dict(sorted(done.erasure.rows.items())),
        "files": [str(path) for path in done.files],
        "unfinished": done.erasure.unfinished,
        "stays": list(done.stays),
    }
