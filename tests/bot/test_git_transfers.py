"""Git against the local GitHub while it is out of order, and after it stopped accepting a token."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from bot.github.errors import GitHubError, GitHubErrorCode
from bot.github.git import GitRemote
from bot.github.installations import GitHubSettings, Installations
from bot.github.permissions import APP_PERMISSIONS, EVENTS
from bot.github.transfers import transfer
from execution.gitcmd import GitError, run_git
from tests.github.server import App, Installed, LocalGitHub, Repository, unique_name

HOUR_S = 3601


@dataclass(frozen=True)
class Scene:
    github: LocalGitHub
    app: App
    installed: Installed
    repository: Repository
    state: Path

    def with_remote(self, use: Callable[[GitRemote], Awaitable[None]]) -> None:
        """Run `use` with our side of git for this App."""

        async def whole() -> None:
            url = self.github.url
            settings = GitHubSettings(str(self.app.id), self.app.private_key_pem, url, url, write_interval_s=0)
            async with aiohttp.ClientSession() as session:
                app = Installations(session, settings, time.time, asyncio.sleep)
                await use(GitRemote(self.state, url, app.git_token))

        asyncio.run(whole())

    def tip(self, branch: str) -> str:
        found = self.github.as_user("mona", self.repository).get(
            f"/repos/{self.repository.full_name}/git/ref/heads/{branch}"
        )
        return str(found["object"]["sha"])


@pytest.fixture
def scene(local_github: LocalGitHub, tmp_path: Path) -> Scene:
    repository = local_github.create_repository(unique_name("octo"), "sums", {"sums.py": b"x = 1\n"})
    app = local_github.create_app(None, None, APP_PERMISSIONS, EVENTS)
    return Scene(local_github, app, local_github.install(app, repository), repository, tmp_path)


def a_commit(git_dir: Path, parent: str) -> str:
    person = {
        f"GIT_{who}_{what}": text
        for who in ("AUTHOR", "COMMITTER")
        for what, text in {"NAME": "o", "EMAIL": "o@example.com", "DATE": "2026-01-01T00:00:00Z"}.items()
    }
    made = run_git(git_dir, "commit-tree", "-p", parent, "-m", "next", f"{parent}^{{tree}}", env=person)
    return made.decode().strip()


def test_a_token_that_is_refused_is_minted_anew_to_fetch_and_to_push(scene: Scene) -> None:
    async def use(remote: GitRemote) -> None:
        name, base = scene.repository.full_name, scene.repository.head or ""
        git_dir = await remote.fetch(scene.installed.id, name)
        scene.github.knob("advance", seconds=HOUR_S)
        await remote.fetch(scene.installed.id, name)
        scene.github.knob("advance", seconds=HOUR_S)
        commit = a_commit(git_dir, base)
        await remote.push(scene.installed.id, name, commit, "refs/heads/topic")
        assert scene.tip("topic") == commit

    scene.with_remote(use)


def test_an_app_that_was_taken_away_is_told_as_such_and_not_asked_for_ever(scene: Scene) -> None:
    async def use(remote: GitRemote) -> None:
        await remote.fetch(scene.installed.id, scene.repository.full_name)
        scene.github.knob("installations/remove", installation_id=scene.installed.id)
        with pytest.raises(GitHubError) as caught:
            await remote.fetch(scene.installed.id, scene.repository.full_name)
        assert caught.value.code is GitHubErrorCode.NOT_FOUND

    scene.with_remote(use)


@pytest.mark.parametrize("fault", ["bad_gateway", "drop", "truncate"])
def test_what_is_lost_on_the_way_is_asked_again(scene: Scene, fault: str) -> None:
    async def use(remote: GitRemote) -> None:
        for question in ("command=ls-refs", "command=fetch"):
            scene.github.fault(fault, path=f"^/{scene.repository.full_name}.git/git-upload-pack$", body=question)
        git_dir = await remote.fetch(scene.installed.id, scene.repository.full_name)
        assert run_git(git_dir, "rev-parse", "HEAD").decode().strip() == scene.repository.head
        assert [one["hits"] for one in scene.github.knob("faults/list")["rules"]] == [1, 1]
        scene.github.knob("faults/clear")

    scene.with_remote(use)


def test_what_github_refuses_is_not_asked_again(tmp_path: Path) -> None:
    waits: list[float] = []
    run_git(tmp_path / "a.git", "init", "--quiet", "--bare", str(tmp_path / "a.git"))
    words = ("ls-remote", str(tmp_path / "none.git"))
    allowed = {"GIT_ALLOW_PROTOCOL": "file"}
    with pytest.raises(GitError):
        transfer(tmp_path / "a.git", *words, env=allowed, timeout_s=10, sleep=waits.append)
    assert waits == []
    with pytest.raises(GitError):
        transfer(tmp_path / "a.git", "ls-remote", "http://127.0.0.1:9/x", env={}, timeout_s=10, sleep=waits.append)
    assert waits == [1.0, 2.0, 4.0]
