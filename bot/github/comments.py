"""Comments of ours, each found by its hidden first line, edited in place, and left alone when nothing changed."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from cachetools import LRUCache

from bot.github.client import GitHubClient
from bot.github.errors import Call
from bot.github.newest import Newest
from bot.github.objects import Comment, read
from bot.github.once import find_or_create

REMEMBERED_MAX = 2_000
SINCE_MARGIN_S = 3600.0


class Comments:
    """Writes comments on issues and pull requests of any repository.

    Args:
        login: gives the login our comments carry; anybody can copy a hidden line, nobody our login.
    """

    def __init__(self, login: Callable[[], Awaitable[str]]) -> None:
        self._login = login
        self._shown: LRUCache[tuple[str, int, str], str] = LRUCache(maxsize=REMEMBERED_MAX)
        self._newest: Newest[tuple[str, int, str], None] = Newest()
        self._writing: WeakValueDictionary[tuple[str, int, str], asyncio.Lock] = WeakValueDictionary()

    async def put(
        self, client: GitHubClient, repository: str, issue: int, marker: str, body: str, since_s: float = 0.0
    ) -> None:
        """Make our comment that starts with `marker` say `body`, creating it once; of several that wait the newest.

        Args:
            client: for the repository.
            repository: `owner/name`.
            issue: issue or pull request number.
            marker: the hidden first line, the start of `body`.
            body: the whole comment.
            since_s: seconds since the epoch before which it cannot have been written; saves reading old comments.

        Raises:
            GitHubError: it could not be written.
        """
        key = (repository.lower(), issue, marker)

        async def write() -> None:
            if self._shown.get(key) != body:
                await self._show(client, repository, issue, marker, body, since_s)
                self._shown[key] = body

        await self._newest.put(key, write, client.until_free)

    async def _show(
        self, client: GitHubClient, repository: str, issue: int, marker: str, body: str, since_s: float
    ) -> None:
        found, created = await self.ensure(client, repository, issue, marker, body, since_s)
        if not created and found.body != body:
            await client.patch(f"/repos/{repository}/issues/comments/{found.id}", data={"body": body})

    async def ensure(
        self, client: GitHubClient, repository: str, issue: int, marker: str, body: str, since_s: float = 0.0
    ) -> tuple[Comment, bool]:
        """Our comment that starts with `marker`, created with `body` when there is none; and whether it was created.

        Raises:
            GitHubError: it could not be read or written.
        """
        path = f"/repos/{repository}/issues/{issue}/comments"

        async def create() -> Comment:
            return read(Comment, await client.post(path, data={"body": body}), Call("POST", path))

        async def find() -> Comment | None:
            return await self._find(client, path, marker, since_s)

        # Two deliveries may ask for the same comment at once: the second must look after the first has written.
        lock = self._writing.setdefault((repository.lower(), issue, marker), asyncio.Lock())
        async with lock:
            return await find_or_create(find, create)

    async def _find(self, client: GitHubClient, path: str, marker: str, since_s: float) -> Comment | None:
        login = await self._login()
        since = dt.datetime.fromtimestamp(max(since_s - SINCE_MARGIN_S, 0.0), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        variables = {"per_page": "100", "since": since}
        async for item in client.getiter(path + "{?per_page,since}", variables):
            comment = read(Comment, item, Call("GET", path))
            if comment.body.startswith(marker) and comment.user is not None and comment.user.login == login:
                return comment
        return None
