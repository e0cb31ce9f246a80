"""What was revoked, read from the ledger's branch: a revocation counts from the moment its line is there."""

import threading
from pathlib import Path

from pydantic import ValidationError

from governance.codes import ReasonCode, RefusedError
from governance.entry_types import EntryType
from governance.trust.records import Revocation
from ledger import canonical
from ledger.branch import GitDir
from ledger.entry import parse
from ledger.errors import LedgerError
from ledger.layout import BRANCH, DIRECTORY, OPEN_SEGMENT, SEALED, segment_path

MEMBER = "revocation"  # of the line's body
_MARK = f'"type":"{EntryType.TRUST_REVOKED}"'.encode()


class Revocations:
    """The revocations on one repository's `datalake` branch.

    Sealed segments never change, so each is read once; the branch's tip is asked for every time.

    Args:
        git_dir: the git directory that holds the branch.
        ref: the branch.
    """

    def __init__(self, git_dir: Path, ref: str = BRANCH) -> None:
        self._git = GitDir(git_dir)
        self._ref = ref
        self._lock = threading.Lock()
        self._tip: str | None = None
        self._sealed: list[Revocation] = []
        self._segments = 0
        self._found: tuple[Revocation, ...] = ()

    def read(self) -> tuple[Revocation, ...]:
        """All of them, in the ledger's order. What was read once stays, even when the branch was turned back.

        Raises:
            RefusedError: TRUST_BROKEN when a line of this type cannot be read.
            GitError: git failed.
        """
        with self._lock:
            tip = self._git.tip(self._ref)
            if tip is not None and tip != self._tip:
                self._found = self._read(tip)
                self._tip = tip
            return self._found

    def _read(self, tip: str) -> tuple[Revocation, ...]:
        blobs = self._git.files(tip, f"{DIRECTORY}/{SEALED.rstrip('/')}")
        opening = self._git.named(tip, [f"{DIRECTORY}/{OPEN_SEGMENT}"])
        fresh: list[str] = []
        while (path := f"{DIRECTORY}/{segment_path(self._segments + len(fresh))}") in blobs:
            fresh.append(blobs[path].oid)
        opened = [blob.oid for blob in opening.values()]
        contents = list(self._git.blobs([*fresh, *opened]))
        for content in contents[: len(fresh)]:
            self._sealed += _revocations(content)
        self._segments += len(fresh)
        return (*self._sealed, *(one for content in contents[len(fresh) :] for one in _revocations(content)))


def _revocations(segment: bytes) -> list[Revocation]:
    return [_revocation(line) for line in segment.split(b"\n") if _MARK in line]


def _revocation(line: bytes) -> Revocation:
    try:
        return Revocation.model_validate_json(canonical.encode(parse(line).record.get(MEMBER)))
    except (LedgerError, ValidationError) as error:
        raise RefusedError(
            ReasonCode.TRUST_BROKEN, f"a {EntryType.TRUST_REVOKED} line of the ledger cannot be read"
        ) from error
