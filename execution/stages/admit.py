"""Between the plan and the first agent: the money is reserved, and a person is asked where the rules say so."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from execution.agents.profiles import Approval, Profile
from execution.artifacts import (
    APPROVED,
    APPROVING,
    PLAN,
    Approved,
    Dispatched,
    Plan,
    Reviewed,
    Tried,
    reviewed_name,
    token_name,
    tried_name,
)
from execution.config import Review
from execution.lastword import turn_of
from execution.policies import require_approval
from execution.problems import RunProblem
from execution.reservations import Reservations
from execution.runs import Run, Source
from execution.spending import MICRO, Denied, Scope, Unmeasured, caps_of, spent, worst_case
from execution.stages.flow_state import FIRST, attempts, slot
from execution.world import World
from governance.codes import RefusedError
from governance.events import EntryType
from governance.states import RunOutcome, RunState
from governance.trust.chain import require_trusted
from ledger.entry import Draft

# How long a plan may wait for its approval; one for a base so old is not what anybody would approve.
APPROVAL_WAITS_MS = 7 * 24 * 3_600_000
DAY_MS = 24 * 3_600_000
MILLISECONDS = 1000

_WHOSE = {
    Scope.RUN: "one run may cost",
    Scope.REPOSITORY: "this repository may spend in 24 hours",
    Scope.INSTALLATION: "this installation may spend in 24 hours",
    Scope.EVERYTHING: "this App may spend in 24 hours",
}


async def admit(world: World, run_id: str) -> bool:
    """Reserve the worst case and see whether the run may go on; False when a person is asked first.

    Raises:
        RunProblem: BUDGET_DENIED, as REFUSED.
    """
    run, plan = world.run(run_id), world.store.load(run_id, PLAN, Plan)
    if run.source is not Source.GITHUB:
        return True  # at a terminal whoever pays has asked, and sees the plan
    if must_be_asked(plan) and world.store.find(run_id, APPROVED, Approved) is None:
        world.store.move(run_id, RunState.AWAITING_APPROVAL)
        return False
    caps = caps_of(world.access.environ, plan.config.budget)
    denied = Reservations(world.store).reserve(run, worst_case(plan), caps, world.now_ms())
    if denied is not None:
        raise RunProblem(told(denied), outcome=RunOutcome.REFUSED, code="BUDGET_DENIED")
    return True


def must_be_asked(plan: Plan) -> tuple[str, ...]:
    """Why a person must approve the plan, one sentence each; empty when nobody is asked."""
    return asked_for(plan.config.review, [*plan.profiles.values(), *plan.reviewers.values(), *plan.workers.values()])


def asked_for(rules: Review, profiles: Sequence[Profile]) -> tuple[str, ...]:
    """As `must_be_asked`, before there is a plan: by the repository's rules and the profiles of all who would work."""
    rule = rules.plan_approval
    if rule == "always":
        return ("The repository's rules ask for approval of every plan.",)
    if rule == "never":
        return ()
    asking = [one.name for one in profiles if Approval.HUMAN_APPROVAL in one.approval_policy.values()]
    online = [one.name for one in profiles if one.network]
    return (
        *(f"The profile of {name} asks for human approval." for name in asking),
        *(f"{name} asks for the network." for name in online),
    )


def told(denied: Denied) -> str:
    """The refusal, one sentence."""
    left = max(denied.cap - denied.taken, 0)
    return (
        f"the run may cost {_usd(denied.asked)} at worst, and of the {_usd(denied.cap)} that {_WHOSE[denied.scope]}, "
        f"{_usd(left)} are left; nothing was started"
    )


def _usd(microusd: int) -> str:
    return f"${microusd / MICRO:.2f}"


@dataclass(frozen=True)
class Approver:
    """Who says yes to a plan.

    Attributes:
        login: for people and records.
        account: GitHub's number of the account; 0 when it is not known.
        bot: whether a machine says it.
    """

    login: str
    account: int = 0
    bot: bool = False


async def approve(world: World, run_id: str, by: Approver) -> Approved | None:
    """Record a person's approval of the plan; None when the run does not wait for one. The first approval stands.

    Raises:
        RunProblem: DISPATCH_EXPIRED, its mandates would end before the work could; POLICY_DENIED, the run's policy does
            not let this person approve; TRUST_REVOKED, who this is was revoked. Nothing was recorded.
    """
    async with turn_of(world, run_id):
        return await _approve(world, run_id, by)


async def _approve(world: World, run_id: str, by: Approver) -> Approved | None:
    run, plan = world.run(run_id), world.store.load(run_id, PLAN, Plan)
    if (standing := world.store.find(run_id, APPROVED, Approved)) is not None:
        return standing
    if run.state is not RunState.AWAITING_APPROVAL:
        return None
    now_ms = world.now_ms()
    _require_time(plan, now_ms)
    policy = await _require_approver(world, run, by)
    # The line may stand already, by somebody whose answer got lost: whoever says so next is not the one it names.
    world.store.put(run_id, APPROVING, Approved(by=by.login, approved_ms=now_ms))
    first = world.store.load(run_id, APPROVING, Approved)
    draft = Draft(
        id=f"{run_id}/{EntryType.HUMAN_REVIEW_RECORDED}/plan",
        type=str(EntryType.HUMAN_REVIEW_RECORDED),
        workflow=plan.workflow,
        run=run_id,
        actor=first.by,
        timestamp=now_ms,
        body={
            "subject": "plan",
            "decision": "approved",
            "graph": plan.graph.digest,
            "baseCommit": plan.base_commit,
            "ownRequest": run.is_requester(first.by, by.account if first.by == by.login else 0),
            "policy": policy,
        },
    )
    await world.forge(run).append(run, [draft], {})
    world.store.put(run_id, APPROVED, first)
    return world.store.load(run_id, APPROVED, Approved)


async def _require_approver(world: World, run: Run, by: Approver) -> str:
    """Ask the policy that the run was planned under, and whether the person is trusted; the policy's digest."""
    try:
        require_trusted(await asyncio.to_thread(world.forge(run).revocations, run), by.login)
        own = run.is_requester(by.login, by.account)
        return require_approval(world.store, run, by.login, own_request=own, bot=by.bot)
    except RefusedError as refused:
        raise RunProblem(refused.text, code=refused.code) from None


def _require_time(plan: Plan, now_ms: int) -> None:
    """See that every mandate lasts as long as its holder may work: an approval must not start what then is refused."""
    for mandate in plan.mandates:
        work_ms = int(plan.limits[mandate.node].wall_seconds * MILLISECONDS)
        if now_ms + work_ms > mandate.deadline_ms:
            days = (now_ms - plan.planned_ms) // DAY_MS
            raise RunProblem(
                f"the plan was made {days} days ago and {mandate.id} does not last any more; ask for a new run",
                code="DISPATCH_EXPIRED",
            )


def settle(world: World, run: Run) -> None:
    """Give back what a run reserved and did not spend."""
    plan = world.store.find(run.id, PLAN, Plan)
    if plan is None or run.source is not Source.GITHUB:
        return
    policy = caps_of(world.access.environ, plan.config.budget).unmeasured
    Reservations(world.store).settle(run.id, spent_so_far(world, run.id, plan, policy))


def spent_so_far(world: World, run_id: str, plan: Plan, policy: Unmeasured) -> int:
    """What the run's attempts and reviews cost, those that were corrected too, as far as it is known."""
    store, numbers = world.store, attempts(world, run_id, plan)
    total = 0
    for attempt in range(FIRST, max(numbers.values(), default=FIRST) + 1):
        slots = {node: slot(node, attempt) for node in plan.limits if numbers.get(node, FIRST) >= attempt}
        dispatched = {node: store.find(run_id, token_name(name), Dispatched) for node, name in slots.items()}
        tried = {node: store.find(run_id, tried_name(name), Tried) for node, name in slots.items()}
        reviewed = {node: store.find(run_id, reviewed_name(name), Reviewed) for node, name in slots.items()}
        total += spent(plan, dispatched, tried, reviewed, policy)
    return total
