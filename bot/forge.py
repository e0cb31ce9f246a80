"""GitHub as a forge (`execution.ports.Forge`): base and record by git, progress and results by the API."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from bot.gate_check import GitHubGate
from bot.github.checks import CheckRuns
from bot.github.client import GitHubClient
from bot.github.comments import Comments
from bot.github.errors import Call, GitHubError
from bot.github.git import GitRemote, NameRefusedError, checked_repository
from bot.github.installations import Installations
from bot.github.newest import Newest
from bot.github.objects import PullRequestObject, read
from bot.github.once import find_or_create
from bot.ledgers import Ledgers
from bot.render.check_run import run_check
from bot.render.comment import comment_body, marker
from bot.render.pull_request import branch, pull_request_body, pull_request_title
from execution.result import RunResult
from execution.runs import Run
from governance.trust.records import Revocation
from ledger.entry import Draft
from ledger.keys import Signer
from ledger.sequencer import Appended

LINK_PULL_REQUEST = "pull request"
LINK_CHECK = "check"
LINK_RECORD = "record"
LINK_REPOSITORY = "repository"

_LOG = logging.getLogger(__name__)


class GitHubForge:
    """Serves runs of every repository the App is installed on.

    Args:
        installations: the App.
        remote: git of the repositories.
        ledgers: their ledgers.
        gate: the check on pull requests.
        checks: where check runs are written.
        comments: where comments are written.
    """

    def __init__(
        self,
        installations: Installations,
        remote: GitRemote,
        ledgers: Ledgers,
        gate: GitHubGate,
        checks: CheckRuns,
        comments: Comments,
    ) -> None:
        self._installations = installations
        self._remote = remote
        self._ledgers = ledgers
        self._gate = gate
        self._checks = checks
        self._comments = comments
        self._newest: Newest[str, None] = Newest()

    async def fetch(self, run: Run) -> Path:
        """The repository's bare cache; its HEAD is the default branch.

        Brought up to date until the run has its base commit, and not again while the cache holds that commit.

        Raises:
            GitHubError: GitHub did not answer or refused.
        """
        if run.base_commit:
            return await self._remote.holding(run.installation, run.repository, run.base_commit)
        return await self._remote.fetch(run.installation, run.repository)

    def signer(self, run: Run, public: str | None = None) -> Signer:
        """The present signing key of this repository's ledger, or the one with this public key.

        Raises:
            KeyFileError: it is not here any more.
        """
        ring = self._ledgers.keys(run.repository)
        return ring.find(public) if public is not None else ring.signer

    def ledger_keys(self, run: Run) -> frozenset[str]:
        """The public keys on our copy of the `datalake` branch, if ours is one of them."""
        return self._ledgers.public_keys(run.repository)

    def revocations(self, run: Run) -> tuple[Revocation, ...]:
        """What was revoked, as our copy of the `datalake` branch says; whoever revokes through us writes it there."""
        return self._ledgers.revocations(run.repository)

    async def append(self, run: Run, drafts: Sequence[Draft], files: Mapping[str, bytes]) -> Appended:
        """Append to the repository's `datalake` branch and push it; idempotent by entry id.

        Raises:
            LedgerError: the branch is not what was signed last, or others were faster too often.
            GitHubError: GitHub did not answer or refused.
        """
        return await self._ledgers.append(run.installation, run.repository, drafts, files)

    async def progress(self, run: Run, result: RunResult) -> None:
        """Bring the issue's comment and the check run up to date; what GitHub refuses is logged, not raised.

        What is shown is made from the whole result, so whatever fails now is repaired by the next call. Of calls that
        wait for each other only the newest result is shown: writes are slow, and agents would wait for old news.
        """
        free = self._installations.client(run.installation, run.repository).until_free
        await self._newest.put(run.id, lambda: self._show(run, result), free)

    async def _show(self, run: Run, result: RunResult) -> None:
        try:
            shown = await self._show_check(run, self._linked(run, result))
            await self._show_comment(run, shown)
        except (GitHubError, NameRefusedError) as error:
            _LOG.warning("run %s: progress is not shown: %s", run.id, error)

    async def _show_check(self, run: Run, result: RunResult) -> RunResult:
        if not result.base_commit:
            return result
        url = await self._checks.put(self._client(run), run.repository, run_check(result))
        return _with_links(result, {LINK_CHECK: url} if url else {})

    async def _show_comment(self, run: Run, result: RunResult) -> None:
        if not run.issue:
            return
        await self._comments.put(
            self._client(run), run.repository, run.issue, marker(run.id), comment_body(result), run.created_ms / 1000
        )

    async def let_go(self, run: Run) -> None:
        """Revoke the tokens that were minted for this run; what its next step needs is minted then."""
        await self._installations.revoke(run.id)

    async def publish(self, run: Run, result: RunResult) -> RunResult:
        """Push the winner, open its pull request, set the gate; each step finds what an earlier try left.

        Raises:
            GitHubError: a step failed; calling again goes on from there.
            ValueError: there is no winner to publish.
        """
        if not result.commit:
            raise ValueError(f"run {run.id} has no winner to publish")
        ref = f"refs/heads/{branch(run.workflow)}"
        await self._remote.push(run.installation, run.repository, result.commit, ref)
        linked = self._linked(run, result)
        pull_request = await self._pull_request(run, linked)
        await self._gate.judge(run, pull_request.number)
        links = {LINK_PULL_REQUEST: pull_request.html_url}
        return _with_links(linked, links).model_copy(update={"pull_request": pull_request.number})

    async def _pull_request(self, run: Run, result: RunResult) -> PullRequestObject:
        """The run's one pull request, its body as it should be. A closed one stays closed."""
        client, path = self._client(run), f"/repos/{run.repository}/pulls"
        wanted = {"title": pull_request_title(result), "body": pull_request_body(run, result)}

        async def find() -> PullRequestObject | None:
            return await self._find_pull_request(client, run)

        async def create() -> PullRequestObject:
            body = {**wanted, "head": branch(run.workflow), "base": run.base_branch}
            return read(PullRequestObject, await client.post(path, data=body), Call("POST", path))

        found, created = await find_or_create(find, create)
        if not created and (found.title, found.body) != (wanted["title"], wanted["body"]):
            await client.patch(f"{path}/{found.number}", data=wanted)
        return found

    async def _find_pull_request(self, client: GitHubClient, run: Run) -> PullRequestObject | None:
        """By head branch, which no two runs share; open or not."""
        path = f"/repos/{run.repository}/pulls"
        owner = run.repository.partition("/")[0]
        variables = {"head": f"{owner}:{branch(run.workflow)}", "state": "all", "per_page": "100"}
        async for item in client.getiter(path + "{?head,state,per_page}", variables):
            found = read(PullRequestObject, item, Call("GET", path))
            if found.head.ref == branch(run.workflow) and found.base.ref == run.base_branch:
                return found
        return None

    def _client(self, run: Run) -> GitHubClient:
        checked_repository(run.repository)
        return self._installations.client(run.installation, run.repository)

    def _linked(self, run: Run, result: RunResult) -> RunResult:
        """The result with the addresses that follow from names alone."""
        page = f"{self._installations.settings.web_url.rstrip('/')}/{run.repository}"
        links = {LINK_REPOSITORY: page}
        if result.receipt is not None:
            links[LINK_RECORD] = f"{page}/tree/{result.receipt.commit}/datalake/workflows/{result.workflow}"
        return _with_links(result, links)


def _with_links(result: RunResult, links: Mapping[str, str]) -> RunResult:
    return result.model_copy(update={"links": {**result.links, **links}})
