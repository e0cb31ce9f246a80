"""Tree heads put where our own key cannot rewrite them: commits that GitHub makes, signs and dates.

Once an hour at most, and only when lines were added, the newest signed tree head of each ledger becomes a commit on
`datalake-anchors` by `createCommitOnBranch`, whose `expectedHeadOid` lets one of several processes win. A pass that
fails is followed by another: what is anchored then covers what was missed.
"""

import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bot import logs
from bot.github.errors import Call, GitHubError, GitHubErrorCode
from bot.github.git import GitRemote
from bot.github.installations import Installations
from bot.github.permissions import GIT_PERMISSIONS
from bot.github.survey import Place
from bot.ledgers import Ledgers
from execution.gitcmd import run_git
from execution.whose import working_for
from ledger.anchors import ANCHORS
from ledger.branch import GitDir
from ledger.checkpoint import parse_checkpoint
from ledger.errors import NoteError
from ledger.layout import CHECKPOINT

ANCHOR_EVERY_S: Final = 3600.0  # seconds between two anchors of one ledger
MUTATION: Final = (
    "mutation($input: CreateCommitOnBranchInput!) { createCommitOnBranch(input: $input) { commit { oid } } }"
)
HOLDER: Final = "anchors"  # for whom the pushing token is minted
# The same commit whoever makes it, so that two processes begin the same branch.
_BEGINNING: Final = {
    f"GIT_{role}_{part}": said
    for role in ("AUTHOR", "COMMITTER")
    for part, said in (("NAME", "OPTR"), ("EMAIL", "optr@localhost"), ("DATE", "@0 +0000"))
}

_LOG = logging.getLogger("optr.anchors")


class Anchors:
    """Anchors the ledgers that this App writes.

    Args:
        installations: clients.
        remote: git of the repositories.
        ledgers: what was signed last.
        clock: seconds since the epoch.
    """

    def __init__(
        self, installations: Installations, remote: GitRemote, ledgers: Ledgers, clock: Callable[[], float]
    ) -> None:
        self._installations = installations
        self._remote = remote
        self._ledgers = ledgers
        self._clock = clock
        self._looked: dict[str, tuple[float, bytes]] = {}

    async def keep(self, place: Place) -> int:
        """Anchor what was signed last in `place`, when it is time; returns how many tree heads were anchored.

        Raises:
            GitHubError: GitHub did not answer or refused; the next pass tries again.
            GitError, LedgerError, OSError: our copy of the repository cannot be read.
        """
        note = self._ledgers.signed_note(place.name)
        if note is None or not self._is_time(place.name, note):
            return 0
        git = GitDir(await self._remote.fetch(place.installation, place.name))
        tip = git.tip(ANCHORS)
        held = git.file(tip, CHECKPOINT) if tip is not None else None
        since = int(git.run("log", "-1", "--format=%ct", tip)) if tip is not None and held is not None else 0.0
        self._looked[place.name] = (since, held or b"")
        if not self._is_time(place.name, note) or not _is_newer(note, held, place.name):
            return 0
        # A token that can push dies with the act it was minted for.
        with working_for(HOLDER):
            try:
                await self._commit(place, tip or await self._begin(place, git.path), note)
            finally:
                await self._installations.revoke(HOLDER)
        self._looked[place.name] = (self._clock(), note)
        return 1

    def _is_time(self, name: str, note: bytes) -> bool:
        since, held = self._looked.get(name, (0.0, b""))
        return held != note and self._clock() - since >= ANCHOR_EVERY_S

    async def _begin(self, place: Place, git_dir: Path) -> str:
        """Push the branch's first commit, which holds nothing: `createCommitOnBranch` needs a branch to add to."""
        tree = run_git(git_dir, "hash-object", "-t", "tree", "-w", "--stdin").decode().strip()
        made = run_git(git_dir, "commit-tree", tree, "-m", "Anchors of the datalake branch", env=_BEGINNING)
        commit = made.decode().strip()
        await self._remote.push(place.installation, place.name, commit, ANCHORS)
        return commit

    async def _commit(self, place: Place, tip: str, note: bytes) -> None:
        head = parse_checkpoint(note)
        client = self._installations.client(place.installation, place.name, GIT_PERMISSIONS)
        answer = await client.graphql(
            MUTATION,
            input={
                "branch": {"repositoryNameWithOwner": place.name, "branchName": ANCHORS.removeprefix("refs/heads/")},
                "message": {"headline": f"Anchor {head.size} lines, root {head.root.hex()}"},
                "fileChanges": {"additions": [{"path": CHECKPOINT, "contents": base64.b64encode(note).decode()}]},
                "expectedHeadOid": tip,
            },
        )
        commit = answer.get("createCommitOnBranch") if isinstance(answer, dict) else None
        if not commit:
            raise GitHubError(GitHubErrorCode.UNREADABLE, Call("POST", "/graphql"), "no commit in the answer")
        logs.event(_LOG, logging.INFO, "anchored", repository=place.name, lines=head.size)


def _is_newer(note: bytes, held: bytes | None, name: str) -> bool:
    """Tell whether `note` goes beyond what is anchored; what is anchored and longer, or no tree head, is told of."""
    if held is None:
        return True
    try:
        anchored = parse_checkpoint(held).size
    except NoteError:
        anchored = -1
    size = parse_checkpoint(note).size
    if not 0 <= anchored <= size:
        logs.event(
            _LOG,
            logging.WARNING,
            "the newest anchor is not of this ledger",
            repository=name,
            lines=anchored,
            remedy="nothing is anchored until it is: see who pushed to datalake-anchors, and take that commit off it",
        )
    return 0 <= anchored < size
