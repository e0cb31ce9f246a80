"""Who runs inside: an unprivileged uid that owns nothing outside, and the handing over of a tree to it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from execution.sandbox import SandboxError

SANDBOX_UID = 65534  # nobody
SANDBOX_GID = 65534
ROOT_UID = 0


def sandbox_ids() -> tuple[int, int]:
    """The uid and gid that sandboxed commands run with: nobody's when we are root, otherwise our own."""
    if os.geteuid() == ROOT_UID:
        return SANDBOX_UID, SANDBOX_GID
    return os.geteuid(), os.getegid()


def hand_over(tree: Path) -> None:
    """Make `tree` and all that is in it the sandbox uid's own. Does nothing unless we are root.

    Call it on trees that no sandbox has touched yet. Links are not followed.
    """
    if os.geteuid() != ROOT_UID:
        return
    uid, gid = sandbox_ids()
    for _, directories, files, descriptor in os.fwalk(tree):
        os.chown(descriptor, uid, gid)
        for name in (*directories, *files):
            os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)


def require_reachable(path: Path) -> None:
    """Check that the sandbox uid can walk down to `path`.

    Raises:
        SandboxError: naming the directory in the way and what to do.
    """
    if (barrier := first_barrier(path)) is not None:
        uid, _ = sandbox_ids()
        raise SandboxError(
            f"the sandbox's uid {uid} cannot reach {path}: {barrier} lets nobody else pass; run `chmod o+x {barrier}` "
            "or choose a scratch directory elsewhere, for example under /var/tmp"
        )


def first_barrier(path: Path) -> Path | None:
    """The first directory above `path` that the sandbox uid may not traverse, or None."""
    uid, gid = sandbox_ids()
    return next((parent for parent in _ancestors(path) if not _may_enter(parent.stat(), uid, gid)), None)


def _ancestors(path: Path) -> Iterator[Path]:
    return reversed(path.resolve().parents)


def _may_enter(status: os.stat_result, uid: int, gid: int) -> bool:
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
