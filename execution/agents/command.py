"""A command agent: any CLI agent or tool, run inside the sandbox with the workspace as its working directory.

The request reaches it on standard input and in the variable OPTR_INTENT (shortened there to what one variable may
hold, with a note that says so). In the argv template `{workspace}` is the workspace (`.`: sandboxes mount it at
different paths) and `{intent_file}` a file with the request, in the sandbox's own temporary directory: none is
planted in the workspace, because whatever lies there is taken for the patch. Other braces stay as they are. A JSON
report on its output, as model agents give it, is kept as claims.
"""

import asyncio
import shlex
from collections.abc import Mapping
from pathlib import Path

from execution.agents.attempt import timeout_sentence
from execution.agents.loop import SHELL_ENV, clip
from execution.agents.prompt import assignment
from execution.agents.report import parse_report
from execution.ports import Sandbox
from execution.records import (
    AgentOutcome,
    AgentReport,
    Attempt,
    Command,
    CommandLimits,
    CommandResult,
    Limits,
    Step,
    Task,
)
from governance.shortening import shortened

WORKSPACE_INSIDE = "."
INTENT_FILE = "{intent_file}"
INTENT_VARIABLE = "OPTR_INTENT"
INTENT_BYTES_MAX = 100_000  # the kernel allows 128 KiB for one string of the environment
NOTE_BYTES_MORE = 4
LAST_LINE_CHARACTERS_MAX = 200
# Fixed text: the template's words are arguments to it, never part of it.
WITH_INTENT_FILE = 'f=$(mktemp) && cat >"$f" && exec "${@//\\{intent_file\\}/$f}" <"$f"'
# An agent of one command is a whole program: it may write more than one tool call would.
OUTPUT_BYTES_MAX = 4 * 2**20


class CommandAgent:
    """Runs one program to its end.

    Args:
        name: the agent's name, as people see it.
        template: argv with placeholders.
        env: the variables granted to it, values included.
        network: whether the operator granted network.
    """

    def __init__(self, name: str, template: tuple[str, ...], env: Mapping[str, str], *, network: bool) -> None:
        self._name = name
        self._argv = _filled(template)
        self._env = dict(env)
        self._network = network

    async def attempt(self, task: Task, workspace: Path, sandbox: Sandbox, limits: Limits) -> Attempt:
        """See ports.Agent."""
        try:
            async with asyncio.timeout(limits.wall_seconds) as clock:
                result = await sandbox.run(self._command(task, workspace, limits))
        except TimeoutError:
            if not clock.expired():
                raise
            return Attempt(outcome=AgentOutcome.TIMEOUT, error=timeout_sentence(self._name, limits))
        return self._attempt(result, limits)

    def _command(self, task: Task, workspace: Path, limits: Limits) -> Command:
        intent = _told(task).encode("utf-8", "replace").replace(b"\x00", b"")
        whole = intent.decode("utf-8")
        # The note's two ellipses are longer in bytes than in characters.
        fits = len(intent[: INTENT_BYTES_MAX - NOTE_BYTES_MORE].decode("utf-8", "ignore"))
        shown = whole if len(intent) <= INTENT_BYTES_MAX else shortened(whole, fits)
        return Command(
            argv=self._argv,
            workspace=workspace,
            env={**SHELL_ENV, **self._env, INTENT_VARIABLE: shown},
            stdin=intent,
            limits=CommandLimits(wall_seconds=limits.wall_seconds, output_bytes=OUTPUT_BYTES_MAX),
            network=self._network,
        )

    def _attempt(self, result: CommandResult, limits: Limits) -> Attempt:
        step = Step(
            command=shlex.join(self._argv),
            exit_code=result.exit_code,
            output=clip(result.output, limits.output_bytes),
            duration_ms=result.duration_ms,
        )
        outcome, error = self._judge(result, limits)
        text = result.output.decode("utf-8", "replace")
        report = parse_report(text) if outcome is AgentOutcome.COMPLETED else AgentReport()
        return Attempt(outcome=outcome, report=report, error=error, trajectory=(step,))

    def _judge(self, result: CommandResult, limits: Limits) -> tuple[AgentOutcome, str | None]:
        if result.timed_out:
            return AgentOutcome.TIMEOUT, timeout_sentence(self._name, limits)
        if result.exit_code != 0:
            code = "a signal" if result.exit_code is None else f"code {result.exit_code}"
            return AgentOutcome.FAILED, f"Agent '{self._name}' ended with {code}{_last_line(result.output)}"
        return AgentOutcome.COMPLETED, None


def _told(task: Task) -> str:
    """The request; in a workflow also what was handed over and what this node's part is."""
    parts = assignment(task)
    if parts == assignment(Task(run="", node="", intent="")):
        return task.intent
    given = [f"{one.name}:\n{one.text}" for one in task.given]
    return "\n\n".join([task.intent, *given, *parts])


def _filled(template: tuple[str, ...]) -> tuple[str, ...]:
    argv = tuple(part.replace("{workspace}", WORKSPACE_INSIDE) for part in template)
    if not any(INTENT_FILE in part for part in argv):
        return argv
    return ("bash", "-c", WITH_INTENT_FILE, "agent", *argv)


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {last[:LAST_LINE_CHARACTERS_MAX]}" if last else " and said nothing"
