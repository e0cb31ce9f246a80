"""What the handlers need of the engine and of GitHub, and the one record that carries it to them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from weakref import WeakValueDictionary

from bot.permissions import Permission
from bot.recorded_winner import RecordedWinner
from bot.trial_lines import Word
from execution.artifacts import Approved, Picked, Plan
from execution.result import RunResult
from execution.revoking import Taken, Withdrawal
from execution.runs import NO_FACTS, Run
from execution.spending import Scope
from execution.stages.admit import Approver
from execution.stages.flow_correct import Asked
from execution.switches import Pause
from governance.correction import Correction
from governance.states import RunOutcome

Reaction = Literal["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"]


class Intake(Protocol):
    """Where verified deliveries go, and the engine's life."""

    async def deliver(self, guid: str, event: str, payload: bytes) -> bool:
        """Store a delivery durably; True when work was queued, False when it is known and finished."""
        ...

    async def start(self) -> None:
        """Come up; returns when runs can be taken."""
        ...

    async def stop(self) -> None:
        """Go down; unfinished work is taken up at the next start."""
        ...


class Runs(Protocol):
    """Runs as handlers change and read them. Every method may be called again with the same arguments."""

    async def submit(self, run: Run) -> None:
        """Store the run and start it; a known id is a no-op."""
        ...

    async def proceed(self, run_id: str) -> None:
        """Go on with a run that waited for a person."""
        ...

    async def correct(self, run_id: str, asked: Asked) -> Correction:
        """Have one node of a workflow done again.

        Raises:
            RunProblem: it cannot be; nothing was changed.
        """
        ...

    async def cancel(self, run_id: str, by: str, facts: Mapping[str, str] = NO_FACTS) -> bool:
        """Stop a run, with further members of its closing line; False when it was closed already."""
        ...

    async def conclude(self, run_id: str, outcome: RunOutcome, by: str, facts: Mapping[str, str]) -> None:
        """Close a run in review: the closing ledger line and the final comment."""
        ...


class RunLookup(Protocol):
    """Reading runs."""

    async def get(self, run_id: str) -> Run | None:
        """The run, or None."""
        ...

    async def result(self, run_id: str) -> RunResult | None:
        """What is known of it so far, or None."""
        ...

    async def runs_of_issue(self, repository: str, issue: int) -> list[Run]:
        """Runs of an issue, newest first."""
        ...

    async def open_runs_of(self, repository: str) -> list[Run]:
        """Runs of a repository that are not closed, newest first."""
        ...

    async def open_runs_through(self, installation: int) -> list[Run]:
        """Runs of every repository of an installation that are not closed, newest first."""
        ...

    async def runs_in_review(self, repository: str) -> list[Run]:
        """Runs of a repository whose pull request is open."""
        ...

    async def run_of_pull_request(self, repository: str, number: int) -> Run | None:
        """The run that opened a pull request."""
        ...


class RunEngine(Runs, RunLookup, Protocol):
    """Both halves."""


class GitHub(Protocol):
    """One installation's GitHub, as far as the handlers need it. Failures raise; the delivery is then tried again."""

    async def permission(self, repository: str, login: str) -> Permission:
        """The person's live permission; NONE for strangers and for people who do not exist."""
        ...

    async def comment_once(self, repository: str, issue: int, marker: str, text: str) -> None:
        """Comment on an issue or pull request unless a comment of ours with this hidden marker is there."""
        ...

    async def react(self, repository: str, *, issue: int, comment: int | None, content: Reaction) -> None:
        """React to an issue, or to one of its comments; again is a no-op."""
        ...

    async def close_pull_request(self, repository: str, number: int) -> None:
        """Close a pull request of ours unmerged; again is a no-op."""
        ...

    async def issue_is_open(self, repository: str, number: int) -> bool:
        """Whether the issue is open now, whatever an event said."""
        ...

    async def pull_request(self, repository: str, number: int) -> Mapping[str, Any]:
        """The pull request as GitHub's REST API shows it."""
        ...


class Gate(Protocol):
    """The check `optr/gate`."""

    async def evaluate(self, run: Run, pull_request: Mapping[str, Any]) -> None:
        """Judge the pull request's present head and set the check on it; idempotent.

        Args:
            run: the run that opened it.
            pull_request: the object `pull_request` of a payload, or of the REST API.
        """
        ...


class Groups(Protocol):
    """The gate beyond single pull requests of ours."""

    async def judge_group(self, run: Run, number: int, head: str) -> object:
        """Judge a pull request and say so on a merge group's head."""
        ...

    async def siblings_changed(self, runs: Sequence[Run], pull_request: Mapping[str, Any], before: str = "") -> None:
        """Judge those runs again that somebody else's pull request is a sibling of, or was with the head `before`."""
        ...

    async def pass_over(self, installation: int, repository: str, base: str, head: str) -> bool:
        """Say on somebody's own pull request that there is nothing to judge, where a rule waits for that."""
        ...


class WholeGate(Gate, Groups, Protocol):
    """Both halves."""


@dataclass(frozen=True)
class Purse:
    """A run's money, millionths of a US dollar.

    Attributes:
        worst: what its plan may cost at most.
        reserved: what is held for it.
        spent: what it cost so far.
        caps: limits by scope; a scope that is missing has none.
        taken: what is reserved or spent in each scope in the last 24 hours.
    """

    worst: int
    reserved: int
    spent: int
    caps: Mapping[Scope, int]
    taken: Mapping[Scope, int]


class Brakes(Protocol):
    """Kill switches, and how much one person may ask for."""

    async def standing(self, installation: int, repository: str) -> str:
        """The kill switch that holds here now, for people; an empty string when there is none."""
        ...

    async def refusal(self, installation: int, repository: str, login: str, account: int) -> str:
        """Why no run may start now for an account, 0 when its number is not known; an empty string when one may."""
        ...

    async def pause(self, repository: str, by: str) -> Pause:
        """Let nothing new start in a repository."""
        ...

    async def resume(self, repository: str) -> bool:
        """Lift a repository's pause; False when there was none."""
        ...


class Desk(Protocol):
    """The record, as commands read and add to it."""

    async def approve(self, run_id: str, by: Approver) -> Approved | None:
        """Record a person's approval of a plan; None when the run does not wait for one.

        Raises:
            RunProblem: it comes too late, or this person may not; nothing was recorded.
        """
        ...

    async def pick(self, run: Run, agent: str, by: str, why: str) -> Picked:
        """Put another admissible candidate in the winner's place.

        Raises:
            RunProblem: it cannot be, and the text says why.
        """
        ...

    async def take_back(self, installation: int, repository: str, asked: Withdrawal) -> Taken:
        """Take authority back from the next act on, or give it back; what is so already is not written again.

        Raises:
            RunProblem: it cannot be, and the text says why; nothing was written.
        """
        ...

    async def purse(self, run: Run) -> Purse | None:
        """A run's money, None before it has a plan."""
        ...

    async def plan(self, run_id: str) -> Plan | None:
        """A run's plan, None before it has one."""
        ...

    async def try_out(self, word: Word, obstacle: str) -> str:
        """Run the base's checks on the commit that `word` names, unless something stands against it; the answer."""
        ...

    async def verify(self, run: Run) -> RecordedWinner:
        """Verify the ledger as it stands on GitHub; what keeps us from it is the problem."""
        ...


@dataclass(frozen=True)
class Context:
    """Everything a handler may reach.

    Attributes:
        runs: the engine.
        github: GitHub as seen by an installation.
        gate: the gate.
        desk: the record.
        brakes: what stands in the way of a new run.
        own_login: our account's login, `<app slug>[bot]`.
        app_id: our App's id.
        clock_ms: milliseconds since the epoch.
    """

    runs: RunEngine
    github: Callable[[int], GitHub]
    gate: WholeGate
    desk: Desk
    brakes: Brakes
    own_login: str
    app_id: int
    clock_ms: Callable[[], int]
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(
        default_factory=WeakValueDictionary, init=False, repr=False, compare=False
    )

    def lock(self, repository: str, issue: int) -> asyncio.Lock:
        """Held from looking for an active run until the new one is stored, so that two labels make one run."""
        return self._locks.setdefault(f"{repository}#{issue}", asyncio.Lock())
