"""Pull requests as git makes them: real heads, three-way merges, conflicts, no duplicates."""

import re

from tests.github import forks, payloads, ref_moves, rules
from tests.github.git_store import GitConflictError, GitRepository
from tests.github.mirror import changes_between, to_emulator
from tests.github.wire import ApiError, Call, Json, Reply, Route, invalid, not_found, page_of
from tests.github.world import World, now_text, whole_seconds

BODY_MAX = 65_536  # characters
MERGE_METHODS = frozenset({"merge", "squash", "rebase"})
CLOSING_WORDS = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+#(\d+)\b", re.IGNORECASE)


async def create(call: Call) -> Reply:
    """POST /repos/{owner}/{repo}/pulls: refuses missing branches, no commits and duplicates."""
    world, body = call.world, call.json()
    row = await world.repo_row(call)
    git, base = await world.bare(row), str(body.get("base", ""))
    origin, head = await forks.head_of(world, row, str(body.get("head", "")))
    refs, theirs = await git.refs(), await (await world.bare(origin)).refs()
    for field_name, branch, there in (("head", head, theirs), ("base", base, refs)):
        if f"refs/heads/{branch}" not in there:
            raise invalid("PullRequest", field_name)
    tip = theirs[f"refs/heads/{head}"]
    await forks.bring(world, row, git, origin, tip)
    if not await git.commits_between(refs[f"refs/heads/{base}"], tip):
        raise invalid("PullRequest", "base", "custom", f"No commits between {base} and {head}")
    await _refuse_another(world, row, (origin["id"], head, base), f"{origin['full_name'].partition('/')[0]}:{head}")
    if len(str(body.get("body") or "")) > BODY_MAX:
        raise invalid("PullRequest", "body", "custom", f"body is too long (maximum is {BODY_MAX} characters)")
    answer = await _made(call, row, origin)
    if answer.status != 201:
        return answer
    (made,) = await world.emulator.find("pullRequests", repo_id=row["id"], number=answer.body["number"])
    await ref_moves.point_pull(world, row, git, made, tip)
    await world.emulator.console("events")  # the emulator's event shows the pull request before its head was set
    await ref_moves.publish_pull(world, row, made["number"], "opened", call.principal.login or "ghost")
    return Reply(201, await _shown(world, row, made["number"]))


async def _refuse_another(world: World, row: Json, wanted: tuple[int, str, str], name: str) -> None:
    """Refuse a second open pull request of the same branches. Raises ApiError 422."""
    for pull in await world.pull_rows(row):
        if pull["state"] == "open" and (pull["head_repo_id"], pull["head_ref"], pull["base_ref"]) == wanted:
            message = f"A pull request already exists for {name}."
            error = {"resource": "PullRequest", "code": "custom", "message": message}
            raise ApiError(422, "Validation Failed", [error])


async def _made(call: Call, row: Json, origin: Json) -> Reply:
    """The emulator's pull request. It asks for write access here, of which GitHub asks nobody who has a fork."""
    world, author = call.world, call.principal.emulator_user
    if origin["id"] == row["id"] or author is None:
        return await world.emulator.request("POST", call.path, author, call.body)
    owner = world.owner_of(row["full_name"].partition("/")[0])
    answer = await world.emulator.request("POST", call.path, owner, call.body)
    if answer.status == 201:
        for collection in ("pullRequests", "issues"):
            (one,) = await world.emulator.find(collection, repo_id=row["id"], number=answer.body["number"])
            await world.emulator.update(collection, one["id"], user_id=author["id"])
    return answer


async def get(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/pulls/{number}, with mergeability from a real three-way merge."""
    row = await call.world.repo_row(call)
    return Reply(200, await _shown(call.world, row, call.number("number")))


async def _shown(world: World, row: Json, number: int) -> Json:
    shown = await world.pull(row, number)
    payloads.complete_pull(shown)
    if shown["state"] != "open":
        return shown
    git = await world.bare(row)
    (pull,) = await world.emulator.find("pullRequests", repo_id=row["id"], number=number)
    try:
        await git.merge_tree(f"refs/heads/{pull['base_ref']}", pull["head_sha"])
    except GitConflictError:
        return {**shown, "mergeable": False, "mergeable_state": "dirty"}
    blocked = await rules.unmet(world, row, pull)
    state = "draft" if pull["draft"] else "blocked" if blocked else "clean"
    return {**shown, "mergeable": True, "mergeable_state": state}


async def merge(call: Call) -> Reply:
    """PUT .../pulls/{number}/merge: 409 for a stale ``sha``, 405 for conflicts and unmet rules."""
    world, body = call.world, call.json()
    row = await world.repo_row(call)
    pull = await _open_pull(world, row, call.number("number"))
    if body.get("sha") not in {None, pull["head_sha"]}:
        raise ApiError(409, "Head branch was modified. Review and try the merge again.")
    reasons = ["Pull Request is still a draft"] if pull["draft"] else await rules.unmet(world, row, pull)
    if reasons:
        raise ApiError(405, "Repository rule violations found\n\n" + "\n\n".join(reasons))
    method = body.get("merge_method") or "merge"
    if method not in MERGE_METHODS or not row[f"allow_{'merge_commit' if method == 'merge' else method + '_merge'}"]:
        raise ApiError(405, f"{str(method).capitalize()} merges are not allowed on this repository.")
    git = await world.bare(row)
    before = await git.refs()
    sha = await _merge_commit(git, row, pull, body, str(method), call.principal.login or "ghost")
    await git.set_ref(f"refs/heads/{pull['base_ref']}", sha)
    await to_emulator(world.emulator, row["id"], git, before)
    await _finish(call, row, pull, sha)
    change = [one for one in changes_between(before, await git.refs()) if one.ref == f"refs/heads/{pull['base_ref']}"]
    await ref_moves.announce(world, row, git, change, call.principal.login or "ghost")
    return Reply(200, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"})


async def _open_pull(world: World, row: Json, number: int) -> Json:
    found = await world.emulator.find("pullRequests", repo_id=row["id"], number=number)
    if not found:
        raise not_found()
    if found[0]["state"] != "open":
        raise ApiError(405, "Pull Request is not mergeable")
    return found[0]


async def _merge_commit(git: GitRepository, row: Json, pull: Json, body: Json, method: str, login: str) -> str:
    base = (await git.refs())[f"refs/heads/{pull['base_ref']}"]
    author = (login, f"{login}@users.noreply.github.com")
    try:
        tree = await git.merge_tree(base, pull["head_sha"])
    except GitConflictError as error:
        raise ApiError(405, "Pull Request is not mergeable") from error
    owner = row["full_name"].partition("/")[0]
    title = f"Merge pull request #{pull['number']} from {owner}/{pull['head_ref']}"
    if method != "merge":
        title = f"{pull['title']} (#{pull['number']})"
    message = body.get("commit_message") or (pull["title"] if method == "merge" else "")
    text = f"{body.get('commit_title') or title}\n\n{message}".rstrip() + "\n"
    parents = [base, pull["head_sha"]] if method == "merge" else [base]
    return await git.commit_tree(tree, parents, text, author)


async def _finish(call: Call, row: Json, pull: Json, sha: str) -> None:
    world, login = call.world, call.principal.login or "ghost"
    (user,) = await world.emulator.find("users", login=login)
    closing = {"state": "closed", "closed_at": now_text()}
    await world.emulator.update(
        "pullRequests",
        pull["id"],
        merged=True,
        merged_at=closing["closed_at"],
        merged_by_id=user["id"],
        merge_commit_sha=sha,
        mergeable=None,
        mergeable_state="unknown",
        **closing,
    )
    for issue in await world.emulator.find("issues", repo_id=row["id"], number=pull["number"]):
        await world.emulator.update("issues", issue["id"], closed_by_id=user["id"], **closing)
    await ref_moves.publish_pull(world, row, pull["number"], "closed", login)
    if pull["base_ref"] == row["default_branch"]:
        await _close_issues(call, row, str(pull["body"] or ""))


async def _close_issues(call: Call, row: Json, text: str) -> None:
    world = call.world
    owner = world.owner_of(row["full_name"].partition("/")[0])
    actor = call.principal.emulator_user or owner
    for number in sorted(set(map(int, CLOSING_WORDS.findall(text)))):
        path = f"/repos/{row['full_name']}/issues/{number}"
        await world.emulator.request("PATCH", path, actor, b'{"state":"closed","state_reason":"completed"}')


async def of_commit(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/commits/{sha}/pulls."""
    row = await call.world.repo_row(call)
    git, sha = await call.world.bare(row), call.params["sha"]
    found: list[object] = []
    for pull in await call.world.pull_rows(row):
        base = (await git.refs()).get(f"refs/heads/{pull['base_ref']}") or str(pull["base_sha"])
        inside = sha in await git.commits_between(pull["base_sha"] if pull["merged"] else base, pull["head_sha"])
        if inside or sha in {pull["merge_commit_sha"], pull["head_sha"]}:
            found.append(await call.world.pull(row, pull["number"]))
    page, headers = page_of(call, found)
    return Reply(200, page, headers)


async def is_merged(call: Call) -> Reply:
    """GET .../pulls/{number}/merge: 204 when merged."""
    row = await call.world.repo_row(call)
    found = await call.world.emulator.find("pullRequests", repo_id=row["id"], number=call.number("number"))
    if not found or not found[0]["merged"]:
        raise not_found()
    return Reply(204)


async def list_commits(call: Call) -> Reply:
    """GET .../pulls/{number}/commits, from git."""
    row = await call.world.repo_row(call)
    found = await call.world.emulator.find("pullRequests", repo_id=row["id"], number=call.number("number"))
    if not found:
        raise not_found()
    shas = await (await call.world.bare(row)).commits_between(found[0]["base_sha"], found[0]["head_sha"])
    owner = call.world.owner_of(row["full_name"].partition("/")[0])
    shown = [await call.world.rest("GET", f"/repos/{row['full_name']}/commits/{sha}", owner) for sha in shas]
    page, headers = page_of(call, whole_seconds(shown))
    return Reply(200, page, headers)


_PULL = "/repos/{owner}/{repo}/pulls/{number}"
ROUTES = (
    Route("POST", "/repos/{owner}/{repo}/pulls", create),
    Route("GET", _PULL, get),
    Route("PUT", f"{_PULL}/merge", merge),
    Route("GET", f"{_PULL}/merge", is_merged),
    Route("GET", f"{_PULL}/commits", list_commits),
    Route("GET", "/repos/{owner}/{repo}/commits/{sha}/pulls", of_commit),
)
