"""The workflow files: least permissions, pinned actions, no input in a script."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import ROOT

FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def read(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_granted_but_by_job_and_with_a_reason(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert set(job["permissions"]) <= {"contents"}
        assert job["timeout-minutes"] <= 120
    for line in path.read_text(encoding="utf-8").splitlines():
        if re.match(r"\s+\w[\w-]*: (read|write)\b", line):
            assert "#" in line, f"why: {line}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_leave_no_credentials(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text(encoding="utf-8"))
    assert used
    for action in used:
        assert _PINNED.fullmatch(action), action
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_input_becomes_part_of_a_script(path: Path) -> None:
    for step in steps(path):
        assert "${{" not in step.get("run", ""), step
        assert "script" not in step.get("with", {})


def test_the_same_actions_are_pinned_alike() -> None:
    pins = [pin for path in FILES for pin in re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8"))]
    names = {pin.partition("@")[0] for pin in pins}
    assert len(set(pins)) == len(names)


def test_the_dispatch_workflow_takes_what_the_original_took() -> None:
    workflow = read(ROOT / ".github/workflows/optr.yml")
    inputs = workflow[True]["workflow_dispatch"]["inputs"]  # YAML 1.1 reads the key `on` as true
    assert list(inputs) == ["workflow_name", "intent", "constraints"]
    outputs = workflow["jobs"]["execute"]["outputs"]
    assert list(outputs) == ["selected_agent", "admissible", "ledger_hash", "commit_hash"]
    assert workflow["concurrency"]["cancel-in-progress"] is False
    assert workflow["jobs"]["execute"]["permissions"] == {"contents": "write"}
