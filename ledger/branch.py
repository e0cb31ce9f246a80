"""The ledger's branch in a git directory: reading it, staging a commit on it, moving it forward only.

Git runs with an empty environment and no configuration but the repository's own, without hooks, replacement objects,
lazy fetches or any transport. Refs are always named in full: beside a directory `datalake/` the bare name is
ambiguous.
"""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

import git

from ledger import durable
from ledger.commit import PLAIN_FILE, Blob, Commit, stream
from ledger.errors import GitError, LockedError, MissingObjectError
from ledger.layout import BRANCH, DIRECTORY
from ledger.shown import ending

STAGED = "refs/optr/staged/"
_NO_FILE = "000000"
STALE_LOCK_SECONDS = 60.0  # seconds; git holds a ref lock for milliseconds, so an older one belongs to a dead process
_ENVIRONMENT = (
    "GIT_CONFIG_NOSYSTEM=1",
    "GIT_CONFIG_GLOBAL=/dev/null",
    "GIT_TERMINAL_PROMPT=0",
    "GIT_NO_REPLACE_OBJECTS=1",
    "GIT_GRAFT_FILE=/dev/null",
    "GIT_NO_LAZY_FETCH=1",
    "GIT_ALLOW_PROTOCOL=none",
    "GIT_COMMITTER_NAME=OPTR",
    "GIT_COMMITTER_EMAIL=optr@localhost",
    "LC_ALL=C",
)
PACKS_MAX = 50  # packs before they are rolled up; git itself begins to mind at as many
LOCK_WAIT_MS = 2000  # milliseconds that git waits for another process's lock on a ref
_OPTIONS = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsync=all",
    "-c",
    "gc.auto=0",
    "-c",
    "advice.graftFileDeprecated=false",
    "-c",
    "fastimport.unpackLimit=1",  # one pack to fsync for each commit, not a dozen loose objects
    "-c",
    f"core.filesRefLockTimeout={LOCK_WAIT_MS}",
    "-c",
    f"core.packedRefsTimeout={LOCK_WAIT_MS}",
)


_BRANCH_NAME = re.compile(r"refs/heads/[A-Za-z0-9_][A-Za-z0-9_.-]*(?<!\.lock)")
_ID_BYTES_MAX = 64  # hex digits of SHA-256
_ID_LINE = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64})\n")


@dataclass(frozen=True)
class Change:
    """A path's entry before and after; None where it was not there."""

    old: Blob | None
    new: Blob | None


class GitDir:
    """A git directory, bare or not.

    Args:
        path: the directory that holds `objects` and `refs`.
        clock: seconds since the epoch, to tell stale locks.

    Attributes:
        path: the directory, resolved.
        common: where objects and refs stand; other than `path` in a linked work tree.

    Raises:
        GitError: it is not a git directory.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path.resolve()
        self._clock = clock
        self._git = git.Git(str(self.path))
        common = os.fsdecode(self.run("rev-parse", "--git-common-dir").removesuffix(b"\n"))
        self.common = (self.path / common).resolve()

    def run(self, *args: str, stdin: bytes | None = None) -> bytes:
        """Run one git command and return its standard output.

        Raises:
            GitError: with git's words.
        """
        status, output, words = self._execute(args, stdin)
        if status:
            kind = LockedError if ".lock': File exists" in words else GitError
            raise kind(f"git {args[0]} failed in {self.path} (status {status}): {ending(words.strip())}")
        return output

    def tip(self, ref: str = BRANCH) -> str | None:
        """Return the commit that `ref`, a full name, points to; None when there is no such ref."""
        if (loose := self._loose(ref)) is not None:
            return loose
        status, output, words = self._execute(("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"), None)
        if status and words.strip():
            raise GitError(f"cannot read {ref} in {self.path}: {ending(words.strip())}")
        return output.decode().strip() or None

    def _loose(self, ref: str) -> str | None:
        """The commit of a branch that stands in a file of its own, without a process: the tip is asked at every act.

        None where it does not, or where the file is anything but an id: git then says what it is.
        Layout: https://git-scm.com/docs/gitrepository-layout
        """
        if _BRANCH_NAME.fullmatch(ref) is None:
            return None
        try:
            with (self.common / ref).open("rb") as file:
                content = file.read(_ID_BYTES_MAX + 2)
        except OSError:
            return None
        found = _ID_LINE.fullmatch(content)
        return found[1].decode() if found else None

    def cut_off(self) -> frozenset[str]:
        """The commits whose parents a shallow clone left out; none in a whole one (git-scm.com/docs/shallow)."""
        try:
            return frozenset((self.common / "shallow").read_text("ascii").split())
        except FileNotFoundError:
            return frozenset()

    def files(self, commit: str, *under: str) -> dict[str, Blob]:
        """Return every non-directory under the repository paths `under` (`datalake`), by repository path."""
        roots = [f"{root}/" for root in under or (DIRECTORY,)]
        return _tree(self.run("ls-tree", "-r", "-z", "--full-tree", commit, "--", *roots))

    def named(self, commit: str, paths: Iterable[str]) -> dict[str, Blob]:
        """Return which of the repository paths `paths` are there, each with its blob."""
        return _tree(self.run("ls-tree", "-z", "--full-tree", commit, "--", *paths))

    def changes(self, old: str, new: str, under: str = DIRECTORY) -> dict[str, Change] | None:
        """Return what differs under `under` from commit `old` to `new`, by path relative to it; None without `old`."""
        args = ("diff-tree", "-r", "-z", "--raw", "--no-renames", old, new, "--", f"{under}/")
        status, output, words = self._execute(args, None)
        if status and ("bad object" in words or "unable to read" in words):
            return None
        if status:
            raise GitError(f"cannot compare {old} with {new}: {ending(words.strip())}")
        return {path.removeprefix(f"{under}/"): change for path, change in _changes(output)}

    def history(self, commits: Sequence[str], under: str = DIRECTORY) -> dict[str, dict[str, Change]]:
        """Return what each of `commits`, a line of first parents from the root, changed; paths as in `changes`."""
        pairs = "".join(f"{new} {old}".rstrip() + "\n" for old, new in zip(("", *commits), commits, strict=False))
        args = ("--stdin", "--always", "--root", "-r", "-z", "--raw", "--no-renames", "--", f"{under}/")
        found: dict[str, list[bytes]] = {}
        raw: list[bytes] = []
        parts = iter(self.run("diff-tree", *args, stdin=pairs.encode()).split(b"\x00")[:-1])
        for part in parts:
            if part.startswith(b":"):
                raw += (part, next(parts))
            else:
                found[part.decode()] = raw = []
        return {
            commit: {path.removeprefix(f"{under}/"): change for path, change in _changes(b"\x00".join((*raw, b"")))}
            for commit, raw in found.items()
        }

    def file(self, commit: str, path: str) -> bytes | None:
        """Return the content of one repository path, None when there is no plain file."""
        blob = _tree(self.run("ls-tree", "-z", "--full-tree", commit, "--", path)).get(path)
        if blob is None or blob.mode != PLAIN_FILE:
            return None
        return next(self.blobs([blob.oid]))

    def blobs(self, oids: Iterable[str]) -> Iterator[bytes]:
        """Yield the content of each blob, in order, from one git process.

        Raises:
            MissingObjectError: an object is not in this repository.
            GitError: git failed, or an object is not a blob.
        """
        wanted = list(oids)
        if not wanted:
            return
        with tempfile.TemporaryFile() as requests:
            requests.write("".join(f"{oid}\n" for oid in wanted).encode())
            requests.seek(0)
            process = self._git.execute(
                self._command("cat-file", "--batch"), istream=cast("BinaryIO", requests), as_process=True
            )
            try:
                for oid in wanted:
                    yield _next_blob(cast("IO[bytes]", process.stdout), oid)
            finally:
                _close(cast("subprocess.Popen[bytes]", process.proc))

    def stage(self, commit: Commit, ref: str) -> str:
        """Write a commit with all its objects durably, let the staging ref `ref` hold it, and return its id."""
        self._clear_stale_lock(ref)
        options = ("--done", "--force", "--quiet", "--date-format=raw")
        output = self.run("fast-import", *options, stdin=stream(commit, ref))
        self._sync(self.common / "objects" / "pack", self.common / ref)
        return output.decode().strip()

    def move(self, new: str, old: str | None, staged: str) -> bool:
        """Move the branch from `old` (None: it must not exist) to `new` and drop the staging ref, both or neither.

        Returns:
            Whether it was done; False means that the branch is elsewhere.

        Raises:
            GitError: it failed although the branch still stands at `old`.
        """
        self._clear_stale_lock(BRANCH)
        self._clear_stale_lock(staged)
        self._clear_stale_lock("packed-refs")
        try:
            request = f"update {BRANCH}\x00{new}\x00{old or '0' * len(new)}\x00delete {staged}\x00\x00"
            self.run("update-ref", "-m", "optr: append", "-z", "--stdin", stdin=request.encode())
        except GitError:
            if self.tip() == old:
                raise
            return False
        self._sync(self.common / BRANCH)
        return True

    def consolidate(self) -> None:
        """Roll many small packs into fewer, as each append leaves one and every git process looks into all.

        Geometric: what is packed well already is left alone, so that the cost per append stays bounded. Failure
        changes nothing that matters and is not reported.
        """
        if len(list((self.common / "objects" / "pack").glob("*.pack"))) > PACKS_MAX:
            self._execute(("repack", "--geometric=2", "-d", "--quiet", "--no-write-bitmap-index"), None)

    def _sync(self, *paths: Path) -> None:
        """Make names durable that git made: it syncs files, but not the directories that hold them."""
        directories = {at for path in paths for at in (path, *path.parents) if at.is_relative_to(self.common)}
        for directory in sorted(directories, reverse=True):
            with suppress(FileNotFoundError, NotADirectoryError):  # git removes directories that become empty
                durable.sync_directory(directory)

    def contains(self, tip: str, commit: str) -> bool:
        """Tell whether `commit` is `tip` or one of its ancestors."""
        status, _, words = self._execute(("merge-base", "--is-ancestor", commit, tip), None)
        if status not in (0, 1):
            raise GitError(f"cannot compare {commit} with {tip}: {ending(words.strip())}")
        return status == 0

    def parent(self, commit: str) -> str | None:
        """Return the commit's first parent, None for the first commit."""
        return self.tip(f"{commit}^")

    def staged(self) -> dict[str, str | None]:
        """Return every staging ref with the first parent of its commit."""
        output = self.run("for-each-ref", "--format=%(refname) %(parent)", STAGED.rstrip("/"))
        refs = (line.split(" ") for line in output.decode().splitlines())
        return {ref: parents[0] or None if parents else None for ref, *parents in refs}

    def drop(self, ref: str) -> None:
        """Delete a staging ref; its objects stay until git's own collection."""
        self._clear_stale_lock(ref)
        self._clear_stale_lock("packed-refs")
        self.run("update-ref", "-d", ref)

    def read_back(self, commit: str) -> tuple[Commit, dict[str, Blob | None]]:
        """Return a staged commit, to be staged again on another parent, and what it replaces, by repository path."""
        header, _, message = self.run("cat-file", "commit", commit).decode().partition("\n\n")
        fields = [line.split(" ") for line in header.split("\n")]
        parent = next((field[1] for field in fields if field[0] == "parent"), None)
        seconds = next(int(field[-2]) for field in fields if field[0] == "committer")
        before: dict[str, Blob | None] = {}
        write: dict[str, bytes | Blob] = {}
        output = self.run("diff-tree", "--root", "--no-commit-id", "-r", "-z", "--raw", "--no-renames", commit)
        for path, change in _changes(output):
            before[path] = change.old
            if change.new is not None:
                write[path] = change.new
        delete = tuple(path for path in before if path not in write)
        return Commit(parent, message, seconds, write, delete), before

    def _execute(self, args: Sequence[str], stdin: bytes | None) -> tuple[int, bytes, str]:
        with tempfile.TemporaryFile() as source:
            source.write(stdin or b"")
            source.seek(0)
            status, output, words = self._git.execute(
                self._command(*args),
                istream=cast("BinaryIO", source),
                with_extended_output=True,
                with_exceptions=False,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
            )
        return status, output, words

    def _command(self, *args: str) -> list[str]:
        # GitPython adds to the inherited environment and cannot take from it; `env -i` starts from nothing, so that
        # neither GIT_DIR and its like nor anybody's tokens reach git.
        path = os.environ.get("PATH", os.defpath)
        return ["env", "-i", f"PATH={path}", *_ENVIRONMENT, "git", f"--git-dir={self.path}", *_OPTIONS, *args]

    def _clear_stale_lock(self, ref: str) -> None:
        lock = self.common / f"{ref}.lock"
        try:
            age = self._clock() - lock.stat().st_mtime
        except FileNotFoundError:
            return
        if age > STALE_LOCK_SECONDS:
            lock.unlink(missing_ok=True)


def resolve(path: Path) -> GitDir:
    """Return the git directory of a work tree, or of a bare repository, at `path`.

    Raises:
        GitError: there is none.
    """
    for candidate in (path, path / ".git"):
        if (candidate / "objects").is_dir() and (candidate / "HEAD").exists():
            return GitDir(candidate)
    link = path / ".git"
    if link.is_file():
        return GitDir(path / link.read_text().removeprefix("gitdir:").strip())
    raise GitError(f"{path} is not a git repository: give the directory of a clone, or of a bare repository")


def _tree(output: bytes) -> dict[str, Blob]:
    found = {}
    for item in output.split(b"\x00")[:-1]:
        facts, _, path = item.partition(b"\t")
        mode, _, oid = facts.decode().split(" ")
        found[path.decode("utf-8", "surrogateescape")] = Blob(mode, oid)
    return found


def _changes(output: bytes) -> Iterator[tuple[str, Change]]:
    parts = output.decode("utf-8", "surrogateescape").split("\x00")[:-1]
    for facts, path in zip(parts[::2], parts[1::2], strict=True):
        old_mode, mode, old, new, _ = facts.removeprefix(":").split(" ")
        yield (
            path,
            Change(
                Blob(old_mode, old) if old_mode != _NO_FILE else None, Blob(mode, new) if mode != _NO_FILE else None
            ),
        )


def _next_blob(output: IO[bytes], oid: str) -> bytes:
    kind, _, size = output.readline().decode().partition(" ")[2].strip().partition(" ")
    if kind in ("", "missing"):
        raise MissingObjectError(f"object {oid} is not here, or cannot be read: fetch the whole branch, run git fsck")
    if kind != "blob":
        raise GitError(f"object {oid} is a {kind}, not a file")
    wanted = int(size) + 1
    content = output.read(wanted)
    if len(content) != wanted:
        raise MissingObjectError(f"object {oid} cannot be read whole: run git fsck")
    return content[:-1]


def _close(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()
