"""The loop of a model agent: ask, run what it asks for in the sandbox, show it what came of it, until it is done.

One tool, a linear history, a fresh shell for every command: the design that mini-swe-agent showed to be enough
(https://github.com/SWE-agent/mini-swe-agent). Keys and model calls stay in this process; only commands enter the
sandbox. Whatever happens, the trajectory and the bill survive.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from execution import tracing
from execution.agents.attempt import Account, SpentError, bounded, charged
from execution.agents.prompt import system_prompt, task_message
from execution.agents.report import scrub
from execution.models.conversation import TOOL_NAME, CommandRequest, Conversation, ToolResult, Turn
from execution.ports import Sandbox
from execution.records import (
    Attempt,
    Command,
    CommandLimits,
    CommandResult,
    Limits,
    Step,
    Task,
)
from governance.shortening import shortened

THOUGHT_CHARACTERS_MAX = 2000
# Caches and pagers would end up in the patch or wait for a key.
SHELL_ENV = {"PYTHONDONTWRITEBYTECODE": "1", "PAGER": "cat", "GIT_PAGER": "cat", "TERM": "dumb", "CI": "1"}

Connect = Callable[[str], AbstractAsyncContextManager[Conversation]]


class ModelAgent:
    """An agent whose brain is a model and whose hands are the sandbox.

    Args:
        name: the agent's name, as people see it.
        connect: opens a conversation under a system prompt.
        instructions: the profile's body.
        fence: makes a random word per attempt that delimits untrusted text.
    """

    def __init__(self, name: str, connect: Connect, instructions: str, fence: Callable[[], str]) -> None:
        self._name = name
        self._connect = connect
        self._instructions = instructions
        self._fence = fence

    async def attempt(self, task: Task, workspace: Path, sandbox: Sandbox, limits: Limits) -> Attempt:
        """See ports.Agent."""
        account = Account(limits)
        return await bounded(self._name, account, self._work(task, Work(workspace, sandbox, account)))

    async def _work(self, task: Task, work: "Work") -> str:
        first = task_message(task, self._fence())
        async with self._connect(system_prompt(self._instructions, work.account.limits)) as conversation:
            turn = await charged(work.account, lambda: conversation.say(first))
            while turn.commands:
                results = await work.run(turn)
                turn = await charged(work.account, _answering(conversation, results))
        return turn.text


@dataclass
class Work:
    """Runs what turns ask for."""

    workspace: Path
    sandbox: Sandbox
    account: Account

    async def run(self, turn: Turn) -> tuple[ToolResult, ...]:
        """Results of all the turn's commands, in order: every request must be answered."""
        if self._left() <= 0:
            raise SpentError(f"its limit of {self.account.limits.steps} commands")
        results = [await self._one(request, turn) for request in turn.commands]
        if self._left() <= 0:
            notice = "\nNo commands are left: give your final report now."
            results[-1] = ToolResult(id=results[-1].id, text=results[-1].text + notice)
        return tuple(results)

    def _left(self) -> int:
        return self.account.limits.steps - len(self.account.steps)

    async def _one(self, request: CommandRequest, turn: Turn) -> ToolResult:
        if self._left() <= 0:
            return ToolResult(id=request.id, text="Not run: no commands are left.")
        thought = shortened(scrub(turn.thinking or turn.text), THOUGHT_CHARACTERS_MAX)
        if request.problem is not None:
            # Charged like a command, or a confused model could go on for ever.
            text = f"Not run: {request.problem}"
            self.account.steps.append(Step(thought=thought, command="", exit_code=None, output=text, duration_ms=0))
            return ToolResult(id=request.id, text=text)
        with tracing.tool(TOOL_NAME):
            result = await self.sandbox.run(self._command(request.command))
        text = self._shown(result)
        self.account.steps.append(
            Step(
                thought=thought,
                command=request.command,
                exit_code=result.exit_code,
                output=text,
                duration_ms=result.duration_ms,
            )
        )
        return ToolResult(id=request.id, text=f"{self._ending(result)}\n{text}")

    def _command(self, line: str) -> Command:
        return Command(
            argv=("bash", "-c", line),
            workspace=self.workspace,
            env=dict(SHELL_ENV),
            limits=CommandLimits(wall_seconds=self.account.limits.command_seconds),
        )

    def _shown(self, result: CommandResult) -> str:
        return clip(result.output, self.account.limits.output_bytes)

    def _ending(self, result: CommandResult) -> str:
        if result.timed_out:
            return f"Killed after {self.account.limits.command_seconds:g} seconds."
        return f"Exit code {result.exit_code}."


def _answering(conversation: Conversation, results: Sequence[ToolResult]) -> Callable[[], Awaitable[Turn]]:
    return lambda: conversation.answer(results)


def clip(output: bytes, limit: int) -> str:
    """Output as text, its middle left out when it is longer than `limit` bytes."""
    if len(output) <= limit:
        return output.decode("utf-8", "replace")
    half = limit // 2
    head, tail = output[:half].decode("utf-8", "replace"), output[-half:].decode("utf-8", "replace")
    return f"{head}\n[… {len(output) - 2 * half} bytes left out …]\n{tail}"
