"""The record of trust on a `datalake` branch: every run's book and audit trail, and what was revoked since."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from execution.revocations import MEMBER, Revocations
from governance.codes import ReasonCode, RefusedError
from governance.entry_types import EntryType
from governance.trust.operations import require_anchors
from governance.trust.records import Anchor, Book, Revocation
from governance.trust.verify import require_sound
from ledger.branch import GitDir
from ledger.entry import Draft
from ledger.errors import NoteError
from ledger.layout import BRANCH, DIRECTORY, WORKFLOWS
from ledger.note import VerifierKey
from ledger.terms import terms_on

TRUST_FILE = "trust.json"
REGISTER_FILE = "agents.json"
AUDIT_FILE = "audit.jsonl"
WORKFLOW = "trust"  # of lines that belong to no run


@dataclass(frozen=True)
class Kept:
    """What one run left.

    Attributes:
        workflow: its directory.
        book: what its acts rest on, with everything that was revoked up to now.
        trail: its audit anchors; empty while it has not been decided.
        register: the agents that there were when it was planned, and what was revoked then; None in older runs.
    """

    workflow: str
    book: Book
    trail: tuple[Anchor, ...]
    register: Book | None = None


def read_books(git_dir: Path, ref: str = BRANCH) -> list[Kept]:
    """The books of all runs on the branch, in the order of their directories' names.

    Raises:
        RefusedError: TRUST_BROKEN for a file that is not what it should be.
        GitError: git failed.
    """
    repository = GitDir(git_dir)
    tip = repository.tip(ref)
    if tip is None:
        return []
    revoked = Revocations(git_dir, ref).read()
    root = f"{DIRECTORY}/{WORKFLOWS}"
    blobs = {path: blob.oid for path, blob in repository.files(tip, root.rstrip("/")).items()}
    books = sorted(
        (path for path in blobs if path.endswith(f"/{TRUST_FILE}")), key=lambda path: path.rpartition("/")[0]
    )
    kept = []
    for path in books:
        directory = path.removesuffix(TRUST_FILE)
        trail, register = blobs.get(f"{directory}{AUDIT_FILE}"), blobs.get(f"{directory}{REGISTER_FILE}")
        wanted = [blobs[path], *filter(None, (trail, register))]
        contents = dict(zip(wanted, repository.blobs(wanted), strict=True))
        book = _book(path, contents[blobs[path]]).model_copy(update={"revocations": revoked})
        kept.append(
            Kept(
                directory.removeprefix(root).rstrip("/"),
                book,
                _trail(path, [contents[trail]] if trail else []),
                _book(f"{directory}{REGISTER_FILE}", contents[register]) if register else None,
            )
        )
    return kept


def ledger_keys(git_dir: Path, ref: str = BRANCH, trusted: VerifierKey | None = None) -> frozenset[str]:
    """The hex public keys on the branch, the present one and those before it, which handed over to each other.

    Args:
        git_dir: holds the branch.
        ref: the branch.
        trusted: must be one of them; without it what is there is believed.

    Raises:
        NoteError: a key or a hand-over there cannot be read, or `trusted` is none of them.
    """
    keys = [term.key for term in terms_on(git_dir, ref)]
    if trusted is not None and keys and trusted not in keys:
        raise NoteError(f"{trusted.label} is not a key of the ledger on {ref}, and none of them hands over to it")
    return frozenset(key.public.hex() for key in (*keys, *((trusted,) if trusted else ())))


def require_kept(kept: Kept, public_keys: frozenset[str]) -> None:
    """Check one run's book, trail and register against the ledger's key.

    Args:
        kept: what the run left.
        public_keys: hex, of the ledger.

    Raises:
        RefusedError: what is wrong first.
    """
    for book in filter(None, (kept.book, kept.register)):
        if book.genesis.signer not in public_keys:
            raise RefusedError(ReasonCode.TRUST_BROKEN, f"{kept.workflow}: its root is not a key of this ledger")
        require_sound(book, public_keys)
    require_anchors(kept.book, kept.trail)


def revocation_draft(made: Revocation, request: str = "") -> Draft:
    """The ledger line of a revocation; one for each `request`, when there may be several tries at it."""
    return Draft(
        id=f"{WORKFLOW}/{request or made.id}",
        type=str(EntryType.TRUST_REVOKED),
        workflow=WORKFLOW,
        run=WORKFLOW,
        actor=made.by,
        timestamp=made.revoked_ms,
        body={MEMBER: made.model_dump(mode="json")},
    )


def _book(path: str, data: bytes) -> Book:
    try:
        return Book.model_validate_json(data)
    except ValidationError as error:
        raise RefusedError(ReasonCode.TRUST_BROKEN, f"{path} is not a book of trust") from error


def _trail(path: str, contents: Sequence[bytes]) -> tuple[Anchor, ...]:
    try:
        return tuple(Anchor.model_validate_json(line) for data in contents for line in data.splitlines())
    except ValidationError as error:
        raise RefusedError(ReasonCode.TRUST_BROKEN, f"the audit trail beside {path} cannot be read") from error
