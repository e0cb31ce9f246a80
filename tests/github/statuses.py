"""Commit statuses: appended, never changed, the newest of a context counts."""

from tests.github import payloads
from tests.github.checks import require_commit
from tests.github.wire import ApiError, Call, Json, Reply, Route, invalid, page_of
from tests.github.world import now_text

STATES = frozenset({"error", "failure", "pending", "success"})
PER_CONTEXT_MAX = 1000
DESCRIPTION_MAX = 140  # characters


async def create(call: Call) -> Reply:
    """POST /repos/{owner}/{repo}/statuses/{sha}."""
    row, body = await call.world.repo_row(call), call.json()
    sha = await require_commit(call, row, call.params["sha"])
    context = body.get("context") or "default"
    if body.get("state") not in STATES:
        raise invalid("Status", "state")
    if len(str(body.get("description") or "")) > DESCRIPTION_MAX:
        raise invalid("Status", "description", message=f"is too long (maximum is {DESCRIPTION_MAX} characters)")
    known = call.world.statuses.setdefault(row["id"], [])
    if sum((one["sha"], one["context"]) == (sha, context) for one in known) >= PER_CONTEXT_MAX:
        raise ApiError(422, "Validation Failed", ["This SHA and context has reached the maximum number of statuses."])
    made: Json = {
        "url": f"{call.world.url}/repos/{row['full_name']}/statuses/{sha}",
        "avatar_url": None,
        "id": next(call.world.ids),
        "node_id": "SC_1",
        "state": body["state"],
        "description": body.get("description"),
        "target_url": body.get("target_url"),
        "context": context,
        "created_at": now_text(),
        "updated_at": now_text(),
        "creator": await call.world.user(call.principal.login or "ghost"),
    }
    known.append({**made, "sha": sha})
    await _announce(call, row, sha, made)
    return Reply(201, made)


async def _announce(call: Call, row: Json, sha: str, made: Json) -> None:
    name = row["full_name"]
    commit = await call.world.rest("GET", f"/repos/{name}/commits/{sha}", call.world.owner_of(name.partition("/")[0]))
    payload = {
        **{
            key: made[key]
            for key in ("id", "state", "description", "target_url", "context", "created_at", "updated_at")
        },
        "avatar_url": None,
        "sha": sha,
        "name": name,
        "commit": commit,
        "branches": [],
        "repository": payloads.complete_repository(await call.world.repository(name)),
        "sender": made["creator"],
    }
    call.world.outbox.publish("status", payload, payload["repository"])


async def _of_ref(call: Call) -> tuple[Json, str, list[Json]]:
    row = await call.world.repo_row(call)
    sha = await require_commit(call, row, call.params["ref"])
    found = [one for one in reversed(call.world.statuses.get(row["id"], [])) if one["sha"] == sha]
    return row, sha, found


async def listing(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/commits/{ref}/statuses, newest first."""
    _, _, found = await _of_ref(call)
    page, headers = page_of(call, found)
    return Reply(200, page, headers)


async def combined(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/commits/{ref}/status."""
    row, sha, found = await _of_ref(call)
    latest = list({one["context"]: one for one in reversed(found)}.values())
    states = {one["state"] for one in latest}
    state = "failure" if states & {"failure", "error"} else "success" if states == {"success"} else "pending"
    base = f"{call.world.url}/repos/{row['full_name']}"
    body = {
        "state": state,
        "statuses": latest,
        "sha": sha,
        "total_count": len(latest),
        "repository": await call.world.repository(row["full_name"]),
        "commit_url": f"{base}/commits/{sha}",
        "url": f"{base}/commits/{sha}/status",
    }
    return Reply(200, body)


_REPO = "/repos/{owner}/{repo}"
ROUTES = (
    Route("POST", f"{_REPO}/statuses/{{sha}}", create),
    Route("GET", f"{_REPO}/commits/{{ref+}}/statuses", listing),
    Route("GET", f"{_REPO}/commits/{{ref+}}/status", combined),
)
