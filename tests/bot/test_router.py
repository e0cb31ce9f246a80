import asyncio
import json

import pytest

from bot.ports import Context
from bot.router import Delivery, Dispatcher, DuplicateHandlerError, HandlerFailedError, Router
from tests.bot.simulator import make_world

SENDER = {"login": "maria", "type": "User"}
BODY = {"sender": SENDER, "repository": {"id": 1, "full_name": "o/r"}, "installation": {"id": 5}}


async def _nothing(context: Context, delivery: Delivery) -> None:
    return


def test_an_event_and_action_have_one_handler() -> None:
    router = Router()
    router.on("issues", "labeled", "closed")(_nothing)
    with pytest.raises(DuplicateHandlerError, match=r"issues\.closed"):
        router.on("issues", "closed")(_nothing)
    other = Router()
    other.on("issues", "labeled")(_nothing)
    with pytest.raises(DuplicateHandlerError, match=r"issues\.labeled"):
        router.including(other)


def test_only_registered_pairs_are_handled() -> None:
    router = Router()
    router.on("issues", "labeled")(_nothing)
    assert router.handles("issues", "labeled")
    assert not router.handles("issues", "edited")
    assert not router.handles("issue_comment", "labeled")
    assert router.subscriptions() == {"issues": ("labeled",)}


def test_one_failing_handler_harms_no_other_delivery() -> None:
    router, seen = Router(), []

    @router.on("issues", "labeled")
    async def fail(context: Context, delivery: Delivery) -> None:
        raise KeyError("boom")

    @router.on("issues", "closed")
    async def work(context: Context, delivery: Delivery) -> None:
        seen.append(delivery.guid)

    async def scenario() -> None:
        dispatcher = Dispatcher(router, make_world().context)
        failing = dispatcher.on_delivery("g1", "issues", json.dumps({"action": "labeled"}).encode())
        working = dispatcher.on_delivery("g2", "issues", json.dumps({"action": "closed"}).encode())
        results = await asyncio.gather(failing, working, return_exceptions=True)
        assert isinstance(results[0], HandlerFailedError)
        assert "g1" in str(results[0])
        assert isinstance(results[0].__cause__, KeyError)
        assert results[1] is None

    asyncio.run(scenario())
    assert seen == ["g2"]


@pytest.mark.parametrize(("login", "kind", "handled"), [("maria", "User", 1), ("x[bot]", "User", 0), ("x", "Bot", 0)])
def test_bots_do_not_reach_handlers_for_people(login: str, kind: str, handled: int) -> None:
    router, seen = Router(), []

    @router.on("issues", "labeled", people_only=True)
    async def work(context: Context, delivery: Delivery) -> None:
        seen.append(delivery.guid)

    body = BODY | {"action": "labeled", "sender": {"login": login, "type": kind}}
    dispatcher = Dispatcher(router, make_world().context)
    asyncio.run(dispatcher.on_delivery("g", "issues", json.dumps(body).encode()))
    assert len(seen) == handled


def test_an_event_without_a_handler_is_no_error() -> None:
    asyncio.run(Dispatcher(Router(), make_world().context).on_delivery("g", "star", b'{"action": "created"}'))
