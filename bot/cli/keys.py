"""`optr ledger keys` and `rotate-key`: who signs the record, since when, and who signs next."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.ledger import LEDGER_VERSION, Key, locate_record
from bot.cli.options import Json, Repo, Verbose
from bot.cli.output import emit, emit_json
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.person import person
from bot.render.neutral import visible

if TYPE_CHECKING:
    from ledger.keyring import Asked, KeyRing
    from ledger.rotation import Term

KEYS_EPILOG = """Examples:

optr ledger keys

optr ledger keys --repo record.git --key "$(cat pinned.vkey)" --json"""

ROTATE_EPILOG = """Examples:

optr ledger rotate-key

optr ledger rotate-key --compromised

optr ledger rotate-key --app octocat/hello"""


def keys(*, repo: Repo = Path(), key: Key = None, as_json: Json = False, verbose: Verbose = False) -> ExitCode:
    """List the ledger's verification keys, oldest first, with the sizes of the tree heads that each of them signs.

    Every hand-over is checked for both keys' signatures. Status 20: they do not lead from one key to the newest, or the
    key that you trust is none of them.
    """
    del verbose  # read by `bot.cli.app.run`
    from ledger.errors import NoteError  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.note import parse_vkey  # noqa: PLC0415
    from ledger.rotation import newest  # noqa: PLC0415
    from ledger.terms import terms_on  # noqa: PLC0415

    place = locate_record(repo)
    try:
        trusted = parse_vkey(key) if key is not None else None
    except NoteError as error:
        raise OptrError(str(error), where="--key", remedy="Give the key exactly as it was published") from None
    try:
        terms = terms_on(place.git_dir, place.ref)
        if trusted is not None and terms:
            newest(terms, trusted)
    except NoteError as error:
        raise OptrError(
            str(error), where=str(place.git_dir), remedy="See `optr verify-ledger`", code=ExitCode.TAMPERED
        ) from None
    if not terms:
        raise OptrError(f"there is no ledger on {place.ref}", where=str(place.git_dir), remedy="Fetch the branch")
    if as_json:
        emit_json({"version": LEDGER_VERSION, "keys": [term.record() for term in terms]})
    else:
        emit(visible("\n".join(map(_line, terms))))
    return ExitCode.OK


def rotate_key(
    *,
    repo: Repo = Path(),
    app: Annotated[
        str | None,
        typer.Option("--app", help="The App's ledger of this repository, in OPTR_STATE.", metavar="OWNER/NAME"),
    ] = None,
    compromised: Annotated[
        bool, typer.Option("--compromised", help="Somebody else may have the present key; goes on the record.")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Replace the ledger's signing key; the record says so in a line that the old key and the new one sign.

    A local repository's ledger changes hands at once. With --app the next key is only laid beside the present one: the
    App hands over at its next append. Keep a backup of both files, and give the new verification key to your readers.
    """
    del verbose  # read by `bot.cli.app.run`
    from bot.settings import LocalSettings  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.errors import KeyFileError  # noqa: PLC0415
    from ledger.keyring import Asked, Cause  # noqa: PLC0415

    state = LocalSettings.from_environ(os.environ).state
    cause = Cause.COMPROMISED if compromised else Cause.PLANNED
    asked = Asked(person(), int(time.time() * 1000), cause)
    try:
        old, new, done = _of_app(state, app, asked) if app is not None else _of_repository(state, repo, asked)
    except KeyFileError as error:
        raise OptrError(str(error), remedy="See docs/operations.md, `Rotating a ledger's key`") from None
    if as_json:
        emit_json({"version": LEDGER_VERSION, "old": old, "new": new, "done": done})
        return ExitCode.OK
    when = "took over" if done else "takes over at the next append"
    emit(visible(f"{new}\n{when} from {old.rpartition('+')[0]}: give this key to whoever verifies your record"))
    return ExitCode.OK


def _of_repository(state: Path, repo: Path, asked: "Asked") -> tuple[str, str, bool]:
    from execution.discovery import NoRepositoryError, locate  # noqa: PLC0415 - `--help` must not wait for it
    from execution.local_ledger import open_ledger  # noqa: PLC0415
    from ledger.branch import GitDir  # noqa: PLC0415

    try:
        found = locate(repo)
    except NoRepositoryError as error:
        raise OptrError(str(error), where=str(repo), remedy=error.remedy) from None
    if GitDir(found.common_dir).tip() is None:
        raise OptrError(
            "the repository has no ledger yet, so no key either", where=str(found.top), remedy="optr execute makes both"
        )
    ledger = open_ledger(state, found.common_dir, found.top.name, os.environ)
    sequencer = ledger.sequencer()
    sequencer.settle()  # a branch that is not what was signed last is refused before there is a new key
    old, new = _stage(ledger.keys, asked)
    sequencer.settle()
    return old, new, str(ledger.signer.vkey) == new


def _of_app(state: Path, name: str, asked: "Asked") -> tuple[str, str, bool]:
    from bot.github.git import NameRefusedError, checked_repository  # noqa: PLC0415 - `--help` must not wait for it
    from bot.ledgers import key_file  # noqa: PLC0415
    from ledger.keyring import KeyRing  # noqa: PLC0415

    try:
        file = key_file(state, checked_repository(name))
    except NameRefusedError as error:
        raise OptrError(str(error), where="--app", remedy="Give the repository's name as GitHub shows it") from None
    if not file.exists():
        raise OptrError(
            f"there is no key of a ledger of {name}",
            where=str(file),
            remedy="Run this as the App's user with its OPTR_STATE; a ledger's key is made at its first line",
        )
    return (*_stage(KeyRing.open(file), asked), False)


def _stage(ring: "KeyRing", asked: "Asked") -> tuple[str, str]:
    return str(ring.signer.vkey), str(ring.stage(asked).vkey)


def _line(term: "Term") -> str:
    until = f"to {term.last}" if term.last is not None else "on"
    return f"{term.key}  from {term.first} lines {until}"
