"""The main job, driven as its users would: over HTTP and with stock git only, from a labelled issue to the wrap."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bot.demo.prepare import demo_issue
from tests.e2e.conftest import Place, eventually

LABEL = "optr-workflow"


def ask(place: Place, login: str, role: str = "write") -> int:
    """Open the demonstration's issue as `login` and label it."""
    title, body = demo_issue()
    human = place.human(login, role)
    number = int(human.post(f"{place.path}/issues", {"title": title, "body": body})["number"])
    owner = place.human(login, role)
    owner.post(f"{place.path}/issues/{number}/labels", {"labels": [LABEL]}, status=200)
    return number


def our_comment(place: Place, issue: int, words: str) -> Any:
    ours = [comment for comment in place.comments(issue) if comment["user"]["login"] == place.app.bot_login]
    return next((comment for comment in ours if words in comment["body"]), None)


def completed(place: Place, commit: str, name: str, conclusion: str) -> Any:
    found = place.checks(commit, name)
    return next((check for check in found if check["conclusion"] == conclusion), None)


def ledger_lines(clone: Path) -> list[dict[str, Any]]:
    text = (clone / "datalake/ledger.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_from_a_labelled_issue_to_the_wrap(place: Place, tmp_path: Path) -> None:
    place.human("ada").post(f"{place.path}/labels", {"name": LABEL, "color": "5319e7"})
    place.start()
    issue = ask(place, "ada")

    # 👀 at once, then one comment that follows the run
    reactions = f"{place.path}/issues/{issue}/reactions"
    eventually(lambda: [r for r in place.human("ada").get(reactions) if r["content"] == "eyes"] or None, "👀", 15)
    eventually(lambda: our_comment(place, issue, "codex"), f"the comment shows the race\n{place.tail()}")
    pull = eventually(lambda: next(iter(place.pulls()), None), f"a pull request is open\n{place.tail()}")

    # the comparison as a check run on the base commit
    base = place.repository.head or ""
    check = eventually(lambda: completed(place, base, "optr", "success"), "the check `optr` is complete")
    assert "codex" in check["output"]["summary"] + (check["output"]["text"] or "")
    assert "snapshot" in check["output"]["summary"] + (check["output"]["text"] or "")

    # the pull request: winner's branch, evidence, rollback, receipt
    assert pull["head"]["ref"] == f"optr/issue-{issue}"
    for words in ("Rollback", "Receipt", "optr verify-ledger", f"#{issue}"):
        assert words.lower() in pull["body"].lower(), words
    head = pull["head"]["sha"]

    # the gate is closed until somebody other than the requester approves this head
    eventually(lambda: completed(place, head, "optr/gate", "action_required"), f"the gate waits\n{place.tail()}")
    place.human("ada").post(f"{place.path}/pulls/{pull['number']}/reviews", {"event": "APPROVE"}, status=200)
    place.human("grace").post(f"{place.path}/pulls/{pull['number']}/reviews", {"event": "APPROVE"}, status=200)
    eventually(lambda: completed(place, head, "optr/gate", "success"), f"the gate opens\n{place.tail()}")

    # the record: stock git, then our verifier in its own process
    lake = place.clone(tmp_path / "lake", "datalake")
    assert [line["type"] for line in ledger_lines(lake)] == ["MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED"]
    kept = lake / f"datalake/workflows/issue-{issue}"
    assert {path.stem for path in (kept / "agent-outputs").iterdir()} == {"codex", "claude", "regex-order", "snapshot"}

    # a person merges; OPTR wraps
    place.human("grace").put(f"{place.path}/pulls/{pull['number']}/merge", {"sha": head})
    final = eventually(lambda: our_comment(place, issue, "accepted"), f"the final comment\n{place.tail()}")
    ours = [c for c in place.comments(issue) if c["user"]["login"] == place.app.bot_login]
    assert [comment["id"] for comment in ours] == [final["id"]], "one comment, edited in place"
    fresh = place.clone(tmp_path / "fresh", "datalake")
    wrap = ledger_lines(fresh)[-1]
    assert (wrap["type"], wrap["actor"]) == ("WRAP_ORCH_ACCEPTED", "grace")
    verified = subprocess.run(
        [sys.executable, "-m", "ledger", "verify", "--repo", str(fresh)], capture_output=True, text=True, check=False
    )
    assert verified.returncode == 0, verified.stderr
    assert "Entries: 4" in verified.stdout
    assert "Ledger verified" in verified.stdout
    place.stop()

    # nothing secret left in the log, the record or the pull request
    kept_bytes = b"".join(path.read_bytes() for path in fresh.rglob("*") if path.is_file())
    said = place.log.read_bytes() + json.dumps(place.pulls()).encode() + kept_bytes
    for secret in (place.environ["OPTR_WEBHOOK_SECRET"], place.environ["OPENAI_API_KEY"], "ghs_"):
        assert secret.encode() not in said
