"""The gate at work: gather the facts from GitHub and the ledger, decide, and set `optr/gate` on the head."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from bot.gate import GateDecision, GateFacts, Review, ReviewState, decide_gate
from bot.github.checks import CheckRuns
from bot.github.client import GitHubClient
from bot.github.errors import Call, GitHubError
from bot.github.git import GitRemote, checked_commit
from bot.github.installations import Installations
from bot.github.objects import PullRequestObject, ReviewObject, read
from bot.github.view import live_permission
from bot.ledgers import Ledgers, RecordedWinner
from bot.names import CHECK_GATE
from bot.permissions import Permission
from bot.render.budget import TITLE_CHARACTERS_MAX
from bot.render.check_run import CheckRun, CheckStatus
from bot.render.neutral import plain
from execution.config import CONFIG_PATH, load_config
from execution.config import Review as Rules
from execution.gitcmd import GitError, run_git
from execution.runs import Run


class GitHubGate:
    """The check `optr/gate` (`bot.ports.Gate`).

    Args:
        installations: the App.
        remote: git of the repositories.
        ledgers: their ledgers.
        checks: where check runs are written.
    """

    def __init__(self, installations: Installations, remote: GitRemote, ledgers: Ledgers, checks: CheckRuns) -> None:
        self._installations = installations
        self._remote = remote
        self._ledgers = ledgers
        self._checks = checks
        self._judging: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def evaluate(self, run: Run, pull_request: Mapping[str, Any]) -> None:
        """Judge the pull request's present head and set the check on it; idempotent.

        Raises:
            GitHubError: the check could not be set. Facts that cannot be read close the gate instead.
        """
        await self.judge(run, read(PullRequestObject, pull_request, Call("GET", "pull_request")).number)

    async def judge(self, run: Run, number: int) -> GateDecision:
        """As `evaluate`, by number; returns what was decided.

        The head is read anew: a payload may be older than the last push, and the check must stand on what is there.
        """
        client = self._installations.client(run.installation, run.repository)
        path = f"/repos/{run.repository}/pulls/{number}"
        # One after the other, facts and all: or an older decision could be written over a newer one.
        async with self._judging.setdefault(run.id, asyncio.Lock()):
            pull_request = read(PullRequestObject, await client.getitem(path), Call("GET", path))
            decision = decide_gate(await self._facts(client, run, pull_request))
            await self._checks.put(client, run.repository, gate_check(run.id, pull_request.head.sha, decision))
        return decision

    async def _facts(self, client: GitHubClient, run: Run, pull_request: PullRequestObject) -> GateFacts:
        recorded = await self._recorded(run)
        rules = await asyncio.to_thread(_rules, self._remote.path(run.repository), run.base_commit)
        return GateFacts(
            run=run.id,
            requester=run.requester,
            ledger_problem=recorded.problem,
            ledger_size=recorded.size,
            ledger_root=recorded.root,
            recorded_tree=recorded.tree,
            stored_tree=run.head_tree or None,
            head=pull_request.head.sha,
            head_tree=await _head_tree(client, run.repository, pull_request.head.sha),
            base_ref=pull_request.base.ref,
            recorded_base=run.base_branch,
            approvals_required=rules.approvals if rules else None,
            two_person=rules.two_person if rules else True,
            reviews=await _reviews(client, run.repository, pull_request.number),
        )

    async def _recorded(self, run: Run) -> RecordedWinner:
        try:
            return await self._ledgers.recorded_winner(run.installation, run.repository, run.id)
        except (GitHubError, OSError) as error:
            return RecordedWinner(f"it could not be fetched: {error}")


def gate_check(run: str, head: str, decision: GateDecision) -> CheckRun:
    """The check `optr/gate` on `head`."""
    return CheckRun(
        name=CHECK_GATE,
        head_sha=head,
        external_id=f"{run}:gate:{head}",
        status=CheckStatus.COMPLETED,
        conclusion=decision.conclusion,
        title=plain(decision.title, TITLE_CHARACTERS_MAX),
        summary=decision.summary,
        text="",
    )


def run_of_check(external_id: str) -> str:
    """The run's id in the key of either of our checks."""
    return external_id.partition(":")[0]


def _rules(git_dir: Path, base_commit: str) -> Rules | None:
    """The review rules of the base commit; None when they cannot be read, which closes the gate."""
    try:
        return load_config(_config_bytes(git_dir, checked_commit(base_commit))).review
    except (GitError, ValueError, OSError):
        return None


def _config_bytes(git_dir: Path, commit: str) -> bytes | None:
    listed = run_git(git_dir, "ls-tree", "-z", commit, "--", CONFIG_PATH)
    return run_git(git_dir, "cat-file", "blob", f"{commit}:{CONFIG_PATH}") if listed.startswith(b"100") else None


async def _head_tree(client: GitHubClient, repository: str, head: str) -> str | None:
    try:
        commit = await client.getitem(f"/repos/{repository}/git/commits/{checked_commit(head)}")
        return checked_commit(commit["tree"]["sha"])
    except (GitHubError, ValueError, KeyError, TypeError):
        return None


async def _reviews(client: GitHubClient, repository: str, number: int) -> tuple[Review, ...] | None:
    """The reviews, oldest first, with each person's permission as it is now; None when they cannot be read."""
    path = f"/repos/{repository}/pulls/{number}/reviews"
    try:
        found = [read(ReviewObject, item, Call("GET", path)) async for item in client.getiter(path + "?per_page=100")]
        writers = await _writers(client, repository, found)
    except GitHubError:
        return None
    return tuple(
        Review(
            reviewer=review.user.id,
            login=review.user.login,
            human=_is_human(review),
            can_write=review.user.login in writers,
            state=ReviewState(review.state),
            commit=review.commit_id or "",
        )
        for review in found
        if review.user is not None and review.state in set(ReviewState)
    )


async def _writers(client: GitHubClient, repository: str, reviews: list[ReviewObject]) -> frozenset[str]:
    """Logins of human reviewers who may write now; asked for those only whose word could count."""
    logins = {review.user.login for review in reviews if review.user is not None and _is_human(review)}
    allowed = set()
    for login in sorted(logins):
        if (await live_permission(client, repository, login)).allows(Permission.WRITE):
            allowed.add(login)
    return frozenset(allowed)


def _is_human(review: ReviewObject) -> bool:
    user = review.user
    return user is not None and user.type == "User" and not user.login.endswith("[bot]")
