"""The key of a ledger changes hands between two steps of a run that waits: it goes on, and readers follow."""

import json
from pathlib import Path

import pytest

from tests.e2e.cli_kit import Bench, make_bench, profile, write

TOLD = 'case "$OPTR_INTENT" in *"use a plus"*) sed -i s/-/+/ calc.py;; *) exit 3;; esac'
FLOW = "version: 1\npattern: sequential\nroles: {agents: [told, mender]}\n"


@pytest.fixture
def waiting(tmp_path: Path) -> Bench:
    """A workflow that waits for a correction."""
    bench = make_bench(tmp_path, {".github/agents/told.agent.md": profile("told", TOLD), "flow.yml": FLOW})
    config = (bench.repo / ".github/optr.yml").read_text("utf-8")
    write(bench.repo, {".github/optr.yml": config + "workflow: flow.yml\n"})
    bench.commit("Follow a workflow")
    ran = bench.execute("fix")
    assert "awaiting correction" in ran.out, ran.err
    return bench


def test_a_run_that_waits_survives_a_rotation_and_readers_follow_it(waiting: Bench) -> None:
    (first,) = json.loads(waiting.optr("ledger", "keys", "--json").out)["keys"]
    revoked = waiting.optr("trust", "revoke", "human", "mallory")
    assert revoked.code == 0, revoked.err
    turned = waiting.optr("ledger", "rotate-key", "--compromised", "--json")
    assert turned.code == 0, turned.err
    told = json.loads(turned.out)
    assert (told["old"], told["done"]) == (first["key"], True)
    later = waiting.optr("trust", "revoke", "human", "mallet")
    assert later.code == 0, later.err

    ran = waiting.optr("correct", "fix", "S1", "--reason", "use a plus")
    assert "(told, attempt 2)" in ran.out, ran.err

    for vkey in (told["old"], told["new"]):
        assert waiting.optr("verify-ledger", "--repo", ".", "--key", vkey).code == 0
        checked = waiting.optr("trust", "verify", "--key", vkey)
        assert checked.code == 0, checked.err
    listed = waiting.optr("ledger", "keys", "--key", told["old"])
    old, new = listed.out.splitlines()
    assert old.startswith(told["old"])
    assert new.startswith(told["new"])
    assert new.endswith("lines on")
    kinds = [json.loads(line)["type"] for line in waiting.git("show", "datalake:datalake/ledger.jsonl").splitlines()]
    assert kinds.count("KEY_ROTATED") == 1


def test_wrong_input_says_what_to_do(waiting: Bench, tmp_path: Path) -> None:
    stranger = "optr/x/y+0000+AQ=="
    assert waiting.optr("ledger", "keys", "--key", stranger).code == 2
    gone = waiting.optr("ledger", "rotate-key", "--app", "octocat/hello")
    assert (gone.code, "there is no key of a ledger of octocat/hello" in gone.err) == (2, True)
    odd = waiting.optr("ledger", "rotate-key", "--app", "../../etc")
    assert (odd.code, "owner/name" in odd.err) == (2, True), odd.err
    elsewhere = waiting.optr("ledger", "rotate-key", "--repo", str(tmp_path / "nowhere"))
    assert elsewhere.code == 2, elsewhere.err
