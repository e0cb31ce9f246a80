"""Everything a stage may reach, passed in: there is no global state and no clock of its own."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from execution.agents.build import ModelAccess
from execution.observation import Observer, Unwatched
from execution.ports import Forge, Sandbox
from execution.runs import Run
from execution.store import Store
from execution.turns import Turns


@dataclass(frozen=True)
class World:
    """The dependencies of a run's stages.

    Attributes:
        store: the state database.
        forge: the forge that serves a run.
        sandbox: the probed sandbox backend.
        access: model keys and addresses; never enters a sandbox.
        scratch: directory for workspaces, on a local disk.
        clock: seconds since the epoch.
        prepared: opens the place where prepared dependencies outlive this process; None keeps them in `scratch`.
        nonce: an unguessable word, new at each call.
        turns: of runs, among all processes that work on them.
        observer: told what happened, for metrics.
    """

    store: Store
    forge: Callable[[Run], Forge]
    sandbox: Sandbox
    access: ModelAccess
    scratch: Path
    clock: Callable[[], float]
    prepared: Callable[[], Path] | None = None
    nonce: Callable[[], str] = secrets.token_hex
    turns: Turns = field(default_factory=Turns)
    observer: Observer = field(default_factory=Unwatched)

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(self.clock() * 1000)

    def run(self, run_id: str) -> Run:
        """The run's row.

        Raises:
            KeyError: no such run.
        """
        if (run := self.store.get(run_id)) is None:
            raise KeyError(f"no run {run_id}")
        return run
