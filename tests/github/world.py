"""All state of one local GitHub, and the few questions every part asks of it."""

import asyncio
import itertools
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.github.emulator import Emulator
from tests.github.faults import Faults
from tests.github.git_store import GitRepository, GitStore
from tests.github.identity import Identity, Kind, Principal
from tests.github.journal import Journal
from tests.github.judge import Judge
from tests.github.outbox import Outbox
from tests.github.permissions import ROLE_ALIASES, role_at_least
from tests.github.wire import ApiError, Call, Json, not_found

if TYPE_CHECKING:
    from tests.github.check_records import CheckBook

_MILLISECONDS = re.compile(r"(T\d{2}:\d{2}:\d{2})\.\d{3}Z$")


@dataclass
class World:
    """The state behind the facade; ``lock`` serialises everything that changes repositories."""

    url: str
    emulator: Emulator
    identity: Identity
    outbox: Outbox
    git: GitStore
    judge: Judge
    journal: Journal
    checks: "CheckBook"
    faults: Faults = field(default_factory=Faults)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    reactions: dict[str, list[Json]] = field(default_factory=dict)
    statuses: dict[int, list[Json]] = field(default_factory=dict)
    rulesets: dict[int, list[Json]] = field(default_factory=dict)
    ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(7_000_001))

    async def row(self, full_name: str) -> Json:
        """Return the emulator's row of a repository, whose name is compared without case. Raises ApiError 404."""
        rows = await self.emulator.find("repos", full_name=full_name)
        if not rows:
            rows = [one for one in await self.emulator.find("repos") if one["full_name"].lower() == full_name.lower()]
        if not rows:
            raise not_found()
        return rows[0]

    async def repository(self, full_name: str) -> Json:
        """Return a repository as REST shows it to its owner."""
        owner = full_name.partition("/")[0]
        return dict(await self.rest("GET", f"/repos/{full_name}", self.owner_of(owner)))

    async def rest(self, method: str, path: str, user: Json | None, body: bytes = b"") -> Any:
        """Ask the emulator on behalf of a user and return the JSON. Raises ApiError with its answer."""
        answer = await self.emulator.request(method, path, user, body)
        if answer.status >= 300:
            message = answer.body.get("message", "") if isinstance(answer.body, dict) else ""
            raise ApiError(answer.status, message)
        return whole_seconds(answer.body)

    def owner_of(self, owner: str) -> Json:
        """Return the emulator's user record with which an account's own repositories are read."""
        known = {login.lower(): record for login, record in self.identity.users.items()}
        if owner.lower() not in known:
            raise not_found()
        return known[owner.lower()]

    async def user(self, login: str) -> Json:
        """Return a simple user object."""
        (row,) = await self.emulator.find("users", login=login)
        return simple_user(row, self.url)

    async def role(self, login: str, row: Json) -> str:
        """Return a user's role on a repository row: none, read, triage, write, maintain or admin."""
        (user,) = await self.emulator.find("users", login=login)
        if row["owner_type"] == "User" and row["owner_id"] == user["id"]:
            return "admin"
        found = await self.emulator.find("collaborators", repo_id=row["id"], user_id=user["id"])
        if found:
            permission = str(found[0]["permission"])
            return ROLE_ALIASES.get(permission, permission)
        return "none" if row["private"] else "read"

    async def can_read(self, principal: Principal, row: Json) -> bool:
        """Tell whether a principal may know that the repository is there."""
        if principal.kind is Kind.INSTALLATION and principal.token is not None:
            return principal.token.reaches(row)
        if principal.kind is Kind.USER and principal.login is not None:
            return role_at_least(await self.role(principal.login, row), "read")
        return not row["private"]

    async def bare(self, row: Json) -> GitRepository:
        """Return the bare repository of a row, made on first use."""
        git = self.git.repository(row["full_name"])
        return git if git.path.exists() else await self.git.create(row["full_name"], row["default_branch"])

    async def repo_row(self, call: Call) -> Json:
        """Return the row of the repository a call is about."""
        return await self.row(call.repo_name)

    async def pull_rows(self, row: Json) -> list[Json]:
        """Return the rows of a repository's pull requests."""
        return await self.emulator.find("pullRequests", repo_id=row["id"])

    async def pull(self, row: Json, number: int) -> Json:
        """Return a pull request object as its owner sees it."""
        owner = self.owner_of(row["full_name"].partition("/")[0])
        return dict(await self.rest("GET", f"/repos/{row['full_name']}/pulls/{number}", owner))


def now_text(moment: float | None = None) -> str:
    """Return a time as GitHub writes it: whole seconds, Z."""
    return datetime.fromtimestamp(time.time() if moment is None else moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def simple_user(row: Json, url: str) -> Json:
    """Render a user row as GitHub's ``simple-user``."""
    login = row["login"]
    base = f"{url}/users/{login}"
    return {
        "login": login,
        "id": row["id"],
        "node_id": row["node_id"],
        "avatar_url": f"{url}/avatars/u/{login}",
        "gravatar_id": "",
        "url": base,
        "html_url": f"{url}/{login}",
        "followers_url": f"{base}/followers",
        "following_url": f"{base}/following{{/other_user}}",
        "gists_url": f"{base}/gists{{/gist_id}}",
        "starred_url": f"{base}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{base}/subscriptions",
        "organizations_url": f"{base}/orgs",
        "repos_url": f"{base}/repos",
        "events_url": f"{base}/events{{/privacy}}",
        "received_events_url": f"{base}/received_events",
        "type": row["type"],
        "site_admin": False,
    }


def whole_seconds(node: Any) -> Any:
    """Cut milliseconds from every time in a JSON value: GitHub has none."""
    if isinstance(node, list):
        return [whole_seconds(item) for item in node]
    if isinstance(node, dict):
        return {
            key: _MILLISECONDS.sub(r"\1Z", value)
            if isinstance(value, str) and key.endswith("_at")
            else whole_seconds(value)
            for key, value in node.items()
        }
    return node
