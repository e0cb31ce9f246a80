"""Which ids the ledger holds: a local index beside the git directory, so that an append reads no line but the newest.

It is a cache and no part of the format: lost, it is made again by one pass over the lines. It is believed only where
the signed checkpoint names one of its marks (size and Merkle root) and git says that nothing else changed since.
Like the checkpoint store it is trusted not to be forged: whoever can write it can make the sequencer record an id
twice, which every verification finds.
"""

import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.chain import Chain
from ledger.errors import LedgerBusyError, LedgerError
from ledger.merkle import HASH_BYTES, Frontier

MARKS_MAX = 64  # states kept; one lets a reader that is behind the newest go on without a pass over the lines
BUSY_S = 10.0  # seconds to wait for another process's transaction, which takes milliseconds
_FORMAT = 1
_ASK = 500  # ids in one query
_PRIMARY = 0xFF  # of an extended error code
_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS place (id TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mark (size INTEGER PRIMARY KEY, root BLOB NOT NULL, peaks BLOB NOT NULL,
    previous TEXT NOT NULL, time INTEGER NOT NULL, tip TEXT NOT NULL);
"""
_NEWEST = "SELECT size, peaks, previous, time, tip FROM mark ORDER BY size DESC LIMIT 1"
_EXACT = "SELECT size, peaks, previous, time, tip FROM mark WHERE size = ? AND root = ?"
_FORGET = "DELETE FROM mark WHERE size NOT IN (SELECT size FROM mark ORDER BY size DESC LIMIT ?)"


@dataclass(frozen=True)
class Mark:
    """A state of the ledger whose lines were all checked.

    Attributes:
        tree: the compact Merkle tree over them.
        previous_hash: the newest line's hash.
        timestamp: the newest line's, milliseconds.
        tip: the commit they were read from, or written in.
    """

    tree: Frontier
    previous_hash: str
    timestamp: int
    tip: str

    @classmethod
    def of(cls, chain: Chain, tip: str) -> "Mark":
        """Return the mark of `chain` as it stands in commit `tip`."""
        return cls(chain.tree.copy(), chain.previous_hash, chain.timestamp, tip)


class Index:
    """The ids of one ledger. Several processes may share the file; each thread takes its turn.

    Args:
        path: the file; it and its directory are made when missing, and made anew when damaged.

    Raises:
        LedgerError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = self._open()
        except sqlite3.OperationalError as error:
            raise self._failed(error) from error
        except sqlite3.DatabaseError:
            self._remove()
            self._database = self._open()
        except OSError as error:
            raise LedgerError(f"the index {path} cannot be made: {error.strerror}") from error
        weakref.finalize(self, self._database.close)

    def places(self, ids: Iterable[str], size: int) -> dict[str, int]:
        """Return the seq of each of `ids` among the first `size` lines.

        Raises:
            LedgerError: the file cannot be read.
        """
        wanted = list(ids)
        found: dict[str, int] = {}
        for at in range(0, len(wanted), _ASK):
            some = wanted[at : at + _ASK]
            marks = ",".join("?" * len(some))
            query = f"SELECT id, seq FROM place WHERE seq < ? AND id IN ({marks})"  # noqa: S608 - question marks only
            found.update(self._run(query, [size, *some]))
        return found

    def exact(self, size: int, root: bytes) -> Mark | None:
        """Return the mark of the first `size` lines, if it has this Merkle root."""
        return self._mark(self._run(_EXACT, [size, root]))

    def newest(self) -> Mark | None:
        """Return the newest mark."""
        return self._mark(self._run(_NEWEST, []))

    def advance(self, base: int, ids: Mapping[str, int], mark: Mark) -> None:
        """Take in `ids`, which lead from the mark of size `base` to `mark`.

        Lines from `base` on that another history or a rolled-back branch left here are dropped.

        Raises:
            LedgerError: the file cannot be written.
        """
        with self.writing():
            self._advance(base, ids, mark)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make what the block does one transaction.

        Raises:
            LedgerBusyError: another process is writing for long, as when it reads all lines anew.
            LedgerError: the file cannot be written.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # a full disk has ended it already
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def clear(self) -> None:
        """Forget everything; inside `writing`."""
        self._database.execute("DELETE FROM mark")
        self._database.execute("DELETE FROM place")

    def add(self, ids: Mapping[str, int]) -> None:
        """Take in ids whose mark will follow; inside `writing`."""
        self._database.executemany("INSERT INTO place VALUES (?, ?)", ids.items())

    def put(self, mark: Mark) -> None:
        """Keep a mark; inside `writing`."""
        tree = mark.tree
        values = [tree.size, tree.root(), b"".join(tree.peaks), mark.previous_hash, mark.timestamp, mark.tip]
        self._database.execute("INSERT OR REPLACE INTO mark VALUES (?, ?, ?, ?, ?, ?)", values)
        self._database.execute(_FORGET, [MARKS_MAX])

    def _advance(self, base: int, ids: Mapping[str, int], mark: Mark) -> None:
        if self.exact(mark.tree.size, mark.tree.root()) is None:
            newest = self.newest()
            if newest is not None and newest.tree.size > base:
                if base and not self._run("SELECT 1 FROM mark WHERE size = ?", [base]):
                    return  # others are far ahead; whoever needs this state reads it from the branch
                self._database.execute("DELETE FROM mark WHERE size > ?", [base])
                self._database.execute("DELETE FROM place WHERE seq >= ?", [base])
            self.add(ids)
        self.put(mark)

    def _run(self, query: str, values: list[Any]) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _open(self) -> sqlite3.Connection:
        # Never fsynced per append: after a power loss a few appends are missing here, and are read again.
        database = sqlite3.connect(self._path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode = WAL").fetchall()
            database.execute("PRAGMA synchronous = NORMAL")
            (found,) = database.execute("PRAGMA user_version").fetchone()
            if found not in (0, _FORMAT):
                raise sqlite3.DatabaseError(f"format {found}")  # noqa: TRY301 - handled as any other foreign file
            if found == 0:
                database.executescript(_SCHEMA)
                database.execute(f"PRAGMA user_version = {_FORMAT}")
        except BaseException:
            database.close()
            raise
        return database

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).unlink()

    def _mark(self, rows: list[Any]) -> Mark | None:
        if not rows:
            return None
        size, peaks, previous, time, tip = rows[0]
        hashes = [peaks[at : at + HASH_BYTES] for at in range(0, len(peaks), HASH_BYTES)]
        return Mark(Frontier(size, hashes), previous, time, tip)

    def _failed(self, error: sqlite3.Error) -> LedgerError:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return LedgerBusyError(f"the index {self._path} is being written by another process; append again later")
        if (
            getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _DISK
        ):  # error codes: https://www.sqlite.org/rescode.html
            do = "Make room on its disk, or see that it works, and append again; nothing was appended"
            return LedgerError(f"the index {self._path} cannot be written: {error}. {do}")
        return LedgerError(f"the index {self._path} cannot be used: {error}. Remove it; it is made again")
