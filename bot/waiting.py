"""Local runs that wait for a correction: their databases are kept until they end.

<state>/waiting/<run>/<n>/state.db, engine.db     the run's row and artifacts; the engine's journal
<state>/waiting/<run>/lock                        held by whoever corrects it

A correction works on a copy, and what it leaves waiting is kept as `<n + 1>` before `<n>` goes: whoever is stopped or
loses power in between finds the run as it waited before.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from execution.problems import SetupProblem
from execution.runs import Run
from execution.store import Store
from governance.states import RunState
from ledger import durable

STATE_FILE = "state.db"
ENGINE_FILE = "engine.db"
LOCK_FILE = "lock"
DIRECTORY = "waiting"
_DONE = {RunState.PUBLISHED, RunState.CLOSED}  # where a local run's way ends


def keep(scratch: Path, state: Path, run_id: str) -> None:
    """Keep the databases of a run that waits for a correction, and nothing more of one that has ended."""
    run = _row(scratch, run_id)
    home = state / DIRECTORY / run_id
    if run is not None and run.state is RunState.AWAITING_CORRECTION:
        durable.make_directory(home)
        former = _kept(home)
        made = Path(tempfile.mkdtemp(prefix=".", dir=home))
        for name in (STATE_FILE, ENGINE_FILE):
            durable.create(made / name, (scratch / name).read_bytes())
        durable.move_directory(made, home / str(int(former.name) + 1 if former else 1))
        if former is not None:
            shutil.rmtree(former, ignore_errors=True)
    elif run is not None and run.state in _DONE:
        shutil.rmtree(home, ignore_errors=True)


def find(state: Path, run: str) -> Path:
    """Where the databases of a waiting run are; `run` is its id or its workflow's name.

    Raises:
        SetupProblem: no such run waits.
    """
    homes = sorted((state / DIRECTORY).glob("*/")) if (state / DIRECTORY).is_dir() else []
    waiting = {home: found for home in homes if (found := _waiting(home)) is not None}
    fitting = [home for home, found in waiting.items() if run in {found.id, found.workflow}]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(f"{found.id} ({found.workflow})" for found in waiting.values()) or "none"
    how = "several runs of that name wait" if fitting else f"no run {ascii(run)[:80]} waits for a correction"
    raise SetupProblem(f"{how}; waiting: {known}", code="CORRECTION_REFUSED", where="RUN")


@contextmanager
def taken(home: Path, scratch: Path) -> Iterator[Run]:
    """Copy a waiting run's databases to where it goes on, and yield its row; nobody else corrects it meanwhile.

    Raises:
        SetupProblem: somebody else does, or it does not wait any more.
    """
    try:
        lock = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise _gone(home) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            problem = f"run {home.name} is being corrected by another process"
            raise SetupProblem(problem, code="CORRECTION_REFUSED", where="RUN") from None
        kept, run = _kept(home), _waiting(home)
        if kept is None or run is None:
            raise _gone(home)
        for name in (STATE_FILE, ENGINE_FILE):
            shutil.copyfile(kept / name, scratch / name)
        yield run
    finally:
        os.close(lock)


def _gone(home: Path) -> SetupProblem:
    return SetupProblem(f"run {home.name} does not wait any more", code="CORRECTION_REFUSED", where="RUN")


def _kept(home: Path) -> Path | None:
    """The newest that was kept of a run."""
    found = [path for path in home.iterdir() if path.name.isdecimal()] if home.is_dir() else []
    return max(found, key=lambda path: int(path.name), default=None)


def _waiting(home: Path) -> Run | None:
    """The row of a run that was kept."""
    kept = _kept(home)
    run = _row(kept, home.name) if kept is not None else None
    return run if run is not None and run.state is RunState.AWAITING_CORRECTION else None


def _row(directory: Path, run_id: str) -> Run | None:
    """The run's row, if it is there."""
    if not (directory / STATE_FILE).is_file():
        return None
    store = Store(f"sqlite:///{directory / STATE_FILE}", lasting=False)
    try:
        return store.get(run_id)
    finally:
        store.close()
