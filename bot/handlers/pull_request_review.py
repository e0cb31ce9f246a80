"""A review on a pull request of ours: the gate counts the approvals of this head again."""

from bot.payloads import PullRequestEvent
from bot.ports import Context
from bot.router import Delivery, Router

router = Router()


@router.on("pull_request_review", "submitted", "edited", "dismissed")
async def judge(context: Context, delivery: Delivery) -> None:
    """The payload's pull request is shorter here than GitHub's own; the gate gets the whole one."""
    event = delivery.read(PullRequestEvent)
    repository, number = event.repository.full_name, event.pull_request.number
    run = await context.runs.run_of_pull_request(repository, number)
    if run is not None:
        pull_request = await context.github(event.installation.id).pull_request(repository, number)
        await context.gate.evaluate(run, pull_request)
