import http.client
import time
from pathlib import Path

import pytest

from tests.github.scene import Scene


@pytest.mark.parametrize(
    ("effect", "status", "header"),
    [
        ("secondary_limit", 403, "retry-after"),
        ("primary_limit", 403, "x-ratelimit-reset"),
        ("too_many", 429, "retry-after"),
        ("server_error", 500, None),
        ("bad_gateway", 502, None),
        ("unauthorized", 401, None),
    ],
)
def test_the_next_matching_request_fails_once(scene: Scene, effect: str, status: int, header: str | None) -> None:
    bot = scene.bot()
    scene.github.fault(effect, method="GET", path=f"{scene.path}$")
    assert bot.send("GET", f"{scene.path}/issues").status == 200
    failed = bot.send("GET", scene.path)
    assert failed.status == status
    assert header is None or header in failed.headers
    assert bot.send("GET", scene.path).status == 200


def test_people_are_spared_and_skips_count(scene: Scene) -> None:
    scene.github.fault("server_error", path="/issues$", skip=1, times=2)
    assert scene.human().send("GET", f"{scene.path}/issues").status == 200
    bot = scene.bot()
    assert [bot.send("GET", f"{scene.path}/issues").status for _ in range(4)] == [200, 500, 500, 200]
    (rule,) = scene.github.knob("faults/list")["rules"]
    assert (rule["hits"], rule["times"]) == (2, 0)


def test_drop_before_and_after_the_effect(scene: Scene) -> None:
    bot, path = scene.bot(), f"{scene.path}/issues"
    for effect in ("drop", "drop_after"):
        scene.github.fault(effect, method="POST", path="/issues$")
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            bot.send("POST", path, {"title": effect})
    scene.github.fault("bad_gateway_after", method="POST", path="/issues$")
    assert bot.send("POST", path, {"title": "bad_gateway_after"}).status == 502
    titles = {one["title"] for one in bot.get(path)}
    assert titles == {"drop_after", "bad_gateway_after"}


def test_a_truncated_answer_and_a_slow_one(scene: Scene) -> None:
    bot = scene.bot()
    scene.github.fault("truncate", path=f"{scene.path}$")
    with pytest.raises(http.client.IncompleteRead):
        bot.send("GET", scene.path)
    scene.github.fault("slow", path=f"{scene.path}$", seconds=0.3)
    started = time.monotonic()
    assert bot.send("GET", scene.path).status == 200
    assert time.monotonic() - started >= 0.3


def test_git_fails_too(scene: Scene, tmp_path: Path) -> None:
    scene.github.fault("bad_gateway", path="git-receive-pack|info/refs")
    with pytest.raises(Exception, match="returned non-zero exit status"):
        scene.push_branch(tmp_path, "topic")
    scene.push_branch(tmp_path, "topic")


def test_etags_are_free_and_rates_are_counted(scene: Scene) -> None:
    bot = scene.bot()
    first = bot.send("GET", scene.path)
    assert first.headers["x-github-request-id"]
    assert first.headers["x-github-api-version-selected"] == "2026-03-10"
    second = bot.send("GET", scene.path, headers={"If-None-Match": first.headers["etag"]})
    assert (second.status, second.raw) == (304, b"")
    assert second.headers["x-ratelimit-remaining"] == first.headers["x-ratelimit-remaining"]
    bot.post(f"{scene.path}/issues", {"title": "x"})
    changed = bot.send("GET", scene.path, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status == 200
    assert int(changed.headers["x-ratelimit-remaining"]) < int(first.headers["x-ratelimit-remaining"])


def test_lists_are_paged_with_links(scene: Scene) -> None:
    for number in range(3):
        scene.human().post(f"{scene.path}/issues", {"title": str(number)})
    answer = scene.bot().send("GET", f"{scene.path}/issues?per_page=2")
    assert [one["title"] for one in answer.body] == ["2", "1"]
    following = answer.headers["link"].partition(">")[0].removeprefix(f"<{scene.github.url}")
    assert [one["title"] for one in scene.bot().get(following)] == ["0"]


def test_the_request_log_names_operations_and_no_secrets(scene: Scene) -> None:
    token = scene.token()
    scene.bot().post(f"{scene.path}/issues", {"title": "x"})
    logged = scene.github.knob("requests", repository=scene.repository.full_name, kind="installation")["requests"]
    assert [(one["operation"], one["status"]) for one in logged] == [("issues/create", 201)]
    assert token not in str(scene.github.knob("requests"))
