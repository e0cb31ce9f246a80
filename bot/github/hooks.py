"""The App's own webhook deliveries: what GitHub tried to send, and asking it to send again.

https://docs.github.com/en/rest/apps/webhooks
"""

import datetime as dt

from bot.github.client import GitHubClient
from bot.github.errors import Call
from bot.github.objects import Part, read

PAGE_SIZE = 100
_PATH = "/app/hook/deliveries"
_DELIVERED = "OK"
_PENDING = "pending"


class HookDelivery(Part):
    """One attempt of GitHub to deliver.

    Attributes:
        id: of the attempt.
        guid: of the delivery; all attempts of one delivery share it.
        delivered_at: when, with a time zone.
        status: GitHub's word; `OK` when we answered 2xx.
        event, action: what it is about.
    """

    id: int
    guid: str
    delivered_at: dt.datetime
    status: str
    event: str
    action: str | None = None

    @property
    def arrived(self) -> bool:
        """Whether we took it."""
        return self.status == _DELIVERED

    @property
    def under_way(self) -> bool:
        """Whether GitHub still waits for our answer."""
        return self.status == _PENDING


class AppHooks:
    """The App's deliveries.

    Args:
        app: a client that authenticates as the App.
    """

    def __init__(self, app: GitHubClient) -> None:
        self._app = app

    async def deliveries(self, most: int) -> list[HookDelivery]:
        """The newest attempts that GitHub still knows, at most `most`, newest first.

        Raises:
            GitHubError: GitHub did not say.
        """
        found: list[HookDelivery] = []
        async for item in self._app.getiter(_PATH + "{?per_page}", {"per_page": str(PAGE_SIZE)}):
            found.append(read(HookDelivery, item, Call("GET", _PATH)))
            if len(found) >= most:
                break
        return found

    async def redeliver(self, attempt: int) -> None:
        """Ask GitHub to send an attempt's delivery again, under its GUID.

        Raises:
            GitHubError: GitHub refused.
        """
        await self._app.post(f"{_PATH}/{attempt}/attempts", data={})
