"""One handler for each (event, action), and the dispatcher that the engine calls with a stored delivery."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError

from bot import logs
from bot.payloads import Event
from bot.ports import Context

_LOG = logging.getLogger("optr.events")

M = TypeVar("M", bound=BaseModel)


class DuplicateHandlerError(ValueError):
    """Two handlers claim the same event and action."""


class HandlerFailedError(Exception):
    """A handler could not finish; the delivery may be tried again, every handler is idempotent.

    Attributes:
        retry_after_s: seconds that GitHub asked us to wait before, None when it did not.
    """

    retry_after_s: float | None = None


@dataclass(frozen=True)
class Delivery:
    """A verified delivery.

    Attributes:
        guid: GitHub's delivery id; a redelivery has the same.
        event: the event's name.
        body: the decoded payload, an object.
    """

    guid: str
    event: str
    body: Mapping[str, Any]

    @property
    def action(self) -> str:
        """The payload's `action`, or an empty string."""
        return _text(self.body.get("action"))

    def read(self, model: type[M]) -> M:
        """The payload as a record.

        Raises:
            pydantic.ValidationError: it is not what GitHub documents.
        """
        return model.model_validate(self.body)


Handler = Callable[[Context, Delivery], Awaitable[None]]
Payload = Mapping[str, Any]


def anything(_: Payload) -> bool:
    """What a route wants that says no more: every payload."""
    return True


@dataclass(frozen=True)
class Route:
    """A handler and who may trigger it.

    Attributes:
        handle: the handler.
        people_only: whether deliveries caused by bots, ours included, are dropped.
        wants: whether a payload can ask for anything, judged by the payload alone; where that is in doubt it does.
    """

    handle: Handler
    people_only: bool
    wants: Callable[[Payload], bool] = anything


class Router:
    """The table from (event, action) to handler."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], Route] = {}

    def on(
        self, event: str, *actions: str, people_only: bool = False, wants: Callable[[Payload], bool] = anything
    ) -> Callable[[Handler], Handler]:
        """Register the decorated handler for each of `actions`; see Route.

        Raises:
            DuplicateHandlerError: an (event, action) has a handler already.
        """

        def register(handler: Handler) -> Handler:
            for action in actions:
                self._add((event, action), Route(handler, people_only, wants))
            return handler

        return register

    def including(self, *others: "Router") -> Self:
        """Take over the routes of `others`.

        Raises:
            DuplicateHandlerError: an (event, action) would have two handlers.
        """
        for other in others:
            for key, route in other.routes().items():
                self._add(key, route)
        return self

    def routes(self) -> Mapping[tuple[str, str], Route]:
        """The whole table, read-only."""
        return MappingProxyType(self._routes)

    def find(self, event: str, action: str) -> Route | None:
        """The route, or None."""
        return self._routes.get((event, action))

    def handles(self, event: str, action: str) -> bool:
        """Whether anybody here wants such deliveries."""
        return (event, action) in self._routes

    def wants(self, event: str, payload: Payload) -> bool:
        """Whether a delivery has to be kept: one that can ask for nothing is the same however often it comes.

        Most of what GitHub sends is such: comments among people, other labels, what bots do. It costs no write.
        """
        route = self.find(event, _text(payload.get("action")))
        return route is not None and not (route.people_only and _of_a_bot(payload)) and route.wants(payload)

    def subscriptions(self) -> dict[str, tuple[str, ...]]:
        """Events with their actions, sorted: what the App must subscribe to."""
        events = sorted({event for event, _ in self._routes})
        return {name: tuple(sorted(action for event, action in self._routes if event == name)) for name in events}

    def _add(self, key: tuple[str, str], route: Route) -> None:
        if key in self._routes:
            raise DuplicateHandlerError(f"{key[0]}.{key[1]} has two handlers: keep one")
        self._routes[key] = route


class Dispatcher:
    """Hands stored deliveries to their handlers.

    Args:
        router: the table.
        context: what handlers may reach.
    """

    def __init__(self, router: Router, context: Context) -> None:
        self._router = router
        self._context = context

    async def on_delivery(self, guid: str, event: str, payload: bytes) -> None:
        """Handle one delivery; handling it again changes nothing more.

        A payload that does not have GitHub's form is logged and dropped, because no retry will mend it.

        Raises:
            HandlerFailedError: the handler failed; other deliveries are not affected.
        """
        with logs.delivery_id(guid):
            delivery = Delivery(guid, event, json.loads(payload))
            route = self._router.find(event, delivery.action)
            if route is None:
                return
            try:
                if not (route.people_only and self._is_bots(delivery)):
                    await route.handle(self._context, delivery)
            except ValidationError as error:
                fields = [".".join(map(str, found["loc"])) for found in error.errors(include_input=False)]
                logs.event(_LOG, logging.WARNING, "unreadable payload dropped", event=event, members=", ".join(fields))
            except Exception as error:
                logs.event(_LOG, logging.ERROR, "handler failed", event=event, action=delivery.action)
                failed = HandlerFailedError(f"{event}.{delivery.action} ({guid}) could not be handled: {error}")
                failed.retry_after_s = getattr(error, "retry_after_s", None)
                raise failed from error

    def _is_bots(self, delivery: Delivery) -> bool:
        sender = delivery.read(Event).sender
        return sender.is_bot or sender.login == self._context.own_login


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _of_a_bot(payload: Payload) -> bool:
    """Whether the sender says of itself that it is a bot; who only has a bot's name is left to the dispatcher."""
    sender = payload.get("sender")
    return isinstance(sender, Mapping) and sender.get("type") == "Bot"
