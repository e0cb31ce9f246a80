"""Removing what a sandbox leaves behind: unreadable directories, endless depth, links that point elsewhere."""

import subprocess
from pathlib import Path

REMOVAL_SECONDS_MAX = 300.0


def dispose(path: Path) -> None:
    """Remove a tree, whatever is in it; links are removed, never followed. Removing what is not there is fine.

    The system's own tools do it because they walk any depth without recursion.

    Raises:
        OSError: something could not be removed; says what.
    """
    if not _remove(path):
        return
    if not path.is_symlink() and path.is_dir():  # directories that their owner made unreadable, when we are not root
        _run("chmod", "-R", "u+rwX", "--", str(path))
    if trouble := _remove(path):
        raise OSError(f"cannot remove {path}: {trouble}")


def _remove(path: Path) -> str:
    return _run("rm", "-rf", "--one-file-system", "--", str(path))


def _run(*argv: str) -> str:
    """Run to the end; returns the complaint, empty when there is none."""
    done = subprocess.run(argv, capture_output=True, check=False, timeout=REMOVAL_SECONDS_MAX)
    return done.stderr.decode(errors="replace").strip()[:500] if done.returncode else ""
