"""What commands ask of the record: plans, and the ledger itself (`bot.ports.Desk`)."""

import asyncio

from bot.github.errors import GitHubError
from bot.ledgers import Ledgers
from bot.ports import Purse
from bot.recorded_winner import RecordedWinner
from bot.trial_lines import Word
from bot.trials import Trials
from execution.artifacts import PLAN, Approved, Picked, Plan
from execution.reservations import Reservations
from execution.revoking import Taken, Withdrawal, aim, reason_kept
from execution.runs import Run
from execution.spending import caps_of, worst_case
from execution.stages.admit import Approver, approve, spent_so_far
from execution.stages.pick import pick
from execution.trustbooks import revocation_draft
from execution.world import World
from governance.trust.lineage import authority
from governance.trust.operations import revocation


class RecordDesk:
    """Answers from the store and from the `datalake` branch.

    Args:
        world: the stages' dependencies.
        ledgers: the repositories' ledgers.
        trials: where strangers' commits are tried.
    """

    def __init__(self, world: World, ledgers: Ledgers, trials: Trials) -> None:
        self._world = world
        self._ledgers = ledgers
        self._trials = trials

    async def plan(self, run_id: str) -> Plan | None:
        """A run's plan, None before it has one."""
        return self._world.store.find(run_id, PLAN, Plan)

    async def approve(self, run_id: str, by: Approver) -> Approved | None:
        """Record a person's approval of a plan; None when the run does not wait for one.

        Raises:
            RunProblem: it comes too late, or this person may not; nothing was recorded.
            LedgerError, GitHubError: it could not be recorded; asking again records it once.
        """
        return await approve(self._world, run_id, by)

    async def pick(self, run: Run, agent: str, by: str, why: str) -> Picked:
        """Put another admissible candidate in the winner's place.

        Raises:
            RunProblem: it cannot be, and the text says why.
            LedgerError, GitHubError: a step failed; asking again goes on from there.
        """
        return await pick(self._world, run.id, agent, by, why)

    async def take_back(self, installation: int, repository: str, asked: Withdrawal) -> Taken:
        """Take authority back from the next act on, or give it back; what is so already is not written again.

        Raises:
            RunProblem: it cannot be, and the text says why; nothing was written.
            RefusedError: what was revoked before cannot be read.
            LedgerError, GitHubError: it could not be recorded; asking again records it once.
        """
        await self._ledgers.look(installation, repository)
        known = await asyncio.to_thread(self._ledgers.revocations, repository)
        runs = [run for run in self._world.store.open_runs() if run.repository == repository]
        meant = aim(self._world, asked, runs, known)
        if asked.lifted == (meant.standing is None):
            return Taken(meant, None)
        made = revocation(
            authority(self._ledgers.keys(repository).signer),
            meant.kind,
            meant.target,
            by=asked.by,
            now_ms=self._world.now_ms(),
            reason=reason_kept(self._world.access.environ, asked.reason),
            lifted=asked.lifted,
        )
        draft = revocation_draft(made, asked.request)
        appended = await self._ledgers.append(installation, repository, [draft], {})
        return Taken(meant, appended.seqs[-1])

    async def purse(self, run: Run) -> Purse | None:
        """A run's money, None before it has a plan."""
        store, plan = self._world.store, await self.plan(run.id)
        if plan is None:
            return None
        caps, rows = caps_of(self._world.access.environ, plan.config.budget), Reservations(store)
        standing = rows.of(run.id)
        return Purse(
            worst=worst_case(plan),
            reserved=standing.reserved if standing is not None and standing.spent is None else 0,
            spent=spent_so_far(self._world, run.id, plan, caps.unmeasured),
            caps=caps.microusd,
            taken=rows.taken(run, self._world.now_ms()),
        )

    async def try_out(self, word: Word, obstacle: str) -> str:
        """Run the base's checks on the commit that a person has looked at, unless `obstacle` says why not; the answer.

        Raises:
            GitHubError, LedgerError: GitHub, git or the ledger did not answer.
        """
        return await self._trials.run(word, obstacle)

    async def verify(self, run: Run) -> RecordedWinner:
        """Verify the ledger as it stands on GitHub; what keeps us from it is the problem."""
        try:
            return await self._ledgers.recorded_winner(run.installation, run.repository, run.id)
        except (GitHubError, OSError) as error:
            return RecordedWinner(f"it could not be fetched: {error}")
