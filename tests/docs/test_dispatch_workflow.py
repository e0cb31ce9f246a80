"""`.github/workflows/optr.yml` at work: its own shell steps, real git, two runs in two fresh clones and states."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ledger.keys import Signer
from tests.docs.runner import Job

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/optr.yml"
PUSH = "Push the record, and the winner if there is one"
HOSTILE = 'Fix "the sum"; touch pwned #$(touch pwned)`touch pwned`\n::error::x\n--json'
CONFIG = """\
agents: [fixer]
checks:
  - {id: sum, run: "python3 -c 'import calc; assert calc.add(2, 3) == 5'", proves: [tested]}
"""
FIX = "open('calc.py', 'w').write('def add(a, b):\\n    return a + b\\n')"
PROFILE = "---\nname: fixer\ntype: command\ncommand: {}\n---\n"
FILES = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    ".gitignore": ".venv\n",
    ".github/optr.yml": CONFIG,
    ".github/agents/fixer.agent.md": PROFILE.format(json.dumps(["python3", "-c", FIX])),
}


def git(directory: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    return subprocess.run(
        ["git", *who, *words], cwd=directory, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


@dataclass
class Hub:
    """A bare repository, the secret, and a way to get a runner of one's own."""

    origin: Path
    key: str
    vkey: str
    root: Path
    count: int = 0

    def job(self, name: str = "fix", **contexts: str) -> Job:
        self.count += 1
        clone, temp = self.root / f"clone-{self.count}", self.root / f"temp-{self.count}"
        git(self.root, "clone", "--quiet", str(self.origin), str(clone))
        (clone / ".venv/bin").mkdir(parents=True)
        temp.mkdir()
        (clone / ".venv/bin/optr").symlink_to(Path(sys.executable).parent / "optr")
        given = {
            "github.ref": "refs/heads/main",
            "github.event.repository.default_branch": "main",
            "github.server_url": "https://github.example",
            "github.token": "a-token-for-pushing",
            "inputs.workflow_name": name,
            "inputs.intent": HOSTILE,
            "inputs.constraints": "small,tested",
            "secrets.OPTR_LEDGER_KEY": self.key,
            "secrets.OPENAI_API_KEY": "",
            "secrets.ANTHROPIC_API_KEY": "",
            "vars.OPTR_NEW_LEDGER": "",
        }
        return Job(clone, temp, given | contexts)

    def lines(self) -> list[dict[str, Any]]:
        text = git(self.origin, "show", "datalake:datalake/ledger.jsonl")
        return [json.loads(line) for line in text.splitlines()]

    def branches(self) -> set[str]:
        return set(git(self.origin, "for-each-ref", "--format=%(refname:lstrip=2)").split())


@dataclass
class Started:
    """A hub after its first run, which began the ledger."""

    hub: Hub
    job: Job
    key_modes: list[int]


@pytest.fixture(scope="module")
def started(jq: None, tmp_path_factory: pytest.TempPathFactory) -> Started:
    del jq
    root = tmp_path_factory.mktemp("hub")
    made = root / "made"
    for name, text in FILES.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    git(made, "init", "--quiet", "--initial-branch=main")
    git(made, "add", "--all")
    git(made, "commit", "--quiet", "--message=base")
    git(root, "clone", "--quiet", "--bare", str(made), "origin.git")
    signer = Signer.generate(root / "key", "optr/acme/sums")
    hub = Hub(root / "origin.git", (root / "key").read_text(), str(signer.vkey), root)
    job, modes = hub.job(**{"vars.OPTR_NEW_LEDGER": "1"}), []
    key = job.temp / "ledger.key"
    assert job.run(WORKFLOW, "execute", {"Execute": lambda: modes.append(key.stat().st_mode & 0o777)}), job.log
    return Started(hub, job, modes)


@pytest.fixture
def hub(started: Started, tmp_path: Path) -> Hub:
    """A copy of it, to be spoilt."""
    shutil.copytree(started.hub.origin, tmp_path / "origin.git")
    return Hub(tmp_path / "origin.git", started.hub.key, started.hub.vkey, tmp_path)


def verify(hub: Hub) -> subprocess.CompletedProcess[str]:
    clone = hub.root / "auditor"
    git(hub.root, "clone", "--quiet", "--single-branch", "--branch=datalake", str(hub.origin), str(clone))
    argv = [sys.executable, "-m", "bot.cli", "verify-ledger", "--repo", str(clone), "--key", hub.vkey]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_two_runners_that_remember_nothing_make_one_ledger(started: Started, hub: Hub) -> None:
    head = hub.lines()[-1]
    second = hub.job()
    assert second.run(WORKFLOW, "execute"), second.log
    lines = hub.lines()
    kinds = [line["type"] for line in lines]
    assert kinds == ["MAEG_CREATED", "OPTR_SELECTED", "LEDGER_ADOPTED", "MAEG_CREATED", "OPTR_SELECTED"]
    adopted = lines[2]
    assert (adopted["adoptedSize"], adopted["previousHash"]) == (2, head["hash"])
    assert adopted["adoptedRoot"] == started.job.outputs["execute"]["ledger_hash"]
    assert adopted["run"] == lines[3]["run"]
    assert hub.branches() == {"main", "datalake", "optr/fix", "optr/fix.2"}
    done = verify(hub)
    assert (done.returncode, done.stdout.splitlines()[1]) == (0, "Entries: 5"), done.stderr


def test_the_outputs_are_those_of_the_record(started: Started, hub: Hub) -> None:
    made = started.job.outputs["execute"]
    assert made["status"] == "0"
    assert made["selected_agent"] == "fixer"
    assert made["admissible"] == "true"
    assert made["commit_hash"] == git(hub.origin, "rev-parse", "refs/heads/optr/fix")
    summary = (started.job.temp / "execute.GITHUB_STEP_SUMMARY").read_text()
    assert made["ledger_hash"] in summary
    assert "size 2" in summary


def test_inputs_stay_data_and_secrets_stay_secret(started: Started, hub: Hub) -> None:
    assert not list(started.hub.root.rglob("pwned"))
    plan = json.loads(git(hub.origin, "show", "datalake:datalake/workflows/fix/plan.json"))
    assert plan["intent"]["title"].startswith('Fix "the sum"; touch pwned')
    assert plan["intent"]["constraints"] == ["small", "tested"]
    assert started.key_modes == [0o600]
    assert not (started.job.temp / "ledger.key").exists()
    assert hub.key.strip() not in started.job.log
    assert "a-token-for-pushing" not in started.job.log


def test_a_run_without_winner_fails_and_is_recorded(hub: Hub) -> None:
    clone = hub.root / "bad"
    git(hub.root, "clone", "--quiet", str(hub.origin), str(clone))
    (clone / ".github/agents/fixer.agent.md").write_text(
        "---\nname: fixer\ntype: command\ncommand: [\"python3\", \"-c\", \"open('calc.py', 'a').write('#')\"]\n---\n"
    )
    git(clone, "commit", "--quiet", "--all", "--message=worse")
    git(clone, "push", "--quiet", "origin", "main")
    job = hub.job()
    assert not job.run(WORKFLOW, "execute")
    assert job.outputs["execute"] == {
        **dict.fromkeys(("selected_agent", "commit_hash", "branch"), ""),
        "status": "3",
        "admissible": "false",
        "ledger_hash": job.outputs["execute"]["ledger_hash"],
    }
    assert hub.lines()[-1]["type"] == "OPTR_NO_WINNER"
    assert "optr/fix.2" not in hub.branches()


def moved(hub: Hub) -> Callable[[], None]:
    """Somebody else's commit on the branch, while our run is at work."""

    def move() -> None:
        tree = git(hub.origin, "rev-parse", "datalake^{tree}")
        commit = git(hub.origin, "commit-tree", tree, "-p", "datalake", "-m", "meanwhile")
        git(hub.origin, "update-ref", "refs/heads/datalake", commit)

    return move


def test_a_branch_that_moved_meanwhile_is_not_overwritten(hub: Hub) -> None:
    job = hub.job()
    assert not job.run(WORKFLOW, "execute", {PUSH: moved(hub)})
    assert "rejected" in job.log
    assert git(hub.origin, "log", "-1", "--format=%s", "datalake") == "meanwhile"
    assert "optr/fix.2" not in hub.branches(), "the winner must not be published without its record"


def tampered(hub: Hub) -> None:
    clone = hub.root / "mallory"
    git(hub.root, "clone", "--quiet", "--branch=datalake", str(hub.origin), str(clone))
    file = clone / "datalake/ledger.jsonl"
    file.write_text(file.read_text().replace('"selectedOptr":"fixer"', '"selectedOptr":"mall"'))
    git(clone, "commit", "--quiet", "--all", "--message=nothing to see")
    git(clone, "push", "--quiet", "origin", "datalake")


def foreign(hub: Hub) -> None:
    hub.key = Signer("optr/acme/sums", os.urandom(32)).vkey.name  # not a key at all


@pytest.mark.parametrize(
    ("spoil", "contexts", "says"),
    [
        (None, {"secrets.OPTR_LEDGER_KEY": ""}, "The secret OPTR_LEDGER_KEY is not set"),
        (None, {"github.ref": "refs/heads/mine"}, "Start this workflow on the default branch"),
        (None, {"inputs.workflow_name": "../up"}, "--workflow"),
        (tampered, {}, "not adopted"),
        (foreign, {}, "is not a ledger signing key"),
        (lambda hub: git(hub.origin, "update-ref", "-d", "refs/heads/datalake"), {}, "There is no branch datalake"),
    ],
)
def test_it_refuses_and_pushes_nothing(
    hub: Hub, spoil: Callable[[Hub], Any] | None, contexts: dict[str, str], says: str
) -> None:
    if spoil is not None:
        spoil(hub)
    before = git(hub.origin, "for-each-ref")
    job = hub.job()
    job.contexts = {**job.contexts, "secrets.OPTR_LEDGER_KEY": hub.key, **contexts}
    assert not job.run(WORKFLOW, "execute")
    assert says in job.log
    assert git(hub.origin, "for-each-ref") == before
