"""A stage as a checkpointed step of a durable workflow."""

from collections.abc import Callable, Sequence
from typing import Any

from dbos import DBOS

from execution import crashpoints, tracing, whose
from execution.problems import RunProblem
from execution.world import World
from governance.codes import RefusedError
from ledger.errors import LedgerRefusedError

STEP_ATTEMPTS_MAX = 4
STEP_RETRY_SECONDS = 0.5
WAITS_MAX = 24
WAIT_SECONDS_MAX = 3600.0  # GitHub's primary limit resets within the hour


async def step(name: str, stage: Callable[..., Any], *args: Any, preemptible: bool = False) -> Any:
    """Run a stage as a checkpointed step; problems of the run are final, everything else is tried again.

    Whoever asks us to come back later is left alone until then: the wait is kept like a step, so that it outlasts a
    restart, and is no failed attempt.
    """

    async def body() -> Any:
        subject = _subject(args)
        with tracing.step(name, *subject), whose.working_for(subject[0] if isinstance(args[0], World) else ""):
            crashpoints.reach(f"before_{name}")
            made = await stage(*args)
            crashpoints.reach(f"after_{name}")
        return made

    for waits in range(WAITS_MAX + 1):
        try:
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
        except Exception as error:
            wait_s = wait_asked(error)
            if wait_s is None or waits == WAITS_MAX:
                raise
        await DBOS.sleep_async(wait_s)
    raise AssertionError("unreachable: the last attempt returns or raises")


def last_try(error: BaseException) -> BaseException:
    """What counts of a step that failed: of one that was tried too often the last failure, else the failure itself."""
    tries = getattr(error, "errors", ())  # of others' errors it may be anything, a method for one
    return tries[-1] if isinstance(tries, list | tuple) and tries and isinstance(tries[-1], BaseException) else error


def wait_asked(error: BaseException) -> float | None:
    """How long the other side asked us to stay away, seconds; None when it did not.

    Of a step that was tried too often the last failure counts.
    """
    asked = getattr(last_try(error), "retry_after_s", None)
    return None if asked is None else min(max(float(asked), STEP_RETRY_SECONDS), WAIT_SECONDS_MAX)


def _subject(args: Sequence[Any]) -> tuple[str, ...]:
    """The run, or delivery, that a step works on, and its node: the plain words among its first arguments."""
    words = (one for one in args[:3] if type(one) is str)  # outcomes and states are words of their own type
    return tuple(words) if isinstance(args[0], World) else (str(args[0]),)


def _may_pass(error: BaseException) -> bool:
    certain = RunProblem | RefusedError | LedgerRefusedError | KeyError | ValueError
    return wait_asked(error) is None and not isinstance(error, certain)
