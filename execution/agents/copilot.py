"""A GitHub Copilot agent: the loop is Copilot's, the hands are ours, in the sandbox.

Before it works, the newest commits are read (see history); they are shown to it as data and kept with its output.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from execution.agents.attempt import Account, EndedError, bounded
from execution.agents.copilot_sdk import Brief, CreditsSpentError, Runtime, open_session
from execution.agents.history import (
    CommitHistory,
    HistoryError,
    ReadHistory,
    history_facts,
    history_text,
    missing_facts,
)
from execution.agents.loop import Work
from execution.agents.prompt import system_prompt, task_message
from execution.agents.report import scrub
from execution.models.conversation import CommandRequest, Turn
from execution.models.registry import Prices
from execution.ports import Sandbox
from execution.records import AgentOutcome, Attempt, CopilotDetail, Limits, Task, Usage

CopilotToken = Callable[[str], Awaitable[str]]
"""Repository to a token that may ask Copilot. Raises CopilotTokenError."""


class CopilotTokenError(RuntimeError):
    """No token that may ask Copilot can be had; the text says why and what to do."""


@dataclass(frozen=True)
class CopilotAccess:
    """What a Copilot agent needs of the operator.

    Attributes:
        runtime: path of the Copilot runtime's program.
        token: see CopilotToken.
        history: see ReadHistory; None where there is none to read.
        environ: the operator's environment.
        prices: for tokens that come without a price.
    """

    runtime: Path
    token: CopilotToken = field(repr=False)
    history: ReadHistory | None
    environ: Mapping[str, str] = field(repr=False)
    prices: Prices


class CopilotAgent:
    """Hands the task to a Copilot session.

    Args:
        name: the agent's name, as people see it.
        access: see CopilotAccess.
        instructions: the profile's body, added to the system prompt.
        fence: makes a random word per attempt that delimits untrusted text.
    """

    def __init__(self, name: str, access: CopilotAccess, instructions: str, fence: Callable[[], str]) -> None:
        self._name = name
        self._access = access
        self._instructions = instructions
        self._fence = fence

    async def attempt(self, task: Task, workspace: Path, sandbox: Sandbox, limits: Limits) -> Attempt:
        """See ports.Agent."""
        account = Account(limits)
        found: list[CommitHistory | str] = []
        ended = await bounded(self._name, account, self._asked(task, Work(workspace, sandbox, account), found))
        return _told(ended, found[0] if found else "the commits were not read in time", task.base_commit)

    async def _asked(self, task: Task, work: Work, found: list[CommitHistory | str]) -> str:
        try:
            found.append(await self._history(task))
            return await self._work(_with_history(task, found[0]), work)
        except CreditsSpentError as limit:
            reached = f"reached its money limit ({limit}) before it was done."
            raise EndedError(AgentOutcome.BUDGET, reached) from limit
        except CopilotTokenError as error:
            raise EndedError(AgentOutcome.AUTH, f"may not ask Copilot: {error}") from error

    async def _history(self, task: Task) -> CommitHistory | str:
        """The history, or why there is none: an agent can work without."""
        if self._access.history is None:
            return "nothing here can read commits"
        try:
            return await self._access.history(task.repository, task.base_commit)
        except HistoryError as error:
            return str(error)

    async def _work(self, task: Task, work: Work) -> str:
        token = await self._access.token(task.repository)
        runtime = Runtime(self._access.runtime, token, self._access.environ, self._access.prices)
        limits = work.account.limits

        async def run(request: CommandRequest) -> str:
            work.account.check()  # what comes of the command would be the next call's input
            results = await work.run(Turn(commands=(request,)))
            return results[0].text

        def charge(usage: Usage) -> None:
            work.account.usage += usage

        system = system_prompt(self._instructions, limits)
        async with open_session(runtime, Brief(system, limits.cost_microusd, run, charge)) as session:
            return scrub(await session.ask(task_message(task, self._fence()), limits.wall_seconds))


def _with_history(task: Task, history: CommitHistory | str) -> Task:
    if isinstance(history, str):
        return task
    return task.model_copy(update={"context": f"{task.context}\n{history_text(history)}\n"})


def _told(attempt: Attempt, history: CommitHistory | str, base: str) -> Attempt:
    if isinstance(history, str):
        return attempt.model_copy(update={"detail": CopilotDetail(), "facts": missing_facts(history)})
    latest = history.commits[0] if history.commits else None
    detail = CopilotDetail(recent_commits=history.commits, latest_commit=latest)
    return attempt.model_copy(update={"detail": detail, "facts": history_facts(history, base)})
