import uuid

import pytest
from gidgethub import ValidationFailure

from tests.github.scene import Scene
from tests.github.server import unique_name


def open_issue(scene: Scene, title: str = "Bug") -> int:
    return int(scene.human().post(f"{scene.path}/issues", {"title": title, "body": "please"})["number"])


def test_a_webhook_is_signed_and_named_as_github_does(scene: Scene) -> None:
    number = open_issue(scene)
    (arrived,) = scene.hooks.of_event("issues", "opened")
    event = arrived.event(scene.secret)
    assert event.event == "issues"
    assert event.data["issue"]["number"] == number
    assert event.data["installation"]["id"] == scene.installed.id
    assert event.data["sender"]["login"] == "dev"
    headers = arrived.headers
    assert uuid.UUID(headers["x-github-delivery"]).version == 4
    assert headers["user-agent"].startswith("GitHub-Hookshot/")
    assert headers["x-github-hook-id"].isdigit()
    assert headers["x-github-hook-installation-target-id"] == str(scene.app.id)
    assert headers["x-github-hook-installation-target-type"] == "integration"
    with pytest.raises(ValidationFailure):
        arrived.event("another secret")


def test_every_event_has_its_own_guid(scene: Scene) -> None:
    for _ in range(5):
        open_issue(scene)
    arrived = scene.hooks.of_event("issues", "opened", count=5)
    assert len({one.headers["x-github-delivery"] for one in arrived}) == 5


def test_labels_given_at_opening_are_announced_with_their_whole_label(scene: Scene) -> None:
    scene.owner().post(f"{scene.path}/labels", {"name": "optr-workflow", "color": "00ff00"})
    scene.human().post(f"{scene.path}/issues", {"title": "x", "labels": ["optr-workflow"]})
    (arrived,) = scene.hooks.of_event("issues", "labeled")
    label = arrived.event(scene.secret).data["label"]
    assert (label["name"], label["color"]) == ("optr-workflow", "00ff00")
    assert isinstance(label["id"], int)


def test_failed_deliveries_are_listed_and_redelivered_under_their_guid(scene: Scene) -> None:
    scene.hooks.status = 500
    open_issue(scene)
    (first,) = scene.hooks.of_event("issues", "opened")
    scene.github.knob("webhooks/drain")
    app = scene.jwt()
    listed = [one for one in app.get("/app/hook/deliveries") if one["event"] == "issues"]
    assert (listed[0]["status_code"], listed[0]["status"] == "OK") == (500, False)
    assert listed[0]["guid"] == first.headers["x-github-delivery"]
    full = app.get(f"/app/hook/deliveries/{listed[0]['id']}")
    assert full["request"]["payload"]["action"] == "opened"
    scene.hooks.status = 202
    app.post(f"/app/hook/deliveries/{listed[0]['id']}/attempts", status=202)
    again = scene.hooks.of_event("issues", "opened", count=2)[1]
    assert again.body == first.body
    assert again.headers["x-github-delivery"] == first.headers["x-github-delivery"]
    scene.github.knob("webhooks/drain")
    newest = app.get("/app/hook/deliveries")[0]
    assert (newest["redelivery"], newest["status"], newest["guid"]) == (True, "OK", listed[0]["guid"])


def test_deliveries_are_paged_by_cursor_and_forgotten_after_three_days(scene: Scene) -> None:
    for _ in range(3):
        open_issue(scene)
    app = scene.jwt()
    seen: list[int] = []
    path: str | None = "/app/hook/deliveries?per_page=2"
    while path:
        answer = app.send("GET", path)
        seen += [one["id"] for one in answer.body]
        link = answer.headers.get("link", "")
        path = link.partition(">")[0].removeprefix(f"<{scene.github.url}") or None
    assert len(seen) == len(set(seen)) >= 4
    scene.github.knob("advance", seconds=3 * 24 * 3600 + 1)
    assert app.get("/app/hook/deliveries") == []


def test_deliveries_can_be_dropped_duplicated_and_reordered(scene: Scene) -> None:
    knob = scene.github.knob
    knob("webhooks/disturb", effect="drop", event="issues", action="opened")
    open_issue(scene, "lost")
    knob("webhooks/disturb", effect="duplicate", event="issues", action="opened")
    open_issue(scene, "twice")
    knob("webhooks/disturb", effect="hold", event="issues", action="opened", times=2)
    open_issue(scene, "first")
    open_issue(scene, "second")
    assert knob("webhooks/release")["released"] == 2
    knob("webhooks/drain")
    arrived = scene.hooks.of_event("issues", "opened", count=4)
    titles = [one.event(scene.secret).data["issue"]["title"] for one in arrived]
    assert titles == ["twice", "twice", "second", "first"]
    assert arrived[0].headers["x-github-delivery"] == arrived[1].headers["x-github-delivery"]
    assert any(one["status_code"] == 0 for one in scene.jwt().get("/app/hook/deliveries"))


def test_installation_events_come_unsubscribed(scene: Scene) -> None:
    created = scene.hooks.of_event("installation", "created")[0].event(scene.secret).data
    assert [one["full_name"] for one in created["repositories"]] == [scene.repository.full_name]
    other = scene.github.create_repository("acme", unique_name("repo"), {"a": b"b"})
    scene.github.install(scene.app, other)
    added = scene.hooks.of_event("installation_repositories", "added")[0].event(scene.secret).data
    assert added["repositories_added"][0]["full_name"] == other.full_name
    scene.github.knob("installations/remove", installation_id=scene.installed.id, repository=other.full_name)
    scene.hooks.of_event("installation_repositories", "removed")
    scene.github.knob("installations/remove", installation_id=scene.installed.id)
    scene.hooks.of_event("installation", "deleted")
    assert scene.jwt().send("GET", f"{scene.path}/installation").status == 404


def test_an_app_hears_only_what_it_subscribed_to_and_may_read(scene: Scene) -> None:
    deaf = scene.github.create_app(scene.hooks.url, scene.secret, {"issues": "read"}, ["push"])
    scene.github.install(deaf, scene.repository)
    open_issue(scene)
    scene.github.knob("webhooks/drain")
    arrived = scene.hooks.of_event("issues", "opened")
    assert {one.headers["x-github-hook-installation-target-id"] for one in arrived} == {str(scene.app.id)}


def test_any_event_can_be_emitted_in_bulk(scene: Scene) -> None:
    open_issue(scene)
    (known,) = scene.github.deliveries(scene.repository, "issues")
    payload = {key: value for key, value in known["request"]["payload"].items() if key != "installation"}
    name = scene.repository.full_name
    scene.github.knob("webhooks/emit", event="issues", repository=name, payload=payload, count=200)
    scene.github.knob("webhooks/drain")
    arrived = scene.hooks.of_event("issues", "opened", count=201)
    assert len({one.headers["x-github-delivery"] for one in arrived}) == 201
