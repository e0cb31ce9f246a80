"""What a ledger that verifies says of a run: whose tree won, and the scores. The gate stands on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.github.git import DATALAKE_REF
from governance.events import EntryType
from ledger.branch import GitDir
from ledger.entry import Entry
from ledger.errors import LedgerError
from ledger.faults import FaultFound
from ledger.keys import Signer
from ledger.scan import scan
from ledger.source import BranchSource
from ledger.store import CheckpointStore
from ledger.verify import verify_branch


@dataclass(frozen=True)
class RecordedWinner:
    """What the verified ledger says of a run.

    Attributes:
        problem: why the ledger does not verify, one sentence; None when it does.
        tree: the recorded winner's tree; None when the run has no recorded winner.
        size: lines in the ledger.
        root: hex RFC 6962 root over them.
        scores: of the ranked candidates, decimal strings by agent.
    """

    problem: str | None
    tree: str | None = None
    size: int = 0
    root: str = ""
    scores: Mapping[str, str] = field(default_factory=dict)


def recorded_winner(git_dir: Path, signer: Signer, checkpoints: CheckpointStore, run: str) -> RecordedWinner:
    """Verify a copy of a ledger, and read what it says of a run; blocking.

    Args:
        git_dir: holds the branch.
        signer: the ledger's present key.
        checkpoints: the memory of what was signed last; a ledger that it does not know does not verify.
        run: the run's id.
    """
    try:
        if (remembered := checkpoints.load(signer.origin)) is None:
            return RecordedWinner(f"nothing is remembered of {signer.origin}")
        found = verify_branch(git_dir, DATALAKE_REF, trusted=str(signer.vkey), remembered=remembered)
        if found.problem is not None:
            return RecordedWinner(f"{found.problem.detail}; {found.problem.implies}")
        tree, scores = _winner(git_dir, run)
        return RecordedWinner(None, tree, found.entries, found.root, scores)
    except (LedgerError, FaultFound) as error:
        return RecordedWinner(str(error))


def _winner(git_dir: Path, run: str) -> tuple[str | None, dict[str, str]]:
    """The winner's tree, a person's pick before the selection's, and the scores; the branch has been verified."""
    wanted, override = f"{run}/{EntryType.OPTR_SELECTED}", f"{run}/{EntryType.OPTR_PICKED}/"
    picked: list[str] = []
    trees: list[str] = []
    scores: dict[str, str] = {}

    def read(entry: Entry, _full: object, _chain: object) -> None:
        if entry.id.startswith(override) and isinstance(tree := entry.record.get("tree"), str):
            picked.append(tree)
        # After a correction the line's id ends with its number; a run has one selection all the same.
        if (entry.id == wanted or entry.id.startswith(f"{wanted}/")) and isinstance(
            tree := entry.record.get("tree"), str
        ):
            trees.append(tree)
            listed = entry.record.get("scores")
            if isinstance(listed, dict):
                scores.update({agent: score for agent, score in listed.items() if isinstance(score, str)})

    repository = GitDir(git_dir)
    tip = repository.tip(DATALAKE_REF)
    if tip is not None:
        scan(BranchSource(repository, tip), read)
    selected = trees[0] if len(trees) == 1 else None
    return (picked[-1] if picked and selected else selected), scores
