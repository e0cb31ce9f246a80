"""Whose turn it was: the keys of the ledger on a branch, with the tree heads that each of them signs."""

from pathlib import Path

from ledger.branch import GitDir
from ledger.layout import BRANCH, DIRECTORY, KEYS
from ledger.rotation import Term, lineage


def terms_on(git_dir: Path, ref: str = BRANCH) -> tuple[Term, ...]:
    """Return the terms of the keys on a branch, oldest first; none where there is no key.

    The hand-overs are checked. That their lines and the rest of the record are sound is for `ledger.verify` to say.

    Raises:
        NoteError: a key or a hand-over is out of form, or they do not lead from the first key to the newest.
        GitError: git failed.
    """
    repository = GitDir(git_dir)
    tip = repository.tip(ref)
    blobs = repository.files(tip, f"{DIRECTORY}/{KEYS.rstrip('/')}") if tip else {}
    contents = repository.blobs([blob.oid for blob in blobs.values()])
    files = {path.removeprefix(f"{DIRECTORY}/"): content for path, content in zip(blobs, contents, strict=True)}
    return lineage(files) if files else ()
