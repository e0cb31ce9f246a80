"""What people say in comments, and what is not said to us."""

import pytest

from tests.e2e.service import Place, Service, racing

NOT_COMMANDS = (
    "```\n/optr run\n```",
    "> /optr run\n",
    "<!--\n/optr run\n-->",
    "Somebody could write /optr run here.",
    "    /optr run",
    "/optrrun",
)


@pytest.fixture
def place(service: Service, sample: dict[str, bytes]) -> Place:
    """A repository with one quick agent."""
    return service.settle(racing(sample, "regex-order"))


def test_help_and_status_answer_whoever_can_read(place: Place) -> None:
    issue = place.open_issue()
    place.say(issue, "/optr help", place.reader)
    shown = place.heard(issue, "| Command |")["body"]
    assert all(f"/optr {name}" in shown for name in ("help", "status", "run", "cancel", "rerun"))
    place.say(issue, "/optr status", place.reader)
    place.heard(issue, "No run has been asked for here")
    place.say(issue, "/optr run", place.reader)
    place.heard(issue, "takes write permission")
    assert place.checks(place.base, "optr") == []


def test_an_unknown_command_names_the_nearest_and_does_nothing(place: Place) -> None:
    issue = place.open_issue()
    place.say(issue, "/optr stats")
    place.heard(issue, "Did you mean `status`?")
    place.say(issue, "/optr run agent=codex")
    place.heard(issue, "Did you mean `agents`?")
    assert place.checks(place.base, "optr") == []


def test_code_quotes_and_edits_are_no_commands(place: Place) -> None:
    issue = place.open_issue()
    for text in NOT_COMMANDS:
        place.say(issue, text)
    comment = place.say(issue, "Nothing yet")
    place.human("ada").patch(f"{place.path}/issues/comments/{comment}", {"body": "/optr run"})
    place.drained()
    assert place.nothing_happened(issue)


def test_run_then_status_then_rerun_overwrites_nothing(place: Place) -> None:
    issue = place.open_issue()
    place.say(issue, "/optr rerun")
    place.heard(issue, "no run here to repeat")
    place.say(issue, "/optr run constraints=small")
    first = place.opened(issue)
    place.say(issue, "/optr status")
    status = place.heard(issue, "**in_review**")["body"]
    assert f"#{first['number']}" in status
    assert "Winner: regex-order" in status
    place.say(issue, "/optr rerun")
    place.heard(issue, "is still open")
    place.human("grace").patch(f"{place.path}/pulls/{first['number']}", {"state": "closed"})
    place.heard(issue, "closed: **rejected**")
    before = place.lake()

    place.say(issue, "/optr rerun")
    place.heard_all(issue, f"issue-{issue}.2", "waits for a human")
    after = place.lake()
    assert [line["workflow"] for line in after.lines()] == [f"issue-{issue}"] * 4 + [f"issue-{issue}.2"] * 3
    assert after.lines()[:4] == before.lines()
    for path in sorted(before.workflow(f"issue-{issue}").rglob("*")):
        if path.is_file():
            again = after.path / path.relative_to(before.path)
            assert again.read_bytes() == path.read_bytes(), path.name
    after.verified()
    assert {pull["head"]["ref"] for pull in place.pulls()} == {f"optr/issue-{issue}", f"optr/issue-{issue}.2"}
    assert len(place.checks(place.base, "optr")) == 2
    asked = {name: (after.workflow(name) / "plan.json").read_text() for name in (f"issue-{issue}", f"issue-{issue}.2")}
    assert all('"small"' in text for text in asked.values()), "the same request, word for word"
