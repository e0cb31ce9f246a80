"""`/optr approve`."""

from bot.commands.declaration import Argument, Call, Command, Place, commit_digits
from bot.permissions import Permission
from bot.render.words import code, sentence
from execution.artifacts import Plan
from execution.problems import RunProblem
from execution.runs import Run
from execution.stages.admit import Approver
from governance.codes import ReasonCode
from governance.states import RunState

NOTHING_WAITS = "No run waits for an approval here. A pull request is approved by a review on GitHub, not by a command."
OTHER_COMMIT = "The plan was made for another commit, so nothing was approved. `/optr plan` shows which."
OWN_REQUEST = "Whoever asked for a run does not approve its plan under this repository's rules (`review.two_person`)."


async def handle(call: Call) -> str:
    """Let the plan go ahead; with a commit, only the plan that was made for it."""
    run = await call.newest_run()
    plan = await call.context.desk.plan(run.id) if run is not None else None
    if run is None or plan is None:
        return NOTHING_WAITS
    if against := await _objection(call, run, plan):
        return against
    try:
        approved = await call.context.desk.approve(run.id, Approver(call.sender, call.account.id, call.account.is_bot))
    except RunProblem as problem:
        return f"Nothing was approved: {sentence(str(problem))} (`{code(problem.code)}`). {_instead(problem.code)}"
    if approved is None:
        return NOTHING_WAITS
    # Also when it was approved before: the first try may have died between the record and the start.
    if run.state is RunState.AWAITING_APPROVAL:
        await call.context.runs.proceed(run.id)
    return f"The plan of run `{code(run.workflow)}` for `{code(plan.base_commit)[:12]}` is approved; the agents start."


async def _objection(call: Call, run: Run, plan: Plan) -> str:
    """Why this person may not approve this plan now; an empty string when they may."""
    if not plan.base_commit.startswith(call.argument("sha")):
        return OTHER_COMMIT
    if plan.config.review.two_person and run.is_requester(call.sender, call.account.id):
        return OWN_REQUEST
    return await call.context.brakes.standing(call.installation, call.repository.full_name)


def _instead(reason: str) -> str:
    """What to do about an approval that is not accepted."""
    if reason == ReasonCode.POLICY_DENIED:
        return "The run waits on, for somebody whom the policy lets `approve` (docs/policy.md)."
    if reason == ReasonCode.TRUST_REVOKED:
        return "The run waits on, for somebody else."
    return "`/optr rerun` makes a new plan."


COMMAND = Command(
    name="approve",
    meaning="Approves the plan of a run that waits for a person; with a commit, only if the plan was made for it.",
    example="/optr approve 1234567",
    permission=Permission.WRITE,
    handle=handle,
    arguments=(Argument("sha", "SHA", "the base commit that `/optr plan` shows", commit_digits, Place.OPTIONAL),),
)
