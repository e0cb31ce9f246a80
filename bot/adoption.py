"""Taking ledgers as they stand when the state that wrote them last is lost: an operator's deliberate act, recorded."""

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import aiohttp

from bot.endpoints import LOCK_FILE, github_settings, state_url
from bot.github.errors import GitHubError
from bot.github.git import GitRemote
from bot.github.installations import Installations
from bot.github.survey import Place
from bot.ledgers import ORIGIN, Ledgers
from bot.reading import books_to_read
from bot.settings import Settings
from bot.standing import Books, Whereabouts, known_places
from execution.engine import exclusive
from execution.store import Store, StoredCheckpoints
from governance.entry_types import EntryType
from ledger.checkpoint import parse_checkpoint
from ledger.entry import Draft
from ledger.errors import LedgerError

WORKFLOW = "adoption"  # the name under which the line stands: it belongs to no run
ACTOR = "operator"


@dataclass(frozen=True)
class Adopted:
    """What became of one ledger.

    Attributes:
        repository: `owner/name`.
        before, after: lines remembered before, and lines taken; equal when nothing had to be taken.
        problem: why it was not taken; empty when it was or needed not be.
    """

    repository: str
    before: int
    after: int
    problem: str = ""


async def adopt_ledgers(settings: Settings) -> list[Adopted]:
    """Take the ledgers as they stand, while no App works with this state.

    Raises:
        EngineBusyError: one does.
        AppKeyError: the private key cannot sign.
        GitHubError: GitHub did not say where the App is installed.
    """
    with nullcontext() if settings.database_url else exclusive(settings.state / LOCK_FILE):
        store = Store(state_url(settings))
        try:
            async with aiohttp.ClientSession() as session:
                installations = Installations(session, github_settings(settings), time.time, asyncio.sleep)
                memory = StoredCheckpoints(store)
                books, known = books_to_read(settings, installations, memory)
                remote = GitRemote(settings.state, settings.github_url, installations.git_token)
                writing = Ledgers(settings.state, remote, memory)
                try:
                    return await adopt_all(books, writing, known, time.time)
                finally:
                    await installations.revoke()
        finally:
            store.close()


async def adopt_all(
    books: Books, writing: Ledgers, whereabouts: Whereabouts, clock: Callable[[], float]
) -> list[Adopted]:
    """Take every known ledger whose branch verifies under our key and goes on from what is remembered.

    Args:
        books: the ledgers as they are known here.
        writing: the same with a remote that can push.
        whereabouts: where the App is installed.
        clock: seconds since the epoch.

    Raises:
        GitHubError: GitHub did not say where the App is installed.
    """
    places = await known_places(books.known(), whereabouts)
    return [await _adopt(books, writing, place, clock) for place in sorted(places, key=lambda one: one.name)]


async def _adopt(books: Books, writing: Ledgers, place: Place, clock: Callable[[], float]) -> Adopted:
    name = place.name.lower()
    before = _size(books, name)
    try:
        if (trouble := books.key_trouble(name)) is not None:
            return Adopted(name, before, before, trouble.text)
        await books.ledgers.look(place.installation, name)
    except LedgerError:
        pass  # which is what this is for
    except (GitHubError, OSError) as error:
        return Adopted(name, before, before, str(error))
    else:
        return Adopted(name, before, before)
    try:
        await writing.adopt(place.installation, name)
        taken = books.memory.load(f"{ORIGIN}{name}") or b""
        await writing.append(place.installation, name, [_line(taken, before, int(clock() * 1000))], {})
    except (GitHubError, LedgerError, OSError) as error:
        return Adopted(name, before, _size(books, name), str(error))
    return Adopted(name, before, parse_checkpoint(taken).size)


def _size(books: Books, name: str) -> int:
    remembered = books.memory.load(f"{ORIGIN}{name}")
    return parse_checkpoint(remembered).size if remembered is not None else 0


def _line(checkpoint: bytes, before: int, now_ms: int) -> Draft:
    kind, taken = EntryType.LEDGER_ADOPTED, parse_checkpoint(checkpoint)
    return Draft(
        id=f"{WORKFLOW}/{taken.size}",
        type=str(kind),
        workflow=WORKFLOW,
        run=WORKFLOW,
        actor=ACTOR,
        timestamp=now_ms,
        body={"adoptedSize": taken.size, "adoptedRoot": taken.root.hex(), "rememberedSize": before},
    )
