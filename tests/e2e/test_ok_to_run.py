"""A stranger's pull request: nothing of it runs until a person who may write names its very head."""

import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.service import Lake, Place, Service

CHECK = "optr/ok-to-run"
RULES = b"""\
version: 1
checks:
  - {id: loads, run: python3 -c "import duration", proves: [tested], timeout_s: 60}
"""
# Code of the pull request that fails when anything worth stealing, or anybody to tell it to, is within its reach.
CURIOUS = """\
import os
import socket

held = [name for name in os.environ if any(word in name for word in ("OPTR", "KEY", "TOKEN", "SECRET", "PASSWORD"))]
assert not held, held
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=2).close()
except OSError:
    pass
else:
    raise AssertionError("the App can be reached")
"""


@pytest.fixture
def place(service: Service, sample: dict[str, bytes]) -> Place:
    """A repository with declared checks."""
    return service.settle({**sample, ".github/optr.yml": RULES})


def test_a_writers_word_counts_for_the_head_that_was_named_and_for_no_other(
    place: Place, sample: dict[str, bytes]
) -> None:
    path = "duration/__init__.py"
    ada, bob = place.human("ada"), place.human("bob")
    bob.post(f"{place.path}/git/refs", {"ref": "refs/heads/theirs", "sha": place.base})
    curious = CURIOUS.format(port=place.service.port).encode() + sample[path]
    head = place.push("theirs", path, curious, "bob")
    pull = bob.post(f"{place.path}/pulls", {"title": "Mine", "head": "theirs", "base": "main", "body": ""})
    number = pull["number"]

    place.say(number, f"/optr ok-to-run {head}", place.reader)
    place.heard(number, "takes write permission")
    place.say(number, f"/optr ok-to-run {head[:12]}", ada)
    place.heard(number, "40 hexadecimal digits")
    place.say(number, "/optr ok-to-run", ada)
    place.heard(number, "`SHA` is missing")
    place.say(number, f"/optr ok-to-run {place.base}", ada)
    assert head in place.heard(number, "That is not this pull request's head")["body"]
    assert place.checks(head, CHECK) == []

    place.say(number, f"/optr ok-to-run {head}", ada)
    check = place.concluded(head, CHECK, "success")
    assert "Allowed by ada" in check["output"]["summary"]
    place.heard(number, "passes the base's checks")

    broken = place.push("theirs", path, curious + b"\nraise SystemExit(3)\n", "bob")
    place.service.github.knob("webhooks/drain")
    place.say(number, f"/optr ok-to-run {head}", ada)
    place.heard(number, f"head, which is `{broken}` now")
    assert place.checks(broken, CHECK) == []
    place.say(number, f"/optr ok-to-run {broken}", ada)
    failed = place.concluded(broken, CHECK, "failure")
    assert "CHECK_FAILED" in failed["output"]["summary"]
    assert [one["conclusion"] for one in place.checks(head, CHECK)] == ["success"]

    lake = place.lake()
    lake.verified()
    assert said(lake) == [
        ("COMMIT_ALLOWED", "ada", number, head, None),
        ("COMMIT_TRIED", "ada", number, head, "passed"),
        ("COMMIT_ALLOWED", "ada", number, broken, None),
        ("COMMIT_TRIED", "ada", number, broken, "failed"),
    ]
    first, result, *_ = lake.lines()
    assert first["account"] == result["account"] == ada.get("/user")["id"]
    assert (result["base"], result["checks"]) == (place.base, {"loads": "passed"})


def test_a_push_while_the_checks_run_voids_them(place: Place, sample: dict[str, bytes]) -> None:
    path = "duration/__init__.py"
    ada, bob = place.human("ada"), place.human("bob")
    bob.post(f"{place.path}/git/refs", {"ref": "refs/heads/slow", "sha": place.base})
    slow = b"import time\ntime.sleep(8)\n" + sample[path]
    head = place.push("slow", path, slow, "bob")
    pull = bob.post(f"{place.path}/pulls", {"title": "Mine", "head": "slow", "base": "main", "body": ""})
    place.say(pull["number"], f"/optr ok-to-run {head}", ada)
    place.at_work(head, CHECK)
    later = place.push("slow", path, sample[path], "bob")
    check = place.concluded(head, CHECK, "cancelled")
    assert "voided" in check["output"]["title"]
    assert place.checks(later, CHECK) == []
    place.heard(pull["number"], "A push voided what ada had allowed")
    assert [line[-1] for line in said(place.lake())] == [None, "voided"]


@pytest.mark.parametrize("point", ["git_push.1", "git_push.2"])
def test_a_kill_leaves_one_line_of_the_word_and_one_of_its_result(
    make_service: MakeService, sample: dict[str, bytes], point: str
) -> None:
    """After the word was recorded, and after its result was; either time the handling is done again from its start."""
    service = make_service()
    place = service.settle({**sample, ".github/optr.yml": RULES})
    path = "duration/__init__.py"
    bob = place.human("bob")
    bob.post(f"{place.path}/git/refs", {"ref": "refs/heads/theirs", "sha": place.base})
    head = place.push("theirs", path, sample[path] + b"\n", "bob")
    number = bob.post(f"{place.path}/pulls", {"title": "Mine", "head": "theirs", "base": "main", "body": ""})["number"]
    service.start(OPTR_CRASH_AT=point)
    place.say(number, f"/optr ok-to-run {head}")
    service.await_death()
    if point == "git_push.1":  # nothing was tried before the kill, and after it the commit is not the head any more
        later = place.push("theirs", path, sample[path] + b"\n\n", "bob")
        assert place.checks(later, CHECK) == []
    service.start()
    result, conclusion = ("voided", "cancelled") if point == "git_push.1" else ("passed", "success")
    place.concluded(head, CHECK, conclusion)
    place.heard(number, "It stands on this commit only")
    lake = place.lake()
    lake.verified()
    assert [line[0] for line in said(lake)] == ["COMMIT_ALLOWED", "COMMIT_TRIED"]
    assert said(lake)[-1] == ("COMMIT_TRIED", "ada", number, head, result)
    assert len(place.checks(head, CHECK)) == len(place.ours(number)) == 1
    service.stop()


def said(lake: Lake) -> list[tuple[str, str, int, str, str | None]]:
    """What each line says: its type, who, of which pull request, which commit, and the result."""
    return [
        (line["type"], line["actor"], line["pullRequest"], line["commit"], line.get("result")) for line in lake.lines()
    ]
