"""`optr ledger`: look at the record, prove an entry, hand a run's evidence over, replay a run."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.kept import keeps_digests, listed, not_kept, told
from bot.cli.options import Json, Repo, Verbose
from bot.cli.output import complain, emit, emit_json, write_file
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.render.neutral import visible

if TYPE_CHECKING:
    from governance.replaying import Replayed
    from ledger.entry import Entry
    from ledger.extract import Extract

LEDGER_VERSION = 1

SHOW_EPILOG = """Examples:

optr ledger show --workflow fix-parser

optr ledger show --type OPTR_SELECTED --since 2026-11-01 --json

optr ledger show 41"""

PROVE_EPILOG = """Examples:

optr ledger prove 41

optr ledger prove --check entry-41.tlog-proof --key "$(cat pinned.vkey)\""""

EXPORT_EPILOG = """Examples:

optr ledger export fix-parser

optr ledger export --check optr-audit-fix-parser.tar --key "$(cat pinned.vkey)\""""

REPLAY_EPILOG = """Examples:

optr ledger replay fix-parser

optr ledger replay 3f2a9c0d11e4b7a8 --json"""

Key = Annotated[
    str | None, typer.Option("--key", help="The verification key you trust; else the branch's own is believed.")
]
Run = Annotated[str, typer.Argument(help="A run's id, or its workflow's name.", metavar="RUN")]


@dataclass(frozen=True)
class Place:
    """Which branch of which repository is read."""

    git_dir: Path
    ref: str


def show(  # noqa: PLR0913 - each option of the command is one argument
    which: Annotated[str | None, typer.Argument(help="One entry in full: its seq or its id.", metavar="ENTRY")] = None,
    *,
    run: Annotated[str | None, typer.Option("--run", help="Only this run's.", metavar="ID")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="Only this workflow's.", metavar="NAME")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only of this type.", metavar="TYPE")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only from this moment on, ISO 8601, UTC if not said.", metavar="DATE")
    ] = None,
    repo: Repo = Path(),
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """List the ledger's entries, or show one in full. Every line's form, hash and place are checked on the way."""
    del verbose  # read by `bot.cli.app.run`
    place = locate_record(repo)
    if which is not None:
        return _show_one(place, one_entry(place, which), as_json=as_json)
    start = moment(since) if since is not None else 0
    asked = {"run": run, "workflow": workflow, "type": kind}
    digests: set[str] = set()

    def wanted(entry: "Entry") -> bool:
        if keeps_digests(entry.record):
            digests.add(str(entry.record["run"]))
        same = all(value is None or entry.record[name] == value for name, value in asked.items())
        return same and entry.timestamp >= start

    found = read_entries(place, wanted)
    bare = sorted({str(entry.record["workflow"]) for entry in found if entry.record["run"] in digests})
    if as_json:
        told_of = {"entries": [dict(entry.record) for entry in found], "digestOnly": bare}
        emit_json({"version": LEDGER_VERSION, **told_of})
    else:
        lines = [*map(_line, found), *([f"Texts kept as digests only: {', '.join(bare)}"] if bare else [])]
        emit(visible("\n".join(lines) or "No entry is like that"))
    return ExitCode.OK


def prove(  # noqa: PLR0913 - each option of the command is one argument
    which: Annotated[str | None, typer.Argument(help="The entry's seq or id.", metavar="ENTRY")] = None,
    *,
    check: Annotated[
        Path | None, typer.Option("--check", help="Check this receipt offline instead.", metavar="FILE", dir_okay=False)
    ] = None,
    line: Annotated[
        Path | None,
        typer.Option("--line", help="With --check: the entry; FILE with .json if left out.", metavar="FILE"),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where to write.", metavar="DIR", file_okay=False)] = Path(),
    key: Key = None,
    repo: Repo = Path(),
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Write an entry's receipt, a C2SP tlog-proof, beside the entry, and verify it; or check one, without a repository.

    Status 20: the receipt does not prove the entry.
    """
    del verbose  # read by `bot.cli.app.run`
    if (which is None) == (check is None):
        raise OptrError("give either ENTRY or --check", remedy="See `optr ledger prove --help`")
    if check is not None:
        if key is None:
            raise OptrError("--check needs --key", remedy="Give the verification key you trust: nothing else vouches")
        content = (line or check.with_suffix(".json")).read_bytes().removesuffix(b"\n")
        return _proven(check.read_bytes(), content, key, str(check), as_json=as_json)
    from ledger.errors import ProofError  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.receipt import prove as prove_line  # noqa: PLC0415

    place = locate_record(repo)
    entry = one_entry(place, str(which))
    try:
        receipt = prove_line(place.git_dir, entry.seq, place.ref)
    except ProofError as error:
        raise _tampered(str(error)) from None
    path = out / f"entry-{entry.seq}.tlog-proof"
    _write(path.with_suffix(".json"), entry.line + b"\n")
    _write(path, receipt)
    return _proven(receipt, entry.line, key or branch_key(place), str(path), as_json=as_json)


def export(  # noqa: PLR0913 - each option of the command is one argument
    run: Annotated[str | None, typer.Argument(help="A run's id, or its workflow's name.", metavar="RUN")] = None,
    *,
    check: Annotated[
        Path | None, typer.Option("--check", help="Check this bundle offline instead.", metavar="FILE", dir_okay=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write.", metavar="FILE", dir_okay=False)
    ] = None,
    key: Key = None,
    repo: Repo = Path(),
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Write a run's audit bundle: its lines, files and attestation, receipts, keys and hashes, in one tar archive.

    The same run on the same commit gives the same bytes. Status 20: a bundle that was changed.
    """
    del verbose  # read by `bot.cli.app.run`
    if (run is None) == (check is None):
        raise OptrError("give either RUN or --check", remedy="See `optr ledger export --help`")
    if check is not None:
        if key is None:
            raise OptrError("--check needs --key", remedy="Give the verification key you trust: nothing else vouches")
        return _checked(check.read_bytes(), key, str(check), as_json=as_json)
    from ledger.bundle import pack  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.errors import BundleError, ExtractError, ProofError  # noqa: PLC0415
    from ledger.extract import extract  # noqa: PLC0415

    place = locate_record(repo)
    try:
        data = pack(place.git_dir, extract(place.git_dir, of_run(str(run)), place.ref), place.ref)
    except ExtractError as error:
        raise OptrError(str(error), remedy="Name a run or workflow that `optr ledger show` lists") from None
    except (BundleError, ProofError) as error:
        raise _tampered(str(error)) from None
    path = out or Path(f"optr-audit-{run}.tar")
    _write(path, data)
    return _checked(data, key or branch_key(place), str(path), as_json=as_json)


def replay(*, run: Run, repo: Repo = Path(), as_json: Json = False, verbose: Verbose = False) -> ExitCode:
    """Reconstruct a run's order of execution and its nodes' states from the record alone, and compare.

    Nothing is run again. Status 20: something stored is not what the events say; each difference is named.
    """
    del verbose  # read by `bot.cli.app.run`
    from governance.replaying import reconstruct  # noqa: PLC0415 - `--help` must not wait for it

    record = _extracted(locate_record(repo), run)
    found = [(entry, reconstruct(stored)) for entry, stored in _stored(record, run)]
    absent = not_kept(record.entries, record)
    if as_json:
        decisions = [_replay_record(*one) for one in found]
        emit_json({"version": LEDGER_VERSION, "decisions": decisions, "notKept": listed(absent)})
    else:
        emit(visible("\n".join([*(line for one in found for line in _replay_lines(*one)), *told(absent)])))
    differences = [difference for _, replayed in found for difference in replayed.differences]
    if differences:
        complain("\n".join(dict.fromkeys(f"error: {one.where}: {one.what}" for one in differences)))
    return ExitCode.TAMPERED if differences else ExitCode.OK


def locate_record(repo: Path) -> Place:
    """Return the branch that holds the record of a repository.

    Raises:
        OptrError: there is no repository.
    """
    from execution.discovery import NoRepositoryError, locate  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.branch import GitDir, resolve  # noqa: PLC0415
    from ledger.errors import GitError  # noqa: PLC0415
    from ledger.where import branch_of  # noqa: PLC0415

    try:
        git_dir = resolve(repo).path
    except GitError:
        try:
            git_dir = locate(repo).common_dir
        except NoRepositoryError as error:
            raise OptrError(str(error), where=str(repo), remedy=error.remedy) from None
    return Place(git_dir, branch_of(GitDir(git_dir)))


def read_entries(place: Place, wanted: "Callable[[Entry], bool]") -> "list[Entry]":
    """Return the entries that are wanted.

    Raises:
        OptrError: there is no ledger (status 2), or it is not sound (status 20).
    """
    from ledger.errors import ExtractError  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.extract import entries  # noqa: PLC0415

    try:
        return entries(place.git_dir, wanted, place.ref)
    except ExtractError as error:
        absent = "there is no" in str(error)
        raise OptrError(
            str(error),
            where=str(place.git_dir),
            remedy="See `optr verify-ledger`",
            code=ExitCode.USAGE if absent else ExitCode.TAMPERED,
        ) from None


def one_entry(place: Place, which: str) -> "Entry":
    """Return the entry with this seq or id.

    Raises:
        OptrError: there is none.
    """
    seq = int(which) if which.isascii() and which.isdigit() and len(which) < 16 else None  # noqa: PLR2004 - 2^53
    found = read_entries(place, lambda entry: entry.id == which or entry.seq == seq)
    named = [entry for entry in found if entry.id == which] or found
    if not named:
        raise OptrError(f"there is no entry {which}", where="ENTRY", remedy="See `optr ledger show` for seq and id")
    return named[0]


def of_run(name: str) -> "Callable[[Entry], bool]":
    """Tell entries of a run or workflow of this name from others."""
    return lambda entry: name in (entry.record["run"], entry.record["workflow"])


def branch_key(place: Place) -> str:
    """Return the key on the branch that signed its checkpoint; believed, not trusted.

    Raises:
        OptrError: there is none.
    """
    from ledger.branch import GitDir  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.layout import DIRECTORY  # noqa: PLC0415

    git = GitDir(place.git_dir)
    keys = git.files(place.ref, f"{DIRECTORY}/keys")
    head = git.file(place.ref, f"{DIRECTORY}/checkpoint") or b""
    from ledger.checkpoint import verify_checkpoint  # noqa: PLC0415
    from ledger.errors import NoteError  # noqa: PLC0415
    from ledger.note import parse_vkey  # noqa: PLC0415

    for content in git.blobs([blob.oid for blob in keys.values()]):
        text = content.decode("ascii", "replace").strip()
        try:
            verify_checkpoint(head, [parse_vkey(text)])
        except NoteError:
            continue
        return text
    raise _tampered("no key on the branch signed its checkpoint")


def moment(text: str) -> int:
    """Return a moment given as ISO 8601, in milliseconds since the epoch; UTC when no zone is given.

    Raises:
        OptrError: it is none.
    """
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise OptrError(f"{text!r} is no date", where="--since", remedy="Write it as 2026-11-01") from None
    return int((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp() * 1000)


def _tampered(words: str) -> OptrError:
    return OptrError(words, remedy="See `optr verify-ledger`", code=ExitCode.TAMPERED)


def _show_one(place: Place, entry: "Entry", *, as_json: bool) -> ExitCode:
    try:
        absent = not_kept([entry], _extracted(place, entry.id, lambda one: one.id == entry.id))
    except OptrError as error:  # the line is shown all the same: its files are verify-ledger's business
        complain(f"error: {error}")
        absent = []
    if as_json:
        emit_json({"version": LEDGER_VERSION, "entries": [dict(entry.record)], "notKept": listed(absent)})
    else:
        emit(visible("\n".join([json.dumps(entry.record, indent=2, ensure_ascii=True), *told(absent)])))
    return ExitCode.OK


def _line(entry: "Entry") -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.timestamp / 1000))
    record = entry.record
    return f"{entry.seq:>6}  {when}  {record['type']:<22} {record['workflow']}  {record['actor']}  {entry.id}"


def _write(path: Path, content: bytes) -> None:
    """Create a file, whole or not at all; one that is there with the same content is fine.

    Raises:
        OptrError: another file is there, or it cannot be written.
    """
    if path.is_symlink() or path.exists():
        if not path.is_file() or path.read_bytes() != content:
            raise OptrError(f"{path} is there already", remedy="Move it away, or give --out")
        return
    write_file(path, content)


def _proven(receipt: bytes, line: bytes, key: str, name: str, *, as_json: bool) -> ExitCode:
    from ledger.errors import LedgerError, NoteError  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.note import parse_vkey  # noqa: PLC0415
    from ledger.receipt import parse_receipt, verify_receipt  # noqa: PLC0415

    try:
        parse_vkey(key)
    except NoteError as error:
        raise OptrError(str(error), where="--key", remedy="Give the key exactly as it was published") from None
    try:
        head, index = verify_receipt(receipt, line, key), parse_receipt(receipt).index
    except LedgerError as error:
        raise OptrError(f"not proven: {error}", where=name, code=ExitCode.TAMPERED) from None
    facts: dict[str, Any] = {"receipt": name, "origin": head.origin, "seq": index, "size": head.size}
    if as_json:
        emit_json({"version": LEDGER_VERSION, **facts, "root": head.root.hex()})
    else:
        emit(visible(f"{name}: entry {index} is under the checkpoint of {head.origin} with {head.size} entries"))
    return ExitCode.OK


def _checked(data: bytes, key: str, name: str, *, as_json: bool) -> ExitCode:
    from ledger.bundle import check  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.errors import BundleError, NoteError  # noqa: PLC0415

    try:
        found = check(data, key)
    except NoteError as error:
        raise OptrError(str(error), where="--key", remedy="Give the key exactly as it was published") from None
    except BundleError as error:
        raise OptrError(str(error), where=name, code=ExitCode.TAMPERED) from None
    facts: dict[str, Any] = {"bundle": name, "origin": found.origin, "size": found.size, "files": found.files}
    if as_json:
        emit_json({"version": LEDGER_VERSION, **facts, "entries": [entry.id for entry in found.entries]})
    else:
        emit(visible(f"{name}: {len(found.entries)} entries of {found.origin}, {found.files} files, all proven"))
    return ExitCode.OK


def _extracted(place: Place, name: str, wanted: "Callable[[Entry], bool] | None" = None) -> "Extract":
    from ledger.errors import ExtractError  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.extract import extract  # noqa: PLC0415

    try:
        return extract(place.git_dir, wanted or of_run(name), place.ref)
    except ExtractError as error:
        raise OptrError(
            str(error), where="RUN", remedy="Name a run or workflow that `optr ledger show` lists"
        ) from None


def _stored(record: "Extract", run: str) -> "list[tuple[Entry, Any]]":
    from governance.replaying import COMPLETE, EVENTS, POLICY, SELECTION, Stored  # noqa: PLC0415 - as above

    plans = {
        str(entry.record["run"]): entry.record for entry in record.entries if entry.record["type"] == "MAEG_CREATED"
    }
    found = []
    for entry in record.entries:
        for path in entry.files:
            if path.endswith(f"/{EVENTS}"):
                complete, selection = (
                    record.files.get(path.removesuffix(EVENTS) + name, b"") for name in (COMPLETE, SELECTION)
                )
                stored = Stored(
                    planned=plans.get(str(entry.record["run"])),
                    decided=entry.record,
                    events=record.files[path],
                    complete=complete,
                    selection=selection,
                    lines=[one.record for one in record.entries if one.record["run"] == entry.record["run"]],
                    policy=record.files.get(f"workflows/{entry.record['workflow']}/{POLICY}", b""),
                )
                found.append((entry, stored))
    if not found:
        raise OptrError(f"{run} recorded no events", where="RUN", remedy="It was not decided: see `optr ledger show`")
    return found


def _replay_lines(entry: "Entry", replayed: "Replayed") -> list[str]:
    lines = [f"{entry.id} (entry {entry.seq + 1})"]
    for number, event in enumerate(replayed.events, 1):
        of_node = f"  {event.node} attempt {event.attempt}" if event.node else ""
        lines.append(f"{number:>6}  {event.type:<22}{of_node}  {event.actor}")
    lines += [f"  {node}: {state}" for node, state in replayed.states.items()]
    return [*lines, "Differs from what is stored" if replayed.differences else "As stored"]


def _replay_record(entry: "Entry", replayed: "Replayed") -> dict[str, Any]:
    return {
        "entry": entry.id,
        "seq": entry.seq,
        "order": [
            {"line": number, "type": event.type, "node": event.node, "attempt": event.attempt}
            for number, event in enumerate(replayed.events, 1)
        ],
        "states": dict(replayed.states),
        "differences": [{"where": one.where, "what": one.what} for one in replayed.differences],
    }
