"""A dummy App of plain HTTP calls walks the road that OPTR walks, from a labelled issue to the closing comment."""

from pathlib import Path

from tests.github.scene import Scene
from tests.github.server import unique_name


def test_from_label_to_closing_comment(scene: Scene, tmp_path: Path) -> None:
    scene.owner().post(f"{scene.path}/labels", {"name": "optr-workflow", "color": "5319e7"})
    human = scene.human("maintainer", "write")
    issue = human.post(f"{scene.path}/issues", {"title": "Fix the print", "body": "It prints 1, wants 2"})["number"]
    human.post(f"{scene.path}/issues/{issue}/labels", {"labels": ["optr-workflow"]}, status=200)

    # the App: hears, checks the sender, acknowledges, reports
    heard = scene.hooks.of_event("issues", "labeled")[0].event(scene.secret).data
    assert (heard["issue"]["number"], heard["label"]["name"]) == (issue, "optr-workflow")
    bot = scene.bot(repositories=[scene.repository.name])
    sender = heard["sender"]["login"]
    assert bot.get(f"{scene.path}/collaborators/{sender}/permission")["permission"] == "write"
    bot.post(f"{scene.path}/issues/{issue}/reactions", {"content": "eyes"})
    comment = bot.post(f"{scene.path}/issues/{issue}/comments", {"body": "received"})["id"]
    base = bot.get(f"{scene.path}/git/ref/heads/main")["object"]["sha"]
    run = bot.post(f"{scene.path}/check-runs", {"name": "optr", "head_sha": base, "status": "in_progress"})["id"]

    # an orphan datalake branch and the winner's branch, by stock git
    token = scene.token(repositories=[scene.repository.name], permissions={"contents": "write"})
    work = scene.clone(tmp_path, token)
    scene.github.git("checkout", "--quiet", "--orphan", "datalake", cwd=work)
    scene.github.git("rm", "--quiet", "-rf", ".", cwd=work)
    lake = scene.commit(work, "datalake/ledger.jsonl", b'{"seq":0}\n', "Record")
    scene.github.git("push", "--quiet", "origin", "datalake", cwd=work, token=token)
    scene.github.git("checkout", "--quiet", "-B", "optr/fix", "origin/main", cwd=work)
    head = scene.commit(work, "src/main.py", b"print(2)\n", "Fix the print")
    scene.github.git("push", "--quiet", "origin", "optr/fix", cwd=work, token=token)

    given = {"title": "Fix the print", "head": "optr/fix", "base": "main", "body": f"Closes #{issue}"}
    pull = bot.post(f"{scene.path}/pulls", given)["number"]
    output = {"title": "One winner", "summary": "| agent | score |"}
    bot.patch(f"{scene.path}/check-runs/{run}", {"conclusion": "success", "output": output})
    gate = bot.post(f"{scene.path}/check-runs", {"name": "optr/gate", "head_sha": head, "status": "in_progress"})["id"]
    bot.patch(f"{scene.path}/issues/comments/{comment}", {"body": f"opened #{pull}"})

    # the human: reads by HTTP and stock git, approves, merges
    assert human.get(f"{scene.path}/issues/{issue}/comments")[0]["body"] == f"opened #{pull}"
    assert human.get(f"{scene.path}/check-runs/{run}")["output"]["summary"] == output["summary"]
    fresh = tmp_path / unique_name("fresh")
    reader = scene.github.user("maintainer").token
    scene.github.git("clone", "--quiet", "-b", "datalake", scene.clone_url, str(fresh), token=reader)
    assert scene.github.git("rev-parse", "HEAD", cwd=fresh) == lake
    human.post(f"{scene.path}/pulls/{pull}/reviews", {"event": "APPROVE", "commit_id": head}, status=200)
    review = scene.hooks.of_event("pull_request_review", "submitted")[0].event(scene.secret).data
    assert review["review"]["user"]["login"] == "maintainer"
    bot.patch(f"{scene.path}/check-runs/{gate}", {"conclusion": "success", "output": output})
    human.put(f"{scene.path}/pulls/{pull}/merge", {"sha": head})

    # the App: closes
    closed = scene.hooks.of_event("pull_request", "closed")[0].event(scene.secret).data
    assert closed["pull_request"]["merged"] is True
    bot.patch(f"{scene.path}/issues/comments/{comment}", {"body": "accepted"})
    bot.delete("/installation/token")
    assert human.get(f"{scene.path}/issues/{issue}/comments")[0]["body"] == "accepted"
    assert human.get(f"{scene.path}/issues/{issue}")["state"] == "closed"
    scene.hooks.of_event("issues", "closed")
    assert scene.github.knob("deviations") == {}, "the App was answered otherwise than GitHub documents"
