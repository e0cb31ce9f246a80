"""Forks: a repository of another account that shares its history, and pull requests that come out of it."""

import base64

from tests.github.git_store import GitRepository
from tests.github.mirror import to_emulator
from tests.github.wire import Call, Json, Reply, Route, invalid
from tests.github.world import World, whole_seconds


async def create(call: Call) -> Reply:
    """POST /repos/{owner}/{repo}/forks: the branches as they are now, under the account of whoever asks."""
    world, parent = call.world, await call.world.repo_row(call)
    answer = await world.emulator.request("POST", call.path, call.principal.emulator_user, call.body)
    if answer.status != 202:
        return answer
    row = await world.row(answer.body["full_name"])
    git = await world.bare(row)
    await git.git("fetch", "--quiet", str((await world.bare(parent)).path), "+refs/heads/*:refs/heads/*")
    await to_emulator(world.emulator, row["id"], git, {})
    await world.emulator.console("events")  # of the first commit that the emulator made up, and of the fork itself
    return Reply(202, whole_seconds(answer.body))


async def head_of(world: World, row: Json, head: str) -> tuple[Json, str]:
    """The repository and the branch that `head`, as `branch` or `account:branch`, names for a pull request into `row`.

    Raises ApiError 422.
    """
    account, _, branch = head.rpartition(":")
    if account.lower() in {"", row["full_name"].partition("/")[0].lower()}:
        return row, branch
    for fork in await world.emulator.find("repos", forked_from_id=row["id"]):
        if fork["full_name"].partition("/")[0].lower() == account.lower():
            return fork, branch
    raise invalid("PullRequest", "head")


async def bring(world: World, row: Json, git: GitRepository, origin: Json, commit: str) -> None:
    """Let a repository hold a commit of its fork, as GitHub's network of forks does."""
    if origin["id"] == row["id"]:
        return
    known = list((await git.refs()).values())
    await git.git("fetch", "--quiet", "--no-write-fetch-head", str((await world.bare(origin)).path), commit)
    found = [
        {"sha": one.sha, "type": one.type, "data": base64.b64encode(one.data).decode()}
        async for one in git.objects([commit], known)
    ]
    await world.emulator.console("import", repo_id=row["id"], objects=found)


ROUTES = (Route("POST", "/repos/{owner}/{repo}/forks", create),)
