"""A run's surroundings in one directory: a real database, a real ledger in git, a real sandbox; no models."""

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

from execution.agents.build import ModelAccess
from execution.local import LocalForge
from execution.runs import Run, Source
from execution.sandbox.bubblewrap import Bubblewrap
from execution.store import Store
from execution.world import World
from governance.intent import Intent
from ledger.keys import Signer

RUN, SHA, BASE = "0123456789abcdef", "a" * 64, "b" * 40
SIGNER = Signer("optr.local/r", bytes(32))


def a_store(home: Path) -> Store:
    """The database there, made at first use; close it."""
    return Store(f"sqlite:///{home / 'state.db'}", lasting=False)


def a_repository(home: Path) -> Path:
    """An empty bare repository, where `a_world` looks for one."""
    git_dir = home / "r.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(git_dir)], check=True)
    return git_dir


def a_world(
    home: Path,
    store: Store,
    *,
    forge: LocalForge | None = None,
    access: ModelAccess | None = None,
    clock: Callable[[], float] = lambda: 2.0,
) -> World:
    """What stages depend on.

    Args:
        home: where they write; `r.git` there holds the ledger, and need not exist before it is asked for.
        store: see a_store.
        forge: another than the plain one.
        access: to models; none when not given.
        clock: seconds since the epoch.
    """

    @cache
    def made() -> LocalForge:
        return forge or LocalForge(home / "r.git", SIGNER, home / "checkpoints", lambda _line: None)

    return World(store, lambda _run: made(), Bubblewrap(), access or ModelAccess({}), home, clock)


def a_run(**changes: object) -> Run:
    """A run as an issue's label asks for it."""
    members = {
        "id": RUN,
        "source": Source.GITHUB,
        "repository": "o/r",
        "workflow": "w",
        "requester": "ada",
        "title": "t",
        "intent_sha256": SHA,
        "created_ms": 1,
    }
    return Run.model_validate({**members, **changes})


def an_intent(**changes: object) -> Intent:
    """What that run is asked for."""
    members = {
        "workflow": "w",
        "title": "t",
        "body": "",
        "intent_sha256": SHA,
        "constraints": (),
        "base_commit": BASE,
        "config_digest": "",
        "requester": "ada",
    }
    return Intent.model_validate({**members, **changes})
