"""A merge queue asks for checks on a commit of its own."""

import re

from bot.payloads import MergeGroupEvent
from bot.ports import Context
from bot.router import Delivery, Router

router = Router()

_REF = re.compile(r"refs/heads/gh-readonly-queue/.+/pr-(\d+)-[0-9a-f]{40}")
_BRANCH = "refs/heads/"


@router.on("merge_group", "checks_requested")
async def judge(context: Context, delivery: Delivery) -> None:
    """Answer on the group's head: the decision on our pull request, or that there is nothing to judge.

    Without an answer the queue stalls. A group whose pull request cannot be told gets none, which stops it: closed.
    """
    event = delivery.read(MergeGroupEvent)
    group, repository = event.merge_group, event.repository.full_name
    found = _REF.fullmatch(group.head_ref)
    if found is None:
        return
    number = int(found[1])
    run = await context.runs.run_of_pull_request(repository, number)
    if run is not None:
        await context.gate.judge_group(run, number, group.head_sha)
        return
    pull = await context.github(event.installation.id).pull_request(repository, number)
    if not str(pull["head"]["ref"]).startswith("optr/"):
        base = group.base_ref.removeprefix(_BRANCH)
        await context.gate.pass_over(event.installation.id, repository, base, group.head_sha)
