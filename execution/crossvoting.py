"""Cross-votes: each candidate's new tests on every other candidate's code. Evidence for people, and nothing else.

A vote makes nobody inadmissible, earns no points and breaks no tie, because a candidate writes its own tests: one that
passes only on its author's code, or hangs, would otherwise be a weapon. A reviewer reads it as a question: when the new
tests of several candidates fail on one of them, look there first.

Voters and targets are the candidates against whom nothing was found. On code whose own checks fail, a failing vote
would say nothing. The tree that is voted on is the target's code with the base's tests and configuration and the
voter's new test files; files that the voter changed, not added, stay as the base has them. The checks that run are
those that prove `tested`; a new test that such a command does not find passes unseen.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from execution.checkrun import CheckRunner
from execution.config import Check
from execution.gitcmd import GitError
from execution.sandbox import SandboxError
from execution.trees import Trees, with_files
from scoring.evidence import CheckOutcome, CrossOutcome, CrossVote

PAIRS_MAX = 240  # of voter and target: 16 candidates, each against each
VOTE_SECONDS_MAX = 120  # wall clock of one vote, when the check's own is longer
TOTAL_SECONDS_MAX = 900.0  # wall clock after which no further vote is started
FILES_MAX = 100  # new test files of one voter; who brings more casts no vote, rather than one by a part of them
VOTERS_AT_ONCE = 2

_OUTCOMES = {
    CheckOutcome.PASSED: CrossOutcome.PASSED,
    CheckOutcome.FAILED: CrossOutcome.FAILED,
    CheckOutcome.TIMED_OUT: CrossOutcome.TIMED_OUT,
    CheckOutcome.ERROR: CrossOutcome.NOT_RUN,
}


@dataclass(frozen=True)
class Contestant:
    """An admissible candidate.

    Attributes:
        agent: its name.
        trees: made in the store that the runner uses.
        new_tests: test files that its patch creates.
    """

    agent: str
    trees: Trees
    new_tests: tuple[str, ...]


class Poll:
    """Holds the votes of one run.

    Args:
        runner: runs checks on the contestants' trees.
        checks: those that run tests.
        clock: monotonic seconds.
    """

    def __init__(
        self, runner: CheckRunner, checks: Sequence[Check], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._runner = runner
        self._checks = [
            check.model_copy(update={"timeout_s": min(check.timeout_s, VOTE_SECONDS_MAX), "junit": None})
            for check in checks
        ]
        self._clock = clock
        self._ends = clock() + TOTAL_SECONDS_MAX

    async def hold(self, contestants: Sequence[Contestant]) -> tuple[CrossVote, ...]:
        """All votes, by voter, target and check, in the contestants' order; a bound reached is `not_run`."""
        gate = asyncio.Semaphore(VOTERS_AT_ONCE)
        pairs_each = PAIRS_MAX // max(1, len(contestants))

        async def one(voter: Contestant) -> list[CrossVote]:
            async with gate:
                targets = [other for other in contestants if other is not voter]
                return await self._ballot(voter, targets, pairs_each)

        voters = [contestant for contestant in contestants if contestant.new_tests]
        ballots = await asyncio.gather(*(one(voter) for voter in voters))
        return tuple(vote for ballot in ballots for vote in ballot)

    async def _ballot(self, voter: Contestant, targets: Sequence[Contestant], pairs: int) -> list[CrossVote]:
        """One voter's votes. Tests that hang are stopped once: they are not given every target's time to burn."""
        votes: list[CrossVote] = []
        hung, too_many = False, len(voter.new_tests) > FILES_MAX
        for number, target in enumerate(targets):
            for check in self._checks:
                if hung or too_many or number >= pairs or self._clock() >= self._ends:
                    votes.append(_vote(voter, target, check, CrossOutcome.NOT_RUN))
                    continue
                votes.append(await self._cast(voter, target, check))
                hung = votes[-1].outcome is CrossOutcome.TIMED_OUT
        return votes

    async def _cast(self, voter: Contestant, target: Contestant, check: Check) -> CrossVote:
        """One vote; what the machine or git refuses is nobody's failure and `not_run`."""
        try:
            tree = await asyncio.to_thread(
                with_files, target.trees.store, target.trees.base_tests, voter.trees.candidate, voter.new_tests
            )
            seen = await self._runner.run(tree, check)
        except (GitError, OSError, SandboxError):
            return _vote(voter, target, check, CrossOutcome.NOT_RUN)
        return _vote(voter, target, check, _OUTCOMES[seen.outcome], seen.done.duration_ms)


def _vote(
    voter: Contestant, target: Contestant, check: Check, outcome: CrossOutcome, duration_ms: int = 0
) -> CrossVote:
    return CrossVote(voter=voter.agent, target=target.agent, check=check.id, outcome=outcome, duration_ms=duration_ms)


def about(votes: Sequence[CrossVote], agent: str) -> tuple[CrossVote, ...]:
    """The votes that an agent cast or was the target of."""
    return tuple(vote for vote in votes if agent in {vote.voter, vote.target})
