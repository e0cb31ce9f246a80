"""Issues as GitHub shows them: every pull request is one too."""

import json

from tests.github import payloads
from tests.github.wire import ApiError, Call, Json, Reply, Route, not_found, page_of
from tests.github.world import World, whole_seconds

TAKEN_FROM_PULL = (
    *("id", "node_id", "number", "title", "user", "labels", "state", "locked", "assignee", "assignees", "milestone"),
    *("comments", "created_at", "updated_at", "closed_at", "body", "author_association", "active_lock_reason", "draft"),
)
CHANGED_ON_PULL = frozenset({"title", "body", "state"})


async def as_issue(world: World, row: Json, number: int) -> Json:
    """Return a pull request in the form of an issue."""
    pull = await world.pull(row, number)
    base = f"{world.url}/repos/{row['full_name']}"
    issue: Json = {key: pull.get(key) for key in TAKEN_FROM_PULL}
    issue |= {
        "url": f"{base}/issues/{number}",
        "repository_url": base,
        "labels_url": f"{base}/issues/{number}/labels{{/name}}",
        "comments_url": f"{base}/issues/{number}/comments",
        "events_url": f"{base}/issues/{number}/events",
        "html_url": pull["html_url"],
        "state_reason": None,
    }
    await payloads.complete_issue(world, row, issue)
    return issue


async def _is_pull(call: Call, row: Json) -> bool:
    number = call.number("number")
    return bool(await call.world.emulator.find("pullRequests", repo_id=row["id"], number=number))


async def get(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/issues/{number}."""
    row = await call.world.repo_row(call)
    if await _is_pull(call, row):
        return Reply(200, await as_issue(call.world, row, call.number("number")))
    reply = await call.world.emulator.request("GET", call.raw_path, call.principal.emulator_user)
    if reply.status == 200:
        reply.body = whole_seconds(reply.body)
        await payloads.complete_issue(call.world, row, reply.body)
    return reply


async def update(call: Call) -> Reply:
    """PATCH /repos/{owner}/{repo}/issues/{number}; on a pull request title, body and state."""
    row, body = await call.world.repo_row(call), call.json()
    user = call.principal.emulator_user
    if not await _is_pull(call, row):
        reply = await call.world.emulator.request("PATCH", call.path, user, call.body)
        if reply.status == 200:
            reply.body = whole_seconds(reply.body)
            await payloads.complete_issue(call.world, row, reply.body)
        return reply
    if set(body) - CHANGED_ON_PULL:
        raise ApiError(422, f"on a pull request the local GitHub changes only {', '.join(sorted(CHANGED_ON_PULL))}")
    path = f"/repos/{row['full_name']}/pulls/{call.number('number')}"
    reply = await call.world.emulator.request("PATCH", path, user, json.dumps(body).encode())
    if reply.status != 200:
        return reply
    return Reply(200, await as_issue(call.world, row, call.number("number")))


async def listing(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/issues: issues and pull requests, newest first."""
    row, query = await call.world.repo_row(call), call.query
    user = call.world.owner_of(row["full_name"].partition("/")[0])
    wanted = await call.world.emulator.find("issues", repo_id=row["id"])
    state = query.get("state", "open")
    wanted = [one for one in wanted if state in {"all", one["state"]}]
    wanted = [one for one in wanted if query.get("since", "") <= one["updated_at"]]
    wanted.sort(key=lambda one: one["number"], reverse=query.get("direction", "desc") == "desc")
    shown: list[Json] = []
    for one in wanted:
        if one["is_pull_request"]:
            shown.append(await as_issue(call.world, row, one["number"]))
        else:
            issue = await call.world.rest("GET", f"/repos/{row['full_name']}/issues/{one['number']}", user)
            await payloads.complete_issue(call.world, row, issue)
            shown.append(issue)
    labels = {name for name in query.get("labels", "").split(",") if name}
    shown = [one for one in shown if labels <= {label["name"] for label in one["labels"]}]
    for key, field_name in (("creator", "user"), ("assignee", "assignee")):
        if query.get(key):
            shown = [one for one in shown if (one[field_name] or {}).get("login") == query[key]]
    page, headers = page_of(call, shown)
    return Reply(200, page, headers)


async def comments(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/issues/comments: every issue comment of the repository."""
    row = await call.world.repo_row(call)
    owner = call.world.owner_of(row["full_name"].partition("/")[0])
    found = await call.world.emulator.find("comments", repo_id=row["id"], comment_type="issue")
    found = [one for one in found if call.query.get("since", "") <= one["updated_at"]]
    base = f"/repos/{row['full_name']}/issues/comments"
    shown = [await call.world.rest("GET", f"{base}/{one['id']}", owner) for one in found]
    page, headers = page_of(call, shown)
    return Reply(200, page, headers)


async def requested_reviewers(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/pulls/{number}/requested_reviewers."""
    row = await call.world.repo_row(call)
    if not await _is_pull(call, row):
        raise not_found()
    pull = await call.world.pull(row, call.number("number"))
    return Reply(200, {"users": pull["requested_reviewers"], "teams": pull["requested_teams"]})


_REPO = "/repos/{owner}/{repo}"
ROUTES = (
    Route("GET", f"{_REPO}/issues", listing),
    Route("GET", f"{_REPO}/issues/comments", comments),
    Route("GET", f"{_REPO}/issues/{{number}}", get),
    Route("PATCH", f"{_REPO}/issues/{{number}}", update),
    Route("GET", f"{_REPO}/pulls/{{number}}/requested_reviewers", requested_reviewers),
)
