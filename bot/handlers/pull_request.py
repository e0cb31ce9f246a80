"""A pull request of ours changes: the gate judges its head again, or the run ends with it."""

from bot.fate import fate_of
from bot.payloads import PullRequestEvent
from bot.ports import Context
from bot.router import Delivery, Router
from governance.states import RunState

BRANCHES = "optr/"  # a pull request from one is never passed over, even when its run is forgotten

router = Router()


@router.on("pull_request", "closed")
async def conclude(context: Context, delivery: Delivery) -> None:
    """Merged is accepted, closed unmerged is rejected; who did it goes on the ledger, a bot under its own name."""
    event = delivery.read(PullRequestEvent)
    pull = event.pull_request
    run = await context.runs.run_of_pull_request(event.repository.full_name, pull.number)
    if run is None:
        await _others(context, delivery, event)
    if run is None or event.sender.login == context.own_login:
        return  # not ours, or closed by us, who recorded the reason before closing it
    fate = fate_of(pull, event.sender)
    await context.runs.conclude(run.id, fate.outcome, fate.by, fate.facts)


@router.on("pull_request", "opened", "reopened", "synchronize", "edited", "ready_for_review")
async def judge(context: Context, delivery: Delivery) -> None:
    """Judge the new head; `edited` counts because it can change the base branch."""
    event = delivery.read(PullRequestEvent)
    run = await context.runs.run_of_pull_request(event.repository.full_name, event.pull_request.number)
    if run is not None:
        await context.gate.evaluate(run, delivery.body["pull_request"])
    else:
        await _others(context, delivery, event)


async def _others(context: Context, delivery: Delivery, event: PullRequestEvent) -> None:
    """Somebody's own pull request: it may resemble one of ours, and a rule may wait for the gate on it."""
    repository, pull = event.repository.full_name, event.pull_request
    runs = await context.runs.open_runs_of(repository)
    if in_review := [run for run in runs if run.state is RunState.IN_REVIEW]:
        await context.gate.siblings_changed(in_review, delivery.body["pull_request"], event.before)
    # From the moment a winner's commit is known, though its own check may not stand on it yet.
    is_ours = (
        event.sender.login == context.own_login
        or pull.head.ref.startswith(BRANCHES)
        or any(run.head_commit == pull.head.sha for run in runs)
    )
    if pull.state == "open" and pull.base is not None and not is_ours:
        await context.gate.pass_over(event.installation.id, repository, pull.base.ref, pull.head.sha)
