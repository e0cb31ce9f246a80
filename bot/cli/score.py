"""`optr score`: rank stored agent results again."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.options import Json, Verbose
from bot.cli.output import complain, emit, emit_json
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.render.neutral import visible

if TYPE_CHECKING:
    from scoring.selection import Ranked, Selection

SCORE_VERSION = 1
FILE_BYTES_MAX = 10 * 2**20

EPILOG = """Examples:

optr score codex.json claude.json copilot.json --profile seed-v1

optr score results.json --json"""


def score(
    *,
    files: Annotated[list[Path], typer.Argument(help="JSON files of one result, or of a list.", metavar="FILE…")],
    profile: Annotated[str, typer.Option("--profile", help="The scoring profile: balanced or seed-v1.")] = "balanced",
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Rank stored agent results under a scoring profile.

    What the results state is taken as it stands; nothing is verified again.
    """
    del verbose  # read by `bot.cli.app.run`
    selection = _selection(files, profile)
    if as_json:
        emit_json({"version": SCORE_VERSION, **selection.model_dump(mode="json")})
    else:
        emit("\n".join(visible(line) for line in _lines(selection)))
    if selection.winner is None:
        complain(f"error: {selection.why[0]}")
        return ExitCode.NO_WINNER
    return ExitCode.OK


def _selection(files: Sequence[Path], profile: str) -> "Selection":
    from scoring.profiles import profile_named  # noqa: PLC0415 - `--help` must not wait for it
    from scoring.select import rank  # noqa: PLC0415
    from scoring.stored import StoredError, StoredResult, parse_results  # noqa: PLC0415

    try:
        profile_named(profile)
    except ValueError as error:
        raise OptrError(str(error), where="--profile", remedy="Choose one of the profiles named") from None
    results: list[StoredResult] = []
    for file in files:
        try:
            results += parse_results(_read(file))
        except StoredError as error:
            remedy = "Give results with the fields of docs/cli.md"
            raise OptrError(f"not stored results: {error}", where=str(file), remedy=remedy) from None
    try:
        return rank(results, profile=profile)
    except ValueError as error:
        raise OptrError(str(error), remedy="Give each agent's result once") from None


def _read(file: Path) -> bytes:
    if file.is_dir():
        raise OptrError("a directory is not a file of results", where=str(file), remedy="Name its files: DIR/*.json")
    with file.open("rb") as stream:
        data = stream.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        remedy = f"Keep each file under {FILE_BYTES_MAX} bytes"
        raise OptrError("the file is too large", where=str(file), remedy=remedy)
    return data


def _lines(selection: "Selection") -> list[str]:
    width = max((len(ranked.agent) for ranked in selection.ranking), default=0)
    rows = [_row(place, ranked, width) for place, ranked in enumerate(selection.ranking, start=1)]
    return [f"profile {selection.profile}", *rows, *([f"selected {selection.winner}"] if selection.winner else [])]


def _row(place: int, ranked: "Ranked", width: int) -> str:
    name = ranked.agent.ljust(width)
    if ranked.score is None:
        return f"-  {name}  inadmissible: {'; '.join(reason.text for reason in ranked.why_not)}"
    terms = ", ".join(f"{term} {points}" for term, points in ranked.terms.items())
    return f"{place}  {name}  {ranked.score}  ({terms})"
