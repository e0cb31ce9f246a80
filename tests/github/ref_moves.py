"""What follows when a branch or tag moves: push events, check suites, and pull requests that follow their head."""

from collections.abc import Sequence

from tests.github import forks, payloads
from tests.github.check_records import SuiteRecord, suite_payload
from tests.github.git_store import NULL_SHA, GitRepository
from tests.github.mirror import RefChange, to_git
from tests.github.permissions import RANKS
from tests.github.wire import Json
from tests.github.world import World, now_text

BRANCHES = "refs/heads/"


async def settle(world: World, row: Json, login: str) -> None:
    """Bring git up to what the emulator's refs became, and announce it. Call with the lock held."""
    git = await world.bare(row)
    await announce(world, row, git, await to_git(world.emulator, row["id"], git), login)


async def announce(world: World, row: Json, git: GitRepository, moved: Sequence[RefChange], login: str) -> None:
    """Send what GitHub sends for refs that moved, and let pull requests follow."""
    if moved:
        await world.emulator.update("repos", row["id"], pushed_at=now_text())
    for change in moved:
        payload = await payloads.push_payload(world, row, git, change, login)
        world.outbox.publish("push", payload, payload["repository"])
        if change.before is None or change.after is None:
            await _announce_existence(world, row, change, payload)
        if change.ref.startswith(BRANCHES):
            branch = change.ref.removeprefix(BRANCHES)
            if change.after is not None:
                await request_suites(world, row, branch, change, payload)
            await follow_heads(world, row, branch, change, login)


async def _announce_existence(world: World, row: Json, change: RefChange, push: Json) -> None:
    event = "create" if change.before is None else "delete"
    kind = "branch" if change.ref.startswith(BRANCHES) else "tag"
    payload: Json = {
        "ref": change.ref.split("/", 2)[2],
        "ref_type": kind,
        "pusher_type": "user",
        "repository": payloads.complete_repository(await world.repository(row["full_name"])),
        "sender": push["sender"],
    }
    if event == "create":
        payload |= {"master_branch": row["default_branch"], "description": row["description"]}
    world.outbox.publish(event, payload, payload["repository"])


async def request_suites(world: World, row: Json, branch: str, change: RefChange, push: Json) -> None:
    """Make the check suite of every App that writes checks, as a push does."""
    if change.after is None:
        return
    repository = payloads.complete_repository(await world.repository(row["full_name"]))
    for installation in world.identity.installations_for(repository):
        if RANKS[installation.permissions.get("checks", "none")] < RANKS["write"]:
            continue
        app = world.identity.apps[installation.app_id]
        before = change.before or NULL_SHA
        suite: SuiteRecord = world.checks.suite(row, app.id, change.after, branch, before, commit=push["head_commit"])
        payload = {
            "action": "requested",
            "check_suite": await suite_payload(world, row, suite),
            "repository": repository,
            "sender": push["sender"],
        }
        world.outbox.publish("check_suite", payload, repository, only_app=app.id)


async def follow_heads(world: World, row: Json, branch: str, change: RefChange, login: str) -> None:
    """Move open pull requests, here or where this is a fork of, whose head branch moved; close those whose is gone."""
    for pull in await world.emulator.find("pullRequests", head_repo_id=row["id"], head_ref=branch, state="open"):
        (into,) = await world.emulator.find("repos", id=pull["repo_id"])
        if change.after is None:
            await _close(world, into, pull, login)
            continue
        git = await world.bare(into)
        await forks.bring(world, into, git, row, change.after)
        await point_pull(world, into, git, pull, change.after)
        extra = {"before": change.before or NULL_SHA, "after": change.after}
        await publish_pull(world, into, pull["number"], "synchronize", login, extra)


async def point_pull(world: World, row: Json, git: GitRepository, pull: Json, head: str) -> None:
    """Set a pull request's head, its counters and ``refs/pull/N/head``."""
    refs = await git.refs()
    base = refs.get(f"{BRANCHES}{pull['base_ref']}") or str(pull["base_sha"])
    stat = (await git.git("diff", "--numstat", f"{base}...{head}")).decode().splitlines()
    counted = [line.split("\t") for line in stat]
    await world.emulator.update(
        "pullRequests",
        pull["id"],
        head_sha=head,
        base_sha=base,
        commits=len(await git.commits_between(base, head)),
        additions=sum(int(one[0]) for one in counted if one[0].isdigit()),
        deletions=sum(int(one[1]) for one in counted if one[1].isdigit()),
        changed_files=len(counted),
    )
    await git.set_ref(f"refs/pull/{pull['number']}/head", head)


async def _close(world: World, row: Json, pull: Json, login: str) -> None:
    closing = {"state": "closed", "closed_at": now_text()}
    await world.emulator.update("pullRequests", pull["id"], **closing)
    for issue in await world.emulator.find("issues", repo_id=row["id"], number=pull["number"]):
        await world.emulator.update("issues", issue["id"], **closing)
    await publish_pull(world, row, pull["number"], "closed", login)


async def publish_pull(
    world: World, row: Json, number: int, action: str, login: str, extra: Json | None = None
) -> None:
    """Send a ``pull_request`` event with the pull request as it now is."""
    payload: Json = {
        "action": action,
        "pull_request": await world.pull(row, number),
        "repository": await world.repository(row["full_name"]),
        "sender": await world.user(login),
        **(extra or {}),
    }
    done = await payloads.complete(world, "pull_request", action, payload)
    world.outbox.publish("pull_request", done, done["repository"])
