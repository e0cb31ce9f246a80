"""People's reviews of a pull request: the run's policy says whose word counts, and what counts goes on the ledger.

Nothing counts that does not stand there: what cannot be asked is denied, and what cannot be recorded closes the gate.
"""

import asyncio
from collections.abc import Callable, Iterable

from bot.gate import Review, ReviewState
from bot.github.errors import GitHubError
from bot.ledgers import Ledgers
from execution.policies import in_force, require_approval
from execution.records import Record
from execution.runs import Run
from execution.store import Store
from governance.codes import RefusedError
from governance.entry_types import EntryType
from governance.states import RunState
from governance.trust.chain import require_trusted
from governance.trust.records import Revocation
from ledger.entry import Draft
from ledger.errors import LedgerError

MILLISECONDS = 1000
HOW = "github_review"
_DECISIONS = {ReviewState.APPROVED: "approved", ReviewState.CHANGES_REQUESTED: "changes_requested"}


class ReviewKept(Record):
    """That a review stands on the ledger, and since when, milliseconds since the epoch."""

    entry: str
    recorded_ms: int


class HumanReviews:
    """Asks the policy of a run, and writes down what counted.

    Args:
        store: the runs' artifacts.
        ledgers: the repositories' ledgers.
        clock: seconds since the epoch.
    """

    def __init__(self, store: Store, ledgers: Ledgers, clock: Callable[[], float]) -> None:
        self._store = store
        self._ledgers = ledgers
        self._clock = clock

    async def asked(self, run: Run, reviews: tuple[Review, ...] | None) -> tuple[Review, ...] | None:
        """The reviews, each approval with what speaks against it: the run's policy, or that the person was revoked."""
        if not reviews:
            return reviews
        taken = await asyncio.to_thread(self._revocations, run)
        return tuple(
            review.model_copy(update={"denied": self._why_not(run, review, taken)})
            if review.state is ReviewState.APPROVED
            else review
            for review in reviews
        )

    async def record(self, run: Run, number: int, reviews: Iterable[Review]) -> str | None:
        """Put each review on the ledger that is not there yet; the problem, if one cannot be.

        Args:
            run: whose pull request it is; once closed, nothing is added.
            number: of the pull request.
            reviews: those that count.
        """
        present = self._store.get(run.id)
        if present is None or present.state is RunState.CLOSED:
            return None
        for review in reviews:
            try:
                await self._record(present, number, review)
            except (GitHubError, LedgerError, OSError) as error:
                return str(error)
        return None

    async def _record(self, run: Run, number: int, review: Review) -> None:
        entry = f"{run.id}/{EntryType.HUMAN_REVIEW_RECORDED}/{review.id}"
        name = f"review:{review.id}"
        if self._store.find(run.id, name, ReviewKept) is not None:
            return
        now_ms = int(self._clock() * MILLISECONDS)
        draft = Draft(
            id=entry,
            type=str(EntryType.HUMAN_REVIEW_RECORDED),
            workflow=run.workflow,
            run=run.id,
            actor=review.login,
            timestamp=now_ms,
            body={
                "subject": "pull_request",
                "decision": _DECISIONS[review.state],
                "pullRequest": number,
                "head": review.commit,
                "review": review.id,
                "reviewer": review.reviewer,
                "submitted": review.submitted,
                "how": HOW,
                "ownRequest": _is_own(run, review),
                **in_force(self._store, run.id),
            },
        )
        await self._ledgers.append(run.installation, run.repository, [draft], {})
        self._store.put(run.id, name, ReviewKept(entry=entry, recorded_ms=now_ms))

    def _revocations(self, run: Run) -> tuple[Revocation, ...] | str:
        """What was revoked, or why that cannot be told."""
        try:
            return self._ledgers.revocations(run.repository)
        except (RefusedError, LedgerError, OSError) as error:
            return f"who was revoked cannot be read: {error}"

    def _why_not(self, run: Run, review: Review, taken: tuple[Revocation, ...] | str) -> str:
        if isinstance(taken, str):
            return taken
        try:
            require_trusted(taken, review.login)
            require_approval(self._store, run, review.login, own_request=_is_own(run, review), bot=not review.human)
        except RefusedError as refused:
            return refused.text
        return ""


def _is_own(run: Run, review: Review) -> bool:
    return run.is_requester(review.login, review.reviewer)
