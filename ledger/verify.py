"""Verification by anybody, from bytes alone: nothing here needs a key that is secret, a network or our other code.

One pass over the lines checks form, hash, place, chain, identity, time and the Merkle root; then the tree head's
signature, the tiles, and the digest of every file that a line speaks for. A file under `datalake/` that no line speaks
for is a finding too. What verification cannot see is a history rewritten by whoever holds the signing key, unless a
trusted key and a remembered checkpoint are given, or a policy of witnesses.
"""

from pathlib import Path
from typing import BinaryIO

from ledger.audit import SIMPLY, Audit, Manner
from ledger.branch import GitDir
from ledger.chain import Chain
from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.commit import PLAIN_FILE
from ledger.cosigned import check_cosigned
from ledger.faults import Fault, FaultFound, Problem
from ledger.layout import BRANCH, CHECKPOINT, OPEN_SEGMENT, SEALED
from ledger.note import VerifierKey, parse_vkey
from ledger.shown import quoted
from ledger.source import BranchSource, DirectorySource, DivisibleSource, FileSource
from ledger.verdict import NO_CHECKPOINT, NO_TRUST, UNREAD, Verification, describe

__all__ = [
    "NO_CHECKPOINT",
    "NO_TRUST",
    "Manner",
    "Verification",
    "describe",
    "verify_branch",
    "verify_file",
    "verify_stream",
]


def verify_branch(
    git_dir: Path,
    ref: str = BRANCH,
    trusted: str | None = None,
    remembered: bytes | None = None,
    manner: Manner = SIMPLY,
) -> Verification:
    """Verify the ledger on a branch.

    Args:
        git_dir: any git directory that holds the branch; objects are read, nothing is written.
        ref: full ref name, or a commit id.
        trusted: the vkey string that must have signed; without it the key on the branch is believed.
        remembered: a checkpoint (signed note) seen earlier, kept where the branch's writers cannot reach; the branch
            must extend it. It is believed as it is.
        manner: how to go about it.

    Raises:
        GitError: not a git directory, or git failed.
        NoteError: `trusted` or `remembered` is malformed.
    """
    label = f"{git_dir} {ref}"
    key = parse_vkey(trusted) if trusted is not None else None
    checkpoint = parse_checkpoint(remembered) if remembered is not None else None
    repository = GitDir(git_dir)
    commit = repository.tip(ref)
    if commit is None:
        problem = FaultFound(Fault.ABSENT, f"there is no {ref} here: fetch it").problem()
        return Verification(label, 0, Chain().tree.root().hex(), problem)
    return _verify_whole(label, BranchSource(repository, commit), key, checkpoint, manner)


def verify_file(
    path: Path,
    trusted: str | None = None,
    remembered: bytes | None = None,
    manner: Manner = SIMPLY,
) -> Verification:
    """Verify a ledger file (`ledger.jsonl`), together with what stands beside it.

    In a checkout of the branch the whole `datalake` directory is verified. A file alone is verified by its lines,
    however many, when it starts with the first; otherwise it is INCOMPLETE, unless it is `ledger.jsonl` and the sealed
    segments stand beside it in `ledger/`.

    Raises:
        OSError: the file cannot be read.
        NoteError: `trusted` or `remembered` is malformed.
    """
    key = parse_vkey(trusted) if trusted is not None else None
    checkpoint = parse_checkpoint(remembered) if remembered is not None else None
    with path.open("rb"):
        pass
    beside = path.parent
    whole = any((beside / name).exists() for name in (CHECKPOINT, "keys", "tile"))
    if whole and path.name == OPEN_SEGMENT:
        return _verify_whole(str(path), DirectorySource(path, whole=True), key, checkpoint, manner)
    if path.name == OPEN_SEGMENT and any((beside / SEALED).rglob("*.jsonl")):
        return _verify_lines(str(path), DirectorySource(path, whole=False), checkpoint, manner)
    with path.open("rb") as file:
        return _verify_stream(str(path), file, checkpoint, manner)


def verify_stream(label: str, file: BinaryIO, remembered: bytes | None = None, manner: Manner = SIMPLY) -> Verification:
    """Verify lines as they come, from the first on, such as all segments one after the other through a pipe.

    Args:
        label: what to call it.
        file: read to its end, once, at most 256 lines in memory.
        remembered: a checkpoint seen earlier, which the lines must extend.
        manner: how to go about it; one process reads, and all of it.

    Raises:
        NoteError: `remembered` is malformed.
    """
    return _verify_stream(label, file, parse_checkpoint(remembered) if remembered is not None else None, manner)


def _verify_whole(
    label: str, source: DivisibleSource, trusted: VerifierKey | None, remembered: Checkpoint | None, manner: Manner
) -> Verification:
    running = Audit(source, remembered, manner)
    origin = ""
    problem = None
    try:
        _check_modes(source)
        running.read_lines()
        origin = running.check_head(trusted)
        running.check_remembered(origin)
        running.check_files()
        check_cosigned(source, running.terms(), manner.policy)
        running.check_anchors()
    except FaultFound as found:
        problem = found.problem()
    known = trusted is not None or (manner.policy is not None and manner.policy.logs)
    unread = (UNREAD.format(running.unread),) if running.unread else ()
    return _result(label, running.chain, problem, origin, (*(() if known else (NO_TRUST,)), *unread))


def _verify_lines(label: str, source: DivisibleSource, remembered: Checkpoint | None, manner: Manner) -> Verification:
    running = Audit(source, remembered, manner)
    problem = None
    try:
        running.read_lines()
        _check_lone(running)
    except FaultFound as found:
        problem = found.problem()
    return _result(label, running.chain, problem, "", (NO_CHECKPOINT,))


def _verify_stream(label: str, file: BinaryIO, remembered: Checkpoint | None, manner: Manner) -> Verification:
    running = Audit(FileSource({}), remembered, manner)
    problem = None
    try:
        running.read_stream(file)
        _check_lone(running)
    except FaultFound as found:
        problem = found.problem()
    return _result(label, running.chain, problem, "", (NO_CHECKPOINT,))


def _check_lone(running: Audit) -> None:
    """Check what can be checked of lines that came without a tree head."""
    if running.remembered is not None:
        running.check_remembered(running.remembered.origin)
    if running.manner.policy is not None:
        raise FaultFound(Fault.POLICY, "there is no checkpoint beside the lines")
    if running.manner.anchors:
        raise FaultFound(Fault.ANCHOR, "there is no checkpoint beside the lines")


def _check_modes(source: DivisibleSource) -> None:
    modes = source.modes()
    if not modes:
        raise FaultFound(Fault.ABSENT)
    odd = next((path for path, mode in sorted(modes.items()) if mode != PLAIN_FILE), None)
    if odd is not None:
        raise FaultFound(Fault.ODD_FILE, quoted(odd))


def _result(label: str, chain: Chain, problem: Problem | None, origin: str, notes: tuple[str, ...]) -> Verification:
    return Verification(label, chain.size, chain.tree.root().hex(), problem, origin, notes)
