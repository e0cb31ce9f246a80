"""What commands ask of the record: plans, and the ledger itself (`bot.ports.Desk`)."""

from bot.github.errors import GitHubError
from bot.ledgers import Ledgers, RecordedWinner
from execution.artifacts import PLAN, Plan
from execution.runs import Run
from execution.world import World


class RecordDesk:
    """Answers from the store and from the `datalake` branch.

    Args:
        world: the stages' dependencies.
        ledgers: the repositories' ledgers.
    """

    def __init__(self, world: World, ledgers: Ledgers) -> None:
        self._world = world
        self._ledgers = ledgers

    async def plan(self, run_id: str) -> Plan | None:
        """A run's plan, None before it has one."""
        return self._world.store.find(run_id, PLAN, Plan)

    async def verify(self, run: Run) -> RecordedWinner:
        """Verify the ledger as it stands on GitHub; what keeps us from it is the problem."""
        try:
            return await self._ledgers.recorded_winner(run.installation, run.repository, run.id)
        except (GitHubError, OSError) as error:
            return RecordedWinner(f"it could not be fetched: {error}")
