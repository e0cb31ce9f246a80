"""The demonstration's outcome: four real attempts, judged by the project's own checks, the base's tests restored."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from bot.demo.cassette import demo_cassettes
from bot.demo.prepare import demo_issue, prepare_project
from bot.demo.recorded import recorded_model
from execution.agents.build import ModelAccess, build_agent, limits_for
from execution.agents.profiles import load_profiles
from execution.config import CONFIG_PATH, Config, load_config
from execution.gitcmd import run_git
from execution.records import AgentOutcome, Attempt, Command, Task
from execution.sandbox.probe import choose_sandbox
from execution.workspace import Workspace, discard, prepare, take_patch
from scoring.evidence import DiffFacts, Evidence, Reason
from scoring.select import select


class Ground:
    """The prepared project and a place for workspaces."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = prepare_project(root / "project")
        self.git_dir = self.project / ".git"
        self.commit = run_git(self.git_dir, "rev-parse", "main").decode().strip()
        self.config: Config = load_config((self.project / CONFIG_PATH).read_bytes())
        found = (self.project / ".github/agents").iterdir()
        self.profiles = load_profiles({f".github/agents/{path.name}": path.read_bytes() for path in found})

    def workspace(self) -> Workspace:
        return prepare(self.git_dir, self.commit, self.root)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    root = Path(tempfile.mkdtemp(prefix="optr-test-"))
    root.chmod(0o711)
    yield Ground(root)
    shutil.rmtree(root)


def race(ground: Ground) -> dict[str, tuple[Attempt, bytes]]:
    title, body = demo_issue()

    async def one(name: str, access: ModelAccess) -> tuple[Attempt, bytes]:
        workspace = ground.workspace()
        try:
            profile = ground.profiles[name]
            task = Task(run="0" * 16, node=name, intent=f"{title}\n\n{body}")
            agent = build_agent(profile, access)
            sandbox = await choose_sandbox()
            made = await agent.attempt(task, workspace.tree, sandbox, limits_for(profile, {}))
            return made, take_patch(workspace)
        finally:
            discard(workspace)

    async def main() -> dict[str, tuple[Attempt, bytes]]:
        async with recorded_model(demo_cassettes()) as model:
            access = ModelAccess(model.environ)
            results = await asyncio.gather(*(one(name, access) for name in ground.config.agents))
        return dict(zip(ground.config.agents, results, strict=True))

    return asyncio.run(main())


def passing(ground: Ground, patch: bytes, *, base_tests: bool) -> set[str]:
    workspace = ground.workspace()
    try:
        if patch:
            subprocess.run(["git", "apply", "-"], cwd=workspace.tree, input=patch, check=True)
        if base_tests:
            shutil.rmtree(workspace.tree / "tests")
            shutil.copytree(ground.project / "tests", workspace.tree / "tests")

        async def main() -> set[str]:
            sandbox = await choose_sandbox()
            ids = set()
            for check in ground.config.checks:
                result = await sandbox.run(Command(argv=("sh", "-c", check.run), workspace=workspace.tree))
                if result.exit_code == 0:
                    ids.add(check.id)
            return ids

        return asyncio.run(main())
    finally:
        discard(workspace)


def test_the_base_is_broken_as_the_issue_says(ground: Ground) -> None:
    assert passing(ground, b"", base_tests=False) == {"examples", "docstrings"}


def test_four_agents_end_as_the_demo_promises(ground: Ground) -> None:
    results = race(ground)
    assert {name: made.outcome for name, (made, _) in results.items()} == dict.fromkeys(
        ("codex", "claude", "regex-order", "snapshot"), AgentOutcome.COMPLETED
    )
    honest = {name: passing(ground, patch, base_tests=True) for name, (_, patch) in results.items()}
    own = {name: passing(ground, patch, base_tests=False) for name, (_, patch) in results.items()}
    assert honest == {
        "codex": {"tests", "examples", "docstrings", "changelog"},
        "claude": {"tests", "examples", "changelog"},
        "regex-order": {"tests", "examples", "docstrings"},
        "snapshot": {"examples", "docstrings"},
    }
    # The row that tells: on its own tree the cheat passes, with the original tests it does not.
    assert "tests" in own["snapshot"]
    assert all(own[name] == honest[name] for name in ("codex", "claude", "regex-order"))

    for slow in ("codex", "nobody"):
        evidence = [_evidence(ground, name, honest[name], slow=name == slow) for name in results]
        provable = [name for check in ground.config.checks for name in check.proves]
        decided = select(evidence, profile="balanced", accept_score=Decimal("0.5"), provable=provable)
        assert [one.agent for one in decided.ranking] == ["codex", "claude", "regex-order", "snapshot"]
        assert decided.winner == "codex"
        assert [one.admissible for one in decided.ranking] == [True, True, True, False]


def _evidence(ground: Ground, agent: str, passed: set[str], *, slow: bool) -> Evidence:
    failed = [check.id for check in ground.config.checks if check.required and check.id not in passed]
    milliseconds = 30_000 if slow else 0
    return Evidence(
        agent=agent,
        violations=tuple(Reason(code="CHECK_FAILED", text=name) for name in failed),
        diff=DiffFacts(paths=("a",)),
        invariants=tuple(sorted(name for one in ground.config.checks if one.id in passed for name in one.proves)),
        execution_ms=milliseconds,
        ttv_ms=milliseconds,
    )


def test_the_commit_is_always_the_same(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    again = prepare_project(tmp_path / "again")
    assert run_git(again / ".git", "rev-parse", "main").decode().strip() == ground.commit


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(FileExistsError, match="not empty"):
        prepare_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_issue_reads_well() -> None:
    title, body = demo_issue()
    assert title == "A 250ms backoff sleeps for four hours"
    assert body.startswith("After a failed request")
