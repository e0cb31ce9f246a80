"""Local runs that wait for a correction: their databases are kept until they end.

<state>/waiting/<run>/state.db, engine.db     the run's row and artifacts; the engine's journal
"""

import shutil
from pathlib import Path

from execution.problems import SetupProblem
from execution.runs import Run
from execution.store import Store
from governance.states import RunState

STATE_FILE = "state.db"
ENGINE_FILE = "engine.db"
DIRECTORY = "waiting"


def keep(scratch: Path, state: Path, run_id: str) -> None:
    """Keep the databases of a run that waits for a correction; do nothing for any other."""
    if not (scratch / STATE_FILE).exists() or _run(scratch, run_id) is None:
        return
    home = state / DIRECTORY / run_id
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (STATE_FILE, ENGINE_FILE):
        if (scratch / name).exists():
            shutil.move(scratch / name, home / name)


def find(state: Path, run: str) -> Path:
    """Where the databases of a waiting run are; `run` is its id or its workflow's name.

    Raises:
        SetupProblem: no such run waits.
    """
    homes = sorted((state / DIRECTORY).glob("*/")) if (state / DIRECTORY).is_dir() else []
    waiting = {home: found for home in homes if (found := _run(home, home.name)) is not None}
    fitting = [home for home, found in waiting.items() if run in {found.id, found.workflow}]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(f"{found.id} ({found.workflow})" for found in waiting.values()) or "none"
    how = "several runs of that name wait" if fitting else f"no run {ascii(run)[:80]} waits for a correction"
    raise SetupProblem(f"{how}; waiting: {known}", code="CORRECTION_REFUSED", where="RUN")


def take_back(home: Path, scratch: Path) -> Run:
    """Move a waiting run's databases to where it goes on, and return its row."""
    run = _run(home, home.name)
    if run is None:
        raise SetupProblem(f"run {home.name} does not wait any more", code="CORRECTION_REFUSED", where="RUN")
    for name in (STATE_FILE, ENGINE_FILE):
        shutil.move(home / name, scratch / name)
    home.rmdir()
    return run


def _run(directory: Path, run_id: str) -> Run | None:
    """The run's row, if it is there and waits."""
    if not (directory / STATE_FILE).is_file():
        return None
    store = Store(f"sqlite:///{directory / STATE_FILE}", lasting=False)
    try:
        run = store.get(run_id)
    finally:
        store.close()
    return run if run is not None and run.state is RunState.AWAITING_CORRECTION else None
