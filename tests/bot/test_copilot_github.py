"""What Copilot agents get of GitHub: a token of one permission, and commits through the API."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from bot.github.copilot import CopilotGitHub
from bot.github.installations import GitHubSettings, Installations
from bot.github.permissions import API_PERMISSIONS, APP_PERMISSIONS, GIT_PERMISSIONS
from execution.agents.copilot import CopilotTokenError
from execution.agents.history import HistoryError, history_facts
from tests.bot.api_server import Asked, Clock, Reply, serving

BASE, PARENT = "c" * 40, "b" * 40


def commit(sha: str, *parents: str, message: str = "Fix\n\nlong story") -> dict[str, Any]:
    who = {"name": "Maria", "email": "m@example.com", "date": "2026-11-20T10:00:00Z"}
    return {
        "sha": sha,
        "commit": {"message": message, "author": who, "committer": who},
        "parents": [{"sha": parent} for parent in parents],
    }


class GitHub:
    """Answers what these agents ask."""

    def __init__(self, clock: Clock, commits: Any, mint: int = 201) -> None:
        self.clock = clock
        self.commits = commits
        self.mint = mint
        self.asked: list[Asked] = []

    def __call__(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        if asked.path == "/repos/octo/sums/installation":
            return Reply(body={"id": 5})
        if asked.path.endswith("/access_tokens"):
            if self.mint != 201:
                return Reply(self.mint, {"message": "The permissions requested are not granted to this installation."})
            expires = dt.datetime.fromtimestamp(self.clock() + 3600, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            return Reply(201, {"token": f"ghs_{'-'.join(asked.body['permissions'])}", "expires_at": expires})
        if asked.path.startswith("/repos/octo/sums/commits"):
            return Reply(body=self.commits)
        return Reply(404, {"message": "Not Found"})


def use(github: GitHub, pem: bytes, work: Callable[[CopilotGitHub, Installations], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with serving(github) as server, aiohttp.ClientSession() as session:
            settings = GitHubSettings("7", pem.decode(), api_url=server.url, write_interval_s=0)
            installations = Installations(session, settings, github.clock, github.clock.sleep)
            return await work(CopilotGitHub(installations), installations)

    return asyncio.run(main())


def test_the_token_carries_one_permission_for_one_repository(rsa_pem: bytes) -> None:
    github = GitHub(Clock(), [])
    token = use(github, rsa_pem, lambda copilot, _: copilot.token("octo/sums"))
    assert token == "ghs_copilot_requests"
    minted = github.asked[-1]
    assert minted.path == "/app/installations/5/access_tokens"
    assert minted.body == {"repositories": ["sums"], "permissions": {"copilot_requests": "write"}}


def test_no_other_token_of_ours_can_ask_copilot() -> None:
    for permissions in (API_PERMISSIONS, GIT_PERMISSIONS, APP_PERMISSIONS):
        assert "copilot_requests" not in permissions


def test_a_permission_that_is_not_granted_is_said_with_its_remedy(rsa_pem: bytes) -> None:
    github = GitHub(Clock(), [], mint=422)
    with pytest.raises(CopilotTokenError, match="copilot_requests: write") as error:
        use(github, rsa_pem, lambda copilot, _: copilot.token("octo/sums"))
    assert "not granted" in str(error.value)


def test_a_repository_without_the_app_is_said(rsa_pem: bytes) -> None:
    github = GitHub(Clock(), [])
    with pytest.raises(CopilotTokenError):
        use(github, rsa_pem, lambda copilot, _: copilot.token("octo/other"))
    with pytest.raises(HistoryError, match="GitHub does not tell"):
        use(github, rsa_pem, lambda copilot, _: copilot.history("octo/other", BASE))


def test_commits_are_read_with_a_token_that_only_reads(rsa_pem: bytes) -> None:
    github = GitHub(Clock(), [commit(BASE, PARENT), commit(PARENT, message="x" * 999)])
    history = use(github, rsa_pem, lambda copilot, _: copilot.history("octo/sums", BASE))
    assert (history.source, history.from_api) == ("GitHub's API", True)
    assert [one.sha for one in history.commits] == [BASE, PARENT]
    assert (history.commits[0].title, history.commits[0].author) == ("Fix", "Maria")
    assert len(history.commits[1].title) == 200
    assert all(fact.holds for fact in history_facts(history, BASE))
    minted = next(asked for asked in github.asked if asked.path.endswith("/access_tokens"))
    assert minted.body["permissions"] == {"contents": "read", "metadata": "read"}
    assert github.asked[-1].path == f"/repos/octo/sums/commits?sha={BASE}&per_page=10"


@pytest.mark.parametrize("answer", [{"a": 1}, [{"sha": BASE}], [1], ["x"], 5])
def test_a_list_that_makes_no_sense_is_said(answer: Any, rsa_pem: bytes) -> None:
    with pytest.raises(HistoryError):
        use(GitHub(Clock(), answer), rsa_pem, lambda copilot, _: copilot.history("octo/sums", BASE))


def test_its_token_is_revoked_with_the_others(rsa_pem: bytes) -> None:
    github = GitHub(Clock(), [])

    async def work(copilot: CopilotGitHub, installations: Installations) -> None:
        await copilot.token("octo/sums")
        assert await installations.revoke() == 0

    use(github, rsa_pem, work)
    revoked = github.asked[-1]
    assert (revoked.method, revoked.path) == ("DELETE", "/installation/token")
    assert revoked.headers["Authorization"] == "token ghs_copilot_requests"
