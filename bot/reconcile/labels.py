"""Labelled issues without a run: a label is a wish, and one whose delivery got lost is still granted.

What an issue says now is not always what it said when the label was set. Where somebody who may not write could have
changed it since, nothing is started, and the one who labelled is asked to look again.
"""

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum

from bot import replies
from bot.admission import is_active, request_from_issue, start_run
from bot.github.survey import LabelledIssue, Labelling, Place, Survey
from bot.payloads import Account, Issue, Repository
from bot.permissions import Permission
from bot.ports import Context
from execution.runs import Run

WISH_AGE_S_MAX = 3 * 24 * 3600  # older labels are history: nobody waits for them any more
CLOCKS_APART_S_MAX = 120  # GitHub's clock and ours
TOUCHED_S = 2  # the label itself touches the issue, at most so much later by GitHub's own clocks


class Wish(StrEnum):
    """What is to be done about a label."""

    GRANTED = "granted"  # a run stands for it
    YOUNG = "young"  # its delivery may still be on the way
    OLD = "old"
    UNSIGNED = "unsigned"  # set by a machine, or by an account that is gone
    OPEN = "open"


def judge(runs: Sequence[Run], label: Labelling | None, now: dt.datetime, grace_s: float) -> Wish:
    """What a label asks for now.

    Args:
        runs: of the issue, newest first.
        label: how it came to be there.
        now: the time.
        grace_s: how long a delivery may take.
    """
    if any(is_active(run) for run in runs):
        return Wish.GRANTED
    if label is None or label.actor is None or label.actor.type != "User" or label.actor.login.endswith("[bot]"):
        return Wish.UNSIGNED
    set_s, now_s = label.created_at.timestamp(), now.timestamp()
    if any(run.created_ms / 1000 >= set_s - CLOCKS_APART_S_MAX for run in runs):
        return Wish.GRANTED
    if now_s - set_s < grace_s:
        return Wish.YOUNG
    return Wish.OLD if now_s - set_s > WISH_AGE_S_MAX else Wish.OPEN


async def grant(context: Context, survey: Survey, place: Place, now: dt.datetime, grace_s: float) -> int:
    """Start what labels in one repository ask for; returns how many runs began.

    Raises:
        GitHubError: GitHub did not answer; the next pass goes on.
    """
    client = survey.client(place)
    started = 0
    for issue in await survey.labelled(client, place):
        runs = await context.runs.runs_of_issue(place.name, issue.number)
        if any(is_active(run) for run in runs):
            continue  # asks GitHub nothing
        label = await survey.labelling(client, place, issue.number)
        if judge(runs, label, now, grace_s) is Wish.OPEN and label is not None:
            started += await _start(context, place, issue, label)
    return started


async def _start(context: Context, place: Place, issue: LabelledIssue, label: Labelling) -> bool:
    github = context.github(place.installation)
    login = label.actor.login if label.actor else ""
    permission = await github.permission(place.name, login)
    if not permission.allows(Permission.WRITE):
        text = replies.refusal(login, permission, Permission.WRITE, "Starting a run")
        await github.comment_once(place.name, issue.number, replies.refusal_marker(login), text)
        return False
    if await _may_have_changed(context, place, issue, label):
        await github.comment_once(place.name, issue.number, f"late-{label.id}", replies.label_again(login))
        return False
    # One id for one setting of the label, whoever finds it first.
    said = Issue(number=issue.number, title=issue.title, body=issue.body)
    repository = Repository(id=place.id, full_name=place.name)
    who = Account(id=label.actor.id if label.actor else 0, login=login)
    request = request_from_issue(f"label-{label.id}", repository, place.installation, who, said)
    admitted = await start_run(context, request)
    if admitted.started:
        await github.react(place.name, issue=issue.number, comment=None, content="eyes")
    return admitted.started


async def _may_have_changed(context: Context, place: Place, issue: LabelledIssue, label: Labelling) -> bool:
    """Whether somebody who may not write could have edited the issue since; its writer may, whatever they may else."""
    if issue.updated_at <= label.created_at + dt.timedelta(seconds=TOUCHED_S):
        return False
    if issue.user is None:
        return True
    permission = await context.github(place.installation).permission(place.name, issue.user.login)
    return not permission.allows(Permission.WRITE)
