"""Checks at work for a run that nobody knows: the state was lost, and they would look busy for weeks."""

import datetime as dt
from collections.abc import Iterable

from bot.github.objects import CheckRunObject
from bot.github.survey import Place, Survey
from bot.ports import Context
from bot.render.check_run import CheckStatus, Conclusion

RUNS_S_MAX = 24 * 3600  # no run takes longer
TITLE = "ended without a result"
RECORDED = "What it had recorded stands on the `datalake` branch. Set the label again to start anew."
CANCELLED = f"OPTR has no record of this run any more: its state was lost. {RECORDED}"
TIMED_OUT = f"Nothing was heard of this run for longer than any run takes. {RECORDED}"


def ending(check: CheckRunObject, now: dt.datetime) -> tuple[Conclusion, str]:
    """How an orphan ends: timed out when it is older than any run may be, else cancelled."""
    old = check.started_at is not None and (now - check.started_at).total_seconds() > RUNS_S_MAX
    return (Conclusion.TIMED_OUT, TIMED_OUT) if old else (Conclusion.CANCELLED, CANCELLED)


def closing(check: CheckRunObject, now: dt.datetime) -> dict[str, object]:
    """The body of `PATCH …/check-runs/{id}` that ends an orphan."""
    conclusion, text = ending(check, now)
    return {
        "status": CheckStatus.COMPLETED.value,
        "conclusion": conclusion.value,
        "completed_at": now.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "output": {"title": TITLE, "summary": text},
    }


async def close_orphans(context: Context, survey: Survey, place: Place, now: dt.datetime) -> int:
    """End the orphans of one repository; returns how many there were.

    Raises:
        GitHubError: GitHub did not answer; the next pass goes on.
    """
    client = survey.client(place)
    found = await survey.unfinished_checks(client, place)
    orphans = [check for check in found if await context.runs.get(check.external_id or "") is None]
    for check in _ours(orphans, context.app_id):
        await survey.complete(client, place, check.id, closing(check, now))
    return len(orphans)


def _ours(checks: Iterable[CheckRunObject], app_id: int) -> list[CheckRunObject]:
    return [check for check in checks if check.app is not None and check.app.id == app_id]
