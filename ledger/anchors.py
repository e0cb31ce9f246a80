"""Anchors: tree heads on a branch of their own, each in a commit that the forge dated and signed.

`datalake-anchors` holds one file, `checkpoint`, the signed tree head of the ledger; each commit replaces it by a later
one. Made by GitHub's `createCommitOnBranch` (https://docs.github.com/graphql/reference/mutations), its commits bear
GitHub's signature and time: whoever holds the ledger's key can rewrite the ledger, and not what was anchored before.
That signature is for `git verify-commit` to check; here the tree heads are held against the ledger.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ledger.branch import GitDir
from ledger.checkpoint import Checkpoint
from ledger.errors import NoteError, ProofError, SourceError
from ledger.faults import Fault, FaultFound
from ledger.layout import CHECKPOINT
from ledger.merkle import consistency_proof, verify_consistency
from ledger.rotation import Term, verify_head
from ledger.tiles import TileNodes

ANCHORS = "refs/heads/datalake-anchors"
ANCHORS_MAX = 100_000  # commits of the branch; at one an hour, eleven years
NOTE_BYTES_MAX = 65_536  # of one anchored tree head


@dataclass(frozen=True)
class Anchor:
    """One anchored tree head.

    Attributes:
        commit: id of the commit that brought it.
        note: the signed note, as it stands there.
    """

    commit: str
    note: bytes


def anchors_on(repository: GitDir, ref: str = ANCHORS) -> tuple[Anchor, ...]:
    """Return what was anchored, oldest first.

    Args:
        repository: holds the branch.
        ref: full ref name, or a commit id.

    Raises:
        SourceError: there is no such branch, it is not all here, longer than ANCHORS_MAX, or has nothing.
        GitError: git failed.
    """
    tip = repository.tip(ref)
    if tip is None:
        raise SourceError(f"there is no {ref} here: fetch it")
    listing = ("rev-list", "--first-parent", "--reverse", f"--max-count={ANCHORS_MAX + 1}", tip)
    commits = repository.run(*listing).decode().split()
    if len(commits) > ANCHORS_MAX:
        raise SourceError(f"{ref} has more than {ANCHORS_MAX} commits")
    if repository.cut_off().intersection(commits):
        raise SourceError(f"this clone is shallow, and holds not all of {ref}: run git fetch --unshallow")
    asked = "".join(f"{commit}:{CHECKPOINT}\n" for commit in commits).encode()
    answers = repository.run("cat-file", "--batch-check=%(objectname)", stdin=asked).decode().splitlines()
    # The first commit holds nothing yet; one that took the file away hides nothing of those before it.
    held = [pair for pair in zip(commits, answers, strict=True) if not pair[1].endswith(" missing")]
    if not held:
        raise SourceError(f"no tree head was ever anchored on {ref}: see that it is the right branch")
    notes = repository.blobs([oid for _, oid in held])
    return tuple(Anchor(commit, note[: NOTE_BYTES_MAX + 1]) for (commit, _), note in zip(held, notes, strict=True))


def check_anchors(
    anchors: Sequence[Anchor], head: Checkpoint, terms: Sequence[Term], read: Callable[[str], bytes]
) -> None:
    """Check that the ledger extends everything that was anchored.

    Args:
        anchors: as `anchors_on` returns them.
        head: the ledger's own tree head, verified.
        terms: whose turn it was to sign, from `ledger.rotation.lineage`.
        read: returns the content of a tile by its path relative to `datalake/`. The tiles need not be trusted: a proof
            made from wrong ones leads elsewhere.

    Raises:
        FaultFound: ANCHOR, naming the first anchor that is not of this history.
    """
    node = TileNodes(head.size, read).node
    for anchor in anchors:
        at = f"anchored by {anchor.commit[:12]}"
        try:
            known = verify_head(anchor.note, terms)
        except NoteError as error:
            raise FaultFound(Fault.ANCHOR, f"{at}: {error}") from error
        if known.size > head.size:
            raise FaultFound(Fault.ANCHOR, f"{known.size} lines were {at}, {head.size} are here")
        try:
            proof = consistency_proof(known.size, head.size, node)
            verify_consistency(known.size, head.size, known.root, head.root, proof)
        except ProofError as error:
            detail = f"the first {known.size} lines have another root than was {at}"
            raise FaultFound(Fault.ANCHOR, detail) from error
