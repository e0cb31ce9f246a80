"""Command agents in the real sandbox."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from execution.agents.build import AgentUnavailableError, ModelAccess, build_agent, grants
from execution.agents.command import INTENT_BYTES_MAX
from execution.agents.profiles import AgentType, Profile, load_profiles
from execution.ports import Sandbox
from execution.records import AgentOutcome, Attempt, Limits, Task
from execution.sandbox.identity import hand_over
from execution.sandbox.probe import choose_sandbox

TASK = Task(run="0" * 16, node="tool", intent="Füge hinzu:\n$(touch pwned) `id`")


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return asyncio.run(choose_sandbox())


@pytest.fixture
def tree() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="optr-test-"))
    root.chmod(0o711)
    made = root / "tree"
    made.mkdir()
    (made / "a.txt").write_text("a\n")
    hand_over(made)
    yield made
    shutil.rmtree(root)


def run(
    command: tuple[str, ...],
    tree: Path,
    sandbox: Sandbox,
    *,
    environ: dict[str, str] | None = None,
    env: tuple[str, ...] = (),
    task: Task = TASK,
    **limits: float,
) -> Attempt:
    profile = Profile.model_validate({"name": "tool", "type": "command", "command": command, "env": env})
    agent = build_agent(profile, ModelAccess(environ or {}))
    return asyncio.run(agent.attempt(task, tree, sandbox, Limits.model_validate(limits)))


def test_it_works_in_the_workspace_and_reports(tree: Path, sandbox: Sandbox) -> None:
    script = """echo b > "$1/b.txt"; echo working; echo '{"summary": "added b", "invariants": ["tested"]}'"""
    made = run(("bash", "-c", script, "tool", "{workspace}"), tree, sandbox)
    assert (made.outcome, made.error) == (AgentOutcome.COMPLETED, None)
    assert (made.report.summary, made.report.invariants) == ("added b", ("tested",))
    assert (tree / "b.txt").read_text() == "b\n"
    assert made.usage.calls == 0


def test_the_request_comes_by_stdin_and_variable_never_through_a_shell(tree: Path, sandbox: Sandbox) -> None:
    made = run(("bash", "-c", 'cat; echo; printf "%s" "$OPTR_INTENT"'), tree, sandbox)
    assert made.trajectory[0].output == f"{TASK.intent}\n{TASK.intent}"
    assert [path.name for path in tree.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("letter", ["x", "é", "€"])
def test_a_variable_that_holds_only_the_requests_beginning_says_so(tree: Path, sandbox: Sandbox, letter: str) -> None:
    intent = letter * (INTENT_BYTES_MAX // len(letter.encode()) + 1)
    script = 'printf "%s" "$OPTR_INTENT" | wc -c; printf "%s" "$OPTR_INTENT" | tail -c 120; wc -c'
    made = run(("bash", "-c", script), tree, sandbox, task=TASK.model_copy(update={"intent": intent}))
    held, told, whole = made.trajectory[0].output.replace("]", "]\n").split("\n")[:3]
    assert int(held) <= INTENT_BYTES_MAX
    assert f"cut from {len(intent.encode())} bytes, sha256 " in told
    assert int(whole) == len(intent.encode())


def test_the_intent_file_can_be_read(tree: Path, sandbox: Sandbox) -> None:
    made = run(("bash", "-c", 'cat "$1" "$2" "$3"', "tool", "{intent_file}", "-", "{workspace}/a.txt"), tree, sandbox)
    assert made.trajectory[0].output == f"{TASK.intent}{TASK.intent}a\n"
    assert [path.name for path in tree.iterdir()] == ["a.txt"]


def test_an_exit_code_is_a_failure_with_its_last_words(tree: Path, sandbox: Sandbox) -> None:
    made = run(("bash", "-c", "echo first; echo no key >&2; exit 3"), tree, sandbox)
    assert (made.outcome, made.error) == (AgentOutcome.FAILED, "Agent 'tool' ended with code 3: no key")
    assert made.trajectory[0].exit_code == 3


def test_a_missing_program_is_a_failure_not_a_crash(tree: Path, sandbox: Sandbox) -> None:
    made = run(("no-such-program",), tree, sandbox)
    assert made.outcome is AgentOutcome.FAILED


def test_time_runs_out(tree: Path, sandbox: Sandbox) -> None:
    made = run(("bash", "-c", "echo begun; sleep 60"), tree, sandbox, wall_seconds=0.6)
    assert (made.outcome, made.error) == (AgentOutcome.TIMEOUT, "Agent 'tool' timed out after 600ms")


def test_only_granted_variables_are_inside(tree: Path, sandbox: Sandbox) -> None:
    environ = {"TOOL_KEY": "granted", "OTHER": "secret", "OPTR_AGENT_ENV": "TOOL_KEY, UNUSED", "UNUSED": "x"}
    made = run(("env",), tree, sandbox, environ=environ, env=("TOOL_KEY",))
    output = made.trajectory[0].output
    assert "TOOL_KEY=granted" in output
    assert "secret" not in output
    assert "UNUSED" not in output


@pytest.mark.parametrize(
    ("environ", "name", "words"),
    [
        ({"TOOL_KEY": "x"}, "TOOL_KEY", "OPTR_AGENT_ENV"),
        ({"OPTR_AGENT_ENV": "TOOL_KEY"}, "TOOL_KEY", "not set"),
        ({"GITHUB_TOKEN": "x", "OPTR_AGENT_ENV": "GITHUB_TOKEN"}, "GITHUB_TOKEN", "no command may ever see"),
        ({"OPTR_KEY": "x", "OPTR_AGENT_ENV": "OPTR_KEY"}, "OPTR_KEY", "no command may ever see"),
    ],
)
def test_a_variable_is_the_operators_to_grant(environ: dict[str, str], name: str, words: str) -> None:
    profile = Profile.model_validate({"name": "tool", "type": "command", "command": ["env"], "env": [name]})
    with pytest.raises(AgentUnavailableError, match=words):
        build_agent(profile, ModelAccess(environ))


def test_network_is_the_operators_to_grant() -> None:
    profile = Profile.model_validate({"name": "tool", "type": "command", "command": ["env"], "network": True})
    with pytest.raises(AgentUnavailableError, match="OPTR_AGENT_NETWORK=1"):
        build_agent(profile, ModelAccess({}))
    build_agent(profile, ModelAccess({"OPTR_AGENT_NETWORK": "1"}))


@pytest.mark.parametrize("path", sorted(Path("examples/agents").glob("*.agent.md")), ids=lambda path: path.name)
def test_an_example_is_a_profile_that_the_operator_must_grant(path: Path) -> None:
    profile = load_profiles({f".github/agents/{path.name}": path.read_bytes()})[path.name.removesuffix(".agent.md")]
    assert profile.type is AgentType.COMMAND
    granted = {"OPTR_AGENT_ENV": ",".join(profile.env), "OPTR_AGENT_NETWORK": "1", **dict.fromkeys(profile.env, "x")}
    assert build_agent(profile, ModelAccess(granted)) is not None
    assert len(grants(profile, ModelAccess(granted))) == 2
    for lacking in ("OPTR_AGENT_ENV", "OPTR_AGENT_NETWORK"):
        with pytest.raises(AgentUnavailableError, match=lacking):
            build_agent(profile, ModelAccess({**granted, lacking: ""}))
