"""Webhook payloads: built from REST objects, or the emulator's completed to GitHub's schema."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.github.git_store import NULL_SHA, GitRepository
from tests.github.mirror import RefChange
from tests.github.wire import Json
from tests.github.world import World, now_text, whole_seconds

COMMITS_MAX = 2048  # per push payload


async def complete(world: World, event: str, action: str | None, payload: Json) -> Json:
    """Fill in what the emulator leaves out of an event's payload."""
    made: Json = dict(whole_seconds(payload))
    if action is not None:
        made["action"] = action
    row = await world.row(made["repository"]["full_name"])
    made["repository"] = complete_repository(made["repository"])
    if isinstance(made.get("issue"), dict):
        await complete_issue(world, row, made["issue"])
    if isinstance(made.get("pull_request"), dict):
        complete_pull(made["pull_request"])
        if event == "pull_request":
            made["number"] = made["pull_request"]["number"]
    if isinstance(made.get("label"), dict):
        made["label"] = await complete_label(world, row, made["label"])
    if isinstance(made.get("review"), dict):
        complete_review(made["review"])
    await _complete_changes(world, event, action, made)
    return made


async def _complete_changes(world: World, event: str, action: str | None, made: Json) -> None:
    if action == "edited":
        changes = made.get("changes") or {}
        made["changes"] = {key: value for key, value in changes.items() if isinstance(value, dict)}
        if event == "label":
            made["changes"] = changes if isinstance(changes, dict) else {}
    if event == "pull_request" and action == "review_requested" and "requested_reviewer" not in made:
        reviewers = made["pull_request"].get("requested_reviewers") or []
        if reviewers:
            made["requested_reviewer"] = reviewers[-1]


def complete_repository(repository: Json) -> Json:
    """Add the keys of a repository that webhooks require and the emulator lacks."""
    extra: Json = {
        "web_commit_signoff_required": False,
        "custom_properties": {},
        "has_discussions": repository.get("has_discussions", False),
        "topics": repository.get("topics", []),
    }
    return {**extra, **repository}


async def complete_issue(world: World, row: Json, issue: Json) -> None:
    """Mark issues that are pull requests, and give the counters that webhooks require."""
    issue.pop("closed_by", None)
    pull = await world.emulator.find("pullRequests", repo_id=row["id"], number=issue["number"])
    if pull:
        issue["pull_request"] = pull_reference(world, row, pull[0])
    issue["reactions"] = reaction_totals(world, f"/repos/{row['full_name']}/issues/{issue['number']}")
    issue.setdefault("assignee", None)
    issue.setdefault("performed_via_github_app", None)


def pull_reference(world: World, row: Json, pull: Json) -> Json:
    """Return the ``pull_request`` key of an issue that is one."""
    name, number = row["full_name"], pull["number"]
    html = f"{world.url}/{name}/pull/{number}"
    return {
        "url": f"{world.url}/repos/{name}/pulls/{number}",
        "html_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        "merged_at": whole_seconds({"merged_at": pull["merged_at"]})["merged_at"],
    }


def reaction_totals(world: World, subject: str) -> Json:
    """Return the reactions summary of an issue or comment, by its REST path."""
    contents = [one["content"] for one in world.reactions.get(subject, [])]
    kinds = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
    return {
        "url": f"{world.url}{subject}/reactions",
        "total_count": len(contents),
        **{kind: contents.count(kind) for kind in kinds},
    }


def complete_pull(pull: Json) -> None:
    """Give a pull request the keys that webhooks require."""
    pull["_links"].setdefault("review_comment", {"href": ""})
    pull.setdefault("active_lock_reason", None)
    for side in ("head", "base"):
        if isinstance(pull[side].get("repo"), dict):
            pull[side]["repo"] = complete_repository(pull[side]["repo"])


def complete_review(review: Json) -> None:
    """Write a review's state as webhooks do: in lower case."""
    review["state"] = str(review["state"]).lower()
    review.setdefault("updated_at", review.get("submitted_at"))


async def complete_label(world: World, row: Json, label: Json) -> Json:
    """Return the whole label of which the emulator sends name and colour."""
    for one in await world.emulator.find("labels", repo_id=row["id"], name=label["name"]):
        return {
            "id": one["id"],
            "node_id": one["node_id"],
            "url": f"{world.url}/repos/{row['full_name']}/labels/{one['name']}",
            "name": one["name"],
            "color": one["color"],
            "default": bool(one["default"]),
            "description": one["description"],
        }
    return label


def commit_object(world: World, name: str, sha: str, details: Sequence[str], files: dict[str, list[str]]) -> Json:
    """Return one commit of a push payload from ``%T %an %ae %aI %cn %ce %cI %B`` fields."""
    tree, author, author_email, authored, committer, committer_email, _, message = details
    return {
        "id": sha,
        "tree_id": tree,
        "distinct": True,
        "message": message.rstrip("\n"),
        "timestamp": authored,
        "url": f"{world.url}/{name}/commit/{sha}",
        "author": {"name": author, "email": author_email},
        "committer": {"name": committer, "email": committer_email},
        **files,
    }


async def read_commit(world: World, git: GitRepository, name: str, sha: str) -> Json:
    """Return one commit of a push payload, read from git."""
    text = await git.git("show", "-s", "--format=%T%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B", sha)
    details = text.decode(errors="replace").split("\0")
    return commit_object(world, name, sha, details, await git.changed_files(sha))


async def push_payload(world: World, row: Json, git: GitRepository, change: RefChange, login: str) -> Json:
    """Return the payload of a push, with its commits read from git."""
    before, after = change.before or NULL_SHA, change.after or NULL_SHA
    name = row["full_name"]
    commits: list[Json] = []
    forced = False
    if change.after is not None and change.ref.startswith("refs/heads/"):
        base = before if change.before is not None else await _fork_point(git, row, change)
        commits = [await read_commit(world, git, name, sha) for sha in (await git.commits_between(base, after))]
        forced = change.before is not None and not await git.is_ancestor(before, after)
    repository = complete_repository(await world.repository(name))
    head = await read_commit(world, git, name, after) if change.after is not None else None
    return {
        "ref": change.ref,
        "before": before,
        "after": after,
        "repository": push_repository(repository),
        "pusher": {"name": login, "email": f"{login}@users.noreply.github.com"},
        "sender": await world.user(login),
        "created": change.before is None,
        "deleted": change.after is None,
        "forced": forced,
        "base_ref": None,
        "compare": f"{world.url}/{name}/compare/{before[:12]}...{after[:12]}",
        "commits": commits[-COMMITS_MAX:],
        "head_commit": head,
    }


async def _fork_point(git: GitRepository, row: Json, change: RefChange) -> str:
    refs = await git.refs()
    default = refs.get(f"refs/heads/{row['default_branch']}")
    return NULL_SHA if default is None or change.ref.endswith(f"/{row['default_branch']}") else default


def push_repository(repository: Json) -> Json:
    """Return the repository as push events write it: some times in seconds since the epoch."""
    pushed: dict[str, Any] = {"created_at": _epoch(repository["created_at"]), "pushed_at": _epoch(now_text())}
    owner = {**repository["owner"], "name": repository["owner"]["login"], "email": None}
    return {**repository, **pushed, "owner": owner, "stargazers": 0, "master_branch": repository["default_branch"]}


def _epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
