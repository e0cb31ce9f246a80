import json

import pytest

from tests.github.judge import SPEC_DIRECTORY, shared_judge
from tests.github.permissions import needs_of
from tests.github.scene import Scene
from tools.openapi_selection import OPERATIONS, WEBHOOKS


@pytest.mark.parametrize(
    ("method", "rest", "body", "said"),
    [
        ("POST", "/issues/1/comments", {}, "body"),
        ("POST", "/issues/1/comments", {"body": "x", "boddy": "y"}, "boddy"),
        ("POST", "/issues/1/reactions", {"content": "shrug"}, "content"),
        ("GET", "/pulls?state=merged", None, "state"),
        ("GET", "/pulls?heads=a", None, "heads"),
        ("GET", "/keys", None, "not an operation"),
        ("POST", "/git/refs", {"ref": "refs/heads/x"}, "sha"),
    ],
)
def test_what_breaks_githubs_description_is_refused_and_kept(
    scene: Scene, method: str, rest: str, body: object, said: str
) -> None:
    assert scene.bot().send(method, scene.path + rest, body).status == 422
    (kept,) = scene.github.violations(scene.repository)
    assert said in " ".join(kept["problems"])
    scene.github.knob("violations/forget")


def test_people_are_not_judged(scene: Scene) -> None:
    assert scene.human().send("GET", f"{scene.path}/pulls?heads=a").status == 200
    assert scene.github.violations() == []


def test_graphql_that_nothing_could_judge_is_a_violation(scene: Scene) -> None:
    answer = scene.bot().post("/graphql", {"query": "query { viewer { login } }"}, status=200)
    assert "errors" in answer
    assert len(scene.github.violations()) == 1
    scene.github.knob("violations/forget")


def test_a_missing_version_header_is_a_violation(scene: Scene) -> None:
    token = scene.token()
    scene.github.git("ls-remote", scene.clone_url, token=token)
    assert scene.github.violations() == []
    bot = scene.bot()
    object.__setattr__(bot, "extra", {"X-GitHub-Api-Version": "1999-01-01"})
    assert bot.send("GET", scene.path).status == 400


def test_webhooks_are_judged_too() -> None:
    problems = shared_judge().webhook_problems("issues", {"action": "labeled", "issue": {}})
    assert problems
    assert shared_judge().webhook_problems("made_up", {"action": "x"}) == [
        "no webhook made-up-x in the trimmed description"
    ]


def test_the_vendored_description_holds_what_is_selected_and_its_licence() -> None:
    rest = json.loads((SPEC_DIRECTORY / "api.github.com.trimmed.json").read_text())
    hooks = json.loads((SPEC_DIRECTORY / "webhooks.trimmed.json").read_text())
    kept = {one["operationId"]: method for path in rest["paths"].values() for method, one in path.items()}
    assert set(kept) == set(OPERATIONS)
    assert set(hooks["webhooks"]) == set(WEBHOOKS)
    assert "MIT License" in (SPEC_DIRECTORY / "LICENSE.octokit-openapi").read_text()
    for name, method in kept.items():
        assert isinstance(needs_of(name, method.upper()), tuple)
