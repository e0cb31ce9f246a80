"""Looking at many ledgers at once: with tokens that read those repositories whose ledgers are known, and no others.

One token for many, because minting one for each takes its time, and all the others wait for the start to be over.
"""

from collections.abc import Callable, Collection

from bot.github.git import GitRemote
from bot.github.installations import Installations
from bot.github.survey import Place, Survey
from bot.ledgers import Ledgers
from bot.settings import Settings
from bot.standing import Books, Whereabouts
from execution.store import StoredCheckpoints

REPOSITORIES_MAX = 100  # of one token; GitHub takes 500


class KnownReading:
    """Says where the App is installed (`bot.standing.Whereabouts`), and can read what is known there.

    Args:
        whereabouts: asked for installations and their repositories.
        installations: the App.
        known: `owner/name`, lower case, of the repositories whose ledgers are to be looked at.
    """

    def __init__(
        self, whereabouts: Whereabouts, installations: Installations, known: Callable[[], Collection[str]]
    ) -> None:
        self._whereabouts = whereabouts
        self._installations = installations
        self._known = known
        self._together: dict[tuple[int, str], tuple[str, ...]] = {}

    async def installations(self) -> list[int]:
        """Installations that are not suspended."""
        return await self._whereabouts.installations()

    async def repositories(self, installation: int) -> list[Place]:
        """An installation's repositories; those of them that are known share tokens from now on."""
        places, known = await self._whereabouts.repositories(installation), self._known()
        names = sorted(place.name.lower() for place in places if place.name.lower() in known)
        for start in range(0, len(names), REPOSITORIES_MAX):
            together = tuple(names[start : start + REPOSITORIES_MAX])
            self._together.update({(installation, name): together for name in together})
        return places

    async def token(
        self,
        installation: int,
        repository: str,
        /,
        *,
        pushes: bool = False,  # noqa: ARG002 - asked like any other, it cannot push all the same
        refused: str = "",
    ) -> str:
        """A token that can fetch a repository and those that it is looked at with (`bot.github.git.ContentsToken`)."""
        name = repository.lower()
        together = self._together.get((installation, name), (name,))
        return await self._installations.reading_token(installation, together, refused=refused)


def books_to_read(
    settings: Settings, installations: Installations, memory: StoredCheckpoints
) -> tuple[Books, KnownReading]:
    """The ledgers as far as reading them goes, and where they are."""

    def known() -> Collection[str]:
        return books.known()

    reading = KnownReading(Survey(installations), installations, known)
    remote = GitRemote(settings.state, settings.github_url, reading.token)
    books = Books(Ledgers(settings.state, remote, memory), memory)
    return books, reading
