"""One writer of many on a ledger, a process that kills itself at a named point, or is killed from outside.

    python writer.py <directory> <writer> <lines> <point> <after>

It appends lines `<writer>-<n>`, each with a file of its own, and prints a line's number once it is acknowledged. With a
point it dies there, all of git included, at the `after`-th time it comes by.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ledger import branch, sequencer
from ledger.branch import GitDir
from ledger.entry import Draft
from ledger.errors import LedgerBusyError
from ledger.index import Index
from ledger.keys import Signer
from ledger.publication import Publication
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints

STEPS: dict[str, tuple[Any, str]] = {
    "stage": (GitDir, "stage"),
    "sign": (Signer, "sign_checkpoint"),
    "swap": (FileCheckpoints, "swap"),
    "finish": (Publication, "finish"),
    "move": (GitDir, "move"),
    "index": (Index, "advance"),
    "read": (sequencer, "read_head"),
}
POINTS = [f"{when} {step}" for step in STEPS for when in ("before", "after")]


def arm(point: str, after: int) -> None:
    """Die at a named point, the `after`-th time."""
    when, _, step = point.partition(" ")
    owner, name = STEPS[step]
    real: Callable[..., Any] = getattr(owner, name)
    left = [after]

    def dying(*args: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] <= 0 and when == "before":
            os.killpg(os.getpid(), signal.SIGKILL)
        result = real(*args, **options)
        if left[0] <= 0:
            os.killpg(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


def draft_of(run: str) -> Draft:
    """Return the draft of one line."""
    return Draft(f"{run}/X", "X", run, run, "octocat", 1_764_000_000_000, {})


def files_of(run: str) -> dict[str, bytes]:
    """Return the file that comes with it."""
    return {f"datalake/workflows/{run}/plan.md": run.encode()}


def main(directory: Path, writer: str, lines: int) -> None:
    branch.STALE_LOCK_SECONDS = 2.0  # git children are killed with us and leave locks
    branch.LOCK_WAIT_MS = 500
    signer, store = Signer.load(directory / "key"), FileCheckpoints(directory / "store")
    one = Sequencer(directory / "repository.git", signer, store)
    for number in range(lines):
        run = f"{writer}-{number}"
        while True:
            try:
                one.append([draft_of(run)], files_of(run))
                break
            except LedgerBusyError:
                continue
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[4] != "none":
        arm(sys.argv[4], int(sys.argv[5]))
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
