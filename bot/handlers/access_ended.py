"""A repository goes out of reach: the App is uninstalled, or the repository is taken from it, deleted or transferred.

Every run there ends at once. Nothing is asked of GitHub for it, which would refuse; the closing line is kept here.
"""

from collections.abc import Iterable

from bot.access import because
from bot.payloads import InstallationEvent, RepositoryEvent
from bot.ports import Context
from bot.router import Delivery, Router
from execution.runs import Run

router = Router()


@router.on("installation", "deleted")
async def uninstalled(context: Context, delivery: Delivery) -> None:
    """End every run of the installation."""
    event = delivery.read(InstallationEvent)
    runs = await context.runs.open_runs_through(event.installation.id)
    await _end(context, runs, event.sender.login, "the App was uninstalled")


@router.on("installation_repositories", "removed")
async def removed(context: Context, delivery: Delivery) -> None:
    """End the runs of the repositories that the installation does not cover any more."""
    event = delivery.read(InstallationEvent)
    names = {one.full_name for one in event.repositories_removed}
    runs = await context.runs.open_runs_through(event.installation.id)
    gone = [run for run in runs if run.repository in names]
    await _end(context, gone, event.sender.login, "the repository was taken from the App")


@router.on("repository", "deleted")
async def deleted(context: Context, delivery: Delivery) -> None:
    """End the repository's runs."""
    event = delivery.read(RepositoryEvent)
    runs = await context.runs.open_runs_of(event.repository.full_name)
    await _end(context, runs, event.sender.login, "the repository was deleted")


@router.on("repository", "transferred")
async def transferred(context: Context, delivery: Delivery) -> None:
    """End the runs under the former name: another owner is another installation, with rules and money of its own."""
    event = delivery.read(RepositoryEvent)
    if event.changes is None:
        return
    former = event.changes.owner.former.user or event.changes.owner.former.organization
    if former is not None:
        name = f"{former.login}/{event.repository.full_name.partition('/')[2]}"
        await _end(context, await context.runs.open_runs_of(name), event.sender.login, "the repository was transferred")


async def _end(context: Context, runs: Iterable[Run], by: str, why: str) -> None:
    for run in runs:
        await context.runs.cancel(run.id, by, because(why))
