"""`/optr plan`."""

from bot.commands.declaration import Call, Command
from bot.permissions import Permission
from bot.render.words import code, duration, money, name, sentence
from execution.agents.profiles import Profile
from execution.artifacts import Plan
from execution.records import Limits
from execution.runs import Run
from execution.spending import worst_case
from execution.stages.admit import must_be_asked
from governance.states import RunState

NOTHING_YET = "No run has been asked for here, so there is no plan."
NOT_YET = "There is no plan yet: the run has not looked at the repository. Ask again in a moment."
CHECKS_MAX = 16


async def handle(call: Call) -> str:
    """What the newest run does, or would do once it is approved."""
    run = await call.newest_run()
    if run is None:
        return NOTHING_YET
    plan = await call.context.desk.plan(run.id)
    return NOT_YET if plan is None else _lines(run, plan)


def _lines(run: Run, plan: Plan) -> str:
    checks = ", ".join(name(check.id) for check in plan.checks[:CHECKS_MAX]) or "none"
    lines = [
        f"Plan of run `{code(plan.workflow)}`, {str(run.state).replace('_', ' ')}:",
        "",
        f"- base: {name(plan.base_branch)} at `{code(plan.base_commit)}`",
        f"- checks: {checks} ({sentence(plan.checks_source)})",
        f"- at most {money(worst_case(plan))} in all",
        f"- graph `{code(plan.graph.digest)}`",
        *(f"- note: {sentence(warning)}" for warning in plan.warnings),
        "",
        "| Agent | Part | Model | At most |",
        "|---|---|---|---|",
        *(_row(profile, "competes", plan.limits[node]) for node, profile in plan.profiles.items()),
        *(_row(profile, "reviews", plan.limits[node]) for node, profile in plan.reviewers.items()),
    ]
    if run.state is RunState.AWAITING_APPROVAL:
        lines += [f"- it waits because: {sentence(why)}" for why in must_be_asked(plan)]
        lines += ["", f"It waits: `/optr approve {code(plan.base_commit)[:12]}` or `/optr reject`."]
    return "\n".join(lines)


def _row(profile: Profile, part: str, limits: Limits) -> str:
    most = f"{money(limits.cost_microusd)}, {duration(int(limits.wall_seconds * 1000))}, {limits.steps} steps"
    return f"| {name(profile.name)} | {part} | {name(profile.model or '-')} | {most} |"


COMMAND = Command(
    name="plan",
    meaning="Shows what the newest run does: base, agents, models, limits, checks, and the most it may cost.",
    example="/optr plan",
    permission=Permission.READ,
    handle=handle,
)
