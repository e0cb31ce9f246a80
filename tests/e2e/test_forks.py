"""A pull request out of somebody else's fork, from its opening to what its code could see."""

import re
from typing import Any

import pytest

from tests.e2e.service import Place, Service, eventually, racing
from tests.e2e.test_ok_to_run import CHECK, RULES, said

PATH = "duration/__init__.py"
# The fork brings rules of its own, under which everything would pass.
LAX = b"version: 1\nchecks:\n  - {id: loads, run: 'true', proves: [tested], timeout_s: 60}\n"
# What the fork's code can see, as the check's output shows it; then it fails, or nobody would be shown it.
WITNESS = """\
import os
import pathlib
import socket
import time

for name, value in sorted(os.environ.items()):
    print("env", name, value[:80])
for port in ({app}, {github}):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        print("reached", port)
    except OSError:
        print("kept from", port)
for place in {places!r}:
    try:
        print("listed", place, len(os.listdir(place)))
    except OSError:
        print("nothing at", place)
parents = [pathlib.Path(f"/proc/{{pid}}/environ") for pid in os.listdir("/proc") if pid.isdigit()]
for environ in parents:
    try:
        print("process", environ, len(environ.read_bytes()), b"OPTR" in environ.read_bytes())
    except OSError:
        pass
time.sleep({nap})
raise SystemExit(3)
"""
USUAL_NAMES = {"PATH", "HOME", "LANG", "TMPDIR", "PWD", "CI", "PYTHONDONTWRITEBYTECODE", "LC_CTYPE"}


@pytest.fixture
def place(service: Service, sample: dict[str, bytes]) -> Place:
    """A repository with declared checks, of which mallory has a fork."""
    return service.settle({**sample, ".github/optr.yml": RULES})


def test_a_forks_commit_runs_for_one_word_at_a_time_and_sees_no_secret(place: Place, sample: dict[str, bytes]) -> None:
    service, ada = place.service, place.human("ada")
    mallory, fork = place.human("mallory", "read"), place.fork("mallory")
    head = fork.push("main", PATH, _witness(place, 4) + sample[PATH], "mallory")
    given = {"title": "A gift", "head": "mallory:main", "base": "main", "body": f"/optr ok-to-run {head}"}
    number = mallory.post(f"{place.path}/pulls", given)["number"]

    # Opening it, asking for it oneself, or labelling what one may not label starts nothing.
    place.say(number, f"/optr ok-to-run {head}", mallory)
    place.heard(number, "takes write permission")
    place.drained()
    assert (place.checks(head, CHECK), place.checks(head, "optr"), place.branches()) == ([], [], {"main"})

    place.say(number, f"/optr ok-to-run {head}", ada)
    place.at_work(head, CHECK)
    eventually(lambda: not _pushing(place), "no token that can push is alive while a stranger's code may run")
    check = place.concluded(head, CHECK, "failure")
    assert [one["conclusion"] for one in place.checks(head, CHECK)] == ["failure"]
    assert "CHECK_FAILED" in check["output"]["summary"]
    seen = check["output"]["text"]
    names = set(re.findall(r"^env (\S+)", seen, re.MULTILINE))
    assert names <= USUAL_NAMES, names
    assert not [secret for secret in service.secrets() if secret in seen]
    lines = set(seen.splitlines())
    assert len([line for line in lines if line.startswith("kept from ")]) == 2
    assert "reached" not in seen
    assert {f"nothing at {place}" for place in _hidden(service)} <= lines
    assert re.findall(r"^process \S+ \d+ True$", seen, re.MULTILINE) == []
    assert re.findall(r"^process \S+ \d+ False$", seen, re.MULTILINE), "it saw its own process at least"

    # A push makes another head: the word for the old one is worth nothing for it, said before or after.
    honest = fork.push("main", PATH, sample[PATH] + b"\n", "mallory")
    service.github.knob("webhooks/drain")
    place.say(number, f"/optr ok-to-run {head}", ada)
    place.heard(number, f"head, which is `{honest}` now")
    assert place.checks(honest, CHECK) == []
    place.say(number, f"/optr ok-to-run {honest}", ada)
    place.concluded(honest, CHECK, "success")

    # Rules that the fork brings decide nothing.
    lax = fork.push("main", ".github/optr.yml", LAX, "mallory")
    place.say(number, f"/optr ok-to-run {lax}", ada)
    summary = place.concluded(lax, CHECK, "failure")["output"]["summary"]
    assert "PATCH_PROTECTED" in summary
    assert f"Checks and rules of `{place.base[:12]}`" in summary

    lake = place.lake()
    lake.verified()
    assert [(who, commit, result) for _, who, _, commit, result in said(lake)] == [
        ("ada", head, None),
        ("ada", head, "failed"),
        ("ada", honest, None),
        ("ada", honest, "passed"),
        ("ada", lax, None),
        ("ada", lax, "failed"),
    ]
    # Nothing was ever asked of the fork, nothing of it became a branch here, and every token was for this repository.
    assert place.branches() == {"main", "datalake"}
    asked = service.github.knob("requests", repository=fork.repository.full_name)["requests"]
    assert [one for one in asked if one["kind"] == "installation"] == []
    assert [one["repository_ids"] for one in _tokens(place) if one["repository_ids"] != [place.repository.id]] == []


def test_a_fork_with_the_winners_own_commit_does_not_turn_its_gate_green(
    service: Service, sample: dict[str, bytes]
) -> None:
    """Checks stand on commits: what passes a stranger's pull request must not be said on a commit that is judged."""
    place = service.settle(racing(sample, "regex-order"))
    owner = place.human(place.repository.owner, "admin")
    required = {"required_status_checks": [{"context": "optr/gate", "integration_id": service.app.id}]}
    rule = {"type": "required_status_checks", "parameters": {**required, "strict_required_status_checks_policy": False}}
    only = {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}}
    ruleset = {"name": "gate", "enforcement": "active", "target": "branch", "rules": [rule], "conditions": only}
    owner.post(f"{place.path}/rulesets", ruleset)
    ours = place.opened(place.ask())
    head = ours["head"]["sha"]
    place.concluded(head, "optr/gate", "action_required")

    mallory, fork = place.human("mallory", "read"), place.fork("mallory")
    mallory.post(f"{fork.path}/git/refs", {"ref": "refs/heads/same", "sha": head})
    given = {"title": "The same", "head": "mallory:same", "base": "main", "body": ""}
    theirs = mallory.post(f"{place.path}/pulls", given)["number"]
    gate = place.concluded(head, "optr/gate", "failure")
    assert f"#{theirs}" in gate["output"]["summary"]
    mallory.patch(f"{place.path}/pulls/{theirs}", {"title": "Still the same"})
    place.drained()
    assert [one["conclusion"] for one in place.checks(head, "optr/gate")] == ["failure"]
    assert owner.send("PUT", f"{place.path}/pulls/{ours['number']}/merge", {}).status == 405
    assert owner.send("PUT", f"{place.path}/pulls/{theirs}/merge", {}).status == 405

    # A commit of their own passes, as anybody's does: people's own rules hold for it.
    own = fork.push("same", "README.md", b"# theirs\n", "mallory")
    assert place.concluded(own, "optr/gate", "success")["output"]["title"] == "Not a pull request of OPTR"
    place.concluded(head, "optr/gate", "action_required")


def _witness(place: Place, nap: int) -> bytes:
    service = place.service
    github = int(service.github.url.rpartition(":")[2])
    return WITNESS.format(app=service.port, github=github, places=_hidden(service), nap=nap).encode()


def _hidden(service: Service) -> list[str]:
    return [str(service.home), service.environ["OPTR_STATE"]]


def _tokens(place: Place) -> list[dict[str, Any]]:
    return list(place.service.github.knob("tokens", installation=place.installed.id)["tokens"])


def _pushing(place: Place) -> list[dict[str, Any]]:
    return [one for one in _tokens(place) if one["alive"] and one["permissions"].get("contents") == "write"]
