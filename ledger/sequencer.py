"""Appending: the only writer of the branch.

What survives a crash at each step, after Sunlight's design (https://sunlight.dev):

1. The commit is written durably under `refs/optr/staged/`. A crash here leaves garbage; the ledger never had it.
2. The signed checkpoint replaces the one in the store, by compare-and-swap. This is the point of commitment, and the
   lock: of two sequencers that share a store, one passes.
3. The branch moves forward: pushed by `publish` where there is a remote, then `update-ref` here. A crash after step 2
   is finished by the next append, through the same code, from the staged commit.
4. The staging ref is dropped.

After step 2 a checkpoint is signed, so no other one of that size may ever be: when the branch has meanwhile gained
commits that leave `datalake/` alone, the same files are staged again on the new tip; when it holds something else under
`datalake/`, two histories exist and the sequencer refuses. If the staged commit itself is lost (a disposable disk),
repeating the interrupted append rebuilds the same bytes and goes on.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.batch import Batch, build
from ledger.branch import GitDir
from ledger.chain import Chain
from ledger.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from ledger.commit import PLAIN_FILE, Blob, Commit
from ledger.entry import Draft
from ledger.errors import DraftError, LedgerBusyError, LedgerRefusedError, NoteError, Standing
from ledger.faults import FaultFound
from ledger.keys import Signer
from ledger.layout import BRANCH, DIRECTORY, WORKFLOWS, check_file, check_nesting, check_workflow_name
from ledger.publication import CHECKPOINT_FILE, TRIES_MAX, Publication, Publish, staging_ref
from ledger.scan import scan
from ledger.source import BranchSource
from ledger.store import CheckpointStore
from ledger.verify import verify_branch


@dataclass(frozen=True)
class Appended:
    """What an append did.

    Attributes:
        origin: the ledger's name.
        seqs: each draft's place, in the order given.
        size: lines in the tree after the append.
        root: hex RFC 6962 root.
        key: `name+hex` of the verification key.
        commit: hex id of the datalake commit that holds the newest of the drafts.
    """

    origin: str
    seqs: tuple[int, ...]
    size: int
    root: str
    key: str
    commit: str


@dataclass
class _Head:
    """The branch at `commit`, which agrees with the store."""

    commit: str | None
    checkpoint: bytes | None
    chain: Chain


class Sequencer:
    """Appends to one ledger. Blocking, safe to share between threads; call it through `asyncio.to_thread`.

    Args:
        git_dir: the git directory that holds `refs/heads/datalake`, or will.
        signer: the ledger's key; its name is the ledger's origin.
        checkpoints: the memory of what was signed last; see `CheckpointStore` for what it must promise.
        publish: see `Publish`; None when the branch lives here only.
    """

    def __init__(
        self,
        git_dir: Path,
        signer: Signer,
        checkpoints: CheckpointStore,
        publish: Publish | None = None,
    ) -> None:
        self._git = GitDir(git_dir)
        self._signer = signer
        self._store = checkpoints
        self._publication = Publication(self._git, checkpoints, signer.origin, publish)
        self._head: _Head | None = None
        self._swept = False
        self._lock = threading.Lock()

    def append(self, drafts: Sequence[Draft], files: Mapping[str, bytes]) -> Appended:
        """Append the drafts that are not there yet, with their files, in one commit.

        Idempotent by entry id: when all are there nothing is written, whatever `files` holds. The last line written
        carries the digests of all `files` in its member `files`.

        Args:
            drafts: at least one, ids distinct.
            files: content by repository path, each under `datalake/workflows/<workflow of a draft>/`. A file that is
                there already must have the same content.

        Raises:
            DraftError, EntryError, CanonicalError: what was asked cannot be written; nothing was.
            LedgerRefusedError: the branch is not what was signed last.
            LedgerBusyError: others were faster too often; call again.
            GitError: git failed. Calling again finishes or repeats the append.
        """
        relative = _check(drafts, files)
        with self._lock:
            for _ in range(TRIES_MAX):
                done = self._try(drafts, relative)
                if done is not None:
                    return done
            raise LedgerBusyError(f"{self._signer.origin}: lost {TRIES_MAX} races in a row; append again later")

    def settle(self) -> None:
        """Finish an append that a crash interrupted after signing, if there is one.

        Raises:
            LedgerRefusedError, LedgerBusyError, GitError: as `append`.
        """
        with self._lock:
            head, signed = self._settle()
            if signed is not None:
                raise self._refusal(head, signed)

    def adopt(self) -> None:
        """Take the branch as it stands for what was signed last, when the store has lost its memory.

        A deliberate act of the operator: from here on, lines that were cut off before this call are not missed.

        Raises:
            LedgerRefusedError: the store remembers something, or the branch does not verify under this key.
        """
        with self._lock:
            tip = self._git.tip()
            data = self._git.file(tip, CHECKPOINT_FILE) if tip else None
            found = verify_branch(self._git.path, trusted=str(self._signer.vkey))
            if found.problem is not None:
                raise LedgerRefusedError(Standing.UNVERIFIED, f"not adopted: {found.problem.detail}")
            if not data or not self._store.swap(self._signer.origin, None, data):
                raise LedgerRefusedError(Standing.DIFFERENT, "not adopted: the store holds a checkpoint of this ledger")

    def _try(self, drafts: Sequence[Draft], files: Mapping[str, bytes]) -> Appended | None:
        head, signed = self._settle()
        missing = [draft for draft in drafts if draft.id not in head.chain.places]
        if not missing:
            if signed is not None:
                raise self._refusal(head, signed)
            return self._appended(head, drafts)
        new = self._new_files(head, files)
        batch = build(head.chain, missing, files, self._signer)
        if signed not in (None, batch.checkpoint):
            raise self._refusal(head, signed)
        staged = self._stage(head, batch, new)
        if signed is None and not self._store.swap(self._signer.origin, head.checkpoint, batch.checkpoint):
            # The winner may have made the very same append; then the staged commit is its own, too.
            if self._store.load(self._signer.origin) != batch.checkpoint:
                self._git.drop(staging_ref(batch.checkpoint))
            return None
        commit = self._publication.finish(staged, head.commit, batch.checkpoint)
        self._head = _advance(head, batch, commit)
        if not self._swept:
            self._publication.sweep(commit)
            self._swept = True
        return self._appended(self._head, drafts)

    def _settle(self) -> tuple[_Head, bytes | None]:
        """Bring branch and store together; return the branch, and what the store is ahead by if they still differ."""
        for _ in range(TRIES_MAX):
            stored, tip = self._store.load(self._signer.origin), self._git.tip()
            if self._head is not None and (self._head.commit, self._head.checkpoint) == (tip, stored):
                return self._head, None
            self._head = None
            found = self._git.file(tip, CHECKPOINT_FILE) if tip else None
            if found == stored:
                self._head = self._read(tip, found)
                return self._head, None
            ref = staging_ref(stored or b"")
            staged = self._git.tip(ref)
            if stored is not None and staged is not None:
                self._publication.finish(staged, self._git.parent(staged), stored)
            elif (self._store.load(self._signer.origin), self._git.tip()) == (stored, tip):
                # Only a difference that stays is one: another sequencer may just have finished its append.
                return self._lagging(tip, found, stored), stored
        raise LedgerBusyError(f"{self._signer.origin}: the branch keeps moving; append again later")

    def _lagging(self, tip: str | None, found: bytes | None, stored: bytes | None) -> _Head:
        if stored is None:
            raise LedgerRefusedError(
                Standing.AHEAD,
                f"{BRANCH} holds a ledger, but nothing is remembered of {self._signer.origin}: the store was lost "
                "or is the wrong one. Restore it; or, when the branch is known to be whole, adopt it deliberately",
            )
        head = self._read(tip, found)
        if head.chain.size >= parse_checkpoint(stored).size:
            raise self._refusal(head, stored)
        return head

    def _read(self, tip: str | None, checkpoint: bytes | None) -> _Head:
        """Read the branch and check it against the checkpoint on it."""
        if tip is None or checkpoint is None:
            if tip is not None and self._git.files(tip):
                raise LedgerRefusedError(Standing.DIFFERENT, f"{BRANCH} has a {DIRECTORY}/ without a checkpoint")
            return _Head(tip, None, Chain())
        try:
            signed = verify_checkpoint(checkpoint, [self._signer.vkey])
            chain = scan(BranchSource(self._git, tip))
        except NoteError as error:
            raise LedgerRefusedError(
                Standing.DIFFERENT,
                f"the checkpoint on {BRANCH} was not signed by {self._signer.vkey.label}: {error}. Either another "
                "sequencer writes this branch or the key was changed; stop the other one, or restore the key",
            ) from error
        except FaultFound as found:
            problem = found.problem()
            at = f" at entry {problem.entry}" if problem.entry else ""
            raise LedgerRefusedError(
                Standing.UNVERIFIED,
                f"{BRANCH} does not verify{at}: {problem.detail}; {problem.implies}. Restore the branch from a clone "
                "whose checkpoint is the remembered one",
            ) from found
        if Checkpoint(self._signer.origin, chain.size, chain.tree.root()) != signed:
            raise LedgerRefusedError(Standing.UNVERIFIED, f"the lines on {BRANCH} are not those of its checkpoint")
        return _Head(tip, checkpoint, chain)

    def _refusal(self, head: _Head, stored: bytes | None) -> LedgerRefusedError:
        ours = parse_checkpoint(stored).size if stored else 0
        size = head.chain.size
        if size < ours:
            return LedgerRefusedError(
                Standing.BEHIND,
                f"{BRANCH} has {size} lines, {ours} were signed: it was rolled back, or an append that was signed "
                "never arrived. Fetch the branch, or repeat the interrupted append with the same drafts and files; "
                "otherwise restore the branch from a clone",
            )
        standing = Standing.AHEAD if size > ours else Standing.DIFFERENT
        return LedgerRefusedError(
            standing,
            f"{BRANCH} has {size} lines that are not the {ours} remembered as signed: another sequencer uses this key, "
            "or the store was restored from an old backup. Find out which before anything is appended",
        )

    def _new_files(self, head: _Head, files: Mapping[str, bytes]) -> set[str]:
        """Return which of `files` are not on the branch yet, refusing to overwrite any."""
        if head.commit is None:
            return set(files)
        there: dict[str, Blob] = {}
        for root in {"/".join(path.split("/")[:2]) for path in files}:
            there |= self._git.files(head.commit, f"{DIRECTORY}/{root}")
        same = {path: there[f"{DIRECTORY}/{path}"] for path in files if f"{DIRECTORY}/{path}" in there}
        contents = self._git.blobs([blob.oid for blob in same.values()])
        for (path, blob), content in zip(same.items(), contents, strict=True):
            if blob.mode != PLAIN_FILE or content != files[path]:
                raise DraftError(
                    f"{DIRECTORY}/{path} is recorded already with other content; records are never changed"
                )
        check_nesting({path.removeprefix(f"{DIRECTORY}/") for path in there} | set(files))
        return set(files) - set(same)

    def _stage(self, head: _Head, batch: Batch, new: set[str]) -> str:
        kept = {path: content for path, content in batch.write.items() if not _is_old(path, new)}
        commit = Commit(head.commit, batch.message, batch.seconds, kept, batch.delete)
        return self._git.stage(commit, staging_ref(batch.checkpoint))

    def _appended(self, head: _Head, drafts: Sequence[Draft]) -> Appended:
        return Appended(
            origin=self._signer.origin,
            seqs=tuple(head.chain.places[draft.id] for draft in drafts),
            size=head.chain.size,
            root=head.chain.tree.root().hex(),
            key=self._signer.vkey.label,
            commit=head.commit or "",
        )


def _check(drafts: Sequence[Draft], files: Mapping[str, bytes]) -> dict[str, bytes]:
    if not drafts:
        raise DraftError("an append needs at least one draft")
    if len({draft.id for draft in drafts}) != len(drafts):
        raise DraftError("two drafts of one append have the same id")
    workflows = [check_workflow_name(draft.workflow) for draft in drafts]
    relative = {check_file(path, len(content), workflows): content for path, content in files.items()}
    check_nesting(set(relative))
    return relative


def _is_old(path: str, new: set[str]) -> bool:
    relative = path.removeprefix(f"{DIRECTORY}/")
    return relative.startswith(WORKFLOWS) and relative not in new


def _advance(head: _Head, batch: Batch, commit: str) -> _Head:
    batch.chain.places, added = head.chain.places, batch.chain.places
    batch.chain.places.update(added)
    return _Head(commit, batch.checkpoint, batch.chain)
