"""A witness: it remembers the largest tree of each ledger it knows, and cosigns only what extends that.

Two readers whose checkpoints it cosigned saw the same history, whatever the ledger's operator does. The rules and
status codes are those of https://c2sp.org/tlog-witness; what is remembered is a file per ledger (`FileCheckpoints`),
replaced durably by compare-and-swap before an answer is given, also between several processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.cosignature import SIZE_TYPE, Request, cosign, parse_request, signed_by
from ledger.errors import NoteError, ProofError
from ledger.keys import Signer
from ledger.merkle import EMPTY_ROOT, verify_consistency
from ledger.note import VerifierKey, verify_note
from ledger.store import CheckpointStore

TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer.

    Attributes:
        status: 200 cosigned; 400 out of form; 403 not signed by the ledger; 404 unknown ledger; 409 other size or
            root, with the size in the body; 422 the proof does not hold.
        body: cosignature lines, a size, or a sentence.
        content_type: of the body.
    """

    status: HTTPStatus
    body: str
    content_type: str = TEXT


class Witness:
    """Cosigns checkpoints. Blocking, safe to share between threads.

    Args:
        signer: the witness's own key; its name is the witness's.
        logs: verification keys of the ledgers it serves; several of one name are one ledger's old and new keys.
        store: what it cosigned last.
        clock: seconds since the epoch.
    """

    def __init__(
        self, signer: Signer, logs: Sequence[VerifierKey], store: CheckpointStore, clock: Callable[[], float]
    ) -> None:
        self._signer = signer
        self._logs = tuple(logs)
        self._store = store
        self._clock = clock

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer one request; when it says 200, the checkpoint is on disk.

        Raises:
            LedgerError: what is remembered is damaged; nothing was cosigned.
            OSError: it cannot be read or written; nothing was cosigned.
        """
        try:
            request = parse_request(body)
        except NoteError as error:
            return Answer(HTTPStatus.BAD_REQUEST, f"{error}\n")
        checkpoint = request.checkpoint
        keys = [key for key in self._logs if key.name == checkpoint.origin]
        if not keys:
            return Answer(HTTPStatus.NOT_FOUND, "this witness does not know this ledger\n")
        try:
            verify_note(request.note.encode(), keys)
        except NoteError as error:
            return Answer(HTTPStatus.FORBIDDEN, f"{error}\n")
        if request.old > checkpoint.size:
            return Answer(HTTPStatus.BAD_REQUEST, f"old {request.old} is larger than the tree, {checkpoint.size}\n")
        return self._extend(request, checkpoint, signed_by(request.note, keys).encode())

    def _extend(self, request: Request, checkpoint: Checkpoint, signed: bytes) -> Answer:
        # Before anything is read: nothing larger than what is cosigned here was observed as of that time.
        seconds = int(self._clock())
        stored = self._store.load(checkpoint.origin)
        latest = parse_checkpoint(stored) if stored is not None else Checkpoint(checkpoint.origin, 0, EMPTY_ROOT)
        if request.old != latest.size or (checkpoint.size == latest.size and checkpoint.root != latest.root):
            return _conflict(latest.size)
        try:
            verify_consistency(latest.size, checkpoint.size, latest.root, checkpoint.root, request.proof)
        except ProofError as error:
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"{error}\n")
        if checkpoint.size > latest.size and not self._store.swap(checkpoint.origin, stored, signed):
            now = self._store.load(checkpoint.origin)
            return _conflict(parse_checkpoint(now).size if now is not None else 0)
        return Answer(HTTPStatus.OK, str(cosign(self._signer, request.note.text, seconds)))


def _conflict(size: int) -> Answer:
    return Answer(HTTPStatus.CONFLICT, f"{size}\n", SIZE_TYPE)
