"""`optr verify-ledger`: check the record, with nothing but the record."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.options import Json, Verbose
from bot.cli.output import complain, emit, emit_json, say
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.render.neutral import visible

if TYPE_CHECKING:
    from ledger.verify import Verification

VERIFICATION_VERSION = 1
REMEMBERED_BYTES_MAX = 65_536
REMOTE_BRANCH = "refs/remotes/origin/datalake"

EPILOG = """Examples:

optr verify-ledger --repo .

git clone --single-branch --branch datalake URL record

optr verify-ledger --repo record

optr verify-ledger --ledger record/datalake/ledger.jsonl"""


def verify_ledger(
    *,
    repo: Annotated[
        Path | None, typer.Option("--repo", help="A git repository with the branch datalake.", metavar="PATH")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option("--ledger", help="A ledger file, ledger.jsonl, instead.", metavar="FILE")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="The verification key you trust; else the branch's own is believed.")
    ] = None,
    remembered: Annotated[
        Path | None,
        typer.Option("--remembered", help="A checkpoint kept earlier, which the ledger must extend.", metavar="FILE"),
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Verify the ledger: every hash, the chain, the signed tree head, and every file that a line speaks for.

    Needs no key, no network and no trust in whoever serves the repository.
    """
    del verbose  # read by `bot.cli.app.run`
    if repo is not None and ledger is not None:
        raise OptrError("--repo and --ledger exclude each other", remedy="Give one of them")
    return _report(_verify(repo or Path(), ledger, key, remembered), as_json=as_json)


def _verify(repo: Path, ledger: Path | None, key: str | None, remembered: Path | None) -> "Verification":
    from execution.discovery import NoRepositoryError, locate  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.errors import GitError, NoteError  # noqa: PLC0415
    from ledger.verify import verify_branch, verify_file  # noqa: PLC0415

    checkpoint = _head(remembered) if remembered is not None else None
    try:
        if ledger is not None:
            return verify_file(ledger, key, checkpoint)
        git_dir = locate(repo).common_dir
        return verify_branch(git_dir, branch_of(git_dir), key, checkpoint)
    except NoRepositoryError as error:
        raise OptrError(str(error), where=str(repo), remedy=f"{error.remedy}; or --ledger a file") from None
    except NoteError as error:
        remedy = "Give the key or the checkpoint exactly as it was published"
        raise OptrError(str(error), where="--key or --remembered", remedy=remedy) from None
    except GitError as error:
        remedy = "Give --repo a git repository, or --ledger a file"
        raise OptrError(f"the repository cannot be read: {error}", where=str(repo), remedy=remedy) from None


def branch_of(git_dir: Path) -> str:
    """The local branch; in a plain clone, the one that was fetched."""
    from ledger.branch import GitDir  # noqa: PLC0415
    from ledger.layout import BRANCH  # noqa: PLC0415

    repository = GitDir(git_dir)
    fetched_only = repository.tip(BRANCH) is None and repository.tip(REMOTE_BRANCH) is not None
    return REMOTE_BRANCH if fetched_only else BRANCH


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(REMEMBERED_BYTES_MAX)


def _report(found: "Verification", *, as_json: bool) -> ExitCode:
    from ledger.faults import Kind  # noqa: PLC0415
    from ledger.verify import describe  # noqa: PLC0415

    lines = describe(found)
    if as_json:
        emit_json({"version": VERIFICATION_VERSION, **asdict(found)})
    for note in found.notes:
        say(f"note: {note}")
    if found.problem is None:
        if not as_json:
            emit(visible("\n".join(lines)))
        return ExitCode.OK
    if not as_json:
        emit(visible(lines[0]))
    complain("\n".join(lines[1:]))
    return ExitCode.TAMPERED if found.problem.kind is Kind.TAMPERED else ExitCode.INCOMPLETE
