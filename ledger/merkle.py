"""The Merkle tree of RFC 6962 section 2.1 over SHA-256: hashes, roots, proofs and their verification.

Three leaves, the lines `a`, `b` and `c`: a leaf is SHA-256(0x00 || line), what is above two is SHA-256(0x01 || left ||
right), and a leaf without a neighbour goes up as it is.

    leaf a            022a6979e6dab7aa5ae4c3e5e45f7e977112a7e63593820dbec1ec738a24f93c
    leaf b            57eb35615d47f34ec714cacdf5fd74608a5e8e102724e80b24b287c0c27b6a31
    leaf c            597fcb31282d34654c200d3418fca5705c648ebf326ec73d8ddef11841f876d8
    above a and b     b137985ff484fb600db93107c77b0365c80d78f5b429ded0fd97361d077999eb
    root              36642e73c2540ab121e3a6bf9545b0a24982cd830eb13d3cd19de3ce6c021ec1

Proofs are made from complete subtrees only, through a `Node` function, so that tiles serve as well as a list of leaves.
Verification follows RFC 9162 sections 2.1.3.2 and 2.1.4.2 and shares no code with the making of proofs.
"""

import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise

from ledger.errors import ProofError

HASH_BYTES = 32
PROOF_HASHES_MAX = 64  # a tree of 2^63 leaves needs 63
EMPTY_ROOT = hashlib.sha256(b"").digest()

Node = Callable[[int, int], bytes]
"""`node(level, index)`: the hash of the complete subtree over leaves [index * 2^level, (index + 1) * 2^level)."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The compact tree: the roots of the complete subtrees, at most one per bit of the size."""

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size = size
        self._peaks = list(peaks)

    def append(self, leaf: bytes, height: int = 0) -> None:
        """Add one leaf hash, or the root over 2^height leaves where the size is a multiple of that.

        O(log n) at worst, O(1) amortised.
        """
        carry = self.size >> height
        while carry & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            carry >>= 1
        self._peaks.append(leaf)
        self.size += 1 << height

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The complete subtrees' roots, the largest first."""
        return tuple(self._peaks)

    def root(self) -> bytes:
        """Return the tree head; of the empty tree, SHA-256 of nothing."""
        if not self._peaks:
            return EMPTY_ROOT
        *left, result = self._peaks
        for peak in reversed(left):
            result = node_hash(peak, result)
        return result

    def copy(self) -> "Frontier":
        """Return an independent copy."""
        return Frontier(self.size, self._peaks)


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the tree head over leaf hashes, in order."""
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def nodes_of(leaves: Sequence[bytes]) -> Node:
    """Return a `Node` function over leaf hashes held in memory."""
    return lambda level, index: root(leaves[index << level : (index + 1) << level])


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """Return the audit path of leaf `index` in the tree of `size` leaves, leaf's sibling first.

    Raises:
        ProofError: `index` is not in the tree.
    """
    if not 0 <= index < size:
        raise ProofError(f"there is no entry {index} in a tree of {size}")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range_hash(middle, high, node))
            high = middle
        else:
            path.append(_range_hash(low, middle, node))
            low = middle
    return path[::-1]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """Return the proof that the tree of `new` leaves extends that of `old` leaves.

    Raises:
        ProofError: `old` is larger than `new`.
    """
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} cannot extend a tree of {old}")
    if old in (0, new):
        return []
    path: list[bytes] = []
    low, high = 0, new
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_range_hash(middle, high, node))
            high = middle
        else:
            path.append(_range_hash(low, middle, node))
            low = middle
    if low:
        path.append(_range_hash(low, high, node))
    return path[::-1]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], expected: bytes) -> None:
    """Check that `leaf` is entry `index` of the tree with `size` leaves and head `expected`.

    Raises:
        ProofError: it is not, or the proof is malformed.
    """
    if not 0 <= index < size:
        raise ProofError(f"there is no entry {index} in a tree of {size}")
    _check_hashes([leaf, expected, *proof])
    place, last, result = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise ProofError("the inclusion proof is too long")
        if place & 1 or place == last:
            result = node_hash(step, result)
            place, last = _climb(place, last)
        else:
            result = node_hash(result, step)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofError("the inclusion proof is too short")
    if result != expected:
        raise ProofError(f"the inclusion proof of entry {index} does not lead to the root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree (`new`, `new_root`) extends the tree (`old`, `old_root`).

    Raises:
        ProofError: it does not, or the proof is malformed.
    """
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} cannot extend a tree of {old}")
    _check_hashes([old_root, new_root, *proof])
    if old in (0, new):
        if proof or old_root != (EMPTY_ROOT if old == 0 else new_root):
            raise ProofError("the consistency proof does not lead to the roots")
        return
    steps = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not steps:
        raise ProofError("the consistency proof is empty")
    if _fold(old, new, steps) != (old_root, new_root):
        raise ProofError("the consistency proof does not lead to the roots")


def _fold(old: int, new: int, steps: Sequence[bytes]) -> tuple[bytes, bytes]:
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    older = newer = steps[0]
    for _, step in pairwise(steps):
        if last == 0:
            raise ProofError("the consistency proof is too long")
        if place & 1 or place == last:
            older, newer = node_hash(step, older), node_hash(step, newer)
            place, last = _climb(place, last)
        else:
            newer = node_hash(newer, step)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise ProofError("the consistency proof is too short")
    return older, newer


def _climb(place: int, last: int) -> tuple[int, int]:
    while place and not place & 1:
        place, last = place >> 1, last >> 1
    return place, last


def _split(width: int) -> int:
    return 1 << (width - 1).bit_length() - 1


def _range_hash(low: int, high: int, node: Node) -> bytes:
    width = high - low
    if width & (width - 1) == 0:
        return node(width.bit_length() - 1, low // width)
    middle = low + _split(width)
    return node_hash(_range_hash(low, middle, node), _range_hash(middle, high, node))


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if len(hashes) > PROOF_HASHES_MAX + 2:
        raise ProofError(f"the proof has more than {PROOF_HASHES_MAX} hashes")
    if any(len(item) != HASH_BYTES for item in hashes):
        raise ProofError(f"a hash in the proof does not have {HASH_BYTES} bytes")
