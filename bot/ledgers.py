"""One ledger per GitHub repository: its keys, its sequencer, and our copy of its branch."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from bot.github.errors import GitHubError, GitHubErrorCode
from bot.github.git import DATALAKE_REF, GitRemote, checked_repository, fetch_heads, push_commit
from bot.recorded_winner import RecordedWinner, recorded_winner
from execution.revocations import Revocations
from execution.trustbooks import ledger_keys
from governance.trust.records import Revocation
from ledger.branch import GitDir
from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.entry import Draft
from ledger.errors import LedgerError
from ledger.group import Group
from ledger.keyring import KeyRing
from ledger.keys import Signer
from ledger.note import Signature, VerifierKey
from ledger.publication import CHECKPOINT_FILE
from ledger.request import Request
from ledger.rotation import Term, newest
from ledger.sequencer import Appended, Sequencer
from ledger.store import CheckpointStore
from ledger.terms import terms_on

T = TypeVar("T")

KEY_FILE = "key"
LEDGERS = "ledgers"
ORIGIN = "optr/"  # in front of `owner/name`: what a ledger is called in its checkpoints


def key_file(state: Path, name: str) -> Path:
    """Where the present key of `owner/name`'s ledger stands."""
    return state / LEDGERS / name / KEY_FILE


class Ledgers:
    """The ledgers of all repositories.

    Args:
        state: directory for OPTR's state; keys stand under `<state>/ledgers/<owner>/<name>/`, mode 0700.
        remote: git of those repositories.
        checkpoints: the memory of what was signed last, outside the repositories.

    Attributes:
        appended: hears of each append that was published, with installation and repository.
    """

    def __init__(self, state: Path, remote: GitRemote, checkpoints: CheckpointStore) -> None:
        self._state = state
        self._remote = remote
        self._checkpoints = checkpoints
        self._rings: dict[str, KeyRing] = {}
        self._publishers: dict[str, _Publisher] = {}
        self._sequencers: dict[str, Sequencer] = {}
        self._revocations: dict[str, Revocations] = {}
        self._groups: dict[tuple[int, str], Group] = {}
        self.appended: Callable[[int, str], None] = _nobody

    def keys(self, repository: str) -> KeyRing:
        """The keys of `owner/name`'s ledger, the first made at first use; the name is `optr/<owner>/<name>`.

        Raises:
            KeyFileError: the key cannot be read safely, or was stored for another ledger.
            NameRefusedError: it is not a repository name.
        """
        name = checked_repository(repository)
        if name not in self._rings:
            key = key_file(self._state, name)
            Signer.begin(key, f"{ORIGIN}{name}", self._state)
            self._rings[name] = KeyRing.open(key)
        return self._rings[name]

    def terms(self, repository: str) -> tuple[Term, ...]:
        """Whose turn it was in a ledger, as our copy of its branch says; none when there is no ledger. Makes no key.

        Raises:
            NoteError: the present key is not one of the branch's, or a hand-over there is not sound.
            KeyFileError: the key cannot be read safely.
            GitError: there are keys but no copy of the branch; the next run fetches it.
            NameRefusedError: it is not a repository name.
        """
        name = checked_repository(repository)
        if not key_file(self._state, name).exists():
            return ()
        present = self.keys(name).signer.vkey
        terms = terms_on(self._remote.path(name), DATALAKE_REF)
        if terms:
            newest(terms, present)
        return terms or (Term(present, 0, None),)

    def public_keys(self, repository: str) -> frozenset[str]:
        """The hex public keys of a ledger, from the first to the newest, as our copy of the branch says.

        Raises:
            NoteError: the present key is none of them.
        """
        return ledger_keys(self._remote.path(repository), DATALAKE_REF, self.keys(repository).signer.vkey)

    def signed(self, repository: str) -> Checkpoint | None:
        """The tree head of `owner/name`'s ledger that was signed last; None when there is none that can be read."""
        try:
            note = self.signed_note(repository)
            return parse_checkpoint(note) if note is not None else None
        except (LedgerError, OSError):
            return None

    def signed_note(self, repository: str) -> bytes | None:
        """The same as it was signed, byte by byte."""
        return self._checkpoints.load(f"{ORIGIN}{checked_repository(repository)}")

    def revocations(self, repository: str) -> tuple[Revocation, ...]:
        """What was revoked, as the local copy of the branch says at this moment.

        Raises:
            RefusedError: a line about it cannot be read.
        """
        if repository not in self._revocations:
            self._revocations[repository] = Revocations(self._remote.path(repository))
        return self._revocations[repository].read()

    def with_key(self) -> set[str]:
        """The repositories, `owner/name`, whose ledger has its key here."""
        return {"/".join(path.parts[-3:-1]) for path in (self._state / LEDGERS).glob(f"*/*/{KEY_FILE}")}

    def checkpoint(self, repository: str) -> bytes | None:
        """The checkpoint on our copy of the branch; None without one."""
        repository_copy = GitDir(self._remote.path(repository))
        tip = repository_copy.tip(DATALAKE_REF)
        return repository_copy.file(tip, CHECKPOINT_FILE) if tip else None

    async def look(self, installation: int, repository: str) -> None:
        """Fetch the branch and see that it is what was signed last; a token that can read is enough.

        Raises:
            LedgerRefusedError: it is not.
            GitHubError: the branch could not be fetched.
        """
        await self._at_work(installation, repository, lambda sequencer: sequencer.look())

    async def adopt(self, installation: int, repository: str) -> None:
        """Fetch the branch and take it for what was signed last, if it verifies and goes on from what is remembered.

        Raises:
            LedgerRefusedError: it does not; nothing was changed.
            GitHubError: the branch could not be fetched.
        """
        await self._at_work(installation, repository, lambda sequencer: sequencer.adopt(forward=True))

    async def append(
        self, installation: int, repository: str, drafts: Sequence[Draft], files: Mapping[str, bytes]
    ) -> Appended:
        """Append on top of the remote branch and push; idempotent by entry id.

        Raises:
            LedgerError: the branch is not what was signed last, others were faster too often, or the draft is bad.
            GitHubError: GitHub did not answer or refused; calling again finishes or repeats the append.
        """
        return await self._group(installation, repository).append(Request.of(drafts, files))

    def _group(self, installation: int, repository: str) -> Group:
        """Who appends to one repository at the same time shares a commit and a push."""
        key = installation, checked_repository(repository)
        if key not in self._groups:
            self._groups[key] = Group(partial(self._append_all, installation, repository))
        return self._groups[key]

    async def _append_all(
        self, installation: int, repository: str, requests: Sequence[Request]
    ) -> Sequence[Appended | LedgerError]:
        done = await self._at_work(installation, repository, lambda sequencer: sequencer.append_all(requests))
        self.appended(installation, repository)
        return done

    async def keep_cosigned(
        self, installation: int, repository: str, checkpoint: bytes, found: Mapping[VerifierKey, Signature]
    ) -> bool:
        """Fetch, and put cosignatures of `checkpoint` on the branch; False when it is not the newest any more.

        Raises:
            LedgerError: a cosignature is wrong, or the branch is not what was signed last.
            GitHubError: GitHub did not answer or refused; call again.
        """
        return await self._at_work(installation, repository, lambda at: at.keep_cosigned(checkpoint, found))

    async def _at_work(self, installation: int, repository: str, work: Callable[[Sequencer], T]) -> T:
        """Fetch, then have the sequencer do that, while nobody else writes."""
        keys = self.keys(repository)

        async def done(environment: Mapping[str, str]) -> T:
            async with self._remote.lock(repository):
                publisher = self._publisher(repository)
                publisher.environment = environment
                try:
                    await asyncio.to_thread(publisher.fetch)  # which makes our copy, if there is none
                    return await asyncio.to_thread(lambda: work(self._sequencer(repository, keys, publisher)))
                finally:
                    publisher.environment = {}

        return await self._remote.authorised(installation, repository, done)

    async def recorded_winner(self, installation: int, repository: str, run: str) -> RecordedWinner:
        """Fetch the branch, verify it against our key and our memory, and read what it says of `run`.

        Raises:
            GitHubError: the branch could not be fetched.
        """
        git_dir = await self._remote.fetch(installation, repository)
        keys = self.keys(repository)
        async with self._remote.lock(repository):
            return await asyncio.to_thread(recorded_winner, git_dir, keys.signer, self._checkpoints, run)

    def _publisher(self, repository: str) -> "_Publisher":
        if repository not in self._publishers:
            self._publishers[repository] = _Publisher(self._remote.path(repository), self._remote.url(repository))
        return self._publishers[repository]

    def _sequencer(self, repository: str, keys: KeyRing, publisher: "_Publisher") -> Sequencer:
        if repository not in self._sequencers:
            path = self._remote.path(repository)
            self._sequencers[repository] = Sequencer(path, keys, self._checkpoints, publisher)
        return self._sequencers[repository]


def _nobody(_installation: int, _repository: str) -> None:
    pass


class _Publisher:
    """Pushes ledger commits of one repository; `environment` holds a token only while an append runs."""

    def __init__(self, git_dir: Path, url: str) -> None:
        self._git_dir = git_dir
        self._url = url
        self.environment: Mapping[str, str] = {}

    def fetch(self) -> None:
        fetch_heads(self._git_dir, self._url, self.environment)

    def __call__(self, commit: str, expected_tip: str | None) -> bool:
        """False when the remote branch moved, after fetching it."""
        del expected_tip  # a push without force is refused exactly when the tip is not an ancestor
        try:
            push_commit(self._git_dir, self._url, self.environment, commit, DATALAKE_REF)
        except GitHubError as error:
            if error.code is not GitHubErrorCode.GIT_REFUSED:
                raise
            self.fetch()
            return False
        return True
