"""The signing key of a local repository's ledger, and how it is found again when the repository moves.

<state>/local/<hash of the git directory's path>/key          the key, made at first use
<state>/local/<hash of the git directory's path>/repository   that path, to tell a moved repository from a copy
<state>/local/checkpoints/                                    what was signed last, one file per ledger
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from execution.problems import SetupProblem
from ledger import durable
from ledger.branch import GitDir
from ledger.checkpoint import parse_checkpoint
from ledger.errors import KeyFileError, LedgerError
from ledger.keyring import KeyRing
from ledger.keys import Signer
from ledger.layout import CHECKPOINT, DIRECTORY
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints

KEY_FILE = "key"
REPOSITORY_FILE = "repository"
LOCK_FILE = "lock"
CHECKPOINTS = "checkpoints"
HOME_DIGITS = 16
NAME_CHARACTERS_MAX = 64
KEY_VARIABLE = "OPTR_LEDGER_KEY_FILE"


@dataclass(frozen=True)
class LocalLedger:
    """What appending to a local ledger needs.

    Attributes:
        git_dir: of the repository whose branches hold it.
        keys: its keys.
        checkpoints: directory of the remembered checkpoints.
    """

    git_dir: Path
    keys: KeyRing
    checkpoints: Path

    @property
    def signer(self) -> Signer:
        """The present key."""
        return self.keys.signer

    def sequencer(self) -> Sequencer:
        """What appends to it."""
        return Sequencer(self.git_dir, self.keys, FileCheckpoints(self.checkpoints))


def open_ledger(
    state: Path, git_dir: Path, name: str, environ: Mapping[str, str], disk: durable.FileSystem = durable.DISK
) -> LocalLedger:
    """The ledger of the repository whose branches are in `git_dir`; its key is made at first use.

    Args:
        state: OPTR's state directory.
        git_dir: the repository's common git directory, absolute.
        name: the repository's name, part of a new ledger's.
        environ: OPTR_LEDGER_KEY_FILE in it names a key file of the operator's; it wins.
        disk: where the key is made or moved.

    Raises:
        SetupProblem: a key cannot be used or written, or the branch holds a ledger whose key is not here.
    """
    homes = state / "local"
    home = homes / hashlib.sha256(os.fsencode(git_dir)).hexdigest()[:HOME_DIGITS]
    try:
        given = environ.get(KEY_VARIABLE)
        keys = KeyRing.open(Path(given) if given else _own_key(homes, home, git_dir, name, disk))
    except KeyFileError as error:
        raise SetupProblem(str(error), code="LEDGER_KEY") from None
    except OSError as error:
        problem = f"the signing key's directory {home} cannot be written: {error.strerror}"
        remedy = "Make room there, or take away what stands in the way; the key is where it was"
        raise SetupProblem(problem, code="LEDGER_KEY", where=str(homes), remedy=remedy) from None
    return LocalLedger(git_dir, keys, homes / CHECKPOINTS)


def _own_key(homes: Path, home: Path, git_dir: Path, name: str, disk: durable.FileSystem) -> Path:
    """The repository's own key file, made or moved here if need be, and durable whoever did that."""
    durable.make_directory(homes, disk=disk)
    with _alone(homes):
        if not (home / KEY_FILE).exists():
            origin = _origin_on_branch(git_dir)
            if origin is None:
                _make(home, git_dir, name, disk)
            else:
                _move_in(_home_of(homes, origin, git_dir), home, git_dir, origin, disk)
        for directory in (home, homes, homes.parent):  # a process that was killed may have left that to this one
            durable.sync_directory(directory, disk)
    return home / KEY_FILE


@contextmanager
def _alone(homes: Path) -> Iterator[None]:
    """Of two that begin at once, one makes or moves the key and the other finds it."""
    handle = os.open(homes / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make(home: Path, git_dir: Path, name: str, disk: durable.FileSystem) -> None:
    """A new key. The ledger's name carries chance, so that no two are alike; the key file remembers it."""
    durable.make_directory(home, disk=disk)
    durable.replace(home / REPOSITORY_FILE, os.fsencode(git_dir), disk=disk)
    word = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name)[:NAME_CHARACTERS_MAX]
    Signer.begin(home / KEY_FILE, f"optr.local/{word}-{secrets.token_hex(4)}", home.parent.parent, disk)


def _origin_on_branch(git_dir: Path) -> str | None:
    """The name of the ledger on the branch; None when there is no branch, or none that says."""
    try:
        branch = GitDir(git_dir)
        tip = branch.tip()
        data = branch.file(tip, f"{DIRECTORY}/{CHECKPOINT}") if tip else None
        return parse_checkpoint(data).origin if data else None
    except (LedgerError, ValueError):
        return None  # whatever is wrong with the branch, the sequencer says it better


def _homes(homes: Path) -> Iterator[tuple[Path, str]]:
    for key in sorted(homes.glob(f"*/{KEY_FILE}")):
        try:
            yield key.parent, Signer.load(key).origin
        except KeyFileError:
            continue


def _home_of(homes: Path, origin: str, git_dir: Path) -> Path:
    for home, known in _homes(homes):
        if known == origin:
            return home
    raise SetupProblem(
        f"the branch datalake holds the ledger {origin}, and its signing key is not here",
        code="LEDGER_KEY",
        where=str(git_dir),
        remedy=(
            "Run where that ledger was made; or bring its key in OPTR_LEDGER_KEY_FILE and pass --adopt-ledger once; or "
            "begin a ledger of your own: git branch -m datalake datalake-theirs"
        ),
    )


def _move_in(old: Path, home: Path, git_dir: Path, origin: str, disk: durable.FileSystem) -> None:
    """A repository that moved takes its key along; a copy does not, because one key must not sign two histories.

    The new path is durable before the directory moves: whoever stops or loses power in between finds the key in either
    place, and goes on from there.
    """
    file = old / REPOSITORY_FILE
    before = Path(os.fsdecode(file.read_bytes())) if file.exists() else old  # unknown: not to be called moved
    if before.exists() and before != git_dir:
        raise SetupProblem(
            f"the branch datalake is a copy of the ledger {origin}, which belongs to {before}",
            code="LEDGER_KEY",
            where=str(git_dir),
            remedy="Run there; or begin a ledger of this copy's own: git branch -m datalake datalake-copied",
        )
    durable.replace(file, os.fsencode(git_dir), disk=disk)
    if home.is_dir():
        _clear(home, disk)
    durable.move_directory(old, home, disk)


def _clear(home: Path, disk: durable.FileSystem) -> None:
    """Take away what a process left that was killed before it made a key here; anything else stops the move."""
    for leftover in sorted(home.iterdir()):
        if leftover.name == REPOSITORY_FILE or leftover.name.startswith("."):
            disk.unlink(leftover)
