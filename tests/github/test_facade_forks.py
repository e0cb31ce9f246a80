"""Forks of another account, and pull requests that come out of them."""

from pathlib import Path

from tests.github.client import RestClient
from tests.github.scene import Scene


def test_a_pull_request_out_of_a_fork_follows_the_fork_and_lends_it_nothing(scene: Scene, tmp_path: Path) -> None:
    github, mallory = scene.github, scene.human("mallory", "read")
    made = mallory.post(f"{scene.path}/forks", {}, status=202)
    assert (made["fork"], made["owner"]["login"], made["private"]) == (True, "mallory", True)
    work = _clone(scene, tmp_path, mallory, made["full_name"])
    assert github.git("rev-parse", "HEAD", cwd=work) == scene.repository.head
    first = scene.commit(work, "a.txt", b"1\n")
    github.git("push", "--quiet", "origin", "HEAD:topic", cwd=work, token=_token(mallory))

    given = {"title": "Mine", "head": "mallory:topic", "base": "main"}
    number = mallory.post(f"{scene.path}/pulls", given)["number"]
    opened = scene.hooks.of_event("pull_request", "opened")[0].event(scene.secret).data
    head = opened["pull_request"]["head"]
    assert (opened["sender"]["login"], opened["pull_request"]["user"]["login"]) == ("mallory", "mallory")
    assert (head["sha"], head["label"], head["repo"]["full_name"]) == (first, "mallory:topic", made["full_name"])
    assert opened["repository"]["full_name"] == scene.repository.full_name
    again = mallory.send("POST", f"{scene.path}/pulls", given)
    assert "A pull request already exists for mallory:topic." in again.body["errors"][0]["message"]

    second = scene.commit(work, "a.txt", b"2\n")
    github.git("push", "--quiet", "origin", "HEAD:topic", cwd=work, token=_token(mallory))
    moved = scene.hooks.of_event("pull_request", "synchronize")[0].event(scene.secret).data
    assert (moved["before"], moved["after"]) == (first, second)
    shown = scene.bot().get(f"{scene.path}/pulls/{number}")
    assert (shown["head"]["sha"], shown["commits"], shown["mergeable"]) == (second, 2, True)
    listed = github.git("ls-remote", scene.clone_url, f"refs/pull/{number}/head", token=scene.token())
    assert listed.startswith(second)

    # The fork's commits are here by the pull request only: no branch, no push, and the App is not in the fork.
    assert {one["name"] for one in scene.bot().get(f"{scene.path}/branches")} == {"main"}
    assert scene.bot().send("GET", f"/repos/{made['full_name']}").status == 404
    assert mallory.send("POST", f"{scene.path}/git/refs", {"ref": "refs/heads/x", "sha": second}).status == 403
    github.knob("webhooks/drain")
    assert [one.headers["x-github-event"] for one in scene.hooks.arrivals][1:] == ["pull_request"] * 2


def test_a_head_that_is_nobodys_fork_is_refused(scene: Scene) -> None:
    mallory = scene.human("mallory", "read")
    given = {"title": "Mine", "head": "mallory:main", "base": "main"}
    assert mallory.send("POST", f"{scene.path}/pulls", given).body["errors"][0]["field"] == "head"
    mallory.post(f"{scene.path}/forks", {}, status=202)
    missing = mallory.send("POST", f"{scene.path}/pulls", {**given, "head": "mallory:nope"})
    assert missing.body["errors"][0]["field"] == "head"
    empty = mallory.send("POST", f"{scene.path}/pulls", given)
    assert "No commits between" in empty.body["errors"][0]["message"]


def _clone(scene: Scene, directory: Path, client: RestClient, full_name: str) -> Path:
    target = directory / "fork"
    url = f"{scene.github.git_url}/{full_name}.git"
    scene.github.git("clone", "--quiet", url, str(target), token=_token(client))
    for key, value in (("user.name", "Mallory"), ("user.email", "mallory@example.com")):
        scene.github.git("config", key, value, cwd=target)
    return target


def _token(client: RestClient) -> str:
    return (client.authorization or "").removeprefix("token ")
