"""A workflow of the repository's own, from the labelled issue to the wrap, with a person's corrections by comment."""

import json
import secrets
from collections.abc import Iterator

import pytest

from bot.demo.recorded import RecordedModel
from governance.correction import ATTEMPTS_MAX
from governance.entry_types import NodeState
from governance.events import replay
from tests.e2e.conftest import MakeService, model_of
from tests.e2e.flow_kit import FILES, FIX, NOTE, calls, says
from tests.e2e.service import PROFILE, Place, Service, eventually, racing

REASON = "The new test asserts nothing but False"
WORDS = [
    says(REASON, NOTE, notes="Now they do."),  # the first that fits is played, and only a corrected node is told this
    says("Plan the change", steps=["Turn minus into plus"]),
    says("Carry out the plan", FIX),
    says("Add the tests", "echo 'assert False' > tests/test_more.py", notes="They pass."),
    says("Look for what is wrong", opinion="sound", findings=[]),
]
FLOW = ".github/optr/flow.yml"
PIPELINE = """\
version: 1
pattern: plan_pipeline
roles: {planner: ann, writers: [bob], tester: cat, auditor: dan}
"""
CORRECTED = ["MAEG_CREATED", "OPTR_NO_WINNER", "CORRECTION_ISSUED", "OPTR_SELECTED", "PR_OPENED"]
WAITS = "no result yet"


def following(definition: str, **commands: str) -> dict[str, bytes]:
    """A repository with a bug that follows a workflow; `commands` are further agents and their shell lines."""
    rules = FILES[".github/optr.yml"] + f"workflow: {FLOW}\n"
    profiles = {
        f".github/agents/{name}.agent.md": PROFILE.format(name=name, command=json.dumps(["sh", "-c", line]))
        for name, line in commands.items()
    }
    files = {**FILES, **profiles, ".github/optr.yml": rules, FLOW: definition}
    return {path: text.encode() for path, text in files.items()}


@pytest.fixture(scope="module")
def words() -> Iterator[RecordedModel]:
    """The model that plays the nodes of the pipeline."""
    with model_of(WORDS) as served:
        yield served


@pytest.fixture(scope="module")
def service(make_service: MakeService, words: RecordedModel) -> Iterator[Service]:
    made = make_service()
    keys = {name: f"key-{secrets.token_hex(16)}" for name in words.environ if name.endswith("_API_KEY")}
    made.environ.update({**words.environ, **keys})
    made.start()
    yield made
    made.stop()


@pytest.mark.covers("F3.34", "F3.35", "F3.40", "F3.44")
def test_a_workflow_is_corrected_by_comment_and_merged(service: Service, words: RecordedModel) -> None:
    place: Place = service.settle(following(PIPELINE))
    issue = place.ask()
    place.heard(issue, WAITS)
    first = place.lake()
    assert (first.types(), place.pulls()) == (CORRECTED[:2], [])
    assert (before := calls(words)) == {"ann": 2, "bob": 2, "cat": 2}
    kept = (first.workflow(f"issue-{issue}") / "execution-complete.json").read_bytes()

    place.say(issue, "/optr correct TEST")
    place.heard(issue, "Say why")
    place.say(issue, f"/optr correct NOBODY\n\n{REASON}")
    place.heard(issue, "has no node")
    place.say(issue, f"/optr correct TEST\n\n{REASON}", place.reader)
    place.say(issue, f"/optr correct TEST\n\n{REASON}", place.human("grace"))
    place.heard_all(issue, "does this again", "`TEST`", "`AUDIT`")
    pull = place.opened(issue)
    assert calls(words) - before == {"cat": 2, "dan": 2}, "the planner and the writer had finished"

    lake = place.lake()
    home = lake.workflow(f"issue-{issue}")
    assert lake.types() == CORRECTED
    assert (lake.lines()[2]["actor"], lake.lines()[2]["scope"]) == ("grace", ["TEST", "AUDIT"])
    assert (home / "execution-complete.json").read_bytes() == kept
    assert replay((home / "events.jsonl").read_bytes())["AUDIT"] is NodeState.BLOCKED
    states = replay((home / "corrections/1/events.jsonl").read_bytes())
    assert states == dict.fromkeys(("PLAN", "WRITE1", "TEST", "AUDIT"), NodeState.COMPLETE)
    old, new = (
        json.loads(text)["aggregate"] for text in (kept, (home / "corrections/1/execution-complete.json").read_bytes())
    )
    assert new["supersedes"] == lake.lines()[2]["supersedes"] == lake.lines()[3]["supersedes"]
    assert old["root"] != new["root"]

    # what people review is not changed under them
    place.say(issue, f"/optr correct PLAN\n\n{REASON}")
    place.heard_all(issue, f"pull request {pull['number']}", "close the pull request unmerged", "CORRECTION_REFUSED")
    head = pull["head"]["sha"]
    place.human("grace").post(f"{place.path}/pulls/{pull['number']}/reviews", {"event": "APPROVE"}, status=200)
    place.concluded(head, "optr/gate", "success")
    place.human("grace").put(f"{place.path}/pulls/{pull['number']}/merge", {"sha": head})
    place.heard(issue, "closed: **accepted**")
    place.say(issue, f"/optr correct PLAN\n\n{REASON}")
    place.heard_all(issue, "is closed as accepted", "/optr rerun")
    end = place.lake()
    assert end.types() == [*CORRECTED, "HUMAN_REVIEW_RECORDED", "WRAP_ORCH_ACCEPTED"]
    wrap = end.lines()[-1]["wrap"]
    assert {one["node"]: one["outcome"] for one in wrap["nodes"]}.keys() == states.keys()
    assert wrap["root"] == new["root"]
    end.verified()


def test_a_node_is_not_corrected_for_ever(service: Service) -> None:
    flow = "version: 1\npattern: sequential\nroles: {agents: [stuck, ann]}\n"
    place = service.settle(following(flow, stuck="exit 3"))
    issue = place.ask()
    place.heard(issue, WAITS)
    for number in range(1, ATTEMPTS_MAX):
        place.say(issue, f"/optr correct S1\n\nTry again, {number}")
        eventually(
            lambda: place.lake().types().count("OPTR_NO_WINNER") == number + 1,  # noqa: B023 - looked at in this pass
            f"correction {number} has an end",
        )
        place.heard(issue, WAITS)
    place.say(issue, "/optr correct S1\n\nOnce more")
    place.heard_all(issue, f"has had its {ATTEMPTS_MAX} attempts", "CORRECTION_LIMIT")
    lake = place.lake()
    lake.verified()
    assert lake.types().count("CORRECTION_ISSUED") == ATTEMPTS_MAX - 1
    place.say(issue, "/optr cancel")
    place.heard(issue, "closed: **cancelled**")


def test_a_race_says_what_to_do_instead(service: Service, sample: dict[str, bytes]) -> None:
    place = service.settle(racing(sample, "regex-order"))
    issue = place.ask()
    place.opened(issue)
    place.say(issue, f"/optr correct A1\n\n{REASON}")
    place.heard_all(issue, "is a race", "/optr rerun AGENT", "/optr pick AGENT", "CORRECTION_REFUSED")


@pytest.mark.parametrize(
    ("definition", "place_named"),
    [
        ("version: 1\npattern: plan_pipeline\nroles: {planner: ann, writer: [bob]}\n", f"{FLOW}:2"),
        ("version: 1\npattern: no_such\nroles: {agents: [ann]}\n", f"{FLOW}:2"),
        (
            "version: 1\nnodes:\n  - {id: A, agent: ann, needs: [B]}\n  - {id: B, agent: bob, needs: [A]}\n",
            f"{FLOW}:3",
        ),
    ],
)
def test_a_wrong_workflow_is_one_comment_with_its_line(service: Service, definition: str, place_named: str) -> None:
    place = service.settle(following(definition))
    issue = place.ask()
    said = place.heard(issue, "closed: **failed**")["body"].replace("\u200b", "")
    assert place_named in said
    assert len(place.ours(issue)) == 1
    assert (place.pulls(), place.branches()) == ([], {"main", "datalake"})
    lake = place.lake()
    lake.verified()
    (line,) = lake.lines()  # nothing was planned, so nothing was dispatched
    assert line["type"] == "RUN_FAILED"
    assert place_named in line["problem"]
