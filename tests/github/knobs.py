"""Test-only controls under ``/_test/``, a path that GitHub cannot have."""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from aiohttp import web

from tests.github import app_endpoints, checks, payloads, seeding
from tests.github.outbox import Disturbance, delivery_object
from tests.github.wire import ApiError, Json, not_found
from tests.github.world import World

Knob = Callable[[World, Json], Awaitable[object]]


async def answer(world: World, request: web.Request, body: bytes) -> web.Response:
    """Turn one knob: ``POST /_test/<name>`` with a JSON object, ``GET`` for those that only read."""
    name = request.path.removeprefix("/_test/")
    knob = KNOBS.get(name)
    if knob is None:
        return web.json_response({"message": f"no knob {name}; there are: {', '.join(sorted(KNOBS))}"}, status=404)
    given: Json = json.loads(body) if body else dict(request.query)
    try:
        return web.json_response(await knob(world, given))
    except ApiError as error:
        return web.json_response(error.reply().body, status=error.status)
    except (KeyError, TypeError, ValueError) as error:
        return web.json_response({"message": f"{name}: {type(error).__name__}: {error}"}, status=400)


async def violations(world: World, given: Json) -> object:
    """Return what broke GitHub's description; ``repository`` narrows."""
    return world.journal.of_repository(given.get("repository"))


async def take_written(world: World, given: Json) -> object:
    """Return what Apps wrote for people since this was asked last."""
    taken = [asdict(one) for one in world.journal.written]
    world.journal.written.clear()
    return {"written": taken}


async def forget_violations(world: World, given: Json) -> object:
    """Forget recorded violations, for tests that provoke them."""
    count = len(world.journal.violations)
    world.journal.violations.clear()
    world.journal.deviations.clear()
    return {"forgotten": count}


async def deviations(world: World, given: Json) -> object:
    """Return where our own answers to Apps differed from GitHub's description, by operation."""
    return world.journal.deviations


async def requests(world: World, given: Json) -> object:
    """Return the request log; ``repository``, ``method`` and ``operation`` narrow."""
    wanted = world.journal.requests
    for key in ("repository", "method", "operation", "kind"):
        if given.get(key):
            wanted = [one for one in wanted if getattr(one, key) == given[key]]
    return {"requests": [asdict(one) for one in wanted]}


async def add_fault(world: World, given: Json) -> object:
    """Add a fault rule; see faults.Rule."""
    return {"id": world.faults.add(given).id}


async def list_faults(world: World, given: Json) -> object:
    """Return every rule with its remaining times and hits."""
    return {
        "rules": [
            {"id": one.id, "effect": one.effect.value, "times": one.times, "hits": one.hits}
            for one in world.faults.rules
        ]
    }


async def clear_faults(world: World, given: Json) -> object:
    """Remove every fault rule and webhook disturbance, and send what is held."""
    world.faults.rules.clear()
    world.outbox.disturbances.clear()
    return {"released": world.outbox.release()}


async def disturb_webhooks(world: World, given: Json) -> object:
    """Drop, duplicate or hold the next deliveries of an event."""
    effect = given["effect"]
    if effect not in {"drop", "duplicate", "hold"}:
        raise ApiError(400, f"unknown effect {effect}: drop, duplicate or hold")
    rule = Disturbance(effect, given.get("event", "*"), given.get("action"), int(given.get("times", 1)))
    world.outbox.disturbances.append(rule)
    return {}


async def release_webhooks(world: World, given: Json) -> object:
    """Send held deliveries, newest first."""
    return {"released": world.outbox.release()}


async def drain_webhooks(world: World, given: Json) -> object:
    """Return once every queued delivery has been answered."""
    await world.outbox.drain()
    return {}


async def list_webhooks(world: World, given: Json) -> object:
    """Return deliveries with their payloads, oldest first; ``repository`` and ``event`` narrow."""
    found = world.outbox.deliveries
    for key in ("repository", "event"):
        if given.get(key):
            found = [one for one in found if getattr(one, key) == given[key]]
    return {"deliveries": [delivery_object(one, full=True) for one in found]}


async def redeliver(world: World, given: Json) -> object:
    """Send again every delivery with a GUID, or of one id."""
    found = [one for one in world.outbox.deliveries if given.get("guid") == one.guid or given.get("id") == one.id]
    if not found:
        raise not_found()
    return {"id": world.outbox.redeliver(found[-1]).id}


async def advance(world: World, given: Json) -> object:
    """Let time pass for tokens and deliveries, as if ``seconds`` had gone by; App JWTs stay on real time."""
    seconds = float(given["seconds"])
    for token in world.identity.tokens.values():
        token.expires_at -= seconds
    for delivery in world.outbox.deliveries:
        delivery.delivered_at -= seconds
    return {"expired": sum(token.expires_at <= time.time() for token in world.identity.tokens.values())}


async def list_tokens(world: World, given: Json) -> object:
    """Return what the tokens of ``installation`` may do and whether they still can, oldest first; no values."""
    found = [one for one in world.identity.tokens.values() if one.installation.id == given["installation"]]
    return {
        "tokens": [
            {
                "permissions": one.permissions,
                "repository_ids": one.repository_ids,
                "alive": not one.revoked and one.expires_at > time.time(),
            }
            for one in found
        ]
    }


async def press_button(world: World, given: Json) -> object:
    """Press a check run's button as a human: ``repository``, ``check_run_id``, ``identifier``, ``login``."""
    row = await world.row(given["repository"])
    run = world.checks.runs[int(given["check_run_id"])]
    await checks.press_button(world, row, run, given["identifier"], given["login"])
    return {}


async def rerequest_run(world: World, given: Json) -> object:
    """Press Re-run on a check run as a human: ``repository``, ``check_run_id``, ``login``."""
    row = await world.row(given["repository"])
    run = world.checks.runs[int(given["check_run_id"])]
    await checks.publish_run(world, row, run, "rerequested", given["login"], only_owner=True)
    return {}


async def merge_group(world: World, given: Json) -> object:
    """Put a pull request on the merge queue: makes the queue's branch and sends ``checks_requested``."""
    return await seeding.merge_group(world, given)


async def emit(world: World, given: Json) -> object:
    """Publish any event as it is, ``count`` times with a GUID each: ``event``, ``repository``, ``payload``."""
    repository = payloads.complete_repository(await world.repository(given["repository"]))
    payload = {"repository": repository, "sender": await world.user(given.get("login", "ghost")), **given["payload"]}
    for _ in range(int(given.get("count", 1))):
        world.outbox.publish(given["event"], payload, repository)
    return {}


async def suspend(world: World, given: Json) -> object:
    """Suspend or resume an installation: ``installation_id``, ``suspended``."""
    one = world.identity.installations[int(given["installation_id"])]
    action = "suspend" if given["suspended"] else "unsuspend"
    one.suspended_at = time.time() if given["suspended"] else None
    await app_endpoints.announce_installation(world, one, action, [])
    return {}


async def manifest(world: World, given: Json) -> object:
    """Register a manifest as the form would, and return the code to convert: ``manifest``, ``owner``."""
    code = f"code{len(world.identity.manifests) + 1}{int(time.time())}"
    world.identity.manifests[code] = {**given["manifest"], "owner": given["owner"]}
    return {"code": code}


KNOBS: dict[str, Knob] = {
    "violations": violations,
    "violations/forget": forget_violations,
    "written/take": take_written,
    "deviations": deviations,
    "requests": requests,
    "faults": add_fault,
    "faults/list": list_faults,
    "faults/clear": clear_faults,
    "webhooks": list_webhooks,
    "webhooks/disturb": disturb_webhooks,
    "webhooks/release": release_webhooks,
    "webhooks/drain": drain_webhooks,
    "webhooks/redeliver": redeliver,
    "webhooks/emit": emit,
    "advance": advance,
    "tokens": list_tokens,
    "press-button": press_button,
    "rerequest": rerequest_run,
    "merge-group": merge_group,
    "suspend": suspend,
    "manifest": manifest,
    "users": seeding.create_user,
    "users/rename": seeding.rename_user,
    "apps": seeding.create_app,
    "repositories": seeding.create_repository,
    "collaborators": seeding.set_role,
    "installations": seeding.install,
    "installations/remove": seeding.uninstall,
}
