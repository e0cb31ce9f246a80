from pathlib import Path
from typing import Any

import pytest

from tests.github.scene import Scene

LEGAL_OUTPUT = {"title": "t", "summary": "s"}


def annotation(line: int) -> dict[str, Any]:
    return {"path": "a.py", "start_line": line, "end_line": line, "annotation_level": "notice", "message": "m"}


def make_run(scene: Scene, **fields: Any) -> dict[str, Any]:
    given = {"name": "optr", "head_sha": scene.repository.head, **fields}
    return dict(scene.bot().post(f"{scene.path}/check-runs", given))


def test_a_run_belongs_to_its_app_and_its_suite(scene: Scene) -> None:
    run = make_run(scene, external_id="run-1", status="in_progress", output=LEGAL_OUTPUT)
    assert (run["app"]["id"], run["status"], run["external_id"]) == (scene.app.id, "in_progress", "run-1")
    other = scene.github.create_app(None, None, {"checks": "write"}, [])
    stranger = scene.github.as_installation(other, scene.github.install(other, scene.repository))
    assert stranger.send("PATCH", f"{scene.path}/check-runs/{run['id']}", {"status": "queued"}).status == 403
    second = stranger.post(f"{scene.path}/check-runs", {"name": "optr", "head_sha": scene.repository.head})
    assert second["check_suite"]["id"] != run["check_suite"]["id"]
    found = scene.bot().get(f"{scene.path}/commits/main/check-runs", check_name="optr", app_id=scene.app.id)
    assert [one["id"] for one in found["check_runs"]] == [run["id"]]


def test_people_do_not_write_checks(scene: Scene) -> None:
    given = {"name": "optr", "head_sha": scene.repository.head}
    assert scene.owner().send("POST", f"{scene.path}/check-runs", given).status == 403


def test_annotations_append(scene: Scene) -> None:
    run = make_run(scene, output={**LEGAL_OUTPUT, "annotations": [annotation(n) for n in range(1, 51)]})
    more = {"output": {**LEGAL_OUTPUT, "annotations": [annotation(n) for n in range(51, 56)]}}
    updated = scene.bot().patch(f"{scene.path}/check-runs/{run['id']}", more)
    assert updated["output"]["annotations_count"] == 55
    listed = scene.bot().get(f"{scene.path}/check-runs/{run['id']}/annotations", per_page=100)
    assert [one["start_line"] for one in listed] == list(range(1, 56))


@pytest.mark.parametrize(
    "fields",
    [
        {"output": {**LEGAL_OUTPUT, "annotations": [annotation(1)] * 51}},
        {"output": {"title": "t", "summary": "x" * 65_536}},
        {"output": {"title": "t", "summary": "s", "text": "x" * 65_536}},
        {"output": {"summary": "no title"}},
        {"actions": [{"label": "l", "description": "d", "identifier": "i"}] * 4},
        {"actions": [{"label": "l" * 21, "description": "d", "identifier": "i"}]},
        {"conclusion": "great"},
        {"status": "completed"},
    ],
)
def test_limits_hold(scene: Scene, fields: dict[str, Any]) -> None:
    given = {"name": "optr", "head_sha": scene.repository.head, **fields}
    assert scene.bot().send("POST", f"{scene.path}/check-runs", given).status == 422
    scene.github.knob("violations/forget")


def test_an_unknown_commit_is_422(scene: Scene) -> None:
    given = {"name": "optr", "head_sha": "f" * 40}
    assert scene.bot().send("POST", f"{scene.path}/check-runs", given).status == 422


def test_a_push_requests_suites_and_runs_complete_them(scene: Scene, tmp_path: Path) -> None:
    head = scene.push_branch(tmp_path, "topic")
    wanted = scene.hooks.of_event("check_suite", "requested")[0].event(scene.secret).data["check_suite"]
    assert (wanted["head_sha"], wanted["head_branch"], wanted["app"]["id"]) == (head, "topic", scene.app.id)
    run = scene.bot().post(f"{scene.path}/check-runs", {"name": "optr", "head_sha": head, "status": "in_progress"})
    assert run["check_suite"]["id"] == wanted["id"]
    scene.bot().patch(f"{scene.path}/check-runs/{run['id']}", {"conclusion": "failure"})
    done = scene.hooks.of_event("check_suite", "completed")[0].event(scene.secret).data["check_suite"]
    assert (done["id"], done["conclusion"]) == (wanted["id"], "failure")
    scene.hooks.of_event("check_run", "completed")


def test_buttons_show_after_completion_and_say_which(scene: Scene) -> None:
    action = {"label": "Rerun", "description": "Run again", "identifier": "rerun"}
    run = make_run(scene, status="in_progress", actions=[action])
    press = {"repository": scene.repository.full_name, "check_run_id": run["id"], "identifier": "rerun"}
    with pytest.raises(AssertionError, match="422"):
        scene.github.knob("press-button", **press, login="acme")
    scene.bot().patch(f"{scene.path}/check-runs/{run['id']}", {"conclusion": "neutral"})
    scene.github.knob("press-button", **press, login="acme")
    pressed = scene.hooks.of_event("check_run", "requested_action")[0].event(scene.secret).data
    assert pressed["requested_action"] == {"identifier": "rerun"}
    assert pressed["sender"]["login"] == "acme"


def test_rerequest_goes_to_the_owner_and_resets_nothing(scene: Scene) -> None:
    run = make_run(scene, conclusion="success")
    scene.github.create_app(scene.hooks.url, scene.secret, {"checks": "write"}, ["check_run"])
    scene.github.knob("rerequest", repository=scene.repository.full_name, check_run_id=run["id"], login="acme")
    asked = scene.hooks.of_event("check_run", "rerequested")
    assert [one.headers["x-github-hook-installation-target-id"] for one in asked] == [str(scene.app.id)]
    assert scene.bot().get(f"{scene.path}/check-runs/{run['id']}")["conclusion"] == "success"


def test_statuses_append_and_combine(scene: Scene) -> None:
    bot, sha = scene.bot(), scene.repository.head
    for state in ("pending", "failure", "success"):
        bot.post(f"{scene.path}/statuses/{sha}", {"state": state, "context": "ci"})
    assert [one["state"] for one in bot.get(f"{scene.path}/commits/{sha}/statuses")] == [
        "success",
        "failure",
        "pending",
    ]
    assert bot.get(f"{scene.path}/commits/main/status")["state"] == "success"
    bot.post(f"{scene.path}/statuses/{sha}", {"state": "error", "context": "lint"})
    assert bot.get(f"{scene.path}/commits/main/status")["state"] == "failure"
    scene.hooks.of_event("status", count=4)


def test_reactions_are_made_once(scene: Scene) -> None:
    issue = scene.human().post(f"{scene.path}/issues", {"title": "x"})["number"]
    path, bot = f"{scene.path}/issues/{issue}/reactions", scene.bot()
    first = bot.send("POST", path, {"content": "eyes"})
    again = bot.send("POST", path, {"content": "eyes"})
    assert (first.status, again.status) == (201, 200)
    assert first.body["id"] == again.body["id"]
    comment = bot.post(f"{scene.path}/issues/{issue}/comments", {"body": "hi"})["id"]
    bot.post(f"{scene.path}/issues/comments/{comment}/reactions", {"content": "rocket"})
    assert scene.bot().get(f"{scene.path}/issues/{issue}")["reactions"]["eyes"] == 1
    assert scene.bot().get(f"{scene.path}/issues/comments/{comment}")["reactions"]["rocket"] == 1
    bot.delete(f"{path}/{first.body['id']}")
    assert bot.get(path) == []
