"""Asking witnesses for their cosignatures (the client's side of https://c2sp.org/tlog-witness). Blocking.

A witness is believed in nothing: what it answers is bounded in size and time, and a cosignature counts only once its
signature over our own checkpoint was verified with the key that the policy names.
"""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from ledger.branch import GitDir
from ledger.checkpoint import parse_text
from ledger.cosignature import ANSWER_BYTES_MAX, PATH, Request, read_cosignature, read_size
from ledger.errors import NoteError, WitnessError, WitnessSawOtherError
from ledger.layout import CHECKPOINT, DIRECTORY
from ledger.merkle import consistency_proof
from ledger.note import Note, Signature, VerifierKey, parse_note
from ledger.tiles import TileNodes

TIMEOUT_S = 10.0  # seconds for each of connecting and reading
TRIES_MAX = 3  # requests to one witness; it may move on between two of them
_SCHEMES = ("http://", "https://")

Post = Callable[[str, bytes], tuple[int, bytes]]
"""`post(url, body)`: the status and at most `ANSWER_BYTES_MAX` + 1 bytes of the answer. Raises OSError."""


@dataclass(frozen=True)
class Tree:
    """A ledger's tree head as it stands on a branch, with what proofs are made from.

    Attributes:
        note: the signed checkpoint.
        nodes: of its tree.
    """

    note: Note
    nodes: TileNodes

    @classmethod
    def at(cls, git: GitDir, tip: str) -> "Tree":
        """Read it from commit `tip`.

        Raises:
            NoteError: there is no checkpoint, or it is out of form.
        """
        note = parse_note(git.file(tip, f"{DIRECTORY}/{CHECKPOINT}") or b"")
        read: Callable[[str], bytes] = lambda path: git.file(tip, f"{DIRECTORY}/{path}") or b""  # noqa: E731
        return cls(note, TileNodes(parse_text(note.text).size, read))


def ask(url: str, witness: VerifierKey, tree: Tree, post: Post, clock: Callable[[], float] = time.time) -> Signature:
    """Return the verified cosignature of `witness` over the tree.

    Args:
        url: the witness's submission prefix.
        witness: its key.
        tree: what it is to cosign.
        post: see `Post`.
        clock: seconds since the epoch.

    Raises:
        WitnessSawOtherError: it cosigned a larger tree, or another one: somebody rolled back or rewrote this ledger.
        WitnessError: it cannot be reached, refuses, or answers nonsense; ask again later.
        ProofError: the ledger's own tiles are damaged.
    """
    head, old = parse_text(tree.note.text), 0
    for _ in range(TRIES_MAX):
        proof = consistency_proof(old, head.size, tree.nodes.node)
        try:
            status, body = post(f"{url.rstrip('/')}{PATH}", Request(old, tuple(proof), tree.note).encode())
            if status == HTTPStatus.OK:
                return read_cosignature(tree.note, witness, body, clock())
            if status != HTTPStatus.CONFLICT:
                raise _refused(witness, status)
            size = read_size(body)
        except (OSError, NoteError) as error:
            raise WitnessError(f"{witness.label} at {url}: {error}") from error
        if size > head.size or size == old:
            raise WitnessSawOtherError(f"{witness.label} cosigned another tree, of {size} lines; here are {head.size}")
        old = size
    raise WitnessError(f"{witness.label} keeps moving; ask again later")


def _refused(witness: VerifierKey, status: int) -> WitnessError:
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return WitnessSawOtherError(f"{witness.label} cosigned a history that this ledger does not extend")
    why = {
        HTTPStatus.FORBIDDEN: "it does not trust this ledger's key",
        HTTPStatus.NOT_FOUND: "it does not serve this ledger",
    }.get(HTTPStatus(status) if status in set(HTTPStatus) else HTTPStatus.BAD_GATEWAY, f"it answered {status}")
    return WitnessError(f"{witness.label} cosigned nothing: {why}")


def post(url: str, body: bytes) -> tuple[int, bytes]:
    """Post over HTTP without following redirects; see `Post`.

    Raises:
        OSError: it cannot be reached, or does not speak HTTP.
    """
    if not url.startswith(_SCHEMES):
        raise OSError("it is not an http(s) URL")
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/octet-stream"})  # noqa: S310
    try:
        with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read(ANSWER_BYTES_MAX + 1)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(ANSWER_BYTES_MAX + 1)
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(str(error) or type(error).__name__) from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A witness that points elsewhere would make us ask whatever it likes."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)
