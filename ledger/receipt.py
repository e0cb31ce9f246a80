"""Receipts: offline proof that a line is in the ledger (https://c2sp.org/tlog-proof), stored as `.tlog-proof`.

The entry's index, the hashes beside its way up to the root, the lowest first, an empty line, the signed checkpoint:

    c2sp.org/tlog-proof@v1
    index 33
    gfykr3zmQbsZP87jlIRehCVg52UD8wDDZj2Vnwpj3Z8=
    F8b/snLzO3V1XpzQrdj0l3MV+Lq3U0SYfkAE1jfPujA=

    optr/octocat/hello
    34
    iZgiwjsEuqIEuas5csZWBCvUa2eSmImom15dQCgy4Pk=

    — optr/octocat/hello w9knyLq2w7a0g7enMTjINLJ0WtctdAmmgWQMxnN4z1O5xBBlD9unARunV2eZtjwvzyTBDuSQB2TtrPHcxjugSqDN8gs=
"""

import base64
from dataclasses import dataclass
from pathlib import Path

from ledger.branch import GitDir
from ledger.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from ledger.errors import ProofError
from ledger.layout import BRANCH, CHECKPOINT, DIRECTORY
from ledger.merkle import PROOF_HASHES_MAX, inclusion_proof, leaf_hash, verify_inclusion
from ledger.note import parse_vkey, unbase64
from ledger.tiles import TileNodes

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = "index "
_INDEX_DIGITS_MAX = 16


@dataclass(frozen=True)
class Receipt:
    """A parsed receipt.

    Attributes:
        index: the line's seq.
        proof: audit path, the leaf's sibling first.
        checkpoint: the signed note, verbatim.
    """

    index: int
    proof: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        """Return the `.tlog-proof` text."""
        steps = "".join(f"{base64.b64encode(step).decode()}\n" for step in self.proof)
        return f"{_HEADER}\n{_INDEX}{self.index}\n{steps}\n".encode() + self.checkpoint


def parse_receipt(data: bytes) -> Receipt:
    """Read a receipt, strictly; extra data, which the standard allows, is not accepted.

    Raises:
        ProofError, NoteError: out of form.
    """
    head, blank, checkpoint = data.partition(b"\n\n")
    header, _, rest = head.decode("utf-8", "replace").partition("\n")
    index, *steps = rest.split("\n")
    digits = index.removeprefix(_INDEX)
    if not blank or header != _HEADER or not index.startswith(_INDEX):
        raise ProofError(f"a receipt starts with the lines {_HEADER!r} and 'index <seq>'")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _INDEX_DIGITS_MAX or len(steps) > PROOF_HASHES_MAX:
        raise ProofError("the receipt's index or proof is out of range")
    receipt = Receipt(int(digits), tuple(unbase64(step, "receipt's proof") for step in steps), checkpoint)
    if receipt.encode() != data:
        raise ProofError("the receipt's bytes are not in the one form that is allowed")
    return receipt


def prove(git_dir: Path, seq: int, ref: str = BRANCH) -> bytes:
    """Make the receipt of line `seq` against the checkpoint on the branch, from its tiles alone.

    Raises:
        ProofError: there is no such line, or the tiles do not lead to the checkpoint's root.
        NoteError: the checkpoint is malformed.
        GitError: git failed.
    """
    repository = GitDir(git_dir)
    commit = repository.tip(ref)
    data = repository.file(commit, f"{DIRECTORY}/{CHECKPOINT}") if commit else None
    if commit is None or data is None:
        raise ProofError(f"there is no ledger on {ref} in {git_dir}")
    head = parse_checkpoint(data)

    def read(path: str) -> bytes:
        return repository.file(commit, f"{DIRECTORY}/{path}") or b""

    nodes = TileNodes(head.size, read)
    proof = inclusion_proof(seq, head.size, nodes.node)
    verify_inclusion(seq, head.size, nodes.node(0, seq), proof, head.root)
    return Receipt(seq, tuple(proof), data).encode()


def verify_receipt(receipt: bytes, line: bytes, vkey: str) -> Checkpoint:
    """Check that `line` (exact bytes, no line feed) is in the ledger that `vkey` signs, where the receipt says.

    Returns:
        The tree head that the line is under.

    Raises:
        ProofError, NoteError: it is not proven.
    """
    parsed = parse_receipt(receipt)
    head = verify_checkpoint(parsed.checkpoint, [parse_vkey(vkey)])
    verify_inclusion(parsed.index, head.size, leaf_hash(line), parsed.proof, head.root)
    return head
