"""Which interpreter sandboxed commands find as `python3`."""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from execution.sandbox.identity import first_barrier

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


def python_paths() -> tuple[Path, ...]:
    """Further read-only paths that make `python3` usable inside a sandbox.

    Empty when the system has a `python3` (all of /usr is readable inside anyway, /usr/local included, where container
    images keep theirs). Otherwise the prefix of the interpreter that runs us, if the sandbox's uid can walk down to it;
    its `bin` directory then stands on the sandbox's PATH. Empty too when it cannot: checks that need Python then fail
    with "not found", which the verifier reports as infrastructure.
    """
    if shutil.which("python3", path=SYSTEM_PATH):
        return ()
    prefix = Path(sys.base_prefix)
    return (prefix,) if first_barrier(prefix) is None else ()


def search_path(read_only: Iterable[Path]) -> str:
    """The sandbox's PATH: the system's directories, then the `bin` of every further read-only path that has one."""
    return ":".join([SYSTEM_PATH, *(str(path / "bin") for path in read_only if (path / "bin").is_dir())])
