"""The checks API: only Apps write, limits hold, annotations append, actions are echoed."""

from collections.abc import Sequence

from tests.github import payloads
from tests.github.check_records import (
    RunRecord,
    SuiteRecord,
    run_object,
    run_payload,
    suite_object,
    suite_payload,
)
from tests.github.git_store import GitError
from tests.github.identity import Kind
from tests.github.wire import ApiError, Call, Json, Reply, Route, invalid, not_found, page_of
from tests.github.world import World, now_text

TEXT_MAX = 65_535  # characters of summary and of text
ANNOTATIONS_MAX = 50  # per request
ACTIONS_MAX = 3
ACTION_LIMITS = {"label": 20, "description": 40, "identifier": 20}
CONCLUSIONS = frozenset({"action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out"})


async def create_run(call: Call) -> Reply:
    """POST /repos/{owner}/{repo}/check-runs."""
    world, body = call.world, call.json()
    app_id = app_of_call(call)
    row = await world.repo_row(call)
    check_limits(body)
    sha = await require_commit(call, row, str(body["head_sha"]))
    suite = world.checks.suite(row, app_id, sha, await _branch_of(world, row, sha))
    run = RunRecord(next(world.checks.ids), suite, body["name"], "queued", None, None, None, None, "")
    apply_fields(run, body)
    run.started_at = run.started_at or now_text()
    world.checks.runs[run.id] = run
    world.checks.forget_oldest(run)
    await _announce(call, row, run, "created")
    if run.status == "completed":
        await _announce_completion(call, row, run)
    return Reply(201, await run_object(world, row, run))


async def update_run(call: Call) -> Reply:
    """PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}."""
    body, app_id = call.json(), app_of_call(call)
    row, run = await find_run(call)
    if run.suite.app_id != app_id:
        raise ApiError(403, "Invalid app_id `" + str(app_id) + "` - check run can only be modified by the GitHub App")
    check_limits(body)
    completed = run.status == "completed"
    apply_fields(run, body)
    if run.status == "completed" and not completed:
        await _announce_completion(call, row, run)
    return Reply(200, await run_object(call.world, row, run))


def app_of_call(call: Call) -> int:
    """Return the App of an installation token; nobody else writes checks. Raises ApiError 403."""
    if call.principal.kind is not Kind.INSTALLATION or call.principal.app is None:
        raise ApiError(403, "You must authenticate via a GitHub App.")
    return call.principal.app.id


def check_limits(body: Json) -> None:
    """Refuse what GitHub refuses. Raises ApiError 422."""
    output = body.get("output") or {}
    for key in ("summary", "text"):
        if len(str(output.get(key) or "")) > TEXT_MAX:
            raise invalid("CheckRun", key, message=f"Only {TEXT_MAX} characters are allowed")
    if len(output.get("annotations") or []) > ANNOTATIONS_MAX:
        raise invalid("CheckRun", "annotations", message=f"exceeds a maximum quantity of {ANNOTATIONS_MAX}")
    actions = body.get("actions") or []
    if len(actions) > ACTIONS_MAX:
        raise invalid("CheckRun", "actions", message=f"exceeds a maximum quantity of {ACTIONS_MAX}")
    for action in actions:
        for key, most in ACTION_LIMITS.items():
            if len(str(action.get(key, ""))) > most:
                raise invalid("CheckRun", key, message=f"is too long (maximum is {most} characters)")
    if (body.get("status") == "completed" or "completed_at" in body) and not body.get("conclusion"):
        raise invalid("CheckRun", "conclusion", "missing_field")
    if body.get("conclusion") is not None and body["conclusion"] not in CONCLUSIONS:
        raise invalid("CheckRun", "conclusion")


def apply_fields(run: RunRecord, body: Json) -> None:
    """Take a request's fields over; annotations append, a conclusion completes."""
    for key in ("name", "status", "conclusion", "started_at", "completed_at", "details_url", "external_id"):
        if body.get(key) is not None:
            setattr(run, key, body[key])
    if body.get("conclusion"):
        run.status = "completed"
        run.completed_at = body.get("completed_at") or now_text()
    elif body.get("status") in {"queued", "in_progress"}:
        run.conclusion, run.completed_at = None, None
    output = dict(body.get("output") or {})
    run.annotations += [_annotation(one) for one in output.pop("annotations", None) or []]
    output.pop("images", None)
    run.output |= output
    if "actions" in body:
        run.actions = list(body["actions"])


def _annotation(given: Json) -> Json:
    optional = ("start_column", "end_column", "title", "raw_details")
    return {**given, **{key: given.get(key) for key in optional}, "blob_href": ""}


async def require_commit(call: Call, row: Json, sha: str) -> str:
    """Return the full SHA of a commit of the repository. Raises ApiError 422."""
    try:
        git = await call.world.bare(row)
        found = await git.git("rev-parse", "--verify", "--quiet", f"{sha}^{{commit}}")
    except GitError as error:
        raise ApiError(422, f"No commit found for SHA: {sha}") from error
    return found.decode().strip()


async def _branch_of(world: World, row: Json, sha: str) -> str | None:
    refs = await (await world.bare(row)).refs()
    heads = [ref.removeprefix("refs/heads/") for ref, at in refs.items() if at == sha and ref.startswith("refs/heads/")]
    return heads[0] if heads else None


async def find_run(call: Call) -> tuple[Json, RunRecord]:
    """Return the repository row and the run of a path. Raises ApiError 404."""
    row = await call.world.repo_row(call)
    run = call.world.checks.runs.get(call.number("check_run_id"))
    if run is None or run.suite.repository_id != row["id"]:
        raise not_found()
    return row, run


async def find_suite(call: Call) -> tuple[Json, SuiteRecord]:
    """Return the repository row and the suite of a path. Raises ApiError 404."""
    row = await call.world.repo_row(call)
    suite = call.world.checks.suites.get(call.number("check_suite_id"))
    if suite is None or suite.repository_id != row["id"]:
        raise not_found()
    return row, suite


async def get_run(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/check-runs/{check_run_id}."""
    row, run = await find_run(call)
    return Reply(200, await run_object(call.world, row, run))


async def list_annotations(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/check-runs/{check_run_id}/annotations."""
    _, run = await find_run(call)
    page, headers = page_of(call, run.annotations)
    return Reply(200, page, headers)


async def list_for_ref(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/commits/{ref}/check-runs."""
    row = await call.world.repo_row(call)
    sha = await require_commit(call, row, call.params["ref"])
    return await _list_runs(call, row, call.world.checks.on_commit(row["id"], sha))


async def list_for_suite(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/check-suites/{check_suite_id}/check-runs."""
    row, suite = await find_suite(call)
    return await _list_runs(call, row, call.world.checks.runs_of(suite))


async def _list_runs(call: Call, row: Json, runs: Sequence[RunRecord]) -> Reply:
    query = call.query
    wanted = [run for run in runs if query.get("check_name", run.name) == run.name]
    wanted = [run for run in wanted if query.get("status", run.status) == run.status]
    wanted = [run for run in wanted if query.get("app_id", str(run.suite.app_id)) == str(run.suite.app_id)]
    if query.get("filter", "latest") == "latest":
        wanted = list({(run.suite.id, run.name): run for run in wanted}.values())
    newest = sorted(wanted, key=lambda run: -run.id)
    page, headers = page_of(call, newest)
    shown = [await run_object(call.world, row, run) for run in page]
    return Reply(200, {"total_count": len(wanted), "check_runs": shown}, headers)


async def list_suites(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/commits/{ref}/check-suites."""
    row = await call.world.repo_row(call)
    sha = await require_commit(call, row, call.params["ref"])
    found = [one for one in call.world.checks.suites.values() if one.head_sha == sha]
    found = [one for one in found if call.query.get("app_id", str(one.app_id)) == str(one.app_id)]
    shown = [await suite_object(call.world, row, one) for one in found if one.repository_id == row["id"]]
    return Reply(200, {"total_count": len(shown), "check_suites": shown})


async def get_suite(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/check-suites/{check_suite_id}."""
    row, suite = await find_suite(call)
    return Reply(200, await suite_object(call.world, row, suite))


async def create_suite(call: Call) -> Reply:
    """POST /repos/{owner}/{repo}/check-suites."""
    row, app_id = await call.world.repo_row(call), app_of_call(call)
    sha = await require_commit(call, row, str(call.json()["head_sha"]))
    suite = call.world.checks.suite(row, app_id, sha)
    return Reply(201, await suite_object(call.world, row, suite))


async def rerequest_run(call: Call) -> Reply:
    """POST .../check-runs/{check_run_id}/rerequest: the run itself is not reset."""
    row, run = await find_run(call)
    await _announce(call, row, run, "rerequested", only_owner=True)
    return Reply(201, {})


async def rerequest_suite(call: Call) -> Reply:
    """POST .../check-suites/{check_suite_id}/rerequest."""
    row, suite = await find_suite(call)
    await publish_suite(call.world, row, suite, "rerequested", call.principal.login or "ghost")
    return Reply(201, {})


async def press_button(world: World, row: Json, run: RunRecord, identifier: str, login: str) -> None:
    """Send ``check_run.requested_action`` as when a human presses a button. Raises ApiError 422."""
    if run.status != "completed" or identifier not in {action["identifier"] for action in run.actions}:
        raise ApiError(422, f"the run shows no button {identifier}")
    await publish_run(world, row, run, "requested_action", login, {"requested_action": {"identifier": identifier}})


async def _announce(call: Call, row: Json, run: RunRecord, action: str, *, only_owner: bool = False) -> None:
    await publish_run(call.world, row, run, action, call.principal.login or "ghost", only_owner=only_owner)


async def _announce_completion(call: Call, row: Json, run: RunRecord) -> None:
    await _announce(call, row, run, "completed")
    if call.world.checks.state_of(run.suite)[0] == "completed":
        await publish_suite(call.world, row, run.suite, "completed", call.principal.login or "ghost", everyone=True)


async def publish_run(
    world: World,
    row: Json,
    run: RunRecord,
    action: str,
    login: str,
    extra: Json | None = None,
    *,
    only_owner: bool = False,
) -> None:
    """Send a ``check_run`` event; buttons and re-requests go to the owning App only."""
    payload = {
        "action": action,
        "check_run": await run_payload(world, row, run),
        "repository": payloads.complete_repository(await world.repository(row["full_name"])),
        "sender": await world.user(login),
        **(extra or {}),
    }
    owner = run.suite.app_id if only_owner or action == "requested_action" else None
    world.outbox.publish("check_run", payload, payload["repository"], only_app=owner)


async def publish_suite(
    world: World, row: Json, suite: SuiteRecord, action: str, login: str, *, everyone: bool = False
) -> None:
    """Send a ``check_suite`` event."""
    payload: Json = {
        "action": action,
        "check_suite": await suite_payload(world, row, suite),
        "repository": payloads.complete_repository(await world.repository(row["full_name"])),
        "sender": await world.user(login),
    }
    only = None if everyone else suite.app_id
    world.outbox.publish("check_suite", payload, payload["repository"], only_app=only)


_REPO = "/repos/{owner}/{repo}"
ROUTES = (
    Route("POST", f"{_REPO}/check-runs", create_run),
    Route("PATCH", f"{_REPO}/check-runs/{{check_run_id}}", update_run),
    Route("GET", f"{_REPO}/check-runs/{{check_run_id}}", get_run),
    Route("GET", f"{_REPO}/check-runs/{{check_run_id}}/annotations", list_annotations),
    Route("POST", f"{_REPO}/check-runs/{{check_run_id}}/rerequest", rerequest_run),
    Route("GET", f"{_REPO}/commits/{{ref+}}/check-runs", list_for_ref),
    Route("GET", f"{_REPO}/commits/{{ref+}}/check-suites", list_suites),
    Route("POST", f"{_REPO}/check-suites", create_suite),
    Route("GET", f"{_REPO}/check-suites/{{check_suite_id}}", get_suite),
    Route("GET", f"{_REPO}/check-suites/{{check_suite_id}}/check-runs", list_for_suite),
    Route("POST", f"{_REPO}/check-suites/{{check_suite_id}}/rerequest", rerequest_suite),
)
