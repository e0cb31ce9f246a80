"""Rulesets and branch protection: what must be green and approved before a branch may move."""

import fnmatch

from tests.github.permissions import role_at_least
from tests.github.wire import Call, Json, Reply, Route, invalid, not_found
from tests.github.world import World, now_text

PASSING = frozenset({"success", "neutral", "skipped"})
DEFAULT_PARAMETERS: dict[str, Json] = {
    "pull_request": {
        "required_approving_review_count": 0,
        "dismiss_stale_reviews_on_push": False,
        "require_code_owner_review": False,
        "require_last_push_approval": False,
        "required_review_thread_resolution": False,
    },
    "required_status_checks": {"required_status_checks": [], "strict_required_status_checks_policy": False},
}
CLOSED_TO_PUSHES = frozenset({"pull_request", "required_status_checks", "update"})


async def create_ruleset(call: Call) -> Reply:
    """POST /repos/{owner}/{repo}/rulesets."""
    row, body = await call.world.repo_row(call), call.json()
    if not body.get("name") or body.get("enforcement") not in {"active", "disabled", "evaluate"}:
        raise invalid("RepositoryRuleset", "enforcement")
    made = {
        "id": next(call.world.ids),
        "target": "branch",
        "source_type": "Repository",
        "source": row["full_name"],
        "conditions": {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}},
        "rules": [],
        "bypass_actors": [],
        "node_id": "RRS_1",
        "created_at": now_text(),
        "updated_at": now_text(),
        **body,
    }
    made["rules"] = [_with_defaults(rule) for rule in made["rules"]]
    call.world.rulesets.setdefault(row["id"], []).append(made)
    return Reply(201, made)


def _with_defaults(rule: Json) -> Json:
    defaults = DEFAULT_PARAMETERS.get(rule["type"])
    return rule if defaults is None else {**rule, "parameters": {**defaults, **(rule.get("parameters") or {})}}


async def list_rulesets(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/rulesets."""
    row = await call.world.repo_row(call)
    hidden = {"rules", "conditions", "bypass_actors"}
    found = call.world.rulesets.get(row["id"], [])
    return Reply(200, [{key: value for key, value in one.items() if key not in hidden} for one in found])


async def get_ruleset(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/rulesets/{ruleset_id}."""
    row, wanted = await call.world.repo_row(call), call.number("ruleset_id")
    for one in call.world.rulesets.get(row["id"], []):
        if one["id"] == wanted:
            return Reply(200, one)
    raise not_found()


async def branch_rules(call: Call) -> Reply:
    """GET /repos/{owner}/{repo}/rules/branches/{branch}."""
    row = await call.world.repo_row(call)
    return Reply(200, active_rules(call.world, row, call.params["branch"]))


def active_rules(world: World, row: Json, branch: str) -> list[Json]:
    """Return the rules in force on a branch."""
    return [
        {**rule, "ruleset_source_type": "Repository", "ruleset_source": row["full_name"], "ruleset_id": one["id"]}
        for one in world.rulesets.get(row["id"], [])
        if one["enforcement"] == "active" and _covers(one["conditions"]["ref_name"], row, branch)
        for rule in one["rules"]
    ]


def _covers(condition: Json, row: Json, branch: str) -> bool:
    def meant(pattern: str) -> bool:
        if pattern == "~DEFAULT_BRANCH":
            return bool(branch == row["default_branch"])
        return pattern == "~ALL" or fnmatch.fnmatchcase(f"refs/heads/{branch}", pattern)

    return any(map(meant, condition["include"])) and not any(map(meant, condition["exclude"]))


def closed_to_pushes(world: World, row: Json, branches: list[str]) -> list[str]:
    """Return the refs that no push may move because a rule asks for a pull request or a check."""
    return [
        f"refs/heads/{branch}"
        for branch in branches
        if any(rule["type"] in CLOSED_TO_PUSHES for rule in active_rules(world, row, branch))
    ]


async def unmet(world: World, row: Json, pull: Json) -> list[str]:
    """Return why a pull request may not be merged yet, in GitHub's words."""
    reasons: list[str] = []
    for rule in active_rules(world, row, pull["base_ref"]):
        parameters = rule.get("parameters") or {}
        if rule["type"] == "required_status_checks":
            reasons += [
                f'Required status check "{check["context"]}" is expected.'
                for check in parameters.get("required_status_checks", [])
                if not passes(world, row, pull["head_sha"], check["context"], check.get("integration_id"))
            ]
        if rule["type"] == "pull_request":
            reasons += await _missing_reviews(world, row, pull, parameters)
    for protection in await world.emulator.find("branchProtections", repo_id=row["id"], branch_name=pull["base_ref"]):
        required = (protection["required_status_checks"] or {}).get("contexts", [])
        reasons += [
            f'Required status check "{context}" is expected.'
            for context in required
            if not passes(world, row, pull["head_sha"], context, None)
        ]
    return reasons


def passes(world: World, row: Json, sha: str, context: str, app_id: int | None) -> bool:
    """Tell whether the newest check run or status of a name is green, from one App if one is named."""
    runs = [run for run in world.checks.on_commit(row["id"], sha) if run.name == context]
    runs = [run for run in runs if app_id in {None, run.suite.app_id}]
    if runs:
        return runs[-1].status == "completed" and runs[-1].conclusion in PASSING
    found = [one for one in world.statuses.get(row["id"], []) if (one["sha"], one["context"]) == (sha, context)]
    return app_id is None and bool(found) and bool(found[-1]["state"] == "success")


async def _missing_reviews(world: World, row: Json, pull: Json, parameters: Json) -> list[str]:
    needed = int(parameters.get("required_approving_review_count", 0))
    latest: dict[int, Json] = {}
    for review in await world.emulator.find("reviews", repo_id=row["id"], pull_number=pull["number"]):
        if review["state"] in {"APPROVED", "CHANGES_REQUESTED", "DISMISSED"}:
            latest[review["user_id"]] = review
    approvals = 0
    for review in latest.values():
        stale = parameters.get("dismiss_stale_reviews_on_push") and review["commit_id"] != pull["head_sha"]
        if review["state"] == "CHANGES_REQUESTED":
            return ["Changes have been requested by a reviewer."]
        if review["state"] == "APPROVED" and not stale and review["user_id"] != pull["user_id"]:
            approvals += await _counts(world, row, review["user_id"])
    many = f"At least {needed} approving review is required by reviewers with write access."
    return [many] if approvals < needed else []


async def _counts(world: World, row: Json, user_id: int) -> bool:
    (user,) = await world.emulator.find("users", id=user_id)
    return user["type"] != "Bot" and role_at_least(await world.role(user["login"], row), "write")


_REPO = "/repos/{owner}/{repo}"
ROUTES = (
    Route("POST", f"{_REPO}/rulesets", create_ruleset),
    Route("GET", f"{_REPO}/rulesets", list_rulesets),
    Route("GET", f"{_REPO}/rulesets/{{ruleset_id}}", get_ruleset),
    Route("GET", f"{_REPO}/rules/branches/{{branch+}}", branch_rules),
)
