"""Close a run: one closing ledger line, one final word. The first conclusion stands."""

from collections.abc import Mapping
from dataclasses import dataclass

from execution.artifacts import PICKED, PLAN, RECORDED, RESULT, Picked, Plan, Recorded
from execution.capture import Keeping
from execution.redaction import secrets_of
from execution.result import RunResult
from execution.runs import Run
from execution.stages.admit import settle
from execution.stages.publish import current
from execution.stages.record import receipt_of
from execution.world import World
from governance.codes import ReasonCode, RefusedError
from governance.events import EntryType
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
_WRAPS = (RunOutcome.ACCEPTED, RunOutcome.REJECTED)


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
    facts = {name: secrets.redact(text) for name, text in facts.items()}
    run = world.run(run_id)
    if run.state is RunState.CLOSED:
        return False
    plan = world.store.find(run_id, PLAN, Plan)
    closing: Wrap | None = None
    try:
        closing = _wrapped(world, run, plan, outcome, by) if plan is not None and outcome in _WRAPS else None
    except RefusedError as refused:
        # Whatever was merged, the rules do not let this run count as accepted: that is how it ends, in the open.
        outcome, facts = RunOutcome.FAILED, facts | {"problem": refused.text, "code": str(refused.code)}
    if plan is not None:
        # The line first: if we die after it, the next try finds it by id and only closes the row.
        try:
            await _record_closing(world, run, plan, _Closing(outcome, by, facts, closing))
        except LedgerRefusedError as refused:
            # Nothing may be written on a ledger that is not ours any more; the run must end all the same.
            facts |= {"problem": facts.get("problem") or str(refused), "code": str(ReasonCode.LEDGER_REFUSED)}
    problem, code = facts.get("problem"), facts.get("code", "")
    world.store.move(run_id, RunState.CLOSED, outcome=outcome, problem=problem, code=code)
    world.observer.closed(outcome)
    settle(world, run)
    return True


@dataclass(frozen=True)
class _Closing:
    """How a run closes, by whom, with which further members of its line, and the wrap of a run that was reviewed."""

    outcome: RunOutcome
    by: str
    facts: Mapping[str, str]
    wrap: Wrap | None


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


async def _record_closing(world: World, run: Run, plan: Plan, closing: _Closing) -> None:
    kind = _TYPES.get(closing.outcome, EntryType.RUN_FAILED)
    body: dict[str, object] = {"outcome": str(closing.outcome), **closing.facts}
    if "problem" in closing.facts:
        keeping = Keeping(plan.capture, secrets_of(world.access.environ))
        body["problem"] = keeping.words(closing.facts["problem"])
    if closing.wrap is not None:
        body["wrap"] = closing.wrap.model_dump(mode="json")
    if (picked := world.store.find(run.id, PICKED, Picked)) is not None:
        body["pickedOptr"] = picked.agent
    # One id for every way to close, so that a run can hold one closing line only.
    draft = Draft(
        id=f"{run.id}/WRAP",
        type=str(kind),
        workflow=plan.workflow,
        run=run.id,
        actor=closing.by,
        timestamp=closing.wrap.when_ms if closing.wrap is not None else world.now_ms(),
        body=body,
    )
    appended = await world.forge(run).append(run, [draft], {})
    shown = world.store.find(run.id, RESULT, RunResult) or current(world, run.id)
    world.store.replace(run.id, RESULT, shown.model_copy(update={"receipt": receipt_of(appended, draft.id)}))
