"""The adviser on the wire: a real HTTP server in the place of Work IQ, a real workspace, the real sandbox."""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from execution.agents.build import AgentUnavailableError, ModelAccess, build_agent, grants
from execution.agents.profiles import load_profiles
from execution.agents.prompt import CHECKS_TITLE
from execution.models.workiq import ANSWER_BYTES_MAX
from execution.ports import Sandbox
from execution.records import AgentOutcome, Attempt, Command, CommandResult, Limits, Task, WorkflowDetail
from execution.sandbox.probe import choose_sandbox
from execution.workspace import Workspace, discard, prepare, take_patch
from tests.bot.api_server import Answer, ApiServer, Asked, Reply, serving
from tests.execution.rooms import Origin

WORD = "w0rd"
TOKEN = "eyJ-a-user-token-0123456789"
SOURCE = "def add(a, b):\n    return a - b\n\n\ndef twice(a):\n    return a + a\n"
FILES: dict[str, str | bytes] = {
    "sums/add.py": SOURCE,
    "sums/crlf.py": "x = 1\r\ny = 2\r\n",
    "sums/secret.py": "HIDDEN = 'not named'\n",
    "sums/logo.bin": b"\x00\x01\x02",
    "run_checks.py": "print('checks')\n",
}
CREATED = Reply(201, {"id": "conv-1"})
CONTEXT = f"Files:\nsums/secret.py\n\n{CHECKS_TITLE}\n- unit: python3 run_checks.py\n"
REPORT = '{"summary": "fixed", "invariants": ["tested"], "risks": "", "rollback": "revert"}'


@pytest.fixture(scope="module")
def room() -> Sandbox:
    return asyncio.run(choose_sandbox())


class Watched:
    """The sandbox, and what was asked of it."""

    def __init__(self, inner: Sandbox) -> None:
        self.name = inner.name
        self.inner = inner
        self.commands: list[Command] = []

    async def run(self, command: Command) -> CommandResult:
        self.commands.append(command)
        return await self.inner.run(command)


@pytest.fixture
def workspace(origin: Origin, scratch: Path) -> Iterator[Workspace]:
    commit = origin.commit(FILES)
    (origin.tree / "link.py").symlink_to("/etc/passwd")
    commit = origin.commit({})
    made = prepare(origin.git_dir, commit, scratch)
    yield made
    discard(made)


def block(path: str, search: str, replace: str, word: str = WORD) -> str:
    middle = f"======= {word}\n"
    return f"<<<<<<< {word} {path}\n{search}{middle}{replace}>>>>>>> {word}\n"


FIX = block("sums/add.py", "    return a - b\n", "    return a + b\n")


def says(*texts: str, **more: Any) -> Reply:
    messages = [{"id": "m", "text": text, "adaptiveCards": []} for text in texts]
    return Reply(200, {"id": "conv-1", "state": "active", "turnCount": 1, "messages": messages, **more})


def echo(answer: str) -> Callable[[Asked], Reply]:
    """As the service does: our own message first, Copilot's last."""
    return lambda asked: says(asked.body["message"]["text"], answer)


class Case:
    def __init__(self, made: Attempt, server: ApiServer, box: Watched, slept: list[float]) -> None:
        self.made, self.server, self.box, self.slept = made, server, box, slept

    @property
    def steps(self) -> list[tuple[str, str]]:
        assert isinstance(self.made.detail, WorkflowDetail)
        return [(step.step, str(step.status)) for step in self.made.detail.workflow_steps]


def ask(
    workspace: Workspace,
    room: Sandbox,
    *answers: Answer,
    intent: str = "add.py subtracts.",
    access: dict[str, Any] | None = None,
    **limits: float,
) -> Case:
    async def main() -> Case:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        async with serving(*answers) as server:
            environ = {"OPTR_ALLOW_WORKIQ": "1", "OPTR_WORKIQ_URL": server.url, "WORKIQ_TOKEN": TOKEN}
            granted = ModelAccess(environ, fence=lambda: WORD, sleep=sleep, **(access or {}))
            agent = build_agent(load_profiles({})["mscopilot"], granted)
            task = Task(run="0" * 16, node="mscopilot", intent=intent, context=CONTEXT)
            box = Watched(room)
            made = await agent.attempt(task, workspace.tree, box, Limits.model_validate(limits))
            return Case(made, server, box, slept)

    return asyncio.run(main())


def test_an_answer_is_applied_inside_the_sandbox(workspace: Workspace, room: Sandbox) -> None:
    case = ask(workspace, room, CREATED, echo(f"Sure!\n```\n{FIX}```\n{REPORT}"))
    assert (case.made.outcome, case.made.error) == (AgentOutcome.COMPLETED, None)
    patch = take_patch(workspace).decode()
    assert "-    return a - b\n+    return a + b\n" in patch
    assert case.made.report.invariants == ("tested",)
    assert case.steps == [(step, "completed") for step in ("analyze_intent", "plan_execution", "coordinate_agents")]
    assert case.made.detail is not None
    shown = case.made.detail.model_dump(mode="json", by_alias=True)
    assert (shown["type"], shown["status"]) == ("microsoft_copilot_workflow", "completed")
    assert set(shown["workflowSteps"][0]) == {"step", "action", "status"}
    assert case.made.usage.calls == 1
    assert case.made.usage.cost_microusd > 0


def test_the_wire_is_work_iqs(workspace: Workspace, room: Sandbox) -> None:
    case = ask(workspace, room, CREATED, echo(FIX))
    create, chat = case.server.asked
    assert (create.method, create.path, create.body) == ("POST", "/rest/conversations", {})
    assert (chat.method, chat.path) == ("POST", "/rest/conversations/conv-1/chat")
    assert set(chat.body) == {"message", "locationHint"}
    assert chat.body["locationHint"] == {"timeZone": "UTC"}
    assert {asked.headers["Authorization"] for asked in case.server.asked} == {f"Bearer {TOKEN}"}


def test_only_named_files_leave(workspace: Workspace, room: Sandbox) -> None:
    case = ask(workspace, room, CREATED, echo(FIX), intent="See sums/add.py, ./sums/logo.bin and link.py.")
    text = case.server.asked[1].body["message"]["text"]
    assert SOURCE in text
    assert "print('checks')" in text
    assert "HIDDEN" not in text
    assert "root:" not in text
    assert "not shown (too large, too many, or no text): sums/logo.bin" in text


def test_line_ends_of_a_file_stay_as_they_are(workspace: Workspace, room: Sandbox) -> None:
    answer = block("sums/crlf.py", "y = 2\n", "y = 3\nz = 4\n")
    ask(workspace, room, CREATED, echo(answer), intent="crlf.py is wrong")
    assert (workspace.tree / "sums/crlf.py").read_bytes() == b"x = 1\r\ny = 3\r\nz = 4\r\n"


def test_new_files_and_several_blocks_in_one_file(workspace: Workspace, room: Sandbox) -> None:
    more = block("sums/add.py", "    return a + a\n", "    return 2 * a\n") + block("docs/new/a.md", "", "# A\n")
    case = ask(workspace, room, CREATED, echo(FIX + more))
    assert case.made.outcome is AgentOutcome.COMPLETED
    assert (workspace.tree / "sums/add.py").read_text().count("return a + b\n\n\ndef twice(a):\n    return 2 * a") == 1
    assert (workspace.tree / "docs/new/a.md").read_text() == "# A\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("I would change the minus.", "the answer holds no block"),
        (block("sums/add.py", "    return a-b\n", "x\n"), "block 1 (sums/add.py) does not match the file exactly"),
        (block("sums/add.py", "\n", "x\n"), "matches 3 places, not one"),
        (block("sums/add.py", "", "x\n"), "nothing to search for, but the file exists"),
        (block("sums/secret.py", "HIDDEN = 'not named'\n", "x\n"), "was not shown"),
        (block("sums/none.py", "x\n", "y\n"), "searches in a file that does not exist"),
        (block("sums", "", "y\n"), "names a directory"),
        (block("sums/add.py/x", "", "y\n"), "below something that is no directory"),
        (block("link.py", "", "y\n"), "was not shown"),
        (block("link.py/x", "", "y\n"), "below something that is no directory"),
        (block("sums/logo.bin", "\x00\n", "y\n"), "was not shown"),
        (block("../out.py", "", "y\n"), "may not be written: ../out.py"),
        (block("/etc/cron.d/x", "", "y\n"), "may not be written"),
        (block("a/../../b", "", "y\n"), "may not be written"),
        (block(".git/hooks/pre-commit", "", "y\n"), "may not be written"),
        (block("a/.GIT/config", "", "y\n"), "may not be written"),
        (block("a\\b", "", "y\n"), "no usable path"),
        (block("a\x1bb", "", "y\n"), "no usable path"),
        (FIX + block("sums/add.py", "    return a - b\n", "y\n"), "block 2 (sums/add.py) does not match"),
        (f"<<<<<<< {WORD} sums/add.py\nx\n", "block 1 does not end"),
        (f"<<<<<<< {WORD} sums/add.py\n{FIX}", "does not end before the next begins"),
        (f"======= {WORD}\n", "middle mark"),
        (f">>>>>>> {WORD}\n", "end mark"),
        (block("sums/add.py", "    return a - b\n", "x\n", word="other"), "the answer holds no block"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    answer: str, words: str, workspace: Workspace, room: Sandbox
) -> None:
    case = ask(workspace, room, CREATED, echo(answer))
    assert case.made.outcome is AgentOutcome.FAILED
    assert case.made.error is not None
    assert words in case.made.error
    assert "gave no usable advice" in case.made.error
    assert take_patch(workspace) == b""
    assert case.steps[0] == ("analyze_intent", "completed")
    assert [status for _, status in case.steps].count("failed") == 1


def test_steps_tell_where_it_failed(workspace: Workspace, room: Sandbox) -> None:
    unread = ask(workspace, room, CREATED, echo("no"))
    assert [status for _, status in unread.steps] == ["completed", "failed", "not_reached"]
    unfit = ask(workspace, room, CREATED, echo(block("sums/add.py", "zzz\n", "y\n")))
    assert [status for _, status in unfit.steps] == ["completed", "completed", "failed"]


@pytest.mark.parametrize(
    ("answers", "outcome", "words"),
    [
        ((Reply(401, {"error": {"code": "InvalidAuthenticationToken", "message": "expired"}}),), "agent_auth", "key"),
        ((CREATED, Reply(403, {"error": {"message": "no licence"}})), "agent_auth", "no licence"),
        ((CREATED, Reply(500, raw=b"<html>oops</html>")), "agent_failed", "failed on its side"),
        ((CREATED, Reply(413, {})), "agent_failed", "outgrew"),
        ((CREATED, Reply(200, raw=b'{"messages": [')), "agent_failed", "no JSON object"),
        ((CREATED, Reply(200, raw=b"[" * 100_000)), "agent_failed", "no JSON object"),
        ((CREATED, Reply(200, [1])), "agent_failed", "no JSON object"),
        ((CREATED, says()), "agent_failed", "holds no answer"),
        ((CREATED, lambda asked: says(asked.body["message"]["text"])), "agent_failed", "holds no answer"),
        ((CREATED, Reply(200, {"messages": [{"text": 5}]})), "agent_failed", "holds no answer"),
        ((CREATED, says("x", state="disengagedForRai")), "agent_failed", "refused the task"),
        ((CREATED, Reply(204, raw=b"")), "agent_failed", "status 204"),
        ((CREATED, Reply(302, raw=b"", headers={"location": "/elsewhere"})), "agent_failed", "status 302"),
        ((Reply(200, {"id": "conv-1"}),), "agent_failed", "status 200, not 201"),
        ((Reply(201, {"id": "../../admin"}),), "agent_failed", "no usable id"),
        ((Reply(201, {"id": ".."}),), "agent_failed", "no usable id"),
        ((Reply(201, {}),), "agent_failed", "no usable id"),
        ((CREATED, Reply(drop=True)), "agent_failed", "connection to Work IQ failed"),
        ((CREATED, Reply(200, raw=b"x" * (ANSWER_BYTES_MAX + 1))), "agent_failed", "more than 4194304 bytes"),
    ],
)
def test_a_failing_service_is_an_outcome_with_a_culprit(
    answers: tuple[Answer, ...], outcome: str, words: str, workspace: Workspace, room: Sandbox
) -> None:
    case = ask(workspace, room, *answers)
    assert str(case.made.outcome) == outcome
    assert case.made.error is not None
    assert words in case.made.error
    assert TOKEN not in case.made.model_dump_json()
    assert take_patch(workspace) == b""
    assert len(case.server.asked) <= 2


def test_rate_limits_are_waited_for_within_bounds(workspace: Workspace, room: Sandbox) -> None:
    busy = Reply(429, {}, headers={"retry-after": "7"})
    case = ask(workspace, room, CREATED, busy, Reply(503, {}, headers={"retry-after": "9999"}), echo(FIX))
    assert case.made.outcome is AgentOutcome.COMPLETED
    assert case.slept == [7.0, 30.0]


def test_a_rate_limit_that_stays_is_told(workspace: Workspace, room: Sandbox) -> None:
    case = ask(workspace, room, CREATED, Reply(429, {}), access={"retries": 1})
    assert case.made.outcome is AgentOutcome.FAILED
    assert case.made.error is not None
    assert "limits this account's rate" in case.made.error
    assert len(case.slept) == 1


def test_silence_ends_the_call_and_the_clock_ends_the_attempt(workspace: Workspace, room: Sandbox) -> None:
    slow = Reply(200, {}, wait_s=5.0)
    silent = ask(workspace, room, CREATED, slow, access={"silence_seconds": 0.3})
    assert silent.made.error is not None
    assert "did not answer in time" in silent.made.error
    late = ask(workspace, room, CREATED, slow, wall_seconds=1.5)
    assert (late.made.outcome, late.made.error) == (AgentOutcome.TIMEOUT, "Agent 'mscopilot' timed out after 1500ms")
    assert late.made.usage.fresh > 0
    assert [status for _, status in late.steps] == ["completed", "failed", "not_reached"]


@pytest.mark.parametrize(("limits", "word"), [({"tokens": 50}, "token"), ({"cost_microusd": 10}, "money")])
def test_no_call_is_made_beyond_a_limit(
    limits: dict[str, float], word: str, workspace: Workspace, room: Sandbox
) -> None:
    case = ask(workspace, room, CREATED, echo(FIX), **limits)
    assert case.made.outcome is AgentOutcome.BUDGET
    assert case.made.error is not None
    assert word in case.made.error
    assert case.server.asked == []


def test_the_token_reaches_neither_sandbox_nor_log_nor_record(
    workspace: Workspace, room: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    case = ask(workspace, room, CREATED, echo(f"{FIX}{REPORT}"))
    assert case.made.outcome is AgentOutcome.COMPLETED
    assert len(case.box.commands) >= 3
    for command in case.box.commands:
        assert TOKEN not in command.model_dump_json()
        assert not command.network
        assert set(command.env) & set(os.environ) <= {"PAGER", "GIT_PAGER", "TERM", "CI", "PYTHONDONTWRITEBYTECODE"}
    assert TOKEN not in caplog.text
    assert TOKEN not in case.made.model_dump_json()
    assert all(TOKEN not in asked.path for asked in case.server.asked)


def build(environ: dict[str, str]) -> str:
    with pytest.raises(AgentUnavailableError) as error:
        build_agent(load_profiles({})["mscopilot"], ModelAccess(environ))
    return str(error.value)


def test_it_is_off_unless_the_operator_allows_it() -> None:
    profile = load_profiles({})["mscopilot"]
    assert "OPTR_ALLOW_WORKIQ=1" in build({"WORKIQ_TOKEN": TOKEN})
    assert "OPTR_ALLOW_WORKIQ=1" in build({"WORKIQ_TOKEN": TOKEN, "OPTR_ALLOW_WORKIQ": "yes"})
    assert "MICROSOFT_GRAPH_TOKEN" in build({"OPTR_ALLOW_WORKIQ": "1"})
    plain = {"OPTR_ALLOW_WORKIQ": "1", "WORKIQ_TOKEN": TOKEN, "OPTR_WORKIQ_URL": "http://example.com"}
    assert "OPTR_WORKIQ_URL" in build(plain)
    access = ModelAccess({"OPTR_ALLOW_WORKIQ": "1", "MICROSOFT_GRAPH_TOKEN": TOKEN})
    build_agent(profile, access)
    assert TOKEN not in repr(access)
    (warning,) = grants(profile, access)
    assert "https://workiq.svc.cloud.microsoft" in warning
    assert grants(load_profiles({})["codex"], access) == ()


def test_the_record_reads_back(workspace: Workspace, room: Sandbox) -> None:
    made = ask(workspace, room, CREATED, echo(FIX)).made
    assert Attempt.model_validate_json(made.model_dump_json()) == made
    assert json.loads(made.model_dump_json())["detail"]["type"] == "microsoft_copilot_workflow"
