"""Corrections: issued by a person for a run that waits for one, and put on the ledger before anything is done again."""

from dataclasses import dataclass

from execution.artifacts import PLAN, RECORDED, Plan, Recorded, correction_name, correction_recorded_name
from execution.authority import establish_authority
from execution.capture import CORRECTION, Keeping
from execution.lastword import before_the_end
from execution.policies import in_force
from execution.problems import RunProblem
from execution.redaction import secrets_of
from execution.result import Receipt
from execution.runs import Run
from execution.stages.flow_state import corrections, judgements, reports
from execution.stages.record import placed, receipt_of
from execution.stages.trail import TRUST_FILE, trust_file
from execution.world import World
from governance.codes import ReasonCode, RefusedError
from governance.correction import Correction, CorrectionType, correct
from governance.entry_types import EntryType
from governance.states import RunState
from governance.trust.chain import require_trusted
from ledger.entry import Draft

WORK_MS = 86_400_000  # how long the attempts of a correction may take, beside their own limits


@dataclass(frozen=True)
class Asked:
    """What a person asks: which node, why, who, as what, and the name of the request."""

    node: str
    reason: str
    by: str
    kind: CorrectionType | None = None
    request: str = ""


def issue_correction(world: World, run_id: str, asked: Asked) -> Correction:
    """Issue a correction, or return the one that stands: of the same request, or while it is being carried out.

    Raises:
        RunProblem: CORRECTION_REFUSED, CORRECTION_LIMIT, or TRUST_REVOKED when who asks was revoked: at such a word the
            run would end. Nothing was changed.
    """
    issued, node = corrections(world, run_id), asked.node
    for one in issued:
        if asked.request and one.request == asked.request:
            return one
    if issued and world.store.find(run_id, correction_recorded_name(len(issued)), Recorded) is None:
        if issued[-1].node == node:
            return issued[-1]
        raise _refused(f"run {run_id} is carrying out the correction of node {issued[-1].node}; wait for its end")
    run = world.run(run_id)
    plan = world.store.find(run_id, PLAN, Plan)
    if plan is None or not plan.is_flow or run.state is not RunState.AWAITING_CORRECTION:
        raise _refused(why_not(run, plan))
    recorded = world.store.load(run_id, RECORDED, Recorded)
    now_ms = world.now_ms()
    try:
        require_trusted(world.forge(run).revocations(run), asked.by)
        made = correct(
            plan.graph,
            node,
            number=len(issued) + 1,
            reports=reports(judgements(world, run_id, plan)),
            settlements=recorded.settlements,
            aggregate=recorded.aggregate.digest,
            reason=secrets_of(world.access.environ).redact(asked.reason),
            by=asked.by,
            now_ms=now_ms,
            deadline_ms=now_ms + WORK_MS,
            kind=asked.kind,
            request=asked.request,
        )
    except RefusedError as refused:
        raise RunProblem(refused.text, code=str(refused.code)) from None
    world.store.put(run_id, correction_name(made.number), made)
    return world.store.load(run_id, correction_name(made.number), Correction)


def why_not(run: Run, plan: Plan | None) -> str:
    """Why a run cannot be corrected as it stands, and what can be done instead; plain words, no markup."""
    if plan is not None and not plan.is_flow:
        return (
            f"run {run.id} is a race, and a candidate of a race is not corrected; /optr rerun AGENT lets one try again,"
            " and while the pull request is open /optr pick AGENT takes another candidate"
        )
    if run.state is RunState.IN_REVIEW:
        return (
            f"run {run.id} has its result in pull request {run.pull_request}, and what people review is not changed"
            " under them; close the pull request unmerged, say in the issue what is missing, then /optr run"
        )
    if run.state is RunState.CLOSED:
        return f"run {run.id} is closed as {run.outcome} and its record stays; /optr rerun starts a new run"
    return f"run {run.id} is {run.state}: only a workflow that waits for a correction can be corrected"


def _refused(text: str) -> RunProblem:
    return RunProblem(text, code=str(ReasonCode.CORRECTION_REFUSED))


@before_the_end
async def record_correction(world: World, run_id: str, number: int) -> Receipt:
    """Put CORRECTION_ISSUED and the pack on the ledger, before anything of it is dispatched."""
    run, plan = world.run(run_id), world.store.load(run_id, PLAN, Plan)
    pack = world.store.load(run_id, correction_name(number), Correction)
    draft = Draft(
        id=f"{run_id}/{EntryType.CORRECTION_ISSUED}/{number}",
        type=str(EntryType.CORRECTION_ISSUED),
        workflow=plan.workflow,
        run=run_id,
        actor=pack.by,
        timestamp=pack.issued_ms,
        body={
            "correction": pack.digest,
            "authority": establish_authority(world, run_id, number).digest,
            "node": pack.node,
            "correctionType": str(pack.type),
            "scope": list(pack.scope),
            "supersedes": pack.aggregate,
            **in_force(world.store, run_id),
        },
    )
    kept = Keeping(plan.capture, secrets_of(world.access.environ))
    book = establish_authority(world, run_id, number)
    files = {
        f"corrections/{number}/correction.json": kept.file({"version": 1, **pack.model_dump(mode="json")}, CORRECTION),
        f"corrections/{number}/{TRUST_FILE}": trust_file(book),
    }
    appended = await world.forge(run).append(run, [draft], placed(plan.workflow, files))
    return receipt_of(appended, draft.id)
