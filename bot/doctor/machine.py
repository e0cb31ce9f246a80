"""The machine: versions, directories, disk, sandbox, database, keys."""

import os
import platform
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import sqlalchemy as sa

from bot.doctor.finding import Finding, failed, ok, skipped, warning
from bot.sandboxes import operator_sandbox, remedy
from execution.models.registry import Registry
from execution.sandbox import SandboxError, unconfined
from ledger.errors import LedgerError
from ledger.keyring import KeyRing
from ledger.keys import Signer

GIT_MIN = (2, 39)  # the oldest that OPTR is tested with
GIT_SECONDS_MAX = 10
FREE_BYTES_MIN = 1 << 30  # a run of four agents on a repository of some 100 MB
RETIRED = f"key.{'[0-9a-f]' * 8}"  # names of retired keys
STATE_MODE_FORBIDDEN = 0o077
_VERSION = re.compile(r"(\d+)\.(\d+)")


def versions() -> Finding:
    """OPTR, Python and git."""
    ours = f"optr {version('optr')}, Python {platform.python_version()}"
    try:
        done = subprocess.run(
            ["git", "--version"],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS_MAX,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return failed("versions", f"{ours}; git does not run: {type(error).__name__}", "Install git")
    told = done.stdout.strip()
    found = _VERSION.search(told)
    if found is None or (int(found[1]), int(found[2])) < GIT_MIN:
        wanted = ".".join(map(str, GIT_MIN))
        return warning("versions", f"{ours}, {told}", f"Use git {wanted} or newer, which OPTR is tested with")
    return ok("versions", f"{ours}, {told}")


def state_directory(state: Path) -> Finding:
    """The directory that holds keys and databases."""
    name = "state"
    if not state.exists():
        return ok(name, f"{state} will be made at the first start")
    if not state.is_dir() or not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        return failed(name, f"{state} cannot be used", "Give OPTR_STATE a directory that this user may write")
    mode = stat.S_IMODE(state.stat().st_mode)
    if mode & STATE_MODE_FORBIDDEN:
        return warning(name, f"{state} has mode {mode:04o}: others can reach it", f"Run `chmod 700 {state}`")
    return ok(name, f"{state} is writable and closed to others")


def disk(state: Path) -> Finding:
    """Room for journals, caches and workspaces."""
    there = next(parent for parent in (state, *state.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    what = f"{free / (1 << 30):.1f} GiB free at {there}"
    if free < FREE_BYTES_MIN:
        return failed("disk", what, f"Free at least {FREE_BYTES_MIN >> 30} GiB: a full disk stops runs and appends")
    return ok("disk", what)


async def sandbox(environ: Mapping[str, str]) -> Finding:
    """The clean room, by running something in it."""
    try:
        chosen = await operator_sandbox(environ)
    except SandboxError as error:
        return failed("sandbox", str(error), remedy(environ))
    if chosen.name == unconfined.NAME:
        return warning("sandbox", unconfined.WARNING, "Unset OPTR_SANDBOX and install bubblewrap")
    return ok("sandbox", f"{chosen.name} works here")


def models(registry: Registry, environ: Mapping[str, str]) -> Finding:
    """Whether any model can be asked; no call is made, because a call costs money."""
    variables = {entry.id: entry.key_env for entry in map(registry.entry, registry.ids) if entry.key_env}
    keyed = [model for model, variable in variables.items() if environ.get(variable)]
    if not keyed:
        wanted = ", ".join(sorted(set(variables.values())))
        return warning("models", "no key of any model is set", f"Set one of {wanted}; `command` agents need none")
    return ok("models", f"keys are set for {', '.join(keyed)}")


def ledger_keys(state: Path) -> Finding:
    """Every signing key in the state, loaded as the App loads it."""
    places = [f"{where}/{name}" for where in ("ledgers/*/*", "local/*") for name in ("key", "key.next", RETIRED)]
    keys = sorted(file for place in places for file in state.glob(place)) if state.is_dir() else []
    if not keys:
        return skipped("ledger keys", "there is none yet: a ledger's key is made at its first line")
    problems = list(_unusable(keys))
    if problems:
        return failed("ledger keys", "; ".join(problems), "Restore the key from your backup, mode 0600")
    due = [file.parent for file in keys if file.name == "key.next"]
    if due:
        what = f"a rotation waits for the next append in {', '.join(map(str, due))}"
        return warning("ledger keys", what, "Back up key and key.next, and delete neither: see docs/operations.md")
    return ok("ledger keys", f"{len(keys)} can be read and are closed to others")


def _unusable(keys: list[Path]) -> Iterator[str]:
    for key in keys:
        try:
            if key.name == "key.next":
                KeyRing.open(key.with_name("key")).pending()
            else:
                Signer.load(key)
        except (LedgerError, OSError, ValueError) as error:
            yield f"{key}: {error}"


def database(url: str | None) -> Finding:
    """The PostgreSQL server, by asking it; SQLite needs nothing but the state directory."""
    if url is None:
        return ok("database", "SQLite in the state directory, for one process")
    engine = sa.create_engine(url, connect_args={"connect_timeout": GIT_SECONDS_MAX})
    try:
        with engine.connect() as connection:
            told = connection.execute(sa.text("SHOW server_version")).scalar_one()
    except sa.exc.SQLAlchemyError as error:
        cause = type(getattr(error, "orig", None) or error).__name__  # its text may quote the address with its password
        return failed("database", f"PostgreSQL does not answer: {cause}", "Check OPTR_DATABASE_URL and the server")
    finally:
        engine.dispose()
    return ok("database", f"PostgreSQL {told}")
