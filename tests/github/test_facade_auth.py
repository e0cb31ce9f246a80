import re
import time

import pytest

from tests.github.client import RestClient, app_jwt
from tests.github.scene import Scene
from tests.github.server import unique_name


def test_jwt_by_app_id_and_by_client_id(scene: Scene) -> None:
    by_id = scene.jwt().get("/app")
    token = app_jwt(scene.app.client_id, scene.app.private_key_pem)
    by_client = RestClient(scene.github.url, f"Bearer {token}").get("/app")
    assert by_id["id"] == by_client["id"] == scene.app.id


@pytest.mark.parametrize(
    ("lifetime", "offset", "said"),
    [(540, -3600, "'exp'"), (3600, 0, "too far in the future"), (540, 3600, "'iat'")],
)
def test_a_jwt_outside_its_times_is_refused(scene: Scene, lifetime: int, offset: int, said: str) -> None:
    token = app_jwt(scene.app.id, scene.app.private_key_pem, lifetime, time.time() + offset)
    answer = RestClient(scene.github.url, f"Bearer {token}").send("GET", "/app")
    assert answer.status == 401
    assert said in answer.body["message"]


def test_a_jwt_of_another_key_is_refused(scene: Scene) -> None:
    other = scene.github.create_app(None, None, {}, [])
    token = app_jwt(scene.app.id, other.private_key_pem)
    assert RestClient(scene.github.url, f"Bearer {token}").send("GET", "/app").status == 401


def test_installation_token_has_the_stateless_form_and_is_listed(scene: Scene) -> None:
    made = scene.jwt().post(f"/app/installations/{scene.installed.id}/access_tokens", {})
    assert re.fullmatch(r"ghs_[A-Za-z0-9._-]+", made["token"])
    assert len(made["token"]) > 100
    listed = RestClient(scene.github.url, f"token {made['token']}").get("/installation/repositories")
    assert [one["full_name"] for one in listed["repositories"]] == [scene.repository.full_name]


def test_asking_for_more_than_granted_is_422(scene: Scene) -> None:
    path = f"/app/installations/{scene.installed.id}/access_tokens"
    assert scene.jwt().send("POST", path, {"permissions": {"administration": "write"}}).status == 422
    assert scene.jwt().send("POST", path, {"repositories": ["not-there"]}).status == 422


def test_a_token_without_the_permission_is_refused_by_name(scene: Scene) -> None:
    reader = scene.bot(permissions={"issues": "read"})
    assert reader.get(f"{scene.path}/issues") == []
    answer = reader.send("POST", f"{scene.path}/issues", {"title": "x"})
    assert answer.status == 403
    assert answer.body["message"] == "Resource not accessible by integration"
    assert answer.headers["x-accepted-github-permissions"] == "issues=write"


def test_a_repository_outside_the_token_is_not_found(scene: Scene) -> None:
    other = scene.github.create_repository("acme", unique_name("repo"), {"a": b"b"})
    assert scene.bot().send("GET", f"/repos/{other.full_name}").status == 404


def test_tokens_expire_and_can_be_revoked(scene: Scene) -> None:
    revoked, expired = scene.bot(), scene.bot()
    revoked.delete("/installation/token")
    assert revoked.send("GET", scene.path).status == 401
    assert expired.send("GET", scene.path).status == 200
    scene.github.knob("advance", seconds=3601)
    assert expired.send("GET", scene.path).status == 401


def test_a_suspended_installation_is_refused_until_resumed(scene: Scene) -> None:
    bot = scene.bot()
    scene.github.knob("suspend", installation_id=scene.installed.id, suspended=True)
    assert bot.send("GET", scene.path).status == 403
    scene.github.knob("suspend", installation_id=scene.installed.id, suspended=False)
    assert bot.send("GET", scene.path).status == 200


def test_junk_and_strangers_learn_nothing(scene: Scene) -> None:
    assert RestClient(scene.github.url, "token junk").send("GET", scene.path).status == 401
    assert RestClient(scene.github.url).send("GET", scene.path).status == 404
    assert scene.github.as_user("stranger").send("GET", scene.path).status == 404


def test_roles_decide_what_humans_may_do(scene: Scene) -> None:
    reader = scene.human("reader", "read")
    scene.owner().post(f"{scene.path}/labels", {"name": "bug", "color": "ff0000"})
    number = reader.post(f"{scene.path}/issues", {"title": "I may ask"})["number"]
    assert reader.send("POST", f"{scene.path}/issues/{number}/labels", {"labels": ["bug"]}).status == 403
    triager = scene.human("triager", "triage")
    assert triager.send("POST", f"{scene.path}/issues/{number}/labels", {"labels": ["bug"]}).status == 200


@pytest.mark.parametrize(
    ("role", "permission"),
    [("read", "read"), ("triage", "read"), ("write", "write"), ("maintain", "write"), ("admin", "admin")],
)
def test_permission_is_coarse_and_role_name_is_fine(scene: Scene, role: str, permission: str) -> None:
    scene.human(f"user-{role}", role)
    found = scene.bot().get(f"{scene.path}/collaborators/user-{role}/permission")
    assert (found["permission"], found["role_name"]) == (permission, role)
    scene.github.user("nobody")
    assert scene.bot().get(f"{scene.path}/collaborators/nobody/permission")["permission"] == "none"


def test_manifest_code_converts_once(scene: Scene) -> None:
    manifest = {"name": unique_name("made"), "url": "https://example.com", "default_permissions": {"issues": "write"}}
    scene.github.user("acme")
    code = scene.github.knob("manifest", manifest=manifest, owner="acme")["code"]
    anonymous = RestClient(scene.github.url)
    made = anonymous.post(f"/app-manifests/{code}/conversions")
    assert made["permissions"]["issues"] == "write"
    assert made["pem"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    token = app_jwt(made["id"], made["pem"])
    assert RestClient(scene.github.url, f"Bearer {token}").get("/app")["slug"] == manifest["name"]
    assert anonymous.send("POST", f"/app-manifests/{code}/conversions").status == 404
