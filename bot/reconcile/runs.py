"""Runs that stand still: started again, ended in the open, or judged by what became of their pull request."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from bot import logs
from bot.access import ACCESS_WAITS_MS, UNTOLD, because
from bot.fate import fate_of
from bot.github.errors import GitHubError, GitHubErrorCode
from bot.github.survey import Place
from bot.payloads import PullRequest
from bot.ports import Context
from execution.runs import Run, Source
from execution.stages.admit import APPROVAL_WAITS_MS
from execution.upkeep import Working
from governance.codes import ReasonCode
from governance.states import RunOutcome, RunState
from ledger.errors import LedgerError

SETTLING_MS = 60_000  # what is younger is being worked on
SHOWN_MS = 24 * 3600 * 1000  # how long the last word on a closed run is looked after
SHOWN_MAX = 20
LEFT_BEHIND = "its work stopped and could not go on; OPTR ended it so that nothing looks busy that is not"
UNANSWERED = "nobody approved or rejected the plan within a week"

_EXPIRED = str(ReasonCode.RUN_EXPIRED)
_LOG = logging.getLogger("optr.reconcile")
_WAITING = {RunState.IN_REVIEW, RunState.CLOSED, RunState.AWAITING_APPROVAL, RunState.AWAITING_CORRECTION}
_AT_WORK = frozenset(RunState) - _WAITING
_ASKED_OF_PEOPLE = frozenset({RunState.AWAITING_APPROVAL, RunState.AWAITING_CORRECTION})
# GitHub refuses a token for a repository that an installation does not cover with 422, one that is suspended with 403.
_MAY_BE_GONE = frozenset(
    {
        GitHubErrorCode.NOT_FOUND,
        GitHubErrorCode.UNAUTHORISED,
        GitHubErrorCode.FORBIDDEN,
        GitHubErrorCode.REFUSED,
        GitHubErrorCode.MOVED,
        GitHubErrorCode.GIT_FAILED,
    }
)


class Runs(Protocol):
    """Runs as whoever looks after them sees them (`execution.upkeep.Upkeep`)."""

    async def open_runs(self) -> list[Run]:
        """Every run that is not closed, newest first."""
        ...

    async def closed_since(self, since_ms: int, most: int) -> list[Run]:
        """Closed runs, newest first."""
        ...

    async def working(self, run_id: str) -> Working:
        """Whether anybody works on a run."""
        ...

    async def end(self, run_id: str, outcome: RunOutcome, facts: Mapping[str, str]) -> None:
        """Close a run that its own workflow did not close."""
        ...

    async def show(self, run_id: str) -> None:
        """Make check run and comment say what is so."""
        ...

    async def unreached(self, run_id: str, now_ms: int) -> int:
        """Since when the run's repository has been out of reach; from now, when new."""
        ...

    async def reached(self, run_id: str) -> None:
        """The run's repository can be reached."""
        ...

    async def owing(self) -> list[Run]:
        """Runs whose closing line is kept here because their repository was out of reach."""
        ...

    async def pay(self, run: Run, installation: int) -> bool:
        """Append a kept line through that installation."""
        ...


class Pulls(Protocol):
    """Pull requests as they are now."""

    async def pull_request(self, installation: int, repository: str, number: int) -> Mapping[str, Any]:
        """A pull request as the REST API shows it."""
        ...

    async def reaches(self, installation: int, repository: str) -> bool:
        """Whether this installation covers the repository now."""
        ...


def ending_of(working: Working, *, young: bool) -> RunOutcome | None:
    """How a run ends that is neither closed nor worked on; None when it goes on by itself."""
    if working is Working.CANCELLED:
        return RunOutcome.CANCELLED
    if working is Working.BROKEN:
        return RunOutcome.EXPIRED
    return RunOutcome.EXPIRED if working is Working.ENDED and not young else None


class RunKeeper:
    """Looks after open runs.

    Args:
        context: what handlers may reach.
        runs: the engine's own view.
        pulls: pull requests at GitHub.
    """

    def __init__(self, context: Context, runs: Runs, pulls: Pulls) -> None:
        self._context = context
        self._runs = runs
        self._pulls = pulls
        self._judged: dict[str, tuple[object, ...]] = {}

    async def keep(self) -> int:
        """Mend what can be mended; one run's trouble does not keep the others waiting. Returns how many changed."""
        now_ms = self._context.clock_ms()
        open_runs = [run for run in await self._runs.open_runs() if run.source is Source.GITHUB]
        self._judged = {run.id: self._judged[run.id] for run in open_runs if run.id in self._judged}
        mended = 0
        for run in open_runs:
            try:
                mended += await self._keep_or_end(run, now_ms)
            except (GitHubError, LedgerError, OSError) as error:
                logs.event(_LOG, logging.WARNING, "run left for the next pass", run=run.id, why=str(error))
        for run in await self._runs.closed_since(now_ms - SHOWN_MS, SHOWN_MAX):
            if run.source is Source.GITHUB:
                await self._runs.show(run.id)
        return mended

    async def pay(self, places: Iterable[Place]) -> int:
        """Write the closing lines that are kept here for repositories which can be reached again."""
        through = {place.name: place.installation for place in places}
        paid = 0
        for run in await self._runs.owing():
            try:
                if run.repository in through:
                    paid += await self._runs.pay(run, through[run.repository])
            except (GitHubError, LedgerError, OSError) as error:
                logs.event(_LOG, logging.WARNING, "line left for the next pass", run=run.id, why=str(error))
        return paid

    async def _keep_or_end(self, run: Run, now_ms: int) -> bool:
        try:
            mended = await self._keep(run, now_ms)
        except GitHubError as error:
            if error.code not in _MAY_BE_GONE or await self._pulls.reaches(run.installation, run.repository):
                raise
        else:
            if (
                mended
                or run.state not in _ASKED_OF_PEOPLE
                or await self._pulls.reaches(run.installation, run.repository)
            ):
                await self._runs.reached(run.id)
                return mended
        return await self._out_of_reach(run, now_ms)

    async def _out_of_reach(self, run: Run, now_ms: int) -> bool:
        if now_ms - await self._runs.unreached(run.id, now_ms) < ACCESS_WAITS_MS:
            return False
        await self._runs.end(run.id, RunOutcome.CANCELLED, because(UNTOLD))
        return True

    async def _keep(self, run: Run, now_ms: int) -> bool:
        if run.state is RunState.IN_REVIEW:
            return await self._follow(run)
        if run.state is RunState.AWAITING_APPROVAL and now_ms - run.created_ms > APPROVAL_WAITS_MS:
            await self._runs.end(run.id, RunOutcome.EXPIRED, {"problem": UNANSWERED, "code": _EXPIRED})
            return True
        if run.state not in _AT_WORK:
            return False
        young = now_ms - run.created_ms < SETTLING_MS
        working = await self._runs.working(run.id)
        if working is Working.UNKNOWN:
            await self._context.runs.submit(run)
            return True
        ending = ending_of(working, young=young)
        if ending is None:
            return False
        facts = {} if ending is RunOutcome.CANCELLED else {"problem": LEFT_BEHIND, "code": _EXPIRED}
        await self._runs.end(run.id, ending, facts)
        return True

    async def _follow(self, run: Run) -> bool:
        """What became of the pull request, should its event have got lost."""
        found = await self._pulls.pull_request(run.installation, run.repository, run.pull_request)
        pull = PullRequest.model_validate(found)
        if pull.state == "closed":
            fate = fate_of(pull, None)
            await self._context.runs.conclude(run.id, fate.outcome, fate.by, fate.facts)
            return True
        seen = (pull.head.sha, found.get("updated_at"), found["base"]["ref"])
        if self._judged.get(run.id) == seen:
            return False
        await self._context.gate.evaluate(run, found)
        self._judged[run.id] = seen
        return False
