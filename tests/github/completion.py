"""REST answers of the emulator, completed to what GitHub documents."""

import re
from typing import Any

from tests.github import payloads
from tests.github.wire import Call, Json, Reply, Route, not_found

REPOSITORY_PATH = re.compile(r"/repos/(?P<owner>[^/]+)/(?P<repo>[^/]+)(?P<rest>/.*)?")


async def complete(call: Call, body: Any) -> Any:
    """Fill in what one answer lacks, by the path it answers."""
    if call.path.startswith("/search/issues"):
        body |= {"search_type": "lexical", "items": [{"score": 1.0, **one} for one in body["items"]]}
    found = REPOSITORY_PATH.fullmatch(call.path)
    if found is None:
        return body
    row = await call.world.row(f"{found['owner']}/{found['repo']}")
    rest = found["rest"] or ""
    if rest == "" and isinstance(body, dict):
        return {"network_count": 0, "subscribers_count": 0, **body}
    if rest == "/collaborators" and isinstance(body, list):
        return [await _collaborator(call, row, one) for one in body]
    if rest.startswith("/branches/") and isinstance(body, dict) and "protection" not in rest:
        return await _branch(call, row, body)
    for one in body if isinstance(body, list) else [body]:
        if isinstance(one, dict):
            await _complete_item(call, row, one)
    return body


async def _complete_item(call: Call, row: Json, one: Json) -> None:
    if {"number", "title", "repository_url"} <= set(one):
        await payloads.complete_issue(call.world, row, one)
    elif "issue_url" in one and "body" in one:
        path = f"/repos/{row['full_name']}/issues/comments/{one['id']}"
        one["reactions"] = payloads.reaction_totals(call.world, path)
    elif {"event", "actor", "commit_id"} <= set(one):
        one.setdefault("performed_via_github_app", None)


async def permission_answer(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/collaborators/{username}/permission: four permissions beside the role name."""
    row, login = await call.world.repo_row(call), call.params["username"]
    rows = await call.world.emulator.find("users", login=login)
    if not rows:
        raise not_found()
    role = await call.world.role(login, row)
    coarse = {"maintain": "write", "triage": "read"}.get(role, role)
    user = {**await call.world.user(login), "permissions": _abilities(role), "role_name": role}
    return Reply(200, {"permission": coarse, "role_name": role, "user": user})


def _abilities(role: str) -> dict[str, bool]:
    order = ("none", "pull", "triage", "push", "maintain", "admin")
    rank = order.index({"read": "pull", "write": "push"}.get(role, role))
    return {name: order.index(name) <= rank for name in order[1:]}


async def _collaborator(call: Call, row: Json, user: Json) -> Json:
    role = await call.world.role(user["login"], row)
    return {**user, "role_name": role, "permissions": _abilities(role)}


async def _branch(call: Call, row: Json, body: Json) -> Json:
    name = body["name"]
    owner = call.world.owner_of(row["full_name"].partition("/")[0])
    commit = await call.world.rest("GET", f"/repos/{row['full_name']}/commits/{body['commit']['sha']}", owner)
    base = f"{call.world.url}/repos/{row['full_name']}/branches/{name}"
    html = f"{call.world.url}/{row['full_name']}/tree/{name}"
    return {
        "_links": {"self": base, "html": html},
        "protection": {"enabled": body.get("protected", False)},
        "protection_url": f"{base}/protection",
        **body,
        "commit": commit,
    }


ROUTES = (Route("GET", "/repos/{owner}/{repo}/collaborators/{username}/permission", permission_answer),)
