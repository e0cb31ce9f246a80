"""Which run the code at hand works for, for those whom nobody hands it: log lines, and tokens that die with a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_RUN: ContextVar[str] = ContextVar("optr_run", default="")


@contextmanager
def working_for(run_id: str) -> Iterator[None]:
    """Everything inside, tasks and threads that it starts included, works for that run; for none when it is empty."""
    held = _RUN.set(run_id)
    try:
        yield
    finally:
        _RUN.reset(held)


def run_at_work() -> str:
    """The run's id; empty for work that is no run's."""
    return _RUN.get()
