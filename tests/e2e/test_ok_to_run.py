"""A stranger's pull request: nothing of it runs until a person who may write names its very head."""

import pytest

from tests.e2e.service import Place, Service

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
