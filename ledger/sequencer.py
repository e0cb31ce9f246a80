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

A rotation of the key is an append of its own, made from what stands in the next key's file alone: the same four steps,
between keeping the present key aside and putting the next one in its place (see `ledger.keyring`).
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ledger.batch import Batch, Layout, rotated
from ledger.branch import GitDir
from ledger.chain import Chain
from ledger.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from ledger.commit import Commit
from ledger.cosigned import files, standing, verify_cosigned
from ledger.entry import Draft
from ledger.errors import (
    CanonicalError,
    DraftError,
    EntryError,
    LedgerBusyError,
    LedgerError,
    LedgerRefusedError,
    NoteError,
    Standing,
)
from ledger.faults import FaultFound
from ledger.head import Head, read_head
from ledger.index import Index, Mark
from ledger.keyring import KeyRing, ring_of
from ledger.keys import Signer
from ledger.layout import BRANCH, COSIGNED, DIRECTORY, WITNESSES, WORKFLOWS
from ledger.lease import Lease
from ledger.note import Signature, VerifierKey
from ledger.publication import CHECKPOINT_FILE, TRIES_MAX, Publication, Publish, staging_ref
from ledger.request import Recorded, Request
from ledger.rotation import KEY_ROTATED, Term
from ledger.store import CheckpointStore
from ledger.verify import verify_branch

STATE = "optr"  # directory beside git's own, for what is no part of the record: index and lease


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


class Sequencer:
    """Appends to one ledger. Blocking, safe to share between threads; call it through `asyncio.to_thread`.

    Args:
        git_dir: the git directory that holds `refs/heads/datalake`, or will.
        keys: the ledger's key, or the ring it belongs to; its name is the ledger's origin.
        checkpoints: the memory of what was signed last; see `CheckpointStore` for what it must promise.
        publish: see `Publish`; None when the branch lives here only.

    Raises:
        GitError: `git_dir` is not a git directory.
    """

    def __init__(
        self,
        git_dir: Path,
        keys: Signer | KeyRing,
        checkpoints: CheckpointStore,
        publish: Publish | None = None,
    ) -> None:
        self._git = GitDir(git_dir)
        self._ring = ring_of(keys)
        self._store = checkpoints
        self._publication = Publication(self._git, checkpoints, self._signer.origin, publish)
        state = self._git.common / STATE / sha256(self._signer.origin.encode()).hexdigest()[:16]
        self._lease = Lease(state.with_suffix(".lease"))
        self._index_path = state.with_suffix(".index")
        self._index_opened: Index | None = None
        self._head: Head | None = None
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
        (outcome,) = self.append_all([Request.of(drafts, files)])
        if isinstance(outcome, LedgerError):
            raise outcome
        return outcome

    def append_all(self, requests: Sequence[Request]) -> "list[Appended | LedgerError]":
        """Append several callers' requests in one commit: one signature, one push.

        Returns:
            For each request what `append` would return, or the error that it alone would raise: one that cannot be
            written does not stop the others.

        Raises:
            LedgerRefusedError, LedgerBusyError, GitError: as `append`; nothing of any request is known to be written.
        """
        with self._turn():
            for _ in range(TRIES_MAX):
                done = self._try(requests)
                if done is not None:
                    return done
            raise self._beaten()

    def settle(self) -> None:
        """Finish an append that a crash interrupted after signing, if there is one, and a rotation that is due.

        Raises:
            LedgerRefusedError, LedgerBusyError, GitError: as `append`.
            KeyFileError: as `append`.
        """
        with self._turn():
            for _ in range(TRIES_MAX):
                head, signed = self._settle()
                if self._rotate(head, signed):
                    continue
                if signed is not None:
                    raise self._refusal(head, signed)
                return
            raise self._beaten()

    def look(self) -> None:
        """See that the branch is what was signed last, or will be by finishing an append of ours; changes nothing.

        Raises:
            LedgerRefusedError: it is not.
            GitError: git failed.
        """
        with self._turn():
            stored, tip = self._store.load(self._signer.origin), self._git.tip()
            found = self._git.file(tip, CHECKPOINT_FILE) if tip else None
            if found == stored:
                self._read(tip, found)
            elif stored is None or self._git.tip(staging_ref(stored)) is None:
                raise self._refusal(self._lagging(tip, found, stored), stored)

    def keep_cosigned(self, checkpoint: bytes, found: Mapping[VerifierKey, Signature]) -> bool:
        """Put cosignatures of `checkpoint` on the branch, each verified again; False when it is not the newest.

        What other witnesses said of the same checkpoint stays.

        Raises:
            NoteError: a cosignature is wrong; nothing was written.
            LedgerRefusedError, LedgerBusyError, GitError: as `append`.
        """
        with self._turn():
            head, signed = self._settle()
            if signed is not None or head.commit is None or head.checkpoint != checkpoint:
                return False
            content = files(checkpoint, {**self._cosigned(head.commit, checkpoint), **found})
            # What stands on the branch was just seen to be signed by the key whose turn it is, whatever it was before.
            verify_cosigned(content[COSIGNED], content[WITNESSES], [Term(self._signer.vkey, 0, None)])
            write = {f"{DIRECTORY}/{path}": data for path, data in content.items()}
            names = ", ".join(sorted(key.name for key in found))
            ref = staging_ref(content[COSIGNED])
            message = f"audit(optr): cosigned\n\nCosigned-By: {names}\n"
            seconds = head.chain.timestamp // 1000
            staged = self._git.stage(Commit(head.commit, message, seconds, write), ref)
            if not self._publication.once(staged, head.commit, ref):
                return False
            self._head = Head(staged, head.checkpoint, head.chain)
            return True

    def _cosigned(self, tip: str, checkpoint: bytes) -> dict[VerifierKey, Signature]:
        said, named = (self._git.file(tip, f"{DIRECTORY}/{path}") for path in (COSIGNED, WITNESSES))
        return standing(said or b"", named or b"", checkpoint)

    def adopt(self, *, forward: bool = False) -> None:
        """Take the branch as it stands for what was signed last, when the store has lost its memory.

        A deliberate act of the operator: from here on, lines that were cut off before this call are not missed.

        Args:
            forward: also when the store remembers an earlier checkpoint that the branch extends, as a store does that
                was restored from an old backup.

        Raises:
            LedgerRefusedError: the store remembers something, or the branch does not verify under this key.
        """
        with self._lock:
            remembered = self._store.load(self._signer.origin) if forward else None
            tip = self._git.tip()
            data = self._git.file(tip, CHECKPOINT_FILE) if tip else None
            found = verify_branch(self._git.path, trusted=str(self._signer.vkey), remembered=remembered)
            if found.problem is not None:
                raise LedgerRefusedError(Standing.UNVERIFIED, f"not adopted: {found.problem.detail}")
            if not data or not self._store.swap(self._signer.origin, remembered, data):
                raise LedgerRefusedError(Standing.DIFFERENT, "not adopted: the store holds a checkpoint of this ledger")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock, self._lease.held():
            yield

    @property
    def _signer(self) -> Signer:
        return self._ring.signer

    @property
    def _index(self) -> Index:
        if self._index_opened is None:
            self._index_opened = Index(self._index_path)
        return self._index_opened

    def _try(self, requests: Sequence[Request]) -> "list[Appended | LedgerError] | None":
        head, signed = self._settle()
        if self._rotate(head, signed):
            return None
        there = self._places(head, requests)
        if there is None:
            return None
        recorded = Recorded(self._git, head.commit, requests)
        if signed is not None:
            self._repeat(head, requests, there, recorded, signed)
            return None
        layout, errors = self._lay_out(head, requests, there, recorded)
        if layout.places:
            batch = layout.batch()
            commit = self._write(head, batch, recorded, None)
            if commit is None:
                return None
            self._advance(head, batch, layout, commit)
            head = Head(commit, batch.checkpoint, batch.chain)
        places = there | layout.places
        return [errors.get(at) or self._appended(head, one, places) for at, one in enumerate(requests)]

    def _rotate(self, head: Head, signed: bytes | None) -> bool:
        """Hand over to the next key if one waits, or finish that; tell whether there is something new to look at.

        An empty ledger keeps its key for the first lines: nobody could follow from a key that signed nothing.
        """
        self._ring.tidy()
        waiting = self._ring.pending()
        if waiting is None or head.checkpoint is None:
            return False
        layout = rotated(head.chain, self._signer, waiting)
        batch = layout.batch()
        if signed not in (None, batch.checkpoint):
            return False
        self._ring.retire()
        commit = self._write(head, batch, Recorded(self._git, head.commit, []), signed)
        if commit is not None:
            self._ring.promote(waiting)
        return True

    def _beaten(self) -> LedgerBusyError:
        return LedgerBusyError(f"{self._signer.origin}: lost {TRIES_MAX} races in a row; append again later")

    def _places(self, head: Head, requests: Sequence[Request]) -> dict[str, int] | None:
        """Return where the requested ids stand already; None when the index lost this state meanwhile."""
        size = head.chain.size
        if not size:
            return {}
        found = self._index.places([draft.id for request in requests for draft in request.drafts], size)
        if self._index.exact(size, head.chain.tree.root()) is not None:
            return found
        self._head = None
        return None

    def _lay_out(
        self, head: Head, requests: Sequence[Request], there: Mapping[str, int], recorded: Recorded
    ) -> tuple[Layout, dict[int, LedgerError]]:
        layout = Layout(head.chain, self._signer)
        errors: dict[int, LedgerError] = {}
        for at, request in enumerate(requests):
            missing = [one for one in request.drafts if one.id not in there and one.id not in layout.places]
            if not missing:
                continue
            try:
                _check_types(missing)
                recorded.check(request.files, layout.files)
                layout.add(missing, request.files)
            except (DraftError, EntryError, CanonicalError) as error:
                errors[at] = error
        return layout, errors

    def _repeat(
        self, head: Head, requests: Sequence[Request], there: Mapping[str, int], recorded: Recorded, signed: bytes
    ) -> None:
        """Make again the append that was signed and lost, if these requests do: all together, or one alone."""
        for some in [requests, *([request] for request in requests)]:
            layout, _ = self._lay_out(head, some, there, recorded)
            batch = layout.batch() if layout.places else None
            if batch is not None and batch.checkpoint == signed:
                commit = self._write(head, batch, recorded, signed)
                if commit is not None:
                    self._advance(head, batch, layout, commit)
                return
        raise self._refusal(head, signed)

    def _write(self, head: Head, batch: Batch, recorded: Recorded, signed: bytes | None) -> str | None:
        """Stage, commit in the store and publish; None when another sequencer was faster."""
        staged = self._stage(head, batch, recorded)
        if signed is None and not self._store.swap(self._signer.origin, head.checkpoint, batch.checkpoint):
            # The winner may have made the very same append; then the staged commit is its own, too.
            if self._store.load(self._signer.origin) != batch.checkpoint:
                self._git.drop(staging_ref(batch.checkpoint))
            return None
        return self._publication.finish(staged, head.commit, batch.checkpoint)

    def _advance(self, head: Head, batch: Batch, layout: Layout, commit: str) -> None:
        """Remember the new head. The append is done: what fails here is found and repaired by the next one."""
        self._head = None
        try:
            self._index.advance(head.chain.size, layout.places, Mark.of(batch.chain, commit))
        except LedgerError:
            return
        self._head = Head(commit, batch.checkpoint, batch.chain)
        if not self._swept:
            self._publication.sweep(commit)
            self._swept = True
        self._git.consolidate()

    def _settle(self) -> tuple[Head, bytes | None]:
        """Bring branch and store together; return the branch, and what the store is ahead by if they still differ."""
        for _ in range(TRIES_MAX):
            self._ring.refresh()
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

    def _lagging(self, tip: str | None, found: bytes | None, stored: bytes | None) -> Head:
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

    def _read(self, tip: str | None, checkpoint: bytes | None) -> Head:
        """Read the branch and check it against the checkpoint on it."""
        if tip is None or checkpoint is None:
            if tip is not None and self._git.files(tip):
                raise LedgerRefusedError(Standing.DIFFERENT, f"{BRANCH} has a {DIRECTORY}/ without a checkpoint")
            return Head(tip, None, Chain())
        try:
            signed = self._verified(checkpoint)
            return Head(tip, checkpoint, read_head(self._git, tip, signed, self._index))
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

    def _verified(self, checkpoint: bytes) -> Checkpoint:
        """Check the branch's tree head; one by the next key shows that its rotation was finished, all but the files."""
        waiting = self._ring.pending()
        if waiting is not None:
            with suppress(NoteError):
                signed = verify_checkpoint(checkpoint, [waiting.signer.vkey])
                self._ring.promote(waiting)
                return signed
        return verify_checkpoint(checkpoint, [self._signer.vkey])

    def _refusal(self, head: Head, stored: bytes | None) -> LedgerRefusedError:
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

    def _stage(self, head: Head, batch: Batch, recorded: Recorded) -> str:
        kept = {path: content for path, content in batch.write.items() if not _is_old(path, recorded)}
        commit = Commit(head.commit, batch.message, batch.seconds, kept, batch.delete)
        return self._git.stage(commit, staging_ref(batch.checkpoint))

    def _appended(self, head: Head, request: Request, places: Mapping[str, int]) -> Appended:
        return Appended(
            origin=self._signer.origin,
            seqs=tuple(places[draft.id] for draft in request.drafts),
            size=head.chain.size,
            root=head.chain.tree.root().hex(),
            key=self._signer.vkey.label,
            commit=head.commit or "",
        )


def _check_types(drafts: Sequence[Draft]) -> None:
    own = next((draft.id for draft in drafts if draft.type == KEY_ROTATED), None)
    if own is not None:
        raise DraftError(f"draft {own!r}: lines of type {KEY_ROTATED} are the ledger's own: see KeyRing.stage")


def _is_old(path: str, recorded: Recorded) -> bool:
    relative = path.removeprefix(f"{DIRECTORY}/")
    return relative.startswith(WORKFLOWS) and recorded.holds(relative)
