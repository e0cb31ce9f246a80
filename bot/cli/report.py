"""`optr report`: what the ledger evidences for a framework's controls, over all runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.ledger import Place, locate_record, moment
from bot.cli.options import Json, Repo, Verbose
from bot.cli.output import emit, emit_json
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.render.neutral import visible

if TYPE_CHECKING:
    from governance.frameworks import Basis, RunEvidence
    from ledger.entry import Entry
    from ledger.extract import Extract

ASSESSMENT = "/compliance.json"
PLANNED = "MAEG_CREATED"
ACCEPTED = "WRAP_ORCH_ACCEPTED"

EPILOG = """Examples:

optr report --framework soc2

optr report --framework nist-800-53 --since 2026-10-01 --json"""


def report(
    *,
    framework: Annotated[
        str, typer.Option("--framework", help="soc2, iso27001 or nist-800-53.", metavar="NAME", show_default=False)
    ],
    since: Annotated[
        str | None, typer.Option("--since", help="Only runs decided from this date on, ISO 8601.", metavar="DATE")
    ] = None,
    repo: Repo = Path(),
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Report which controls the ledger's entries evidence: supported, partial, or not evidenced, run by run.

    Made from the branch datalake alone. It is no audit and no opinion: it lists evidence, and what is missing.
    """
    del verbose  # read by `bot.cli.app.run`
    from governance.frameworks import Framework, report_page  # noqa: PLC0415 - `--help` must not wait for it
    from governance.frameworks import report as made  # noqa: PLC0415

    if framework not in set(Framework):
        remedy = f"Give one of: {', '.join(Framework)}"
        raise OptrError(f"{framework!r} is no framework that is known", where="--framework", remedy=remedy)
    start = moment(since) if since is not None else 0
    record = _everything(locate_record(repo))
    told = made(Framework(framework), evidence(record, start), _basis(record, since or ""))
    if as_json:
        emit_json(told)
    else:
        emit(visible(report_page(told)))
    return ExitCode.OK


def _basis(record: "Extract", since: str) -> "Basis":
    from governance.frameworks import Basis  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.checkpoint import parse_checkpoint  # noqa: PLC0415
    from ledger.errors import NoteError  # noqa: PLC0415

    try:
        head = parse_checkpoint(record.checkpoint)
    except NoteError as error:
        raise OptrError(str(error), remedy="See `optr verify-ledger`", code=ExitCode.TAMPERED) from None
    return Basis(head.origin, head.size, head.root.hex(), since)


def evidence(record: "Extract", start: int) -> "list[RunEvidence]":
    """Return what each run evidences that was decided at `start` (milliseconds) or later, by its newest decision."""
    by_run: dict[str, list[Entry]] = {}
    for entry in record.entries:
        by_run.setdefault(str(entry.record["run"]), []).append(entry)
    found = (_of_run(run, entries, record, start) for run, entries in by_run.items())
    return [one for one in found if one is not None]


def _of_run(run: str, entries: "Sequence[Entry]", record: "Extract", start: int) -> "RunEvidence | None":
    from governance.compliance import Fact  # noqa: PLC0415 - `--help` must not wait for it
    from governance.frameworks import RunEvidence  # noqa: PLC0415

    decided = [(entry, path) for entry in entries for path in entry.files if path.endswith(ASSESSMENT)]
    if not decided or decided[-1][0].timestamp < start:
        return None
    entry, path = decided[-1]
    asked = next((one.record["actor"] for one in entries if one.record["type"] == PLANNED), None)
    accepted = next((one for one in entries if one.record["type"] == ACCEPTED and one.record["actor"] != asked), None)
    return RunEvidence(
        run,
        str(entry.record["workflow"]),
        _assessment(record.files[path], path),
        {Fact.HUMAN_APPROVED: accepted.id} if accepted is not None and asked is not None else {},
        {one.id: one.seq for one in entries},
    )


def _assessment(content: bytes, path: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
        rows = [(one["framework"], one["control"], one["evidence"], one["missing"]) for one in value["controls"]]
    except (ValueError, KeyError, TypeError):
        rows = None
    if rows is None:
        raise OptrError(f"{path} is not an assessment", remedy="See `optr verify-ledger`", code=ExitCode.TAMPERED)
    return dict(value)


def _everything(place: Place) -> "Extract":
    from ledger.errors import ExtractError  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.extract import extract  # noqa: PLC0415

    try:
        return extract(place.git_dir, lambda _: True, place.ref, only=lambda path: path.endswith(ASSESSMENT))
    except ExtractError as error:
        raise OptrError(str(error), where=str(place.git_dir), remedy="See `optr verify-ledger`") from None
