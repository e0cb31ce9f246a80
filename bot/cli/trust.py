"""`optr trust`: who may act, on whose word, and taking that back."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.options import Json, Repo, Verbose
from bot.cli.output import complain, emit, emit_json, say
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.person import person
from bot.render.neutral import visible

if TYPE_CHECKING:
    from execution.trustbooks import Kept
    from governance.trust.records import Revocation

TRUST_VERSION = 1

SHOW_EPILOG = """Examples:

optr trust show

optr trust show --workflow fix-parser --json"""

VERIFY_EPILOG = """Examples:

optr trust verify

optr trust verify --repo record --key "$(cat pinned.vkey)\""""

REVOKE_EPILOG = """Examples:

optr trust revoke agent claude --reason "keys leaked"

optr trust revoke human mallory

optr trust revoke agent claude --lift"""

Workflow = Annotated[str, typer.Option("--workflow", help="Only this run's directory in the record.", metavar="NAME")]


@dataclass(frozen=True)
class _Place:
    """A repository, and the branch that its record is read from."""

    git_dir: Path
    ref: str
    name: str


def show(*, repo: Repo = Path(), workflow: Workflow = "", as_json: Json = False, verbose: Verbose = False) -> ExitCode:
    """Show who was trusted with what in each run, by whose word, and what was revoked."""
    del verbose  # read by `bot.cli.app.run`
    place = _place(repo)
    kept, revoked = _kept(place, workflow), _revoked(place)
    if as_json:
        emit_json({"version": TRUST_VERSION, "runs": [_run_told(one) for one in kept], "revocations": _dumped(revoked)})
    else:
        emit(visible("\n".join([line for one in kept for line in _run_lines(one)] + _revoked_lines(revoked))))
    return ExitCode.OK


def verify(
    *,
    repo: Repo = Path(),
    workflow: Workflow = "",
    key: Annotated[
        str | None, typer.Option("--key", help="The verification key you trust; else the branch's own is believed.")
    ] = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Check every signature and every link of the recorded authority, down to the ledger's key.

    Needs no secret. Run `optr verify-ledger` too: it shows that the record itself was not changed.
    """
    del verbose  # read by `bot.cli.app.run`
    from execution.trustbooks import require_kept  # noqa: PLC0415 - `--help` must not wait for it
    from governance.codes import RefusedError  # noqa: PLC0415

    place = _place(repo)
    public = _public_keys(place, key)
    checked = []
    for one in _kept(place, workflow):
        try:
            require_kept(one, public)
        except RefusedError as refused:
            complain(f"{one.workflow}: {refused}")
            return ExitCode.TAMPERED
        checked.append(one)
    counted = {
        "runs": len(checked),
        "delegations": sum(len(one.book.delegations) for one in checked),
        "anchors": sum(len(one.trail) for one in checked),
    }
    if as_json:
        emit_json({"version": TRUST_VERSION, **counted})
    else:
        told = ", ".join(f"{number} {what}" for what, number in counted.items())
        emit(f"Every signature and link holds: {told}")
    return ExitCode.OK


def revoke(  # noqa: PLR0913 - each option of the command is one argument
    *,
    kind: Annotated[str, typer.Argument(help="agent, human, delegation or key.", metavar="KIND")],
    target: Annotated[str, typer.Argument(help="A name, a delegation's id or a hex public key.", metavar="TARGET")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in at most 500 characters; goes on the record.")] = "",
    lift: Annotated[bool, typer.Option("--lift", help="End an earlier revocation instead.")] = False,
    repo: Repo = Path(),
    as_json: Json = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Revoke an agent, a person, a delegation or a key, and all that rests on it.

    Writes TRUST_REVOKED on the ledger of a local repository, signed with its key. It counts at once: in every later
    run, and in a running one from its next act on.
    """
    del verbose  # read by `bot.cli.app.run`
    from bot.settings import LocalSettings  # noqa: PLC0415 - `--help` must not wait for it
    from execution.local_ledger import open_ledger  # noqa: PLC0415
    from execution.trustbooks import revocation_draft  # noqa: PLC0415
    from governance.trust.lineage import authority  # noqa: PLC0415
    from governance.trust.operations import revocation  # noqa: PLC0415

    place = _place(repo)
    state = LocalSettings.from_environ(os.environ).state
    ledger = open_ledger(state, place.git_dir, place.name, os.environ)
    made = revocation(
        authority(ledger.signer),
        _kind(kind),
        _target(place, kind, target),
        by=person(),
        now_ms=int(time.time() * 1000),
        reason=_reason(reason),
        lifted=lift,
    )
    appended = ledger.sequencer().append([revocation_draft(made)], {})
    if as_json:
        emit_json({"version": TRUST_VERSION, "seq": appended.seqs[-1], "revocation": made.model_dump(mode="json")})
    else:
        emit(f"{_revoked_line(made)} (line {appended.seqs[-1]} of {appended.origin})")
    return ExitCode.OK


def _reason(said: str) -> str:
    from execution.revoking import REASON_CHARACTERS_MAX, reason_kept  # noqa: PLC0415 - `--help` must not wait for it

    line = " ".join(said.split())
    if len(line) > REASON_CHARACTERS_MAX:
        what = f"the reason has {len(line)} characters; the record keeps at most {REASON_CHARACTERS_MAX}"
        raise OptrError(what, where="--reason", remedy="Say it shorter")
    return reason_kept(os.environ, line)


def _place(repo: Path) -> _Place:
    from execution.discovery import NoRepositoryError, locate  # noqa: PLC0415
    from ledger.branch import GitDir  # noqa: PLC0415
    from ledger.where import branch_of  # noqa: PLC0415 - `--help` must not wait for it

    try:
        found = locate(repo)
    except NoRepositoryError as error:
        raise OptrError(str(error), where=str(repo), remedy=error.remedy) from None
    ref = branch_of(GitDir(found.common_dir))
    if GitDir(found.common_dir).tip(ref) is None:
        what = "the repository has no branch datalake, so nobody was trusted with anything yet"
        raise OptrError(what, where=str(found.top), remedy="Start a run first: optr execute")
    return _Place(found.common_dir, ref, found.top.name)


def _kept(place: _Place, workflow: str) -> "list[Kept]":
    from execution.trustbooks import read_books  # noqa: PLC0415 - `--help` must not wait for it
    from governance.codes import RefusedError  # noqa: PLC0415

    try:
        books = read_books(place.git_dir, place.ref)
    except RefusedError as refused:
        raise OptrError(str(refused), remedy="Run `optr verify-ledger`", code=ExitCode.TAMPERED) from None
    chosen = [one for one in books if workflow in {"", one.workflow}]
    if workflow and not chosen:
        known = ", ".join(one.workflow for one in books) or "none"
        raise OptrError(f"no run {workflow!r} with a record of trust", where="--workflow", remedy=f"Known: {known}")
    if not chosen:
        say("note: no run on this branch has a record of trust; runs before this version have none")
    return chosen


def _revoked(place: _Place) -> "tuple[Revocation, ...]":
    from execution.revocations import Revocations  # noqa: PLC0415 - `--help` must not wait for it

    return Revocations(place.git_dir, place.ref).read()


def _public_keys(place: _Place, given: str | None) -> frozenset[str]:
    """The keys that may be a root: those on the verified branch, which handed over to or from the trusted one."""
    from execution.trustbooks import ledger_keys  # noqa: PLC0415 - `--help` must not wait for it
    from ledger.errors import NoteError  # noqa: PLC0415
    from ledger.note import parse_vkey  # noqa: PLC0415
    from ledger.verify import verify_branch  # noqa: PLC0415

    try:
        trusted = parse_vkey(given) if given is not None else None
    except NoteError as error:
        raise OptrError(str(error), where="--key", remedy="Give the key exactly as it was published") from None
    found = verify_branch(place.git_dir, place.ref, given, None)
    if found.problem is not None:
        raise OptrError(found.problem.detail, remedy="See `optr verify-ledger`", code=ExitCode.TAMPERED)
    return ledger_keys(place.git_dir, place.ref, trusted)


def _kind(word: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - an enum that `--help` must not wait for
    from governance.trust.records import RevocationKind  # noqa: PLC0415

    if word not in set(RevocationKind):
        raise OptrError(f"{word!r} cannot be revoked", where="KIND", remedy=f"Give one of: {', '.join(RevocationKind)}")
    return RevocationKind(word)


def _target(place: _Place, kind: str, target: str) -> str:
    """The target in full; a delegation may be named by the beginning of its id, as `optr trust show` prints it."""
    if kind != "delegation":
        return target
    known = sorted({one.id for kept in _kept(place, "") for one in kept.book.delegations if one.id.startswith(target)})
    if len(known) != 1:
        what = f"{len(known)} delegations begin with {target!r}"
        raise OptrError(what, where="TARGET", remedy="Take the id from `optr trust show`")
    return known[0]


def _run_told(kept: "Kept") -> dict[str, object]:
    from governance.trust.registry import actors, status_of  # noqa: PLC0415 - `--help` must not wait for it

    now_ms = int(time.time() * 1000)
    found = [status_of(kept.book, actor, now_ms) for actor in sorted(actors(kept.book))]
    return {
        "workflow": kept.workflow,
        "authority": kept.book.genesis.authority,
        "actors": [
            {
                "actor": one.actor,
                "trusted": one.trusted,
                "capabilities": list(one.capabilities),
                "constraints": one.envelope.model_dump(mode="json")["constraints"],
                "reason": one.reason,
            }
            for one in found
        ],
        "delegations": [{"id": one.id, **one.model_dump(mode="json")} for one in kept.book.delegations],
        "anchors": len(kept.trail),
    }


def _run_lines(kept: "Kept") -> list[str]:
    lines = [f"{kept.workflow}: {kept.book.genesis.authority}"]
    for one in kept.book.delegations:
        until = time.strftime("%Y-%m-%d %H:%M", time.gmtime(one.expires_ms / 1000))
        what = " ".join(one.capabilities)
        lines.append(f"{'  ' * one.depth}{one.delegator} > {one.delegatee}  {what}  until {until}  {one.id[:12]}")
    return lines


def _revoked_lines(revoked: "tuple[Revocation, ...]") -> list[str]:
    return ["Revoked:", *(f"  {_revoked_line(one)}" for one in revoked)] if revoked else []


def _revoked_line(made: "Revocation") -> str:
    verb = "not revoked any more" if made.lifted else "revoked"
    return f"{made.kind} {made.target} {verb} by {made.by}{f': {made.reason}' if made.reason else ''}"


def _dumped(revoked: "tuple[Revocation, ...]") -> list[dict[str, object]]:
    return [one.model_dump(mode="json") for one in revoked]
