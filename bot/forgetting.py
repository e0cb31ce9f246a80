"""`optr forget`: what the App's own state keeps of somebody is erased, while no App works with it.

Copies of repositories and caches go before the databases are asked, and signing keys after: whatever interrupts this,
asking again finds the rest.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from bot.endpoints import LOCK_FILE, engine_url, state_url
from bot.errors import OptrError
from bot.github.git import CACHE, checked_repository
from bot.ledgers import key_file
from bot.settings import Settings
from execution.engine import exclusive
from execution.erasure import Asked, Erasure, StillServedError, Subject, UnderWayError, erase
from execution.gitcmd import run_git
from execution.prepared_cache import MEMORY_FILE
from execution.sandbox.disposal import dispose
from execution.turns import SUFFIX

SHOWN_MAX = 5
STAGED = "refs/optr/staged"
STAYS = (
    "the branch `datalake`: it is the repository's own and append-only; without one line the rest cannot be verified",
    "comments, checks, pull requests and commits on GitHub: they are the repository's",
    "logs, traces, metrics and backups: they are where you sent them",
)


@dataclass(frozen=True)
class Forgotten:
    """What was erased, or would be.

    Attributes:
        erasure: in the databases.
        files: directories and files that are gone, or would be.
        stays: what is kept, and why; each one sentence.
    """

    erasure: Erasure
    files: tuple[Path, ...]
    stays: tuple[str, ...]


def forget(settings: Settings, asked: Asked) -> Forgotten:
    """Erase what was asked for.

    Raises:
        OptrError: there is no state, something is under way, or a process of the App works with this state; nothing was
            erased.
        EngineBusyError: another process holds the state directory.
    """
    subject = asked.subject
    with _alone(settings):
        seen = _erase(settings, replace(asked, dry=True))
        if seen.unfinished and not (asked.dry or asked.unfinished):
            raise _under_way(_listed(seen.unfinished))
        names = _repositories(subject, seen)
        caches = () if subject.is_person else tuple(_caches(settings.state, names, asked))
        keys = tuple(_keys(settings.state, names)) if asked.for_good else ()
        if not asked.dry:
            for path in caches:
                dispose(path)
            seen = _erase(settings, asked)
            for path in keys:
                dispose(path)
    return Forgotten(seen, (*caches, *keys), (*_kept(seen, asked), *STAYS))


def _alone(settings: Settings) -> AbstractContextManager[IO[str] | None]:
    if not settings.state.is_dir():
        raise OptrError("no App has kept anything there", where=str(settings.state), remedy="Set OPTR_STATE")
    return nullcontext() if settings.database_url else exclusive(settings.state / LOCK_FILE)


def _erase(settings: Settings, asked: Asked) -> Erasure:
    try:
        return erase(state_url(settings), engine_url(settings), asked, settings.lease_ms)
    except UnderWayError as error:
        raise _under_way(_listed(error.unfinished)) from None
    except StillServedError as error:
        raise OptrError(
            "processes of the App work with this database",
            why=f"they are {error}",
            remedy="Stop them; one that was killed counts as stopped when its lease has run out",
        ) from None


def _listed(unfinished: Sequence[str]) -> str:
    more = len(unfinished) - SHOWN_MAX
    return ", ".join(unfinished[:SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def _under_way(what: str) -> OptrError:
    return OptrError(
        f"something is under way: {what}",
        remedy="Let it end, or cancel it (`/optr cancel`), while the App runs; or give --unfinished: it ends here, "
        "and its ledger has no line of it",
    )


def _repositories(subject: Subject, seen: Erasure) -> list[str]:
    """Whose copies and keys are meant; names that are none of GitHub's were never made into paths."""
    return [checked_repository(name) for name in ([subject.repository] if subject.repository else seen.repositories)]


def _caches(state: Path, names: Iterable[str], asked: Asked) -> Iterable[Path]:
    """Copies of the repositories, and all prepared dependencies, which do not say whose they are."""
    for name in names:
        copy = state / CACHE / f"{name}.git"
        if not copy.is_dir():
            continue
        if not (asked.unfinished or asked.dry) and run_git(copy, "for-each-ref", "--count=1", STAGED).strip():
            raise _under_way(f"an append to the ledger of {name}, which the App finishes with its next one")
        yield copy
        yield state / CACHE / f"{name}{SUFFIX}"
    memory = state / MEMORY_FILE
    if memory.is_file():
        yield Path(memory.read_text(encoding="utf-8").strip())
        yield memory


def _keys(state: Path, names: Iterable[str]) -> Iterable[Path]:
    return (home for name in names if (home := key_file(state, name).parent).is_dir())


def _kept(seen: Erasure, asked: Asked) -> Iterable[str]:
    subject = asked.subject
    if seen.open_mentions:
        runs = ", ".join(sorted(seen.open_mentions))
        yield f"the name of the person in other people's runs that are under way ({runs}): ask again when they ended"
    if subject.is_person and not subject.login:
        yield "the name of the person in other people's runs: it is found by --person only"
    if not asked.for_good:
        yield (
            "one row for each run with numbers, commits and how it ended, without anybody's words or name: without it "
            "the run would start again, or the next one take its name on the ledger"
        )
        if not subject.is_person:
            yield "the ledger's signing key and what was signed last: without them it cannot go on; see --for-good"
