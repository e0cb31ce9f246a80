"""Directories for workspaces that the sandbox's user can reach, unlike the state; one for each process.

A kill leaves workspaces behind, so the state remembers where they were, in a file that its process holds locked: what
nobody holds any more is removed by the next process that starts.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = "scratches"
PREFIX = "optr-scratch-"
PASS_THROUGH = 0o711
_GATE = ".gate"


@contextmanager
def scratch_of(state: Path) -> Iterator[Path]:
    """A directory for this process, removed at the end.

    Raises:
        OSError: it cannot be made or remembered.
    """
    memory = state / MEMORY
    memory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (memory / _GATE).open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)  # nobody judges a file that its owner has not locked yet
        _sweep_abandoned(memory)
        made = Path(tempfile.mkdtemp(prefix=PREFIX))
        made.chmod(PASS_THROUGH)
        note = memory / made.name
        held = note.open("w", encoding="utf-8")
        fcntl.flock(held, fcntl.LOCK_EX)
        print(made, file=held, flush=True)
    try:
        yield made
    finally:
        sweep(made)
        note.unlink(missing_ok=True)
        held.close()


def _sweep_abandoned(memory: Path) -> None:
    for note in memory.glob(f"{PREFIX}*"):
        with note.open("r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            sweep(Path(file.read().strip()))
        note.unlink()


def sweep(scratch: Path) -> None:
    """Remove it, if it is one of ours."""
    if scratch.name.startswith(PREFIX):
        shutil.rmtree(scratch, ignore_errors=True)
