"""Where prepared dependencies outlive the process that fetched them.

It cannot lie in the state directory, which nobody but OPTR's own user may enter, because the sandbox's uid must walk
down to it. So it lies under the system's temporary directory, the state remembers where, and what is found there counts
only if it is still ours: a directory of our own user that nobody else may write. A system that clears its temporary
directory costs one preparation.
"""

import os
import stat
import tempfile
from pathlib import Path

from execution.preparation import CACHE_DIRECTORY
from execution.sandbox.disposal import dispose
from execution.workspace import PASS_THROUGH

PREFIX = "optr-prepared-"
MEMORY_FILE = "prepared"
ENTRIES_MAX = 32  # one for each base commit that checks were prepared for; each holds at most 4 GiB
IDLE_SECONDS_MIN = 86_400  # what was used more recently may be in use by another process
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def open_cache(state: Path, now_s: float) -> Path:
    """The directory to prepare into, made where there is none; what was not used for long is removed.

    Args:
        state: OPTR's state directory, made when it is missing.
        now_s: seconds since the epoch.

    Raises:
        OSError: neither directory can be written.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    memory = state / MEMORY_FILE
    found = Path(memory.read_text(encoding="utf-8").strip()) if memory.is_file() else None
    if found is None or not _is_ours(found):
        found = Path(tempfile.mkdtemp(prefix=PREFIX))
        found.chmod(PASS_THROUGH)
        fresh = memory.with_suffix(f".{os.getpid()}")
        fresh.write_text(f"{found}\n", encoding="utf-8")
        fresh.replace(memory)  # a reader sees the old line or the new one
    _trim(found / CACHE_DIRECTORY, now_s)
    return found


def _is_ours(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_MAY_WRITE
    return ours and path.name.startswith(PREFIX)


def _trim(cache: Path, now_s: float) -> None:
    """Keep the ENTRIES_MAX used last, and whatever was used within IDLE_SECONDS_MIN; half-made ones are never kept."""
    if not cache.is_dir():
        return
    idle = [path for path in cache.iterdir() if now_s - path.stat().st_mtime > IDLE_SECONDS_MIN]
    whole = sorted((path for path in cache.iterdir() if not path.name.startswith("half-")), key=_used, reverse=True)
    spare = set(whole[ENTRIES_MAX:])
    for path in idle:
        if path in spare or path.name.startswith("half-"):
            dispose(path)


def _used(path: Path) -> float:
    return path.stat().st_mtime
