"""A stage as a checkpointed step of a durable workflow."""

from collections.abc import Callable, Sequence
from typing import Any

from dbos import DBOS

from execution import crashpoints, tracing
from execution.problems import RunProblem
from execution.world import World
from ledger.errors import LedgerRefusedError

STEP_ATTEMPTS_MAX = 4
STEP_RETRY_SECONDS = 0.5


async def step(name: str, stage: Callable[..., Any], *args: Any, preemptible: bool = False) -> Any:
    """Run a stage as a checkpointed step; problems of the run are final, everything else is tried again."""

    async def body() -> Any:
        with tracing.step(name, *_subject(args)):
            crashpoints.reach(f"before_{name}")
            made = await stage(*args)
            crashpoints.reach(f"after_{name}")
        return made

    return await DBOS.run_step_async(
        {
            "name": name,
            "retries_allowed": True,
            "max_attempts": STEP_ATTEMPTS_MAX,
            "interval_seconds": STEP_RETRY_SECONDS,
            "should_retry": _may_pass,
            "preemptible": preemptible,
        },
        body,
    )


def _subject(args: Sequence[Any]) -> tuple[str, ...]:
    """The run, or delivery, that a step works on, and its node: the plain words among its first arguments."""
    words = (one for one in args[:3] if type(one) is str)  # outcomes and states are words of their own type
    return tuple(words) if isinstance(args[0], World) else (str(args[0]),)


def _may_pass(error: BaseException) -> bool:
    return not isinstance(error, RunProblem | LedgerRefusedError | KeyError | ValueError)
