"""Labels, commands, pushes and cancellations at the same moment, in hundreds of orders, each replayable by its seed."""

import asyncio
import json
import os
import random
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from bot.admission import is_active
from bot.handlers import all_handlers
from bot.router import Dispatcher, HandlerFailedError
from execution.runs import Run
from governance.states import RunState
from tests.bot.seeded_loop import run_seeded
from tests.bot.simulator import World, make_world

SEEDS = int(os.environ.get("OPTR_TEST_SEEDS", "150"))
Build = Callable[..., dict[str, Any]]
Event = tuple[str, str, dict[str, Any]]


class Inbox:
    """Deliveries as the engine keeps them: done once is done; one that failed may come again."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dispatcher = Dispatcher(all_handlers(), world.context)
        self.done: Counter[str] = Counter()
        self.busy: set[str] = set()

    async def take(self, event: Event) -> None:
        guid, name, body = event
        if guid in self.busy or self.done[guid]:
            return
        self.busy.add(guid)
        try:
            await self.dispatcher.on_delivery(guid, name, json.dumps(body).encode())
            self.done[guid] += 1
        except HandlerFailedError:
            pass
        finally:
            self.busy.discard(guid)


def story(draw: random.Random, payload: Build) -> list[Event]:
    """A dozen things that happen around two issues, some of them twice."""
    happening: list[tuple[str, dict[str, Any]]] = []
    for number in (7, 8):
        issue = {"number": number, "title": f"Issue {number}", "body": "b", "state": "open"}
        label = {"name": "optr-workflow", "color": "fff"}
        people = ("maria", "otto", "root")
        happening += [("issues", payload("labeled", sender, issue=issue, label=label)) for sender in people]
        for text in ("/optr run", "/optr cancel", "/optr rerun", "/optr status", "/optr pause", "/optr resume"):
            sender = draw.choice(["maria", "root"])
            comment = {"id": draw.randrange(10**9), "body": text, "user": {"login": sender, "id": 1, "type": "User"}}
            happening.append(("issue_comment", payload("created", sender, issue=issue, comment=comment)))
        happening.append(("issues", payload("closed", "maria", issue={**issue, "state": "closed"})))
    events: list[Event] = []
    for name, body in happening:
        guid = str(uuid.UUID(int=draw.getrandbits(128)))
        events += [(guid, name, body)] * draw.choice([1, 1, 2, 3])
    draw.shuffle(events)
    return events


async def live(world: World, events: list[Event], draw: random.Random) -> Inbox:
    """Everything at once; GitHub fails now and then, and everything is delivered again until it is done."""
    inbox = Inbox(world)

    async def weather() -> None:
        for _ in range(40):
            world.github.down = draw.random() < 0.2
            await asyncio.sleep(0)
        world.github.down = False

    async def progress() -> None:
        for _ in range(30):
            await asyncio.sleep(0)
            working = [run for run in world.engine.runs.values() if is_active(run)]
            if working and draw.random() < 0.3:
                world.engine.change(draw.choice(working).id, state=RunState.EXECUTING)

    await asyncio.gather(weather(), progress(), *(inbox.take(event) for event in events))
    for event in events:
        await inbox.take(event)
    return inbox


def told(runs: dict[str, Run]) -> list[tuple[str, str, str]]:
    return sorted((run.id, run.workflow, str(run.state)) for run in runs.values())


def test_no_order_of_events_doubles_a_run_or_handles_anything_twice(payload: Build) -> None:
    endings = set()
    for seed in range(SEEDS):
        draw = random.Random(seed)
        world, events = make_world(), story(draw, payload)
        inbox = run_seeded(seed, live(world, events, draw))
        # the simulated engine itself refuses a second open run, a reader's run and a workflow's name used twice
        assert set(inbox.done.values()) == {1}, f"seed {seed}"
        assert len(inbox.done) == len({guid for guid, _, _ in events}), f"seed {seed}"
        for number in (7, 8):
            open_runs = [run for run in world.engine.runs.values() if run.issue == number and is_active(run)]
            assert len(open_runs) <= 1, f"seed {seed}"
        assert len(world.engine.cancelled) == len(set(world.engine.cancelled)), f"seed {seed}"
        before = told(world.engine.runs), dict(world.github.comments)
        for event in events:
            run_seeded(seed, inbox.take(event))
        assert (told(world.engine.runs), world.github.comments) == before, f"seed {seed}: finished work was redone"
        endings.add(str(before[0]))
    assert len(endings) > SEEDS // 10, "the seeds reach different ends"


def test_a_seed_replays_its_own_order(payload: Build) -> None:
    def ending(seed: int) -> tuple[object, object]:
        draw = random.Random(seed)
        world, events = make_world(), story(draw, payload)
        run_seeded(seed, live(world, events, draw))
        return told(world.engine.runs), world.github.comments

    assert all(ending(seed) == ending(seed) for seed in range(5))
