"""Whole runs on a local repository: what is measured beside the checks reaches the comparison and the record."""

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bot.local import run_local
from bot.local_request import LocalRequest
from bot.render.comparison import comparison
from execution.result import CandidateResult, RunResult
from governance.states import RunOutcome
from scoring.evidence import CrossOutcome

CHECK = """\
python3 -m unittest discover -q -s tests; code=$?
test -e .optr-deps/dep.py && ! touch .optr-deps/mine || exit 9
printf '<testsuite><testcase name="a"/></testsuite>' > out.xml; exit $code
"""
CONFIG = f"""\
agents: [honest, selfish, hanging, broken]
prepare: {{run: "mkdir .optr-deps && echo VALUE=1 > .optr-deps/dep.py"}}
checks:
  - id: tests
    proves: [tested]
    timeout_s: 4
    junit: out.xml
    run: {json.dumps(CHECK)}
scoring:
  weights: {{invariants: "0.9", time_to_value: "0", execution: "0", preference: "0.1"}}
"""
TEST = "import time\nimport unittest\nimport calc\n\n\nclass T(unittest.TestCase):\n    def test(self):\n        {}\n"
FIX = "def add(a, b):\n    return a + b\n"
AGENTS = {
    "honest": {"calc.py": FIX, "tests/test_more.py": TEST.format("self.assertEqual(calc.add(1, 1), 2)")},
    "selfish": {
        "calc.py": f"MINE = 1\n{FIX}",
        "tests/test_mine.py": TEST.format("self.assertTrue(hasattr(calc, 'MINE'))"),
    },
    "hanging": {
        "calc.py": f"CALM = 1\n{FIX}",
        "tests/test_hang.py": TEST.format("getattr(calc, 'CALM', 0) or time.sleep(60)"),
    },
    "broken": {"calc.py": "def add(a, b):\n    return 0\n", "tests/test_b.py": TEST.format("pass")},
}


def repository(path: Path) -> Path:
    files = {
        "calc.py": "def add(a, b):\n    return a - b\n",
        "tests/test_calc.py": TEST.format("self.assertEqual(calc.add(2, 3), 5)"),
        ".github/optr.yml": CONFIG,
    }
    for name, written in AGENTS.items():
        data = json.dumps(json.dumps(written))
        code = f"import json\nfor path, text in json.loads({data}).items():\n    open(path, 'w').write(text)"
        front = {"name": name, "type": "command", "command": ["python3", "-c", code], "capabilities": ["code"]}
        files[f".github/agents/{name}.agent.md"] = f"---\n{json.dumps(front)}\n---\n"
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-q", "-m", "base")):
        subprocess.run(["git", *words], cwd=path, check=True, timeout=60)
    return path


def execute(repo: Path, state: Path, **environ: str) -> RunResult:
    request = LocalRequest(
        repo=repo,
        workflow="fix",
        intent="Fix the sum",
        constraints=(),
        agents=(),
        state=state,
        environ={"PATH": os.environ["PATH"], **environ},
        on_progress=lambda line: None,
    )
    return asyncio.run(run_local(request))


def recorded(repo: Path, name: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(show(repo, f"workflows/fix/{name}"))
    return decoded


def show(repo: Path, path: str) -> bytes:
    argv = ["git", "show", f"datalake:datalake/{path}"]
    return subprocess.run(argv, cwd=repo, check=True, capture_output=True, timeout=60).stdout


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    repo = repository(tmp_path_factory.mktemp("raced"))
    return repo, execute(repo, tmp_path_factory.mktemp("state"))


def votes(result: RunResult) -> dict[tuple[str, str], CrossOutcome]:
    return {(vote.voter, vote.target): vote.outcome for row in result.candidates for vote in row.cross}


def row(result: RunResult, agent: str) -> CandidateResult:
    return next(candidate for candidate in result.candidates if candidate.agent == agent)


def test_new_tests_are_run_against_the_others(raced: tuple[Path, RunResult]) -> None:
    cast = votes(raced[1])
    assert cast["honest", "selfish"] is cast["honest", "hanging"] is CrossOutcome.PASSED
    assert cast["selfish", "honest"] is cast["selfish", "hanging"] is CrossOutcome.FAILED
    assert sorted([cast["hanging", "honest"], cast["hanging", "selfish"]]) == ["not_run", "timed_out"]
    assert all("broken" not in pair for pair in cast)


def test_hostile_votes_harm_nobody(raced: tuple[Path, RunResult]) -> None:
    result = raced[1]
    assert {candidate.agent: candidate.admissible for candidate in result.candidates} == {
        "honest": True,
        "selfish": True,
        "hanging": True,
        "broken": False,
    }
    assert len({row(result, agent).score for agent in ("honest", "selfish", "hanging")}) == 1
    assert result.winner in {"honest", "selfish", "hanging"}


def test_one_line_of_the_comparison_and_the_record_tell_the_votes(raced: tuple[Path, RunResult]) -> None:
    repo, result = raced
    told = [line for line in comparison(result).splitlines() if line.startswith("**Cross-votes**")]
    assert len(told) == 1
    assert "selfish: failed on honest, failed on hanging" in told[0]
    kept = recorded(repo, "agent-outputs/honest.json")["cross"]
    assert ("selfish", "honest", "tests", "failed") in {
        (vote["voter"], vote["target"], vote["check"], vote["outcome"]) for vote in kept
    }


def test_measured_invariants_fit_and_reports_are_recorded(raced: tuple[Path, RunResult]) -> None:
    repo, result = raced
    assert row(result, "honest").invariants == ("audit_mandatory", "commit_history_verified", "secure", "tested")
    assert row(result, "broken").invariants == ("audit_mandatory", "commit_history_verified", "secure")
    assert row(result, "honest").fit == 1000
    assert row(result, "honest").score == "0.9000"
    output = recorded(repo, "agent-outputs/honest.json")
    assert output["fit"] == 1000
    assert output["checks"][0]["report"] == {"tests": 1, "failures": 0, "errors": 0, "skipped": 0}
    warnings = recorded(repo, "agent-outputs/broken.json")["warnings"]
    assert "JUNIT_CONTRADICTS" in {reason["code"] for reason in warnings}
    assert recorded(repo, "plan.json")["prepare"]["network"] is False
    assert "commit_history_verified" not in json.dumps(recorded(repo, "optr-selection.json"))


def test_the_network_grant_stands_on_the_ledger_and_a_failed_preparation_starts_no_agent(tmp_path: Path) -> None:
    repo = repository(tmp_path / "repo")
    config = repo / ".github/optr.yml"
    config.write_text(config.read_text().replace("mkdir .optr-deps &&", "exit 7;"))
    who = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run([*who, "commit", "-qam", "x"], cwd=repo, check=True, timeout=60)
    result = execute(repo, tmp_path / "state", OPTR_PREPARE_NETWORK="1")
    assert result.outcome is RunOutcome.FAILED
    assert "ended with 7" in str(result.problem)
    assert all(candidate.outcome is None for candidate in result.candidates)
    assert json.loads(show(repo, "ledger.jsonl").splitlines()[0])["prepareNetwork"] is True
