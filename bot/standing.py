"""Is the state that the App starts with the one that wrote the ledgers last?

A database restored from an old backup does not know the newest lines that were signed with its keys. Signing on top of
what it does know would fork the record, and the fork would carry our own signature. So the App looks at every ledger it
has a key for, or remembers, before it takes work.

What only a wrong state can bring about stops the start. What whoever may push to one repository can bring about, a
branch rolled back or damaged, stops that repository's runs and nothing else: or one tenant could stop all others.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from bot import logs
from bot.errors import OptrError
from bot.github.errors import GitHubError
from bot.github.survey import Place
from bot.ledgers import ORIGIN, Ledgers
from ledger.checkpoint import parse_checkpoint, verify_checkpoint
from ledger.errors import LedgerError, LedgerRefusedError, NoteError
from ledger.keys import Signer

AT_ONCE_MAX = 8
LOOKING_S_MAX = 60.0
NAMED_MAX = 5

_LOG = logging.getLogger("optr.standing")


class Cause(StrEnum):
    """What is wrong with a ledger, by whose doing."""

    OLDER = "older"  # the branch holds lines that we signed and do not remember
    NO_KEY = "no key"  # a checkpoint is remembered, the key that signed it is not here
    OTHER_KEY = "other key"  # none of the keys here signed what is remembered
    BRANCH = "branch"  # somebody who may push changed the branch


@dataclass(frozen=True)
class Trouble:
    """One ledger that does not stand as it should.

    Attributes:
        repository: `owner/name`.
        cause: see Cause.
        text: what was found, one sentence or more.
    """

    repository: str
    cause: Cause
    text: str


class Whereabouts(Protocol):
    """Where the App is installed (`bot.github.survey.Survey`)."""

    async def installations(self) -> list[int]:
        """Installations that are not suspended."""
        ...

    async def repositories(self, installation: int) -> list[Place]:
        """An installation's repositories."""
        ...


class Memory(Protocol):
    """What was signed last, of every ledger (`execution.store.StoredCheckpoints`)."""

    def origins(self) -> list[str]:
        """The ledgers of which something is remembered."""
        ...

    def load(self, origin: str) -> bytes | None:
        """The last signed checkpoint of a ledger."""
        ...


@dataclass(frozen=True)
class Books:
    """The ledgers, and what is remembered of them.

    Attributes:
        ledgers: with a remote that need only be able to read.
        memory: see Memory.
    """

    ledgers: Ledgers
    memory: Memory

    def known(self) -> set[str]:
        """The repositories, `owner/name`, that have a key here or are remembered."""
        names = {origin.removeprefix(ORIGIN) for origin in self.memory.origins() if origin.startswith(ORIGIN)}
        return names | self.ledgers.with_key()

    def key_trouble(self, name: str) -> Trouble | None:
        """What is wrong with the signing key, as far as what is remembered tells."""
        if (remembered := self.memory.load(f"{ORIGIN}{name}")) is None:
            return None
        if name not in self.ledgers.with_key():
            text = f"lines of {name} are remembered as signed, and the key that signed them is not in OPTR_STATE"
            return Trouble(name, Cause.NO_KEY, text)
        if not _signed_by(self.ledgers.keys(name).held(), remembered):
            text = f"no key in OPTR_STATE is the one that signed what is remembered of {name}"
            return Trouble(name, Cause.OTHER_KEY, text)
        return None

    def signed_beyond_memory(self, name: str) -> bool:
        """Whether the branch, as fetched last, carries our own signature over what is not remembered.

        Nobody else can make that one: so it is the memory that is not the last, whoever pushed the branch.
        """
        found = self.ledgers.checkpoint(name)
        if found is None or not _signed_by(self.ledgers.keys(name).held(), found):
            return False
        remembered = self.memory.load(f"{ORIGIN}{name}")
        return remembered is None or parse_checkpoint(found).size >= parse_checkpoint(remembered).size


class StateIsNotTheLastError(OptrError):
    """The state does not fit the ledgers that were written with it; nothing was started."""

    def __init__(self, troubles: Sequence[Trouble]) -> None:
        keys = [one for one in troubles if one.cause in {Cause.NO_KEY, Cause.OTHER_KEY}]
        super().__init__(
            "the state is not the one that wrote these ledgers last; nothing was started",
            where=_named(troubles),
            why=(keys or troubles)[0].text,
            remedy=_KEYS_REMEDY if keys else _OLDER_REMEDY,
        )


_OLDER_REMEDY = (
    "Stop every other OPTR that uses these keys, and restore the newest database there is. If the newer state is lost "
    "for good: `optr adopt-ledgers` takes the branches as they stand and records that (docs/operations.md)"
)
_KEYS_REMEDY = (
    "Restore OPTR_STATE of the same moment as the database; several processes share one state directory "
    "(docs/operations.md)"
)


async def require_last_state(books: Books, whereabouts: Whereabouts) -> None:
    """Return when the state fits every ledger that can be looked at in LOOKING_S_MAX seconds.

    What cannot be looked at, or not in that time, is judged before its next line is written, as always.

    Raises:
        StateIsNotTheLastError: it does not.
    """
    troubles = await troubles_of(books, whereabouts)
    if wrong := [one for one in troubles if one.cause is not Cause.BRANCH]:
        raise StateIsNotTheLastError(wrong)
    for one in troubles:
        remedy = "its runs end with LEDGER_REFUSED until the branch is what it was: docs/ledger.md"
        logs.event(
            _LOG,
            logging.ERROR,
            "a ledger's branch is not what was signed",
            repository=one.repository,
            why=one.text,
            remedy=remedy,
        )


async def troubles_of(books: Books, whereabouts: Whereabouts) -> list[Trouble]:
    """What is wrong with the ledgers that are known here, of repositories where the App is installed."""
    if not (known := books.known()):
        return []
    try:
        places = await known_places(known, whereabouts)
    except GitHubError as error:
        _LOG.warning("ledgers are not looked at now, but before their next line: %s", error)
        return []
    gate = asyncio.Semaphore(AT_ONCE_MAX)
    looks = [asyncio.create_task(_look(books, place, gate)) for place in places]
    if not looks:
        return []
    done, late = await asyncio.wait(looks, timeout=LOOKING_S_MAX)
    for look in late:
        look.cancel()
    if late:
        _LOG.warning("%d ledgers could not be looked at in time; they are before their next line", len(late))
    return sorted((found for look in done if (found := look.result()) is not None), key=lambda one: one.repository)


async def known_places(known: Collection[str], whereabouts: Whereabouts) -> list[Place]:
    """Where the known repositories are installed.

    Raises:
        GitHubError: GitHub did not say.
    """
    places = [place for one in await whereabouts.installations() for place in await whereabouts.repositories(one)]
    return [place for place in places if place.name.lower() in known]


async def _look(books: Books, place: Place, gate: asyncio.Semaphore) -> Trouble | None:
    name = place.name.lower()
    async with gate:
        try:
            if (trouble := books.key_trouble(name)) is not None:
                return trouble
            await books.ledgers.look(place.installation, name)
        except LedgerRefusedError as refused:
            cause = Cause.OLDER if books.signed_beyond_memory(name) else Cause.BRANCH
            return Trouble(name, cause, str(refused))
        except (GitHubError, LedgerError, OSError) as error:
            _LOG.warning("the ledger of %s is not looked at now, but before its next line: %s", name, error)
    return None


def _signed_by(held: Iterable[Signer], checkpoint: bytes) -> bool:
    """Whether one of the keys that are here signed it: the present one, one that waits, or one that retired."""
    try:
        verify_checkpoint(checkpoint, [signer.vkey for signer in held])
    except NoteError:
        return False
    return True


def _named(troubles: Iterable[Trouble]) -> str:
    names = [f"{one.repository} ({one.cause})" for one in troubles]
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more
