"""The App puts its tree heads where its own key cannot rewrite them, and an auditor holds the ledger against them."""

import subprocess
import sys
from pathlib import Path

from ledger.anchors import ANCHORS
from ledger.checkpoint import parse_checkpoint
from tests.e2e.conftest import MakeService
from tests.e2e.service import ROOT, eventually, racing

COMMAND = ["python3", "bots/regex_order.py", "duration"]
ANCHORED = {"OPTR_ANCHORS": "on", "OPTR_RECONCILE_INTERVAL": "4000"}  # longer than a delivery may take


def git(where: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=where, check=True, capture_output=True, text=True).stdout


def test_a_tree_head_is_anchored_once_an_hour_and_the_ledger_extends_it(
    make_service: MakeService, sample: dict[str, bytes]
) -> None:
    service = make_service()
    service.start(**ANCHORED)
    place = service.settle(racing(sample, "worker", worker=COMMAND))
    issue = place.ask()
    place.opened(issue)

    def anchored() -> bool:
        return any(branch["name"] == "datalake-anchors" for branch in place.reader.get(f"{place.path}/branches"))

    eventually(anchored, lambda: f"nothing is anchored\n{service.tail()}")
    eventually(lambda: '"anchored"' in service.tail(), service.tail)

    def pushing() -> list[object]:
        minted = service.github.knob("tokens", installation=place.installed.id)["tokens"]
        return [one for one in minted if one["alive"] and one["permissions"].get("contents") == "write"]

    # The run's own, for a moment; then none.
    eventually(lambda: not pushing(), lambda: f"a token that can push outlives its act: {pushing()}")
    service.stop()
    service.start(**ANCHORED)  # it forgot when it looked last, and finds it on the branch
    place.drained()
    service.stop()
    anchors, lake = place.clone("datalake-anchors"), place.lake().path
    assert len(git(anchors, "rev-list", "HEAD").split()) == 2, "one that begins the branch, one tree head"
    assert git(anchors, "ls-tree", "-r", "--name-only", "HEAD") == "checkpoint\n"
    head = parse_checkpoint((anchors / "checkpoint").read_bytes())
    assert git(anchors, "log", "-1", "--format=%s") == f"Anchor {head.size} lines, root {head.root.hex()}\n"
    git(lake, "-c", "protocol.file.allow=always", "fetch", "-q", str(anchors), f"HEAD:{ANCHORS}")
    command = [sys.executable, "-m", "ledger", "verify", "--repo", str(lake), "--anchors", ANCHORS]
    verified = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout.splitlines()[-1]) == (0, "Ledger verified"), verified.stderr
    ours = place.ours(issue)
    assert len(ours) == 1, [one["body"][:600] for one in ours]
