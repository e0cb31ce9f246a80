"""The main job, driven as its users would: over HTTP and with stock git only, from a labelled issue to the wrap."""

import json

import pytest

from tests.e2e.service import LABEL, Place, eventually


@pytest.mark.covers("F3.01", "F3.02", "F3.35")
def test_from_a_labelled_issue_to_the_wrap(place: Place) -> None:
    place.human("ada").post(f"{place.path}/labels", {"name": LABEL, "color": "5319e7"})
    issue = place.ask("ada")

    # 👀 at once, then one comment that follows the run
    reactions = f"{place.path}/issues/{issue}/reactions"
    eventually(lambda: [r for r in place.human("ada").get(reactions) if r["content"] == "eyes"], "👀", 15)
    place.heard(issue, "codex")
    pull = place.opened(issue)

    # the comparison as a check run on the base commit
    check = place.concluded(place.base, "optr", "success")
    shown = check["output"]["summary"] + (check["output"]["text"] or "")
    assert "codex" in shown
    assert "snapshot" in shown

    # the pull request: winner's branch, evidence, rollback, receipt
    assert pull["head"]["ref"] == f"optr/issue-{issue}"
    for words in ("Rollback", "Receipt", "optr verify-ledger", f"#{issue}"):
        assert words.lower() in pull["body"].lower(), words
    head = pull["head"]["sha"]

    # the gate is closed until somebody other than the requester approves this head
    place.concluded(head, "optr/gate", "action_required")
    for login in ("ada", "grace"):
        place.human(login).post(f"{place.path}/pulls/{pull['number']}/reviews", {"event": "APPROVE"}, status=200)
    place.concluded(head, "optr/gate", "success")

    # the record: stock git, then our verifier in its own process
    lake = place.lake()
    assert lake.types() == ["MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED", "HUMAN_REVIEW_RECORDED"]
    assert lake.lines()[-1]["actor"] == "grace"  # the requester's own approval does not count
    outputs = lake.workflow(f"issue-{issue}") / "agent-outputs"
    assert {path.stem for path in outputs.iterdir()} == {"codex", "claude", "regex-order", "snapshot"}

    # a person merges; OPTR wraps
    place.human("grace").put(f"{place.path}/pulls/{pull['number']}/merge", {"sha": head})
    final = place.heard(issue, "accepted")
    assert [comment["id"] for comment in place.ours(issue)] == [final["id"]], "one comment, edited in place"
    fresh = place.lake()
    wrap = fresh.lines()[-1]
    assert (wrap["type"], wrap["actor"]) == ("WRAP_ORCH_ACCEPTED", "grace")
    assert "Entries: 5" in fresh.verified()
    (policy,) = {line["policy"] for line in fresh.lines()}
    assert policy == json.loads((fresh.workflow(f"issue-{issue}") / "policy.json").read_bytes())["digest"]

    # nothing secret left in the record, the pull request or the comments
    kept = b"".join(path.read_bytes() for path in fresh.path.rglob("*") if path.is_file())
    said = kept + json.dumps([place.pulls(), place.ours(issue)]).encode()
    for secret in place.service.secrets():
        assert secret.encode() not in said
