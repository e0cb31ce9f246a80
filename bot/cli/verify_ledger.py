"""`optr verify-ledger`: check the record, with nothing but the record."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.options import Json, Verbose
from bot.cli.output import complain, emit, emit_json, say
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.render.neutral import visible

if TYPE_CHECKING:
    from ledger.anchors import Anchor
    from ledger.audit import Manner
    from ledger.policy import Policy
    from ledger.verdict import Verification

CHECKPOINT_BYTES_MAX = 65_536
POLICY_BYTES_MAX = 1_000_001  # one more than a policy may have, so that a longer one is refused and not cut

EPILOG = """Examples:

optr verify-ledger --repo .

git clone --bare --single-branch --branch datalake URL record.git && optr verify-ledger record.git

optr verify-ledger record.git --since kept-checkpoint --policy witnesses.txt

optr verify-ledger record.git --anchors refs/heads/datalake-anchors

optr verify-ledger record/datalake/ledger.jsonl

cat ledger/*/*/*.jsonl ledger.jsonl | optr verify-ledger -"""


def verify_ledger(  # noqa: PLR0913 - each option of the command is one argument
    where: Annotated[
        str | None,
        typer.Argument(help="A clone, a bare repository, a checkout, a file of lines, or - for standard input."),
    ] = None,
    *,
    repo: Annotated[
        Path | None, typer.Option("--repo", help="A git repository with the branch datalake.", metavar="PATH")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option("--ledger", help="A ledger file, ledger.jsonl, instead.", metavar="FILE")
    ] = None,
    branch: Annotated[
        str | None, typer.Option("--branch", help="Of a repository: this branch, not datalake.", metavar="NAME")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="The verification key you trust; else the branch's own is believed.")
    ] = None,
    remembered: Annotated[
        Path | None,
        typer.Option("--remembered", help="A checkpoint kept earlier, which the ledger must extend.", metavar="FILE"),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option("--since", help="The same, but only what is new is read in full.", metavar="CHECKPOINT"),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option("--policy", help="The witnesses that must vouch, as a C2SP tlog-policy.", metavar="FILE"),
    ] = None,
    anchors: Annotated[
        str | None,
        typer.Option("--anchors", help="A branch of the same clone whose tree heads it must extend.", metavar="REF"),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", help="Processes; 0 is one for each core.", metavar="N", min=0, max=256)
    ] = 0,
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Verify the ledger: every hash, the chain, the signed tree head, and every file that a line speaks for.

    Needs no key, no network and no trust in whoever serves the repository. Status 0: verified; 20: tampered with; 21:
    not all here, or too few witnesses.
    """
    del verbose  # read by `bot.cli.app.run`
    _exclude({"WHERE": where, "--repo": repo, "--ledger": ledger})
    _exclude({"--ledger": ledger, "--branch": branch})
    _exclude({"--remembered": remembered, "--since": since})
    check_key(key)
    from ledger.audit import Manner  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.crew import cores  # noqa: PLC0415

    manner = Manner(jobs or cores(), incremental=since is not None, policy=_policy(policy))
    if anchors is not None:
        manner = replace(manner, anchors=_anchors(repo or Path(where or "."), anchors, ledger))
    checkpoint = kept_head(since or remembered)
    with _progress(shown=not as_json) as progress:
        manner = replace(manner, progress=progress)
        if where is not None or ledger is not None:
            found = _verify_where(str(ledger) if where is None else where, branch, key, checkpoint, manner)
        else:
            found = _verify_branch(repo or Path(), branch, key, checkpoint, manner)
    return _report(found, as_json=as_json)


def _anchors(repo: Path, ref: str, ledger: Path | None) -> "tuple[Anchor, ...]":
    from execution.discovery import NoRepositoryError, locate  # noqa: PLC0415
    from ledger.anchors import anchors_on  # noqa: PLC0415
    from ledger.branch import GitDir  # noqa: PLC0415
    from ledger.errors import GitError, SourceError  # noqa: PLC0415

    if ledger is not None:
        raise OptrError("--anchors needs a clone, and --ledger names a file", remedy="Give --repo instead")
    try:
        return anchors_on(GitDir(locate(repo).common_dir), ref)
    except (NoRepositoryError, SourceError, GitError) as error:
        remedy = "Give a clone, and the full name of a branch in it, such as refs/heads/datalake-anchors"
        raise OptrError(str(error), where="--anchors", remedy=remedy) from None


def _exclude(given: dict[str, object]) -> None:
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise OptrError(f"{' and '.join(names)} exclude each other", remedy="Give one of them")


def _verify_where(
    where: str, branch: str | None, key: str | None, checkpoint: bytes | None, manner: "Manner"
) -> "Verification":
    from ledger.errors import GitError, NoteError, SourceError  # noqa: PLC0415
    from ledger.where import verify  # noqa: PLC0415

    try:
        return verify(where, sys.stdin.buffer, key, checkpoint, manner, branch)
    except NoteError as error:
        raise _bad_note(error) from None
    except SourceError as error:
        raise OptrError(str(error), remedy="Name a clone, a bare repository, a ledger file, or -") from None
    except GitError as error:
        raise _bad_repository(error, where) from None


def _verify_branch(
    repo: Path, branch: str | None, key: str | None, checkpoint: bytes | None, manner: "Manner"
) -> "Verification":
    from execution.discovery import NoRepositoryError, locate  # noqa: PLC0415
    from ledger.branch import GitDir  # noqa: PLC0415
    from ledger.errors import GitError, NoteError  # noqa: PLC0415
    from ledger.verify import verify_branch  # noqa: PLC0415
    from ledger.where import branch_of  # noqa: PLC0415

    try:
        git_dir = locate(repo).common_dir
        return verify_branch(git_dir, branch_of(GitDir(git_dir), branch), key, checkpoint, manner)
    except NoRepositoryError as error:
        raise OptrError(str(error), where=str(repo), remedy=f"{error.remedy}; or --ledger a file") from None
    except NoteError as error:
        raise _bad_note(error) from None
    except GitError as error:
        raise _bad_repository(error, str(repo)) from None


def _bad_note(error: Exception) -> OptrError:
    remedy = "Give the key or the checkpoint exactly as it was published"
    return OptrError(str(error), where="--key, --remembered or --since", remedy=remedy)


def _bad_repository(error: Exception, where: str) -> OptrError:
    remedy = "Give --repo a git repository, or --ledger a file"
    return OptrError(f"the repository cannot be read: {error}", where=where, remedy=remedy)


def check_key(key: str | None) -> None:
    """Say what is wrong with a verification key that was typed, before anything is read.

    Raises:
        OptrError: it is none.
    """
    from ledger.errors import NoteError  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.note import parse_vkey  # noqa: PLC0415

    try:
        if key is not None:
            parse_vkey(key)
    except NoteError as error:
        raise OptrError(str(error), where="--key", remedy="Give the key exactly as it was published") from None


def kept_head(path: Path | None) -> bytes | None:
    """Return the checkpoint that somebody kept, None when none is named.

    Raises:
        OptrError: the file holds something else.
        OSError: it cannot be read.
    """
    from ledger.checkpoint import parse_checkpoint  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.errors import NoteError  # noqa: PLC0415

    if path is None:
        return None
    with path.open("rb") as file:
        content = file.read(CHECKPOINT_BYTES_MAX)
    try:
        parse_checkpoint(content)
    except NoteError as error:
        remedy = "Give the checkpoint exactly as it was published"
        raise OptrError(f"this is no checkpoint: {error}", where=str(path), remedy=remedy) from None
    return content


def _policy(path: Path | None) -> "Policy | None":
    from ledger.errors import PolicyError  # noqa: PLC0415
    from ledger.policy import parse_policy  # noqa: PLC0415

    if path is None:
        return None
    with path.open("rb") as file:
        content = file.read(POLICY_BYTES_MAX)
    try:
        return parse_policy(content)
    except PolicyError as error:
        raise OptrError(str(error), where=str(path), remedy="See https://c2sp.org/tlog-policy for the format") from None


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, where somebody may wait; nothing anywhere else."""
    if not shown or not sys.stderr.isatty():
        yield lambda _read, _all: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Verifying", total=None)
        yield lambda read, lines: bar.update(task, completed=read, total=lines or None)


def _report(found: "Verification", *, as_json: bool) -> ExitCode:
    from ledger.faults import Kind  # noqa: PLC0415
    from ledger.verdict import describe, record  # noqa: PLC0415

    lines = describe(found)
    if as_json:
        emit_json(record(found))
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
