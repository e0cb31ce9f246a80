"""The REST side: judge, permissions, our own routes first, the emulator for the rest."""

import json
import re

from tests.github import (
    app_endpoints,
    checks,
    completion,
    forks,
    graphql,
    hook_endpoints,
    issue_views,
    payloads,
    pulls,
    reactions,
    ref_moves,
    rules,
    statuses,
)
from tests.github.completion import REPOSITORY_PATH
from tests.github.identity import Kind
from tests.github.journal import Entry
from tests.github.permissions import APP_ONLY, grants, needs_of, role_at_least, role_needed
from tests.github.wire import ApiError, Call, Json, Reply, find_route, not_found
from tests.github.world import whole_seconds

ROUTES = (
    *app_endpoints.ROUTES,
    *hook_endpoints.ROUTES,
    *checks.ROUTES,
    *pulls.ROUTES,
    *forks.ROUTES,
    *issue_views.ROUTES,
    *completion.ROUTES,
    *reactions.ROUTES,
    *statuses.ROUTES,
    *rules.ROUTES,
    *graphql.ROUTES,
)
API_VERSIONS = frozenset({"2022-11-28", "2026-03-10"})
COMMENT_BODY_MAX = 65_536  # characters
OURS = frozenset({"push", "create", "delete", "check_run", "check_suite", "repository", "milestone", "fork"})
READING = frozenset({"GET", "HEAD"})


async def answer(call: Call, entry: Entry) -> Reply:
    """Answer a REST request. Raises ApiError for every refusal."""
    manners(call)
    if call.principal.is_app and call.path != "/graphql":
        judge_app(call, entry)
    row = await require_repository(call)
    route = find_route(ROUTES, call.method, call.path)
    if call.method in READING:
        reply = await route[0].handler(_with(call, route[1])) if route else await ask_emulator(call)
    else:
        async with call.world.lock:
            reply = await route[0].handler(_with(call, route[1])) if route else await ask_emulator(call)
            await publish_emulated(call, row)
    if call.principal.is_app and entry.operation is not None:
        check_answer(call, entry, reply)
    return reply


def _with(call: Call, params: object) -> Call:
    call.params = dict(params)  # type: ignore[call-overload]
    return call


def manners(call: Call) -> None:
    """Refuse what GitHub refuses before looking at the path. Raises ApiError."""
    if not call.headers.get("user-agent"):
        raise ApiError(403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent")
    version = call.headers.get("x-github-api-version")
    if version is not None and version not in API_VERSIONS:
        raise ApiError(400, f"API version {version} is not supported")
    if call.principal.is_app and version is None:
        call.world.journal.violate("headers", f"{call.method} {call.path}", ("no X-GitHub-Api-Version",))


def judge_app(call: Call, entry: Entry) -> None:
    """Judge an App's request by GitHub's description and its permissions. Raises ApiError 422 or 403."""
    world, principal = call.world, call.principal
    found = world.judge.judge(call.method, call.path, call.raw_path.partition("?")[2], call.body)
    entry.operation = found.operation
    if found.problems:
        world.journal.violate("request", f"{call.method} {call.path}", found.problems, entry.repository)
        raise ApiError(422, "Invalid request.\n\n" + "\n".join(found.problems))
    if found.operation is None or found.operation == "apps/create-from-manifest":
        return
    needs = needs_of(found.operation, call.method)
    if principal.kind is Kind.APP:
        if needs == APP_ONLY or found.operation in {"apps/get-by-slug", "meta/get", "rate-limit/get"}:
            return
        raise ApiError(401, "A JSON web token is not accepted here: use an installation access token")
    if needs == APP_ONLY:
        raise ApiError(401, "A JSON web token could not be decoded")
    if principal.token is not None and not grants(principal.token.permissions, needs):
        accepted = {"X-Accepted-GitHub-Permissions": "; ".join(need.replace(":", "=") for need in needs)}
        raise ApiError(403, "Resource not accessible by integration", headers=accepted)


async def require_repository(call: Call) -> Json | None:
    """Return the repository's row if the path is about one. Raises ApiError 404 or 403."""
    found = REPOSITORY_PATH.fullmatch(call.path)
    if found is None:
        return None
    row = await call.world.row(f"{found['owner']}/{found['repo']}")
    if call.principal.kind is Kind.APP:
        return row
    if not await call.world.can_read(call.principal, row):
        raise not_found()
    if call.principal.kind is Kind.USER and call.principal.login is not None:
        role = await call.world.role(call.principal.login, row)
        if not role_at_least(role, role_needed(call.method, call.path)):
            raise ApiError(403, "Must have push access to repository")
    return row


async def ask_emulator(call: Call) -> Reply:
    """Pass a request on, and complete the answer."""
    await refuse_what_it_accepts(call)
    accept = {"Accept": call.headers["accept"]} if "raw" in call.headers.get("accept", "") else {}
    reply = await call.world.emulator.request(
        call.method, call.raw_path, call.principal.emulator_user, call.body, accept
    )
    if reply.raw is not None:
        return reply
    if reply.status < 300:
        reply.body = await completion.complete(call, whole_seconds(reply.body))
        reply.status = call.world.judge.success_status(call.method, call.path, reply.status)
    return reply


async def refuse_what_it_accepts(call: Call) -> None:
    """Refuse what GitHub refuses and the emulator does not. Raises ApiError."""
    if call.method in READING or not call.body:
        return
    try:
        body = json.loads(call.body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "Problems parsing JSON") from error
    if isinstance(body, dict) and len(str(body.get("body") or "")) > COMMENT_BODY_MAX:
        errors = [{"resource": "IssueComment", "field": "body", "code": "unprocessable", "message": "body is too long"}]
        raise ApiError(422, "Validation Failed", errors)


async def publish_emulated(call: Call, row: Json | None) -> None:
    """Follow refs that a request moved, and deliver the events it caused."""
    login = call.principal.login or "ghost"
    if row is not None and re.search(r"/(git/refs|contents|update-branch|merges)", call.path):
        await ref_moves.settle(call.world, row, login)
    for one in await call.world.emulator.console("events"):
        if one["event"] in OURS or one["repo"] is None:
            continue
        event, payload = await of_subject(call, one["event"], one["payload"])
        if (event, one["action"]) == ("issues", "edited"):
            # the emulator forgets what stood there before
            payload["changes"] = {key: {"from": ""} for key in ("title", "body") if key in call.json()}
        payload = await payloads.complete(call.world, event, one["action"], payload)
        call.world.outbox.publish(event, payload, payload["repository"])
    if row is not None and call.method == "POST" and call.path.endswith("/issues"):
        await label_new_issue(call, row)


async def of_subject(call: Call, event: str, payload: Json) -> tuple[str, Json]:
    """Turn what the emulator says of an issue that is a pull request into the event GitHub sends for it."""
    if event != "issues" or not isinstance(payload.get("issue"), dict):
        return event, payload
    row, number = await call.world.row(payload["repository"]["full_name"]), payload["issue"]["number"]
    if not await call.world.emulator.find("pullRequests", repo_id=row["id"], number=number):
        return event, payload
    rest = {key: value for key, value in payload.items() if key != "issue"}
    return "pull_request", {**rest, "pull_request": await call.world.pull(row, number)}


async def label_new_issue(call: Call, row: Json) -> None:
    """Send ``labeled`` for the labels an issue was opened with, as GitHub does and the emulator does not."""
    names = call.json().get("labels") or []
    if not names:
        return
    issues = await call.world.emulator.find("issues", repo_id=row["id"])
    number = max(one["number"] for one in issues)
    owner = call.world.owner_of(row["full_name"].partition("/")[0])
    for name in names:
        payload = {
            "action": "labeled",
            "issue": await call.world.rest("GET", f"/repos/{row['full_name']}/issues/{number}", owner),
            "label": {"name": name if isinstance(name, str) else name["name"]},
            "repository": await call.world.repository(row["full_name"]),
            "sender": await call.world.user(call.principal.login or "ghost"),
        }
        done = await payloads.complete(call.world, "issues", "labeled", payload)
        call.world.outbox.publish("issues", done, done["repository"])


def check_answer(call: Call, entry: Entry, reply: Reply) -> None:
    """Keep where our own answer leaves GitHub's description: a fault of the local GitHub, not of the App."""
    if reply.raw is None and reply.status < 300 and entry.operation is not None:
        problems = call.world.judge.answer_problems(entry.operation, reply.status, reply.body)
        if problems:
            call.world.journal.deviate(entry.operation, tuple(problems))
