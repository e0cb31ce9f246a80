"""Who has the last word on a run: what a run leaves outside is left in turn, and nothing of it after its end.

A person may stop a run while it writes its plan on the ledger or opens its pull request. The two must not pass each
other: either the effect is whole and the end comes after it, or the end is there and the effect never begins.
"""

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import wraps
from hashlib import sha256
from typing import Any, Concatenate, ParamSpec, TypeVar

from execution.problems import RunProblem
from execution.world import World
from governance.states import RunOutcome, RunState

P = ParamSpec("P")
R = TypeVar("R")
Stage = Callable[Concatenate[World, str, P], Coroutine[Any, Any, R]]


def turn_of(world: World, run_id: str) -> AbstractAsyncContextManager[None]:
    """Held while a run leaves something outside, or is ended; runs share 256 names, so that none is kept for each."""
    return world.turns.of(sha256(run_id.encode()).hexdigest()[:2])


def before_the_end(stage: Stage[P, R]) -> Stage[P, R]:
    """A stage that leaves something outside, in the run's turn and only while the run is open.

    It raises RunProblem, and has done nothing, when the run is closed.
    """

    @wraps(stage)
    async def in_turn(world: World, run_id: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        async with turn_of(world, run_id):
            run = world.run(run_id)
            if run.state is RunState.CLOSED:
                outcome = run.outcome or RunOutcome.FAILED
                raise RunProblem(f"the run is closed as {outcome}: nothing more is done for it", outcome=outcome)
            return await stage(world, run_id, *args, **kwargs)

    return in_turn
