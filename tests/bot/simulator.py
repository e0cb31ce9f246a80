"""An in-memory engine and GitHub for the handlers. It asserts what must never happen, and can be read afterwards."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.permissions import Permission
from bot.ports import Context, Purse, Reaction
from bot.recorded_winner import RecordedWinner
from bot.trial_lines import Word
from execution.artifacts import Approved, Picked, Plan
from execution.problems import RunProblem
from execution.result import RunResult
from execution.revoking import Aim, Hit, Taken, Withdrawal
from execution.runs import NO_FACTS, Run
from execution.stages.admit import Approver
from execution.stages.flow_correct import Asked
from execution.switches import Pause
from governance.correction import Correction
from governance.states import RunOutcome, RunState

OWN_LOGIN = "optr[bot]"
APP_ID = 123


class GitHubDownError(Exception):
    """GitHub does not answer."""


@dataclass
class SimulatedGitHub:
    """Comments by marker, reactions, permissions; strangers have none."""

    permissions: dict[str, Permission] = field(default_factory=dict)
    comments: dict[tuple[int, str], str] = field(default_factory=dict)
    reactions: list[tuple[int, int | None, str]] = field(default_factory=list)
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    closed_issues: set[int] = field(default_factory=set)
    down: bool = False

    async def permission(self, repository: str, login: str) -> Permission:
        assert repository == "octo/site"
        if self.down:
            raise GitHubDownError
        self.asked.append(login)
        return self.permissions.get(login, Permission.NONE)

    async def comment_once(self, repository: str, issue: int, marker: str, text: str) -> None:
        assert repository == "octo/site"
        assert all(c.isalnum() or c in "-_" for c in marker), f"marker {marker!r} could break out of an HTML comment"
        assert "-->" not in text
        assert not text.startswith("/optr"), "our own comment must never look like a command"
        assert text.strip()
        self.comments.setdefault((issue, marker), text)

    async def react(self, repository: str, *, issue: int, comment: int | None, content: Reaction) -> None:
        if (issue, comment, content) not in self.reactions:
            self.reactions.append((issue, comment, content))

    async def close_pull_request(self, repository: str, number: int) -> None:
        self.pulls[number] = {**self.pulls[number], "state": "closed"}

    async def issue_is_open(self, repository: str, number: int) -> bool:
        if self.down:
            raise GitHubDownError
        return number not in self.closed_issues

    async def pull_request(self, repository: str, number: int) -> Mapping[str, Any]:
        return self.pulls[number]

    def said(self) -> list[str]:
        return list(self.comments.values())


@dataclass
class SimulatedEngine:
    """Runs by id. A run is never started for somebody who may not write, and an issue never has two open runs."""

    github: SimulatedGitHub
    runs: dict[str, Run] = field(default_factory=dict)
    results: dict[str, RunResult] = field(default_factory=dict)
    concluded: list[tuple[str, RunOutcome, str, dict[str, str]]] = field(default_factory=list)
    cancelled: list[tuple[str, str]] = field(default_factory=list)
    corrected: list[Asked] = field(default_factory=list)

    async def submit(self, run: Run) -> None:
        if run.id in self.runs:
            return
        assert self.github.permissions.get(run.requester, Permission.NONE).allows(Permission.WRITE)
        open_runs = [one for one in await self.runs_of_issue(run.repository, run.issue) if not _closed(one)]
        assert not open_runs, "two open runs on one issue"
        assert run.workflow not in {one.workflow for one in self.runs.values()}, "a workflow would be overwritten"
        self.runs[run.id] = run

    async def proceed(self, run_id: str) -> None:
        self.change(run_id, state=RunState.EXECUTING)

    async def correct(self, run_id: str, asked: Asked) -> Correction:
        if self.runs[run_id].state is not RunState.AWAITING_CORRECTION:
            raise RunProblem(f"run {run_id} is {self.runs[run_id].state}", code="CORRECTION_REFUSED")
        self.corrected.append(asked)
        return Correction.model_construct(node=asked.node, scope=(asked.node, "AUDIT"))

    async def cancel(self, run_id: str, by: str, facts: Mapping[str, str] = NO_FACTS) -> bool:
        del facts
        run = self.runs[run_id]
        if _closed(run):
            return False
        self.change(run_id, state=RunState.CLOSED, outcome=RunOutcome.CANCELLED)
        self.cancelled.append((run_id, by))
        return True

    async def conclude(self, run_id: str, outcome: RunOutcome, by: str, facts: Mapping[str, str]) -> None:
        if not _closed(self.runs[run_id]):
            self.change(run_id, state=RunState.CLOSED, outcome=outcome)
            self.concluded.append((run_id, outcome, by, dict(facts)))

    async def get(self, run_id: str) -> Run | None:
        return self.runs.get(run_id)

    async def result(self, run_id: str) -> RunResult | None:
        return self.results.get(run_id)

    async def runs_of_issue(self, repository: str, issue: int) -> list[Run]:
        await asyncio.sleep(0)  # others get their turn between looking and acting, as with a real database
        found = [run for run in self.runs.values() if (run.repository, run.issue) == (repository, issue)]
        return sorted(found, key=lambda run: run.created_ms, reverse=True)

    async def open_runs_of(self, repository: str) -> list[Run]:
        return [run for run in self.runs.values() if run.repository == repository and not _closed(run)]

    async def open_runs_through(self, installation: int) -> list[Run]:
        return [run for run in self.runs.values() if run.installation == installation and not _closed(run)]

    async def runs_in_review(self, repository: str) -> list[Run]:
        return [run for run in await self.open_runs_of(repository) if run.state is RunState.IN_REVIEW]

    async def run_of_pull_request(self, repository: str, number: int) -> Run | None:
        found = [run for run in self.runs.values() if (run.repository, run.pull_request) == (repository, number)]
        return found[0] if found else None

    def change(self, run_id: str, **members: object) -> Run:
        changed = self.runs[run_id].model_copy(update=members)
        self.runs[run_id] = changed
        return changed

    def only(self) -> Run:
        (run,) = self.runs.values()
        return run


@dataclass
class SimulatedGate:
    """Remembers what it was asked to judge."""

    judged: list[tuple[str, int, str]] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)

    async def evaluate(self, run: Run, pull_request: Mapping[str, Any]) -> None:
        assert pull_request["number"] == run.pull_request
        self.judged.append((run.id, pull_request["number"], pull_request["head"]["sha"]))

    async def judge_group(self, run: Run, number: int, head: str) -> None:
        assert number == run.pull_request
        self.judged.append((run.id, number, head))

    async def siblings_changed(self, runs: Sequence[Run], pull_request: Mapping[str, Any], before: str = "") -> None:
        assert pull_request["number"] not in {run.pull_request for run in runs}

    async def pass_over(self, installation: int, repository: str, base: str, head: str) -> bool:
        self.passed_over.append(head)
        return True


@dataclass
class SimulatedDesk:
    """Plans by run, and what the ledger says."""

    plans: dict[str, Plan] = field(default_factory=dict)
    approved: dict[str, Approved] = field(default_factory=dict)
    tried: list[tuple[int, str, str]] = field(default_factory=list)
    taken_back: list[Withdrawal] = field(default_factory=list)
    hits: tuple[Hit, ...] = ()
    winner: RecordedWinner = field(default_factory=lambda: RecordedWinner("nothing was recorded"))

    async def plan(self, run_id: str) -> Plan | None:
        return self.plans.get(run_id)

    async def approve(self, run_id: str, by: Approver) -> Approved | None:
        return self.approved.get(run_id)

    async def pick(self, run: Run, agent: str, by: str, why: str) -> Picked:
        raise RunProblem(f"{agent} took no part", code="POLICY_DENIED")

    async def take_back(self, installation: int, repository: str, asked: Withdrawal) -> Taken:
        assert (installation, repository) == (5, "octo/site")
        self.taken_back.append(asked)
        return Taken(Aim(asked.kind, asked.target, self.hits, None), 3)

    async def purse(self, run: Run) -> Purse | None:
        return None

    async def try_out(self, word: Word, obstacle: str) -> str:
        assert (word.installation, word.repository) == (5, "octo/site")
        if not obstacle:
            self.tried.append((word.pull_request, word.head, word.by))
        return obstacle or "tried"

    async def verify(self, run: Run) -> RecordedWinner:
        return self.winner


@dataclass
class SimulatedBrakes:
    """Lets everything through until it is paused."""

    paused: dict[str, str] = field(default_factory=dict)

    async def standing(self, installation: int, repository: str) -> str:
        return f"paused by {self.paused[repository]}" if repository in self.paused else ""

    async def refusal(self, installation: int, repository: str, login: str, account: int) -> str:
        return await self.standing(installation, repository)

    async def pause(self, repository: str, by: str) -> Pause:
        return Pause(self.paused.setdefault(repository, by), 0)

    async def resume(self, repository: str) -> bool:
        return self.paused.pop(repository, None) is not None


@dataclass
class World:
    """One repository with its people: maria writes, otto reads, root administers."""

    github: SimulatedGitHub
    engine: SimulatedEngine
    gate: SimulatedGate
    desk: SimulatedDesk
    context: Context


def make_world() -> World:
    """A fresh world; its clock ticks once a look."""
    people = {"maria": Permission.WRITE, "otto": Permission.READ, "root": Permission.ADMIN}
    github = SimulatedGitHub(people)
    engine, gate, desk, ticks = SimulatedEngine(github), SimulatedGate(), SimulatedDesk(), itertools.count(1_000)

    def of_installation(installation: int) -> SimulatedGitHub:
        assert installation == 5
        return github

    context = Context(
        runs=engine,
        github=of_installation,
        gate=gate,
        desk=desk,
        brakes=SimulatedBrakes(),
        own_login=OWN_LOGIN,
        app_id=APP_ID,
        clock_ms=lambda: next(ticks),
    )
    return World(github, engine, gate, desk, context)


def _closed(run: Run) -> bool:
    return run.state is RunState.CLOSED
