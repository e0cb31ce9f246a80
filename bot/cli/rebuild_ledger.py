"""`optr rebuild-ledger`: restore a damaged record from its own history."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.options import Json, Verbose
from bot.cli.output import cannot_write, complain, emit, emit_json
from bot.cli.verify_ledger import check_key, kept_head
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.render.neutral import visible

if TYPE_CHECKING:
    from ledger.rebuild import Findings, Restored

EPILOG = """Examples:

optr rebuild-ledger --repo . --dry-run

optr rebuild-ledger --repo . --key "$(cat pinned.vkey)" --backup /var/backups"""


def rebuild_ledger(  # noqa: PLR0913 - each option of the command is one argument
    *,
    repo: Annotated[
        Path, typer.Option("--repo", help="A git repository with the branch datalake.", metavar="PATH")
    ] = Path(),
    key: Annotated[str | None, typer.Option("--key", help="The verification key you trust.")] = None,
    remembered: Annotated[
        Path | None,
        typer.Option("--remembered", help="A checkpoint kept earlier, which must be extended.", metavar="FILE"),
    ] = None,
    backup: Annotated[
        Path, typer.Option("--backup", help="Where to put ledger.jsonl.corrupted.", metavar="DIR", file_okay=False)
    ] = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Restore a damaged ledger from git history: back up what is bad, and commit again what last verified.

    Lists every commit that did not only append. No line and no hash is made anew. Status 0: whole, or restored; 20:
    damaged, with `--dry-run`; 21: nothing in this history verifies.
    """
    del verbose  # read by `bot.cli.app.run`
    git_dir, findings = _examined(repo, key, remembered)
    restored = None
    if findings.damaged and not dry_run:
        restored = _restored(git_dir, findings, backup)
    if as_json:
        emit_json(_record(findings, restored))
    else:
        emit(visible("\n".join(_told(findings, restored))))
    if findings.good is None:
        complain(
            "error: no commit of this history verifies, so there is nothing to restore\n"
            "  what to do: fetch the branch from a clone made before the damage, and try there"
        )
        return ExitCode.INCOMPLETE
    return ExitCode.OK if findings.whole or restored is not None else ExitCode.TAMPERED


def _examined(repo: Path, key: str | None, remembered: Path | None) -> "tuple[Path, Findings]":
    from execution.discovery import NoRepositoryError, locate  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.audit import Manner  # noqa: PLC0415
    from ledger.branch import GitDir  # noqa: PLC0415
    from ledger.crew import cores  # noqa: PLC0415
    from ledger.errors import GitError, NoteError, RebuildError  # noqa: PLC0415
    from ledger.rebuild import examine  # noqa: PLC0415
    from ledger.where import branch_of  # noqa: PLC0415

    check_key(key)
    kept = kept_head(remembered)
    try:
        git_dir = locate(repo).common_dir
        return git_dir, examine(git_dir, branch_of(GitDir(git_dir)), key, kept, Manner(cores()))
    except NoRepositoryError as error:
        raise OptrError(str(error), where=str(repo), remedy=error.remedy) from None
    except NoteError as error:
        remedy = "Give the key or the checkpoint exactly as it was published"
        raise OptrError(str(error), where="--key or --remembered", remedy=remedy) from None
    except (GitError, RebuildError) as error:
        remedy = "Fetch the branch datalake with its whole history: git fetch --unshallow origin datalake"
        raise OptrError(str(error), where=str(repo), remedy=remedy, code=ExitCode.INCOMPLETE) from None


def _restored(git_dir: Path, findings: "Findings", backup: Path) -> "Restored":
    from ledger.errors import GitError, RebuildError  # noqa: PLC0415
    from ledger.rebuild import restore  # noqa: PLC0415

    try:
        return restore(git_dir, findings, int(time.time()), backup)
    except (GitError, RebuildError) as error:
        remedy = "See what else writes to the branch, then run it again; the branch is as it was"
        raise OptrError(str(error), where=str(git_dir), remedy=remedy, code=ExitCode.INFRASTRUCTURE) from None
    except OSError as error:
        raise cannot_write(error, backup) from None


def _told(findings: "Findings", restored: "Restored | None") -> list[str]:
    problem = findings.problem
    state = "the branch verifies" if problem is None else f"the branch does not verify: {problem.detail}"
    lines = [f"Commits read: {findings.commits}", f"At {findings.tip[:12]} {state}"]
    lines += [f"Not a pure append: {departure.words()}" for departure in findings.departures]
    if findings.good is None:
        return lines
    lines.append(f"Newest that can be relied on: {findings.good[:12]}, entries: {findings.size}")
    if restored is None:
        verdict = "Nothing to restore" if findings.whole else f"Files to restore: {len(findings.damaged)}"
        return [*lines, verdict]
    lines += [f"Backed up: {path}" for path in restored.backups]
    push = "git push origin refs/heads/datalake"
    return [*lines, f"Restored {len(findings.damaged)} files as commit {restored.commit[:12]}: {push}"]


def _record(findings: "Findings", restored: "Restored | None") -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415

    from ledger.rebuild import REBUILD_VERSION  # noqa: PLC0415

    return {
        "version": REBUILD_VERSION,
        "tip": findings.tip,
        "problem": asdict(findings.problem) if findings.problem is not None else None,
        "good": findings.good,
        "entries": findings.size,
        "commits": findings.commits,
        "departures": [asdict(departure) for departure in findings.departures],
        "damaged": list(findings.damaged),
        "restored": restored.commit if restored is not None else None,
        "backups": [str(path) for path in restored.backups] if restored is not None else [],
    }
