"""Close a run: one closing ledger line, one final word. The first conclusion stands."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from execution.artifacts import PICKED, PLAN, RECORDED, RESULT, Picked, Plan, Recorded
from execution.capture import Keeping, allowed
from execution.lastword import turn_of
from execution.owed import has_no_access, owe
from execution.policies import in_force
from execution.problems import RunProblem
from execution.redaction import secrets_of
from execution.result import RunResult
from execution.runs import Run, Source
from execution.stages.admit import settle
from execution.stages.plan import default_branch, resolve_base
from execution.stages.publish import current
from execution.stages.record import ACTOR, receipt_of
from execution.steps import wait_asked
from execution.world import World
from governance.codes import ReasonCode, RefusedError
from governance.events import EntryType
from governance.keeping import Capture
from governance.shortening import shortened
from governance.states import RunOutcome, RunState
from governance.wrap import Wrap, wrap
from ledger.entry import Draft
from ledger.errors import LedgerRefusedError

_TYPES = {
    RunOutcome.ACCEPTED: EntryType.WRAP_ORCH_ACCEPTED,
    RunOutcome.REJECTED: EntryType.WRAP_ORCH_REJECTED,
    RunOutcome.CANCELLED: EntryType.RUN_CANCELLED,
    RunOutcome.SUPERSEDED: EntryType.RUN_SUPERSEDED,
    RunOutcome.EXPIRED: EntryType.RUN_EXPIRED,
    RunOutcome.REFUSED: EntryType.RUN_REFUSED,
}
FACT_CHARS_MAX = 4_000  # characters of a problem's text, so that the line that carries it fits
_WRAPS = (RunOutcome.ACCEPTED, RunOutcome.REJECTED)
NOT_YET = "run %s: its closing line is not on the ledger yet: %s"
_LOG = logging.getLogger(__name__)


async def conclude(world: World, run_id: str, outcome: RunOutcome, by: str, facts: Mapping[str, str]) -> bool:
    """Close the run as `outcome`; False when it was closed before.

    Args:
        world: dependencies.
        run_id: the run.
        outcome: accepted or rejected after review; cancelled, failed and the others before it.
        by: who caused it.
        facts: further members of the closing line: `problem`, `mergeCommit` and the like.
    """
    secrets = secrets_of(world.access.environ)
    facts = {name: shortened(secrets.redact(text), FACT_CHARS_MAX) for name, text in facts.items()}
    async with turn_of(world, run_id):
        run = world.run(run_id)
        if run.state is RunState.CLOSED:
            return False
        closing = _closing(world, run, outcome, by, facts)
        # The line first: if we die after it, the next try finds it by id and only closes the row.
        facts = {**closing.facts, **await _recorded(world, run, closing)}
        problem, code = facts.get("problem"), facts.get("code", "")
        world.store.move(run_id, RunState.CLOSED, outcome=closing.outcome, problem=problem, code=code)
        world.observer.closed(closing.outcome)
        settle(world, run)
        return True


async def record_late(world: World, run_id: str) -> None:
    """Write the closing line that a run without a plan still owes; never raises."""
    run, shown = world.run(run_id), world.store.find(run_id, RESULT, RunResult)
    if has_no_access(run.code):
        return
    if run.state is not RunState.CLOSED or run.outcome is None or (shown is not None and shown.receipt is not None):
        return
    facts = {name: text for name, text in (("problem", run.problem or ""), ("code", run.code)) if text}
    try:
        if await _unplanned(world, run):
            await _record_closing(world, run, _Closing(run.outcome, ACTOR, facts))
    except Exception as error:  # noqa: BLE001 - the next look tries again
        _LOG.warning(NOT_YET, run_id, error)


@dataclass(frozen=True)
class _Closing:
    """How a run closes, by whom, with which further members of its line, and the wrap of a run that was reviewed."""

    outcome: RunOutcome
    by: str
    facts: Mapping[str, str]
    wrap: Wrap | None = None


def _closing(world: World, run: Run, outcome: RunOutcome, by: str, facts: Mapping[str, str]) -> _Closing:
    plan = world.store.find(run.id, PLAN, Plan)
    try:
        made = _wrapped(world, run, plan, outcome, by) if plan is not None and outcome in _WRAPS else None
    except RefusedError as refused:
        # Whatever was merged, the rules do not let this run count as accepted: that is how it ends, in the open.
        told = {**facts, "problem": refused.text, "code": str(refused.code)}
        return _Closing(RunOutcome.FAILED, by, told)
    return _Closing(outcome, by, facts, made)


def _wrapped(world: World, run: Run, plan: Plan, outcome: RunOutcome, by: str) -> Wrap | None:
    """The closing record; None for a run that recorded nothing.

    Raises:
        RefusedError: see `governance.wrap.wrap`.
    """
    recorded = world.store.find(run.id, RECORDED, Recorded)
    if recorded is None:
        return None
    return wrap(
        plan.graph,
        recorded.aggregate,
        recorded.settlements,
        accepted=outcome is RunOutcome.ACCEPTED,
        by=by,
        head_commit=run.head_commit,
        when_ms=world.now_ms(),
    )


async def _recorded(world: World, run: Run, closing: _Closing) -> Mapping[str, str]:
    """Write the closing line; returns what must be added to the facts when the ledger refuses it for good."""
    if has_no_access(closing.facts.get("code", "")):
        owe(world, run, _draft(world, run, closing))  # GitHub is not asked again: it would refuse for ever
        return {}
    planned = world.store.find(run.id, PLAN, Plan) is not None
    try:
        if planned or await _unplanned(world, run):
            await _record_closing(world, run, closing)
    except LedgerRefusedError as refused:
        # Nothing may be written on a ledger that is not ours any more; the run must end all the same.
        return {"problem": closing.facts.get("problem") or str(refused), "code": str(ReasonCode.LEDGER_REFUSED)}
    except Exception as error:
        if planned or wait_asked(error) is not None:
            raise
        # What kept the run from being planned may keep the line away too; the word must reach people all the same.
        _LOG.warning(NOT_YET, run.id, error)
    return {}


async def _unplanned(world: World, run: Run) -> bool:
    """Whether the run has no plan, and a repository that its closing line can be written in.

    The first branch that is pushed to an empty repository becomes its default branch: that is not ours to choose. And
    a request at a terminal that cannot be planned is told to whoever sits there, and leaves nothing behind.
    """
    if run.source is not Source.GITHUB or world.store.find(run.id, PLAN, Plan) is not None:
        return False
    if run.base_commit:
        return True
    git_dir = await world.forge(run).fetch(run)
    try:
        await asyncio.to_thread(lambda: resolve_base(git_dir, default_branch(git_dir)))
    except RunProblem:
        return False
    return True


def _capture(environ: Mapping[str, str]) -> Capture:
    """What is kept of a run whose repository could not say what it wants: what the operator allows."""
    try:
        return allowed(environ)
    except RunProblem:
        return Capture.DIGEST


def _draft(world: World, run: Run, closing: _Closing) -> Draft:
    kind = _TYPES.get(closing.outcome, EntryType.RUN_FAILED)
    body: dict[str, object] = {"outcome": str(closing.outcome), **in_force(world.store, run.id), **closing.facts}
    plan = world.store.find(run.id, PLAN, Plan)
    if "problem" in closing.facts:
        capture = plan.capture if plan is not None else _capture(world.access.environ)
        body["problem"] = Keeping(capture, secrets_of(world.access.environ)).words(closing.facts["problem"])
    if plan is None:
        body |= {"intentSha256": run.intent_sha256, "baseCommit": run.base_commit}
    if closing.wrap is not None:
        body["wrap"] = closing.wrap.model_dump(mode="json")
    if (picked := world.store.find(run.id, PICKED, Picked)) is not None:
        body["pickedOptr"] = picked.agent
    # One id for every way to close, so that a run can hold one closing line only.
    return Draft(
        id=f"{run.id}/WRAP",
        type=str(kind),
        workflow=plan.workflow if plan else run.workflow,
        run=run.id,
        actor=closing.by,
        timestamp=closing.wrap.when_ms if closing.wrap is not None else world.now_ms(),
        body=body,
    )


async def _record_closing(world: World, run: Run, closing: _Closing) -> None:
    draft = _draft(world, run, closing)
    appended = await world.forge(run).append(run, [draft], {})
    shown = world.store.find(run.id, RESULT, RunResult) or current(world, run.id)
    world.store.replace(run.id, RESULT, shown.model_copy(update={"receipt": receipt_of(appended, draft.id)}))
