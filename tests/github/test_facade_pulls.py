from pathlib import Path

from tests.github.scene import Scene


def open_pull(scene: Scene, branch: str, body: str = "") -> int:
    given = {"title": "Fix", "head": branch, "base": "main", "body": body}
    return int(scene.bot().post(f"{scene.path}/pulls", given)["number"])


def test_a_pull_request_follows_its_head(scene: Scene, tmp_path: Path) -> None:
    token = scene.token()
    work = scene.clone(tmp_path, token)
    scene.github.git("checkout", "--quiet", "-b", "topic", cwd=work)
    first = scene.commit(work, "a.txt", b"1\n")
    scene.github.git("push", "--quiet", "origin", "topic", cwd=work, token=token)
    number = open_pull(scene, "topic")
    opened = scene.hooks.of_event("pull_request", "opened")[0].event(scene.secret).data
    assert (opened["number"], opened["pull_request"]["head"]["sha"]) == (number, first)
    second = scene.commit(work, "a.txt", b"2\n")
    scene.github.git("push", "--quiet", "origin", "topic", cwd=work, token=token)
    moved = scene.hooks.of_event("pull_request", "synchronize")[0].event(scene.secret).data
    assert (moved["before"], moved["after"]) == (first, second)
    assert moved["pull_request"]["head"]["sha"] == second
    shown = scene.bot().get(f"{scene.path}/pulls/{number}")
    assert (shown["head"]["sha"], shown["commits"], shown["changed_files"]) == (second, 2, 1)
    assert len(scene.bot().get(f"{scene.path}/pulls/{number}/commits")) == 2
    listed = scene.github.git("ls-remote", scene.clone_url, f"refs/pull/{number}/head", token=token)
    assert listed.startswith(second)


def test_duplicates_missing_heads_and_empty_pulls_are_422(scene: Scene, tmp_path: Path) -> None:
    scene.push_branch(tmp_path, "topic")
    open_pull(scene, "topic")
    given = {"title": "Again", "head": f"acme:{'topic'}", "base": "main"}
    again = scene.bot().send("POST", f"{scene.path}/pulls", given)
    assert again.status == 422
    assert "A pull request already exists for acme:topic." in again.body["errors"][0]["message"]
    missing = scene.bot().send("POST", f"{scene.path}/pulls", {"title": "x", "head": "nope", "base": "main"})
    assert missing.body["errors"][0]["field"] == "head"
    scene.bot().post(f"{scene.path}/git/refs", {"ref": "refs/heads/same", "sha": scene.repository.head})
    empty = scene.bot().send("POST", f"{scene.path}/pulls", {"title": "x", "head": "same", "base": "main"})
    assert "No commits between" in empty.body["errors"][0]["message"]


def test_pulls_are_found_by_head_and_by_commit(scene: Scene, tmp_path: Path) -> None:
    head = scene.push_branch(tmp_path, "topic")
    number = open_pull(scene, "topic")
    bot = scene.bot()
    assert [one["number"] for one in bot.get(f"{scene.path}/pulls", head="acme:topic", state="all")] == [number]
    assert bot.get(f"{scene.path}/pulls", head="acme:other") == []
    assert [one["number"] for one in bot.get(f"{scene.path}/commits/{head}/pulls")] == [number]


def test_merge_wants_the_head_it_was_shown_and_closes_what_it_says(scene: Scene, tmp_path: Path) -> None:
    issue = scene.human().post(f"{scene.path}/issues", {"title": "Bug"})["number"]
    head = scene.push_branch(tmp_path, "topic")
    number = open_pull(scene, "topic", f"Closes #{issue}")
    human = scene.human()
    assert human.send("PUT", f"{scene.path}/pulls/{number}/merge", {"sha": scene.repository.head}).status == 409
    assert scene.bot().send("GET", f"{scene.path}/pulls/{number}/merge").status == 404
    merged = human.put(f"{scene.path}/pulls/{number}/merge", {"sha": head})
    closed = scene.hooks.of_event("pull_request", "closed")[0].event(scene.secret).data
    assert (closed["pull_request"]["merged"], closed["sender"]["login"]) == (True, "dev")
    assert closed["pull_request"]["merge_commit_sha"] == merged["sha"]
    assert scene.bot().send("GET", f"{scene.path}/pulls/{number}/merge").status == 204
    assert scene.bot().get(f"{scene.path}/issues/{issue}")["state"] == "closed"
    scene.hooks.of_event("issues", "closed")
    assert human.send("PUT", f"{scene.path}/pulls/{number}/merge", {}).status == 405
    work = scene.clone(tmp_path, scene.token())
    assert (work / "src/main.py").read_bytes() == b"print(2)\n"
    assert scene.github.git("rev-parse", "HEAD^2", cwd=work) == head


def test_a_conflict_is_not_mergeable(scene: Scene, tmp_path: Path) -> None:
    scene.push_branch(tmp_path, "topic", data=b"theirs\n")
    number = open_pull(scene, "topic")
    token = scene.token()
    work = scene.clone(tmp_path, token)
    scene.commit(work, "src/main.py", b"ours\n")
    scene.github.git("push", "--quiet", "origin", "main", cwd=work, token=token)
    shown = scene.bot().get(f"{scene.path}/pulls/{number}")
    assert (shown["mergeable"], shown["mergeable_state"]) == (False, "dirty")
    assert scene.human().send("PUT", f"{scene.path}/pulls/{number}/merge", {}).status == 405


def test_merge_keeps_what_happened_on_the_base(scene: Scene, tmp_path: Path) -> None:
    scene.push_branch(tmp_path, "topic")
    number = open_pull(scene, "topic")
    token = scene.token()
    work = scene.clone(tmp_path, token)
    scene.commit(work, "elsewhere.txt", b"kept\n")
    scene.github.git("push", "--quiet", "origin", "main", cwd=work, token=token)
    scene.human().put(f"{scene.path}/pulls/{number}/merge", {"merge_method": "squash"})
    scene.github.git("pull", "--quiet", cwd=work, token=token)
    assert (work / "elsewhere.txt").exists()
    assert (work / "src/main.py").read_bytes() == b"print(2)\n"


def test_reviews_are_announced_and_counted_by_rulesets(scene: Scene, tmp_path: Path) -> None:
    parameters = {
        "required_approving_review_count": 1,
        "dismiss_stale_reviews_on_push": True,
        "require_code_owner_review": False,
        "require_last_push_approval": False,
        "required_review_thread_resolution": False,
    }
    rules = [
        {"type": "pull_request", "parameters": parameters},
        {
            "type": "required_status_checks",
            "parameters": {
                "strict_required_status_checks_policy": False,
                "required_status_checks": [{"context": "optr/gate", "integration_id": scene.app.id}],
            },
        },
    ]
    head = scene.push_branch(tmp_path, "topic")
    scene.owner().post(
        f"{scene.path}/rulesets", {"name": "m", "enforcement": "active", "target": "branch", "rules": rules}
    )
    number = open_pull(scene, "topic")
    human, path = scene.human(), f"{scene.path}/pulls/{number}"
    refused = human.send("PUT", f"{path}/merge", {})
    assert refused.status == 405
    assert "optr/gate" in refused.body["message"]
    assert "approving review" in refused.body["message"]
    review = human.post(f"{path}/reviews", {"event": "APPROVE", "commit_id": head}, status=200)
    sent = scene.hooks.of_event("pull_request_review", "submitted")[0].event(scene.secret).data
    assert (review["state"], sent["review"]["state"], sent["review"]["commit_id"]) == ("APPROVED", "approved", head)
    assert scene.bot().get(path)["mergeable_state"] == "blocked"
    run = {"name": "optr/gate", "head_sha": head, "conclusion": "success"}
    impostor = scene.github.create_app(None, None, {"checks": "write"}, [])
    other = scene.github.as_installation(impostor, scene.github.install(impostor, scene.repository))
    other.post(f"{scene.path}/check-runs", run)
    assert human.send("PUT", f"{path}/merge", {}).status == 405
    scene.bot().post(f"{scene.path}/check-runs", run)
    assert scene.bot().get(path)["mergeable_state"] == "clean"
    assert human.put(f"{path}/merge", {})["merged"]


def test_deleting_the_head_branch_closes_the_pull_request(scene: Scene, tmp_path: Path) -> None:
    scene.push_branch(tmp_path, "topic")
    number = open_pull(scene, "topic")
    scene.bot().delete(f"{scene.path}/git/refs/heads/topic")
    closed = scene.hooks.of_event("pull_request", "closed")[0].event(scene.secret).data
    assert closed["pull_request"]["merged"] is False
    assert scene.bot().get(f"{scene.path}/pulls/{number}")["state"] == "closed"


def test_a_merge_group_asks_for_checks_on_its_own_head(scene: Scene, tmp_path: Path) -> None:
    scene.push_branch(tmp_path, "topic")
    number = open_pull(scene, "topic")
    queued = scene.github.knob(
        "merge-group", repository=scene.repository.full_name, number=number, login=scene.repository.owner
    )
    group = scene.hooks.of_event("merge_group", "checks_requested")[0].event(scene.secret).data["merge_group"]
    assert group["head_sha"] == queued["head_sha"]
    assert group["head_ref"].startswith("refs/heads/gh-readonly-queue/main/")
    scene.bot().post(f"{scene.path}/check-runs", {"name": "optr/gate", "head_sha": group["head_sha"]})


def test_comments_on_pull_requests_carry_their_mark(scene: Scene, tmp_path: Path) -> None:
    scene.push_branch(tmp_path, "topic")
    number = open_pull(scene, "topic")
    issue = scene.human().post(f"{scene.path}/issues", {"title": "plain"})["number"]
    scene.human().post(f"{scene.path}/issues/{number}/comments", {"body": "/optr help"})
    scene.human().post(f"{scene.path}/issues/{issue}/comments", {"body": "/optr help"})
    arrived = scene.hooks.of_event("issue_comment", "created", count=2)
    marks = [one.event(scene.secret).data["issue"].get("pull_request") for one in arrived]
    assert marks[0]["url"].endswith(f"/pulls/{number}")
    assert marks[1] is None
    listed = {one["number"]: "pull_request" in one for one in scene.bot().get(f"{scene.path}/issues")}
    assert listed == {number: True, issue: False}
    assert scene.bot().get(f"{scene.path}/issues/{number}")["pull_request"]
