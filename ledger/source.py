"""Where a ledger is read from when it is verified: a branch in a git directory, or plain files."""

from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from ledger.branch import GitDir
from ledger.commit import PLAIN_FILE, Blob
from ledger.errors import MissingObjectError
from ledger.faults import Fault, FaultFound
from ledger.layout import DIRECTORY, OPEN_SEGMENT

_NO_PLAIN_FILE = "other"


class Source(Protocol):
    """The files of `datalake/`; paths are relative to it."""

    def modes(self) -> Mapping[str, str]:
        """Return the git mode of everything there that is no directory, by path."""
        ...

    def read(self, paths: Iterable[str]) -> Generator[bytes, None, None]:
        """Yield the content of each path, in order; close it when you stop early, for a process may stand behind it.

        Raises:
            FaultFound: UNREADABLE, when content is not in this copy.
        """
        ...


class DivisibleSource(Source, Protocol):
    """A source of which a part can be sent to another process."""

    def only(self, paths: Iterable[str]) -> Source:
        """Return a source of those of `paths` that are there."""
        ...


class BlobSource:
    """Blobs of a repository, by path."""

    def __init__(self, git_dir: GitDir, blobs: Mapping[str, Blob]) -> None:
        self._git = git_dir
        self._blobs = blobs

    def only(self, paths: Iterable[str]) -> Source:
        """See `DivisibleSource`."""
        return BlobSource(self._git, {path: self._blobs[path] for path in paths if path in self._blobs})

    def modes(self) -> Mapping[str, str]:
        """See `Source`."""
        return {path: blob.mode for path, blob in self._blobs.items()}

    def read(self, paths: Iterable[str]) -> Generator[bytes, None, None]:
        """See `Source`."""
        try:
            yield from self._git.blobs(self._blobs[path].oid for path in paths)
        except MissingObjectError as error:
            raise FaultFound(Fault.UNREADABLE, str(error)) from error


class BranchSource(BlobSource):
    """The tree of one commit."""

    def __init__(self, git_dir: GitDir, commit: str) -> None:
        files = git_dir.files(commit)
        super().__init__(git_dir, {path.removeprefix(f"{DIRECTORY}/"): blob for path, blob in files.items()})


class FileSource:
    """Plain files, by the path they have in a ledger."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths

    def only(self, paths: Iterable[str]) -> Source:
        """See `DivisibleSource`."""
        return FileSource({path: self._paths[path] for path in paths if path in self._paths})

    def modes(self) -> Mapping[str, str]:
        """See `Source`."""
        return {
            name: PLAIN_FILE if path.is_file() and not path.is_symlink() else _NO_PLAIN_FILE
            for name, path in self._paths.items()
        }

    def read(self, paths: Iterable[str]) -> Generator[bytes, None, None]:
        """See `Source`."""
        for name in paths:
            try:
                yield self._paths[name].read_bytes()
            except OSError as error:
                raise FaultFound(Fault.UNREADABLE, f"{name}: {error.strerror}") from error


class DirectorySource(FileSource):
    """A checked-out `datalake` directory, or a ledger file alone with what stands in its directory.

    Args:
        ledger: the open segment's file.
        whole: read the whole directory; otherwise only the ledger file and the sealed segments beside it.
    """

    def __init__(self, ledger: Path, *, whole: bool) -> None:
        paths = {OPEN_SEGMENT: ledger}
        start = ledger.parent if whole else ledger.parent / "ledger"
        for path in sorted(start.rglob("*")):
            if path.is_symlink() or not path.is_dir():
                paths[path.relative_to(ledger.parent).as_posix()] = path
        super().__init__(paths)
