"""The App as its witnesses' client: after lines were published it asks for cosignatures, and keeps them on the branch.

A witness that is down, slow or wrong costs a run nothing; what it did not cosign now, it is asked for later.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bot import logs
from bot.errors import OptrError
from bot.github.git import DATALAKE_REF, GitRemote, checked_repository
from bot.ledgers import Ledgers
from execution.turns import Turns
from ledger.branch import GitDir
from ledger.checkpoint import Checkpoint, parse_checkpoint, parse_text
from ledger.collect import Tree, ask, post
from ledger.cosigned import parse_witnesses
from ledger.errors import NoteError, PolicyError, WitnessError, WitnessSawOtherError
from ledger.layout import COSIGNED, DIRECTORY, WITNESSES
from ledger.note import Signature, VerifierKey
from ledger.policy import POLICY_BYTES_MAX, Policy, cosigned, parse_policy
from ledger.publication import CHECKPOINT_FILE

TURNS = "witnesses"  # directory of the state where the turns of those who ask stand
TRIES_MAX = 3  # collections in a row, when the ledger grows under each of them

_LOG = logging.getLogger("optr.witnesses")


class Answer(StrEnum):
    """What became of asking a witness."""

    COSIGNED = "cosigned"
    NOTHING = "nothing"  # it was down, refused, or answered nonsense
    OTHER_HISTORY = "other_history"


Told = Callable[[Answer], None]


def asked_policy(file: Path) -> Policy:
    """Read a policy that names at least one witness with the URL where it is asked.

    Raises:
        OptrError: it cannot be read, or names none.
    """
    try:
        with file.open("rb") as content:
            policy = parse_policy(content.read(POLICY_BYTES_MAX + 1))
    except OSError as error:
        raise OptrError(
            f"the witnesses' policy cannot be read: {error.strerror}",
            where=str(file),
            remedy="Give the file, or unset it",
        ) from None
    except PolicyError as error:
        raise OptrError(str(error), where=str(file), remedy="See https://c2sp.org/tlog-policy for the format") from None
    if not policy.urls:
        remedy = "Give a witness its URL: witness NAME KEY http://host:8090"
        raise OptrError("the policy names no witness that can be asked", where=str(file), remedy=remedy)
    return policy


@dataclass(frozen=True)
class Vouched:
    """What a copy of a ledger says of its witnesses.

    Attributes:
        head: its tree head; None when there is no ledger.
        cosigned: the newest tree head that somebody cosigned, if any.
        said: the signed note of `cosigned`.
        named: the witnesses whose cosignatures the branch says it holds.
    """

    head: Checkpoint | None
    cosigned: Checkpoint | None = None
    said: bytes = b""
    named: tuple[VerifierKey, ...] = ()

    def lacks(self, asked: Iterable[VerifierKey]) -> tuple[VerifierKey, ...]:
        """Return those of `asked` that have not cosigned the head."""
        if self.head is None:
            return ()
        return tuple(key for key in asked if self.head != self.cosigned or not self._by(key))

    def _by(self, key: VerifierKey) -> bool:
        try:
            return key in self.named and cosigned(self.said, key) is not None
        except NoteError:
            return False


def vouched(git_dir: Path, ref: str = DATALAKE_REF) -> Vouched:
    """Read tree head and cosignatures from a copy of a ledger.

    Raises:
        NoteError: one of them is out of form.
        GitError: git failed.
    """
    git = GitDir(git_dir)
    tip = git.tip(ref)
    if tip is None:
        return Vouched(None)
    head, said, named = (
        git.file(tip, path) for path in (CHECKPOINT_FILE, f"{DIRECTORY}/{COSIGNED}", f"{DIRECTORY}/{WITNESSES}")
    )
    return Vouched(
        parse_checkpoint(head) if head else None,
        parse_checkpoint(said) if said else None,
        said or b"",
        parse_witnesses(named) if named else (),
    )


class Cosigning:
    """Asks the witnesses of a policy (`bot.afterwards.Chore`).

    Args:
        policy: its witnesses with a URL are asked; who must vouch is the readers' to say.
        ledgers, remote: whose heads, and their copies.
        told: hears of each answer.
        turns: of a ledger, so that of processes with one state only one asks at a time, and the next sees what it got.
    """

    def __init__(self, policy: Policy, ledgers: Ledgers, remote: GitRemote, told: Told, turns: Turns) -> None:
        self._asked = {policy.witnesses[name]: url for name, url in policy.urls.items()}
        self._ledgers = ledgers
        self._remote = remote
        self._told = told
        self._turns = turns
        self._behind: set[str] = set()

    @property
    def behind(self) -> int:
        """Ledgers whose newest head some witness has not cosigned, as far as they were looked at."""
        return len(self._behind)

    def owed(self, repository: str) -> bool:
        """See Chore."""
        name = checked_repository(repository)
        if self._ledgers.signed(name) is None or not (git_dir := self._remote.path(name)).exists():
            return False
        owed = bool(vouched(git_dir).lacks(self._asked))
        (self._behind.add if owed else self._behind.discard)(name)
        return owed

    async def do(self, installation: int, repository: str) -> None:
        """See Chore.

        Raises:
            WitnessError: a witness cosigned nothing; what the others gave is kept.
        """
        async with self._turns.of(checked_repository(repository)):
            await self._collect(installation, repository)

    async def _collect(self, installation: int, repository: str) -> None:
        for _ in range(TRIES_MAX):
            tree = await self._newest(installation, repository)
            if tree is None:
                return
            # Who has cosigned this head is not asked again: each answer is a commit, and bears another time.
            lacking = await asyncio.to_thread(self._lacking, repository)
            answers = await asyncio.gather(*(asyncio.to_thread(_ask, key, self._asked[key], tree) for key in lacking))
            if self._ledgers.signed(repository) != parse_text(tree.note.text):
                continue  # it grew meanwhile, here or in another process, and a witness may be ahead of what was asked
            found = {key: one for key, one in zip(lacking, answers, strict=True) if isinstance(one, Signature)}
            self._tell(answers)
            kept = not found or await self._ledgers.keep_cosigned(installation, repository, tree.note.encode(), found)
            if problem := next((one for one in answers if isinstance(one, WitnessError)), None):
                raise problem
            if kept:
                self._behind.discard(checked_repository(repository))
                return

    async def _newest(self, installation: int, repository: str) -> Tree | None:
        """The head that was signed last; fetched, when another process wrote it."""
        tree = await asyncio.to_thread(self._tree, repository)
        if tree is None or parse_text(tree.note.text) != self._ledgers.signed(repository):
            await self._ledgers.look(installation, repository)
            tree = await asyncio.to_thread(self._tree, repository)
        return tree

    def _tree(self, repository: str) -> Tree | None:
        git = GitDir(self._remote.path(repository))
        tip = git.tip(DATALAKE_REF)
        return Tree.at(git, tip) if tip else None

    def _lacking(self, repository: str) -> tuple[VerifierKey, ...]:
        return vouched(self._remote.path(repository)).lacks(self._asked)

    def _tell(self, answers: Sequence[Signature | WitnessError]) -> None:
        for one in answers:
            if isinstance(one, WitnessSawOtherError):
                logs.event(_LOG, logging.ERROR, "a witness saw another history of this ledger", why=str(one))
                self._told(Answer.OTHER_HISTORY)
            else:
                self._told(Answer.NOTHING if isinstance(one, WitnessError) else Answer.COSIGNED)


def _ask(key: VerifierKey, url: str, tree: Tree) -> Signature | WitnessError:
    try:
        return ask(url, key, tree, post)
    except WitnessError as error:
        return error
