"""From a request to a run: the one place where runs of GitHub issues begin, by label, by command or by a re-run.

A run's id is derived from the delivery that asked for it, so that a redelivery, or a crash between two steps of this
module, submits the same run again and never a second one.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bot import replies
from bot.intent import intent_of
from bot.names import ISSUE_CONSTRAINTS
from bot.payloads import Account, Issue, Repository
from bot.ports import Context
from execution.runs import Run, Source
from execution.store import TakenError
from governance.states import RunState

RUN_ID_DIGITS = 16
OVERTAKEN_MS = 1_000  # GitHub's times are whole seconds


@dataclass(frozen=True)
class Request:
    """Who asks for what.

    Attributes:
        guid: the delivery that asks.
        repository: where.
        installation: through which installation.
        requester: login of the person, whose permission has been checked.
        requester_id: the number of that account.
        issue: number of the issue.
        title, body: sanitised text.
        intent_sha256: hash of the original text.
        constraints, agents: as `execution.runs.Run`.
        asked_ms: when it was asked for by GitHub's clock, milliseconds since the epoch; None when nobody says.
        while_open: only while the issue is open: its closing may have overtaken the request on its way here.
    """

    guid: str
    repository: Repository
    installation: int
    requester: str
    requester_id: int
    issue: int
    title: str
    body: str
    intent_sha256: str
    constraints: tuple[str, ...] = ISSUE_CONSTRAINTS
    agents: tuple[str, ...] = ()
    asked_ms: int | None = None
    while_open: bool = False


@dataclass(frozen=True)
class Admitted:
    """What came of a request.

    Attributes:
        run: the run that stands now.
        started: False when another run of the issue was active, and `run` is that one.
        late: the request was overtaken: a run that began after it, `run`, has granted it already.
        refused: why no run may start now, for people; `run` was not stored.
    """

    run: Run
    started: bool
    late: bool = False
    refused: str = ""


def request_from_issue(
    guid: str, repository: Repository, installation: int, requester: Account, issue: Issue
) -> Request:
    """Ask for what the issue said when the event happened; the payload alone counts, never a later edit."""
    intent = intent_of(issue.title, issue.body or "")
    return Request(
        guid=guid,
        repository=repository,
        installation=installation,
        requester=requester.login,
        requester_id=requester.id,
        issue=issue.number,
        title=intent.title,
        body=intent.body,
        intent_sha256=intent.sha256,
        asked_ms=_milliseconds(issue.updated_at),
        while_open=True,
    )


def _milliseconds(time: str) -> int | None:
    try:
        return int(dt.datetime.fromisoformat(time).timestamp() * 1000)
    except ValueError:
        return None


async def start_run(context: Context, request: Request) -> Admitted:
    """Submit the run, unless another run of the issue is active. Asking again gives the same answer."""
    try:
        return await _start(context, request)
    except TakenError:
        return await _start(context, request)  # another process was faster, and what it made is seen now


async def _start(context: Context, request: Request) -> Admitted:
    name = request.repository.full_name
    async with context.lock(name, request.issue):
        runs = await context.runs.runs_of_issue(name, request.issue)
        run = _run(request, runs, context.clock_ms())
        if (granted := _granted(request, runs, run.id)) is not None:
            return Admitted(granted, started=False, late=True)
        active = next((other for other in runs if is_active(other) and other.id != run.id), None)
        if active is not None:
            return Admitted(active, started=False)
        if not any(other.id == run.id for other in runs):
            refused = await _refusal(context, request)
            if refused:
                return Admitted(run, started=False, refused=refused)
        await context.runs.submit(run)
        return Admitted(run, started=True)


async def _refusal(context: Context, request: Request) -> str:
    """Why a new run may not start, for people. The issue is asked for as it is now: events arrive in any order."""
    name = request.repository.full_name
    if refused := await context.brakes.refusal(request.installation, name, request.requester, request.requester_id):
        return refused
    github = context.github(request.installation)
    if request.while_open and not await github.issue_is_open(name, request.issue):
        return replies.issue_is_closed()
    return ""


def _granted(request: Request, runs: Sequence[Run], own: str) -> Run | None:
    """A run that began clearly after this was asked for: the reconcile loop saw the wish before its delivery came."""
    if request.asked_ms is None or any(run.id == own for run in runs):
        return None
    after_ms = request.asked_ms + OVERTAKEN_MS
    return next((run for run in runs if run.created_ms >= after_ms), None)


def is_active(run: Run) -> bool:
    """Whether a run still works or waits; an issue has at most one."""
    return run.state is not RunState.CLOSED


def run_id(repository_id: int, issue: int, guid: str) -> str:
    """16 hex digits of SHA-256 over `<repository id>/<issue>/<delivery guid>`."""
    return hashlib.sha256(f"{repository_id}/{issue}/{guid}".encode()).hexdigest()[:RUN_ID_DIGITS]


def workflow_name(issue: int, taken: Sequence[str]) -> str:
    """`issue-7`, then `issue-7.2`, `issue-7.3`: nothing recorded is ever overwritten."""
    if not taken:
        return f"issue-{issue}"
    last = max(int(name.rpartition(".")[2]) if "." in name else 1 for name in taken)
    return f"issue-{issue}.{last + 1}"


def _run(request: Request, runs: Sequence[Run], now_ms: int) -> Run:
    identity = run_id(request.repository.id, request.issue, request.guid)
    known = next((run for run in runs if run.id == identity), None)
    if known is not None:
        return known
    return Run(
        id=identity,
        source=Source.GITHUB,
        repository=request.repository.full_name,
        installation=request.installation,
        issue=request.issue,
        workflow=workflow_name(request.issue, [run.workflow for run in runs]),
        requester=request.requester,
        requester_id=request.requester_id,
        title=request.title,
        body=request.body,
        intent_sha256=request.intent_sha256,
        constraints=request.constraints,
        agents=request.agents,
        created_ms=now_ms,
    )
