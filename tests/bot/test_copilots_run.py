"""Both Copilots race on a local repository: plan, candidates, evidence, record; servers of ours stand in for them."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.local import run_local
from bot.local_request import LocalRequest
from execution.problems import SetupProblem
from execution.result import RunResult
from tests.bot.api_server import Asked, Reply, serving
from tests.execution.rooms import Origin

RUNTIME = Path(__file__).parents[1] / "execution" / "copilot_runtime.py"
REPORT = '{"summary": "fixed", "invariants": ["tested"], "risks": "", "rollback": "revert"}'
TOKENS = {"WORKIQ_TOKEN": "a-microsoft-token-0123", "COPILOT_GITHUB_TOKEN": "ghs_a-github-token-0123456789"}
FILES: dict[str, str | bytes] = {
    "add.py": "def add(a, b):\n    return a - b\n",
    "tests/test_add.py": (
        "import unittest\n\nfrom add import add\n\n\nclass Test(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(add(1, 2), 3)\n"
    ),
}


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin(tmp_path / "origin")
    made.tree.mkdir()
    made.git("init", "--quiet", "--initial-branch=main")
    return made


def work_iq(asked: Asked) -> Reply:
    if asked.path == "/rest/conversations":
        return Reply(201, {"id": "c"})
    prompt = asked.body["message"]["text"]
    word = prompt.split("random word ")[1].split(".")[0].split(",")[0].split()[0]
    change = f"<<<<<<< {word} add.py\n    return a - b\n======= {word}\n    return a + b\n>>>>>>> {word}\n"
    return Reply(200, {"messages": [{"text": prompt}, {"text": f"{change}{REPORT}"}]})


def runtime(directory: Path) -> Path:
    directory.mkdir()
    steps = [{"tools": [{"command": "sed -i 's/a - b/b + a/' add.py"}]}, {"say": REPORT}]
    (directory / "scenario.json").write_text(json.dumps({"steps": steps}))
    path = directory / "copilot-runtime"
    path.write_text(f"#!{sys.executable}\n{RUNTIME.read_text()}")
    path.chmod(0o755)
    return path


def race(repo: Path, tmp_path: Path, **environ: str) -> RunResult:
    async def main() -> RunResult:
        async with serving(work_iq) as server:
            request = LocalRequest(
                repo=repo,
                workflow="both",
                intent="add.py subtracts\nIt should add.",
                constraints=(),
                agents=("copilot", "mscopilot"),
                state=tmp_path / "state",
                environ={**TOKENS, "OPTR_WORKIQ_URL": server.url, **environ},
                on_progress=lambda _: None,
            )
            return await run_local(request)

    return asyncio.run(main())


def recorded(repo: Path, name: str) -> dict[str, Any]:
    path = f"datalake:datalake/workflows/both/{name}"
    shown = subprocess.run(["git", "show", path], cwd=repo, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def test_both_write_candidates_that_are_judged_and_recorded(origin: Origin, tmp_path: Path) -> None:
    base = origin.commit(FILES)
    path = runtime(tmp_path / "cli")
    result = race(origin.tree, tmp_path, OPTR_ALLOW_WORKIQ="1", COPILOT_CLI_PATH=str(path))
    assert {row.agent: (str(row.outcome), row.admissible) for row in result.candidates} == {
        "copilot": ("completed", True),
        "mscopilot": ("completed", True),
    }
    assert result.winner in {"copilot", "mscopilot"}
    assert any("Microsoft 365 Copilot" in warning and "OPTR_ALLOW_WORKIQ=1" in warning for warning in result.warnings)

    copilot = recorded(origin.tree, "agent-outputs/copilot.json")
    assert copilot["output"]["type"] == "github_copilot_execution"
    assert copilot["output"]["latestCommit"]["sha"] == base
    assert [commit["sha"] for commit in copilot["output"]["recentCommits"]] == [base]
    facts = {fact["name"]: fact["holds"] for fact in copilot["output"]["facts"]}
    assert facts == {"github_api_access": False, "commit_history_verified": True}
    assert "github_api_access" not in copilot["invariants"]

    adviser = recorded(origin.tree, "agent-outputs/mscopilot.json")["output"]
    assert (adviser["type"], adviser["status"]) == ("microsoft_copilot_workflow", "completed")
    assert [step["step"] for step in adviser["workflowSteps"]] == [
        "analyze_intent",
        "plan_execution",
        "coordinate_agents",
    ]
    whole = subprocess.run(["git", "log", "-p", "--all"], cwd=origin.tree, capture_output=True, check=True).stdout
    assert not [token for token in TOKENS.values() if token.encode() in whole]


def test_without_the_operators_word_no_source_leaves(origin: Origin, tmp_path: Path) -> None:
    origin.commit(FILES)
    path = runtime(tmp_path / "cli")
    with pytest.raises(SetupProblem, match="OPTR_ALLOW_WORKIQ=1"):
        race(origin.tree, tmp_path, COPILOT_CLI_PATH=str(path))
