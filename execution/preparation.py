"""What the checks need and the repository does not hold, fetched once per base commit and never near a candidate.

The declared command runs in the sandbox on the base's tree alone. It has the network only when the operator allows it
(`OPTR_PREPARE_NETWORK=1`), and the grant stands in the plan and on the ledger. No issue text, no candidate and no key
is in reach. What it leaves in the paths to keep is moved aside, and every check finds it in the same place, as a link
to a read-only mount.

Limits: a link can be replaced by the very check that it serves, which harms that check only; and a tool that writes
absolute paths into what it makes (a Python virtual environment does) works under bubblewrap, where the tree always
stands at /workspace, not under Landlock, where it does not.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from execution.config import Prepare
from execution.ports import Sandbox
from execution.problems import SetupProblem
from execution.records import Command, CommandLimits
from execution.sandbox.disposal import dispose
from execution.sandbox.identity import ROOT_UID
from execution.sandbox.toolchain import python_paths
from execution.workspace import PASS_THROUGH, Workspace, discard, prepare

NETWORK_VARIABLE = "OPTR_PREPARE_NETWORK"
CACHE_DIRECTORY = "prepared"
KEPT_BYTES_MAX = 4 * 2**30
KEPT_ENTRIES_MAX = 1_000_000
OUTPUT_SHOWN_MAX = 600  # characters of a failing command's last words

_READABLE, _EXECUTABLE = 0o644, 0o111


@dataclass(frozen=True)
class Prepared:
    """One kept path.

    Attributes:
        source: the host's directory or file, to be bound read-only.
        keep: its place in the tree.
    """

    source: Path
    keep: str


def may_use_network(environ: Mapping[str, str]) -> bool:
    """Whether the operator lets `prepare` have the network."""
    return environ.get(NETWORK_VARIABLE, "").strip() == "1"


def cache_key(repository: str, base: str, declared: Prepare, *, network: bool) -> str:
    """Hex digest of everything that decides what `prepare` makes; repositories never share a cache."""
    parts = [repository, base, declared.model_dump(mode="json"), network]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Preparer:
    """Prepares, or finds what was prepared before.

    Args:
        sandbox: where the command runs.
        scratch: an existing directory that the sandbox's uid can walk down to.
        home: another such directory, of the same file system, that the cache lies in; scratch itself when None.
    """

    def __init__(self, sandbox: Sandbox, scratch: Path, home: Path | None = None) -> None:
        self._sandbox = sandbox
        self._scratch = scratch
        self._cache = (home or scratch) / CACHE_DIRECTORY

    async def ensure(
        self, git_dir: Path, repository: str, base: str, declared: Prepare | None, *, network: bool
    ) -> tuple[Prepared, ...]:
        """What every check of this base gets; prepared now when the cache does not hold it.

        Raises:
            SetupProblem: the command failed, or did not make what it was to keep.
            SandboxError: the sandbox could not start it.
            GitError: the base cannot be checked out.
        """
        if declared is None:
            return ()
        # Absolute paths inside what was made differ between backends, so they share nothing.
        place_of = self._cache / f"{cache_key(repository, base, declared, network=network)}-{self._sandbox.name}"
        kept = tuple(Prepared(place_of / str(number), path) for number, path in enumerate(declared.keep))
        if place_of.is_dir():
            os.utime(place_of)  # used now: see execution.prepared_cache
        else:
            await self._make(git_dir, base, declared, place_of, network=network)
        return kept

    async def _make(self, git_dir: Path, base: str, declared: Prepare, place_of: Path, *, network: bool) -> None:
        workspace = await asyncio.to_thread(prepare, git_dir, base, self._scratch)
        try:
            done = await self._sandbox.run(
                Command(
                    argv=("sh", "-c", declared.run),
                    workspace=workspace.tree,
                    env={"CI": "true"},
                    limits=CommandLimits(wall_seconds=declared.timeout_s),
                    read_only=python_paths(),
                    network=network,
                )
            )
            if done.exit_code != 0:
                raise _failed("did not end in time" if done.timed_out else f"ended with {done.exit_code}", done.output)
            await asyncio.to_thread(_keep, workspace, declared.keep, place_of)
        finally:
            await asyncio.to_thread(discard, workspace)


def _failed(how: str, output: bytes = b"") -> SetupProblem:
    words = " ".join(output.decode(errors="replace").split())[-OUTPUT_SHOWN_MAX:]
    said = f": {words}" if words else ""
    text = f"prepare.run {how}{said}; no agent was started. It has the network only with {NETWORK_VARIABLE}=1."
    return SetupProblem(text, code="PREPARE_FAILED")


def _keep(workspace: Workspace, keep: tuple[str, ...], place_of: Path) -> None:
    """Move the kept paths into the cache, all or nothing: the rename at the end is the commit."""
    cache = place_of.parent
    cache.mkdir(mode=PASS_THROUGH, exist_ok=True)
    cache.chmod(PASS_THROUGH)
    half = Path(tempfile.mkdtemp(prefix="half-", dir=cache))
    try:
        half.chmod(PASS_THROUGH)
        for number, path in enumerate(keep):
            found = workspace.tree / path
            if not _reached_directly(workspace.tree, path) or found.is_symlink() or not found.exists():
                raise _failed(f"made nothing at {path!r}, which prepare.keep names")
            found.rename(half / str(number))
            _seal(half / str(number))
        # Another run may have been quicker; what it made serves as well.
        with contextlib.suppress(OSError):
            half.rename(place_of)
    finally:
        if half.exists():
            dispose(half)
    if not place_of.is_dir():
        raise OSError(f"{place_of} could not be made")


def _seal(kept: Path) -> None:
    """Make it ours and readable, and count it; the mount is read-only whatever the modes say."""
    total = 0
    for entries, (path, status) in enumerate(_walk(kept), start=1):
        total += status.st_size if stat.S_ISREG(status.st_mode) else 0
        if total > KEPT_BYTES_MAX or entries > KEPT_ENTRIES_MAX:
            raise _failed(f"keeps more than {KEPT_BYTES_MAX // 2**30} GiB or {KEPT_ENTRIES_MAX} files")
        if os.geteuid() == ROOT_UID:
            os.chown(path, 0, 0, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            # Never set-uid, readable by the sandbox's uid, executable where it was.
            execute = _EXECUTABLE if stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_IXUSR else 0
            path.chmod(_READABLE | execute)


def _walk(top: Path) -> Iterator[tuple[Path, os.stat_result]]:
    pending = [top]
    while pending:
        path = pending.pop()
        status = path.lstat()
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            pending.extend(Path(entry.path) for entry in os.scandir(path))


def place(prepared: tuple[Prepared, ...], tree: Path) -> None:
    """Link what was prepared into a fresh checkout; what the checkout has there gives way to it.

    Where a candidate's tree has a file or a link on the way, there is nothing to link into: the check then misses what
    was prepared, and it is the candidate's check that fails.
    """
    for kept in prepared:
        if not _reached_directly(tree, kept.keep):
            continue
        target = tree / kept.keep
        target.parent.mkdir(parents=True, exist_ok=True)
        dispose(target)
        target.symlink_to(kept.source)
    if prepared:
        exclude = tree / ".git" / "info" / "exclude"
        with exclude.open("a") as file:
            file.write("".join(f"/{kept.keep}\n" for kept in prepared))


def _reached_directly(tree: Path, path: str) -> bool:
    """Whether every directory above `path` is a real one, or is not there yet."""
    here = tree
    for segment in path.split("/")[:-1]:
        here /= segment
        if here.is_symlink() or (here.exists() and not here.is_dir()):
            return False
    return True
