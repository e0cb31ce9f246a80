import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.github.scene import Scene
from tests.github.server import unique_name

CREATE_COMMIT = "mutation($in: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $in) { commit { oid url } } }"
UPDATE_REFS = "mutation($in: UpdateRefsInput!) { updateRefs(input: $in) { clientMutationId } }"


def failing_push(scene: Scene, work: Path, token: str, *refspec: str) -> str:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        scene.github.git("push", "origin", *refspec, cwd=work, token=token)
    return str(caught.value.stderr)


def test_a_push_through_git_is_what_rest_sees(scene: Scene, tmp_path: Path) -> None:
    token = scene.token()
    work = scene.clone(tmp_path, token)
    assert (work / "src/main.py").read_bytes() == b"print(1)\n"
    scene.commit(work, "deep/er/data.bin", bytes(range(256)))
    script = work / "run.sh"
    script.write_bytes(b"#!/bin/sh\n")
    script.chmod(0o755)
    head = scene.commit(work, "ünïcode.txt", "größe\n".encode(), "Ünïcode\n\nBody")
    scene.github.git("push", "--quiet", "origin", "main", cwd=work, token=token)
    bot = scene.bot()
    assert bot.get(f"{scene.path}/git/ref/heads/main")["object"]["sha"] == head
    tree = bot.get(f"{scene.path}/git/trees/{head}", recursive=1)["tree"]
    assert {one["path"]: one["mode"] for one in tree}["run.sh"] == "100755"
    data = bot.get(f"{scene.path}/contents/deep/er/data.bin")
    assert base64.b64decode(data["content"]) == bytes(range(256))
    assert bot.get(f"{scene.path}/commits/{head}")["commit"]["message"] == "Ünïcode\n\nBody"


def test_a_commit_through_rest_is_what_git_pulls(scene: Scene, tmp_path: Path) -> None:
    token, bot = scene.token(), scene.bot()
    work = scene.clone(tmp_path, token)
    base = bot.get(f"{scene.path}/git/commits/{scene.repository.head}")
    blob = bot.post(f"{scene.path}/git/blobs", {"content": "aGkK", "encoding": "base64"})
    entry = {"path": "by/api.txt", "mode": "100644", "type": "blob", "sha": blob["sha"]}
    tree = bot.post(f"{scene.path}/git/trees", {"base_tree": base["tree"]["sha"], "tree": [entry]})
    made = bot.post(f"{scene.path}/git/commits", {"message": "By API", "tree": tree["sha"], "parents": [base["sha"]]})
    bot.patch(f"{scene.path}/git/refs/heads/main", {"sha": made["sha"]})
    scene.github.git("pull", "--quiet", cwd=work, token=token)
    assert scene.github.git("rev-parse", "HEAD", cwd=work) == made["sha"]
    assert (work / "by/api.txt").read_bytes() == b"hi\n"


def test_refs_are_created_once_and_only_fast_forwarded(scene: Scene, tmp_path: Path) -> None:
    bot, head = scene.bot(), scene.push_branch(tmp_path, "topic")
    made = {"ref": "refs/heads/lock", "sha": head}
    bot.post(f"{scene.path}/git/refs", made)
    assert bot.send("POST", f"{scene.path}/git/refs", made).status == 422
    back = {"sha": scene.repository.head, "force": False}
    assert bot.send("PATCH", f"{scene.path}/git/refs/heads/lock", back).status == 422


def test_who_may_not_read_or_write_is_told_as_github_tells(scene: Scene, tmp_path: Path) -> None:
    work = scene.clone(tmp_path, scene.token())
    scene.commit(work, "a.txt", b"a")
    stranger = scene.github.user("stranger").token
    with pytest.raises(subprocess.CalledProcessError) as caught:
        scene.github.git("ls-remote", scene.clone_url, token=stranger)
    assert "not found" in caught.value.stderr
    reading = scene.token(permissions={"contents": "read"})
    scene.github.git("ls-remote", scene.clone_url, token=reading)
    assert "403" in failing_push(scene, work, reading, "main")
    blind = scene.token(permissions={"issues": "read"})
    assert "not found" in failing_push(scene, work, blind, "main")
    other = scene.github.create_repository("acme", unique_name("repo"), {"a": b"b"})
    with pytest.raises(subprocess.CalledProcessError):
        scene.github.git("ls-remote", f"{scene.github.git_url}/{other.full_name}.git", token=scene.token())


def test_an_app_without_the_workflows_permission_cannot_push_workflows(scene: Scene, tmp_path: Path) -> None:
    token = scene.token()
    work = scene.clone(tmp_path, token)
    scene.commit(work, ".github/workflows/ci.yml", b"on: push\n")
    assert "without `workflows` permission" in failing_push(scene, work, token, "HEAD:refs/heads/evil")
    human = scene.github.user("dev", scene.repository, "write").token
    scene.github.git("push", "--quiet", "origin", "HEAD:refs/heads/fine", cwd=work, token=human)


def test_a_branch_under_a_ruleset_takes_no_push(scene: Scene, tmp_path: Path) -> None:
    rule = {"type": "pull_request", "parameters": {"required_approving_review_count": 1}}
    scene.owner().post(
        f"{scene.path}/rulesets",
        {"name": "main", "enforcement": "active", "target": "branch", "rules": [rule]},
    )
    token = scene.token()
    work = scene.clone(tmp_path, token)
    scene.commit(work, "a.txt", b"a")
    assert "GH013" in failing_push(scene, work, token, "main")
    assert [one["type"] for one in scene.bot().get(f"{scene.path}/rules/branches/main")] == ["pull_request"]


def graphql(scene: Scene, query: str, given: dict[str, Any]) -> dict[str, Any]:
    return dict(scene.bot().post("/graphql", {"query": query, "variables": {"in": given}}, status=200))


def commit_input(scene: Scene, expected: str | None) -> dict[str, Any]:
    return {
        "branch": {"repositoryNameWithOwner": scene.repository.full_name, "branchName": "main"},
        "message": {"headline": "By GraphQL", "body": "Why"},
        "expectedHeadOid": expected,
        "fileChanges": {
            "additions": [{"path": "new.txt", "contents": base64.b64encode(b"new\n").decode()}],
            "deletions": [{"path": "README.md"}],
        },
    }


def test_create_commit_on_branch_is_a_compare_and_swap(scene: Scene, tmp_path: Path) -> None:
    first = graphql(scene, CREATE_COMMIT, commit_input(scene, scene.repository.head))
    oid = first["data"]["createCommitOnBranch"]["commit"]["oid"]
    second = graphql(scene, CREATE_COMMIT, commit_input(scene, scene.repository.head))
    assert second["errors"][0]["type"] == "STALE_DATA"
    work = scene.clone(tmp_path, scene.token())
    assert scene.github.git("rev-parse", "HEAD", cwd=work) == oid
    assert (work / "new.txt").read_bytes() == b"new\n"
    assert not (work / "README.md").exists()


def test_update_refs_is_a_compare_and_swap_over_several_refs(scene: Scene, tmp_path: Path) -> None:
    head = scene.push_branch(tmp_path, "topic")
    zero = "0" * 40
    updates = [
        {"name": "refs/heads/main", "beforeOid": scene.repository.head, "afterOid": head},
        {"name": "refs/heads/topic", "beforeOid": head, "afterOid": zero},
    ]
    given = {"repositoryId": scene.repository.node_id, "refUpdates": updates}
    assert "errors" not in graphql(scene, UPDATE_REFS, given)
    assert graphql(scene, UPDATE_REFS, given)["errors"][0]["type"] == "UNPROCESSABLE"
    refs = scene.github.git("ls-remote", "--heads", scene.clone_url, token=scene.token())
    assert refs == f"{head}\trefs/heads/main"


def test_a_foreign_tag_and_a_forced_push_are_announced(scene: Scene, tmp_path: Path) -> None:
    token = scene.token()
    work = scene.clone(tmp_path, token)
    scene.github.git("checkout", "--quiet", "-b", "topic", cwd=work)
    scene.commit(work, "a.txt", b"1")
    scene.github.git("push", "--quiet", "origin", "topic", cwd=work, token=token)
    scene.github.git("reset", "--quiet", "--hard", "HEAD~1", cwd=work)
    scene.commit(work, "a.txt", b"2")
    scene.github.git("push", "--quiet", "--force", "origin", "topic", cwd=work, token=token)
    scene.github.git("tag", "-a", "v1", "-m", "One", cwd=work)
    scene.github.git("push", "--quiet", "origin", "v1", cwd=work, token=token)
    pushes = [one["request"]["payload"] for one in scene.github.deliveries(scene.repository, "push")]
    assert [(one["ref"], one["created"], one["forced"]) for one in pushes] == [
        ("refs/heads/topic", True, False),
        ("refs/heads/topic", False, True),
        ("refs/tags/v1", True, False),
    ]
    assert pushes[0]["commits"][0]["added"] == ["a.txt"]
