"""`/optr revoke`: authority is taken back from a comment, while a run is under way and for those after it."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from execution.trustbooks import read_books
from governance.entry_types import NodeState
from governance.events import replay
from tests.e2e.service import Lake, Place, Service, eventually, racing

NAP = "977.31"
SLEEPER = ["sh", "-c", f"sleep {NAP}; echo done > note.txt"]
ASKING = b"review: {plan_approval: always}\n"


def woken() -> bool:
    """End the agent's nap, once it takes one, so that its shell goes on."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if (directory / "cmdline").read_bytes() == f"sleep\x00{NAP}\x00".encode():
                os.kill(int(directory.name), signal.SIGTERM)
                return True
        except OSError:
            continue
    return False


def violations(lake: Lake, workflow: str, agent: str) -> list[str]:
    output = json.loads((lake.workflow(workflow) / f"agent-outputs/{agent}.json").read_text())
    return [one["code"] for one in output["violations"]]


def line_of(lake: Lake, kind: str) -> dict[str, Any]:
    return next(line for line in reversed(lake.lines()) if line["type"] == kind)


def test_an_agent_that_is_revoked_at_work_loses_this_run_and_the_next(
    service: Service, sample: dict[str, bytes]
) -> None:
    place: Place = service.settle(racing(sample, "sleeper", "regex-order", sleeper=SLEEPER))
    root = place.human("root", "admin")
    issue = place.ask()
    place.heard(issue, "**executing**")
    place.say(issue, "/optr revoke agent sleeper")
    place.heard(issue, "takes admin permission")
    place.say(issue, "/optr revoke agent sleeper\n\nIts keys leaked.", root)
    told = place.heard(issue, "is revoked from now on")["body"]
    assert f"run `issue-{issue}`: `sleeper` may do nothing more" in told
    eventually(woken, "the agent naps")
    place.opened(issue)
    lake = place.lake()
    assert violations(lake, f"issue-{issue}", "sleeper") == ["TRUST_REVOKED"]
    assert violations(lake, f"issue-{issue}", "regex-order") == []
    made = line_of(lake, "TRUST_REVOKED")
    assert (made["actor"], made["revocation"]["target"], made["revocation"]["reason"]) == (
        "root",
        "sleeper",
        "Its keys leaked.",
    )

    place.say(issue, "/optr revoke agent sleeper", root)
    place.heard(issue, "was revoked before, by root; nothing was added")
    place.say(issue, "/optr cancel")
    place.heard(issue, "closed: **cancelled**")
    place.label(issue)
    place.heard_all(issue, f"issue-{issue}.2", "waits for a human", "is not planned")
    after = place.lake()
    planned = json.loads((after.workflow(f"issue-{issue}.2") / "plan.json").read_text())
    assert [node["agent"] for node in planned["graph"]["nodes"] if node["agent"]] == ["regex-order"]
    assert "Agent 'sleeper' is not planned (TRUST_REVOKED)" in planned["warnings"][0]
    assert after.types().count("TRUST_REVOKED") == 1
    after.verified()


@pytest.mark.covers("F5.14", "F5.31")
def test_an_agent_that_is_revoked_while_its_plan_waits_is_never_dispatched(
    service: Service, sample: dict[str, bytes]
) -> None:
    files = racing(sample, "regex-order", "idler", idler=["true"])
    place: Place = service.settle({**files, ".github/optr.yml": files[".github/optr.yml"] + ASKING})
    issue = place.ask()
    place.heard(issue, "**awaiting approval**")
    place.say(issue, "/optr revoke agent idler", place.human("root", "admin"))
    place.heard_all(issue, "is revoked from now on", "`idler` may do nothing more")
    place.say(issue, "/optr approve", place.human("grace"))
    place.opened(issue)
    lake, workflow = place.lake(), f"issue-{issue}"
    assert violations(lake, workflow, "idler") == ["TRUST_REVOKED"]
    events = (lake.workflow(workflow) / "events.jsonl").read_bytes()
    assert replay(events)["A2"] is NodeState.FAILED
    assert [event["type"] for event in map(json.loads, events.splitlines()) if event.get("node") == "A2"] == [
        "SUB_PAC_ISSUED",
        "DISPATCH_REVOKED",
        "BER_AGENT_FAILED",
        "PDO_AGENT_FINALIZED",
    ]
    denied = read_books(lake.path / ".git")[0].trail[1]
    assert (denied.actor, denied.result, denied.code, denied.grant) == ("agent:idler", "denied", "TRUST_REVOKED", "")


def test_a_person_who_is_revoked_ends_the_run_that_waits_until_trust_is_given_back(
    service: Service, sample: dict[str, bytes]
) -> None:
    files = racing(sample, "regex-order")
    place: Place = service.settle({**files, ".github/optr.yml": files[".github/optr.yml"] + ASKING})
    root, mona = place.human("root", "admin"), place.human("mona", "admin")
    issue = place.open_issue()
    place.label(issue, mona)
    place.heard(issue, "**awaiting approval**")
    place.say(issue, "/optr revoke human MONA", root)
    assert f"run `issue-{issue}` ends at its next step" in place.heard(issue, "is revoked from now on")["body"]
    place.say(issue, "/optr revoke human root", mona)
    place.heard_all(issue, "Nothing was done", "human 'mona' was revoked by 'root'", "`TRUST_REVOKED`")
    place.say(issue, "/optr approve", place.human("grace"))
    place.heard_all(issue, "closed: **failed**", "TRUST_REVOKED")
    assert place.pulls() == []
    place.label(issue, mona)
    place.heard_all(issue, f"issue-{issue}.2", "closed: **failed**", "TRUST_REVOKED")

    place.say(issue, "/optr revoke human mona lift", root)
    place.heard(issue, "not revoked any more")
    place.label(issue, mona)
    place.heard_all(issue, f"issue-{issue}.3", "**awaiting approval**")
    place.say(issue, "/optr approve", place.human("grace"))
    place.heard_all(issue, f"issue-{issue}.3", "waits for a human")
    lake = place.lake()
    assert [line["revocation"]["lifted"] for line in lake.lines() if line["type"] == "TRUST_REVOKED"] == [False, True]
    lake.verified()
