"""Reactions on issues and issue comments: 201 when new, 200 when already there."""

from tests.github.identity import Kind
from tests.github.wire import ApiError, Call, Json, Reply, Route, invalid, not_found, page_of
from tests.github.world import now_text

CONTENTS = frozenset({"+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"})


async def create(call: Call) -> Reply:
    """POST .../reactions."""
    subject = await _subject(call)
    content = call.json().get("content")
    if content not in CONTENTS:
        raise invalid("Reaction", "content")
    if call.principal.kind is Kind.ANONYMOUS or call.principal.login is None:
        raise ApiError(401, "Requires authentication")
    known = call.world.reactions.setdefault(subject, [])
    for one in known:
        if one["content"] == content and one["user"]["login"] == call.principal.login:
            return Reply(200, one)
    made: Json = {
        "id": next(call.world.ids),
        "node_id": "REA_1",
        "user": await call.world.user(call.principal.login),
        "content": content,
        "created_at": now_text(),
    }
    known.append(made)
    return Reply(201, made)


async def listing(call: Call) -> Reply:
    """GET .../reactions."""
    found = call.world.reactions.get(await _subject(call), [])
    page, headers = page_of(call, [one for one in found if call.query.get("content", one["content"]) == one["content"]])
    return Reply(200, page, headers)


async def delete(call: Call) -> Reply:
    """DELETE .../reactions/{reaction_id}."""
    subject, wanted = await _subject(call), call.number("reaction_id")
    known = call.world.reactions.get(subject, [])
    kept = [one for one in known if one["id"] != wanted or one["user"]["login"] != call.principal.login]
    if len(kept) == len(known):
        raise not_found()
    call.world.reactions[subject] = kept
    return Reply(204)


async def _subject(call: Call) -> str:
    """Return the REST path of what is reacted to. Raises ApiError 404 when it is not there."""
    row = await call.world.repo_row(call)
    if "comment_id" in call.params:
        path = f"/repos/{row['full_name']}/issues/comments/{call.number('comment_id')}"
    else:
        path = f"/repos/{row['full_name']}/issues/{call.number('issue_number')}"
    await call.world.rest("GET", path, call.world.owner_of(row["full_name"].partition("/")[0]))
    return path


_ISSUE = "/repos/{owner}/{repo}/issues/{issue_number}/reactions"
_COMMENT = "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions"
ROUTES = tuple(
    route
    for base in (_COMMENT, _ISSUE)
    for route in (
        Route("POST", base, create),
        Route("GET", base, listing),
        Route("DELETE", f"{base}/{{reaction_id}}", delete),
    )
)
