"""Check suites and check runs: what they are, and how REST and webhooks write them."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.github.identity import AppRecord
from tests.github.wire import Json
from tests.github.world import World, now_text, simple_user

RUNS_PER_NAME_MAX = 1000


@dataclass
class SuiteRecord:
    """The check suite of one App on one commit."""

    id: int
    repository_id: int
    app_id: int
    head_sha: str
    head_branch: str | None
    before: str | None
    created_at: str
    commit: Json | None
    rerequested: bool = False


@dataclass
class RunRecord:
    """One check run; ``annotations`` only ever grow."""

    id: int
    suite: SuiteRecord
    name: str
    status: str
    conclusion: str | None
    started_at: str | None
    completed_at: str | None
    details_url: str | None
    external_id: str
    output: Json = field(default_factory=dict)
    annotations: list[Json] = field(default_factory=list)
    actions: list[Json] = field(default_factory=list)


@dataclass
class CheckBook:
    """All suites and runs."""

    suites: dict[int, SuiteRecord] = field(default_factory=dict)
    runs: dict[int, RunRecord] = field(default_factory=dict)
    ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(31_000_000_001))

    def suite(
        self,
        row: Json,
        app_id: int,
        sha: str,
        branch: str | None = None,
        before: str | None = None,
        commit: Json | None = None,
    ) -> SuiteRecord:
        """Return the suite of an App on a commit, made when there is none."""
        for known in self.suites.values():
            if (known.repository_id, known.app_id, known.head_sha) == (row["id"], app_id, sha):
                known.head_branch = known.head_branch or branch
                return known
        made = SuiteRecord(next(self.ids), row["id"], app_id, sha, branch, before, now_text(), commit)
        self.suites[made.id] = made
        return made

    def runs_of(self, suite: SuiteRecord) -> list[RunRecord]:
        """Return the runs of a suite, oldest first, no more than GitHub keeps under one name."""
        return [run for run in self.runs.values() if run.suite is suite]

    def on_commit(self, repository_id: int, sha: str) -> list[RunRecord]:
        """Return the runs on a commit, oldest first."""
        found = [run for run in self.runs.values() if run.suite.head_sha == sha]
        return [run for run in found if run.suite.repository_id == repository_id]

    def forget_oldest(self, run: RunRecord) -> None:
        """Keep at most 1,000 runs of one name in a suite, as GitHub does."""
        same = [one for one in self.runs_of(run.suite) if one.name == run.name]
        for old in same[:-RUNS_PER_NAME_MAX]:
            del self.runs[old.id]

    def state_of(self, suite: SuiteRecord) -> tuple[str, str | None]:
        """Roll the latest run of every name up to the suite's status and conclusion."""
        latest = {run.name: run for run in self.runs_of(suite)}.values()
        if not latest:
            return "queued", None
        if any(run.status != "completed" for run in latest):
            return "in_progress", None
        order = ("action_required", "timed_out", "cancelled", "failure", "success", "neutral", "skipped")
        found = {run.conclusion for run in latest}
        return "completed", next((one for one in order if one in found), "neutral")


def app_object(app: AppRecord, owner: Json) -> Json:
    """Render an App as GitHub's ``integration``."""
    return {
        "id": app.id,
        "slug": app.slug,
        "node_id": f"A_{app.id}",
        "client_id": app.client_id,
        "owner": owner,
        "name": app.name,
        "description": "",
        "external_url": "https://example.com",
        "html_url": f"https://example.com/apps/{app.slug}",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "permissions": app.permissions,
        "events": app.events,
    }


async def app_of(world: World, app_id: int) -> Json:
    """Render an App by id."""
    app = world.identity.apps[app_id]
    rows = await world.emulator.find("users", login=app.owner)
    return app_object(app, simple_user(rows[0], world.url))


async def pulls_of(world: World, row: Json, sha: str) -> list[Json]:
    """Return the minimal form of the open pull requests whose head is the commit."""
    base = f"{world.url}/repos/{row['full_name']}"
    repo = {"id": row["id"], "url": base, "name": row["name"]}
    return [
        {
            "id": pull["id"],
            "number": pull["number"],
            "url": f"{base}/pulls/{pull['number']}",
            "head": {"ref": pull["head_ref"], "sha": pull["head_sha"], "repo": repo},
            "base": {"ref": pull["base_ref"], "sha": pull["base_sha"], "repo": repo},
        }
        for pull in await world.pull_rows(row)
        if pull["state"] == "open" and pull["head_sha"] == sha and pull["head_repo_id"] == row["id"]
    ]


async def run_object(world: World, row: Json, run: RunRecord) -> Json:
    """Render a check run as REST does."""
    base = f"{world.url}/repos/{row['full_name']}"
    output: Mapping[str, Any] = run.output
    return {
        "id": run.id,
        "name": run.name,
        "node_id": f"CR_{run.id}",
        "head_sha": run.suite.head_sha,
        "external_id": run.external_id,
        "url": f"{base}/check-runs/{run.id}",
        "html_url": f"{world.url}/{row['full_name']}/runs/{run.id}",
        "details_url": run.details_url or f"{world.url}/{row['full_name']}/runs/{run.id}",
        "status": run.status,
        "conclusion": run.conclusion,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
        "output": {
            "title": output.get("title"),
            "summary": output.get("summary"),
            "text": output.get("text"),
            "annotations_count": len(run.annotations),
            "annotations_url": f"{base}/check-runs/{run.id}/annotations",
        },
        "check_suite": {"id": run.suite.id},
        "app": await app_of(world, run.suite.app_id),
        "pull_requests": await pulls_of(world, row, run.suite.head_sha),
    }


async def run_payload(world: World, row: Json, run: RunRecord) -> Json:
    """Render a check run as webhooks do: with its suite inside."""
    made = await run_object(world, row, run)
    made["check_suite"] = await suite_payload(world, row, run.suite)
    made["check_suite"].pop("head_commit")
    return made


async def suite_object(world: World, row: Json, suite: SuiteRecord) -> Json:
    """Render a check suite as REST does."""
    status, conclusion = world.checks.state_of(suite)
    base = f"{world.url}/repos/{row['full_name']}"
    return {
        "id": suite.id,
        "node_id": f"CS_{suite.id}",
        "head_branch": suite.head_branch,
        "head_sha": suite.head_sha,
        "status": status,
        "conclusion": conclusion,
        "url": f"{base}/check-suites/{suite.id}",
        "before": suite.before,
        "after": suite.head_sha,
        "pull_requests": await pulls_of(world, row, suite.head_sha),
        "app": await app_of(world, suite.app_id),
        "repository": await world.repository(row["full_name"]),
        "created_at": suite.created_at,
        "updated_at": now_text(),
        "head_commit": head_commit(suite),
        "latest_check_runs_count": len(world.checks.runs_of(suite)),
        "check_runs_url": f"{base}/check-suites/{suite.id}/check-runs",
        "rerequestable": True,
        "runs_rerequestable": True,
    }


def head_commit(suite: SuiteRecord) -> Json:
    """Render the commit of a suite in the short form."""
    commit = suite.commit or {}
    nobody = {"name": "", "email": ""}
    return {
        "id": suite.head_sha,
        "tree_id": commit.get("tree_id", ""),
        "message": commit.get("message", ""),
        "timestamp": commit.get("timestamp", suite.created_at),
        "author": commit.get("author", nobody),
        "committer": commit.get("committer", nobody),
    }


async def suite_payload(world: World, row: Json, suite: SuiteRecord) -> Json:
    """Render a check suite as webhooks do."""
    made = await suite_object(world, row, suite)
    del made["repository"]
    return made
