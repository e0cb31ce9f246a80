"""Check runs, each found by our own key, edited in place, and left alone when nothing changed."""

from collections.abc import AsyncIterator, Callable

from cachetools import LRUCache

from bot.github.client import GitHubClient
from bot.github.errors import Call
from bot.github.newest import Newest
from bot.github.objects import CheckRunObject, read
from bot.github.once import find_or_create
from bot.render.check_run import CheckRun, CheckStatus, Conclusion

REMEMBERED_MAX = 2_000


class CheckRuns:
    """Writes check runs of any repository.

    Args:
        app_id: ours; another App's check run with our key is not ours.
        clock: seconds since the epoch.
    """

    def __init__(self, app_id: str, clock: Callable[[], float]) -> None:
        self._app_id = app_id
        self._clock = clock
        self._shown: LRUCache[tuple[str, str], tuple[CheckRun, str]] = LRUCache(maxsize=REMEMBERED_MAX)
        self._wanted: LRUCache[tuple[str, str, str], CheckRun] = LRUCache(maxsize=REMEMBERED_MAX)
        self._newest: Newest[tuple[str, str, str], str] = Newest()

    async def put(self, client: GitHubClient, repository: str, wanted: CheckRun) -> str:
        """Make GitHub show `wanted` and return its page.

        A completed check run never goes back, unless what completed it was waiting for a person. Of several that wait
        to be shown under one key and on one commit only the newest is.

        Raises:
            GitHubError: it could not be shown.
        """
        place = (repository.lower(), wanted.external_id, wanted.head_sha)
        # Older news that comes late must not take the turn of the last word.
        last = self._wanted.get(place)
        late = last is not None and _final(last) and wanted.status is not CheckStatus.COMPLETED
        newest = self._wanted[place] = last if last is not None and late else wanted
        return await self._newest.put(place, lambda: self._show(client, repository, newest), client.until_free)

    async def _show(self, client: GitHubClient, repository: str, wanted: CheckRun) -> str:
        key = (repository.lower(), wanted.external_id)
        shown = self._shown.get(key)
        if shown is not None and shown[0] == wanted:
            return shown[1]
        found, created = await find_or_create(
            lambda: self._find(client, repository, wanted), lambda: self._create(client, repository, wanted)
        )
        if not created and not _settled(found, wanted):
            await self._update(client, repository, found.id, wanted)
        self._shown[key] = wanted, found.html_url or ""
        return found.html_url or ""

    async def has_others(self, client: GitHubClient, repository: str, wanted: CheckRun) -> bool:
        """Whether a check run of ours with that name stands on the same commit under another key.

        GitHub's rules look at the newest of them all, whoever it was meant for.

        Raises:
            GitHubError: nobody can say.
        """
        found = [one async for one in self._on(client, repository, wanted)]
        return any(one.external_id != wanted.external_id for one in found)

    async def _find(self, client: GitHubClient, repository: str, wanted: CheckRun) -> CheckRunObject | None:
        async for found in self._on(client, repository, wanted):
            if found.external_id == wanted.external_id:
                return found
        return None

    async def _on(self, client: GitHubClient, repository: str, wanted: CheckRun) -> AsyncIterator[CheckRunObject]:
        """Check runs of ours with the name and on the commit of `wanted`."""
        path = f"/repos/{repository}/commits/{wanted.head_sha}/check-runs"
        query = "{?check_name,filter,per_page}"
        variables = {"check_name": wanted.name, "filter": "all", "per_page": "100"}
        async for item in client.getiter(path + query, variables, iterable_key="check_runs"):
            found = read(CheckRunObject, item, Call("GET", path))
            if self._is_ours(found):
                yield found

    def _is_ours(self, found: CheckRunObject) -> bool:
        return found.app is None or str(found.app.id) == self._app_id

    async def _create(self, client: GitHubClient, repository: str, wanted: CheckRun) -> CheckRunObject:
        path = f"/repos/{repository}/check-runs"
        answer = await client.post(path, data=wanted.create_payload(self._now_ms()))
        return read(CheckRunObject, answer, Call("POST", path))

    async def _update(self, client: GitHubClient, repository: str, number: int, wanted: CheckRun) -> None:
        await client.patch(f"/repos/{repository}/check-runs/{number}", data=wanted.update_payload(self._now_ms()))

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _final(shown: CheckRunObject | CheckRun) -> bool:
    """Whether nothing but another conclusion may follow: it is completed, and does not wait for a person."""
    return shown.status == CheckStatus.COMPLETED and shown.conclusion != Conclusion.ACTION_REQUIRED


def _settled(found: CheckRunObject, wanted: CheckRun) -> bool:
    """Whether GitHub shows `wanted` already, or something later than it."""
    if _final(found) and wanted.status is not CheckStatus.COMPLETED:
        return True
    return (found.status, found.conclusion, found.output.title, found.output.summary, found.output.text or "") == (
        wanted.status,
        wanted.conclusion,
        wanted.title,
        wanted.summary,
        wanted.text,
    )
