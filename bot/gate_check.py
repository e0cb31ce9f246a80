"""The gate at work: gather the facts from GitHub and the ledger, decide, and set `optr/gate` on the head."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.gate import Copy, GateDecision, GateFacts, Review, ReviewState, counting, decide_gate, signed_text
from bot.github.checks import CheckRuns
from bot.github.client import GitHubClient
from bot.github.errors import Call, GitHubError
from bot.github.git import GitRemote, checked_commit, checked_repository
from bot.github.installations import Installations
from bot.github.newest import Newest
from bot.github.objects import PullRequestObject, ReviewObject, read
from bot.github.view import live_permission
from bot.human_reviews import HumanReviews
from bot.ledgers import Ledgers
from bot.names import CHECK_GATE
from bot.permissions import Permission
from bot.recorded_winner import RecordedWinner
from bot.render.budget import TITLE_CHARACTERS_MAX
from bot.render.check_run import CheckRun, CheckStatus, Conclusion
from bot.render.neutral import plain
from bot.risk import Change, Level, assess
from bot.siblings import issue_of, siblings
from execution.changes import numstat
from execution.config import CONFIG_PATH, Config, load_config
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
        people: whose word counts, and where it is put down.
    """

    def __init__(
        self,
        installations: Installations,
        remote: GitRemote,
        ledgers: Ledgers,
        checks: CheckRuns,
        people: HumanReviews,
    ) -> None:
        self._people = people
        self._installations = installations
        self._remote = remote
        self._ledgers = ledgers
        self._checks = checks
        self._newest: Newest[tuple[str, int], GateDecision] = Newest()

    async def evaluate(self, run: Run, pull_request: Mapping[str, Any]) -> None:
        """Judge the pull request's present head and set the check on it; idempotent.

        Raises:
            GitHubError: the check could not be set. Facts that cannot be read close the gate instead.
        """
        await self.judge(run, read(PullRequestObject, pull_request, Call("GET", "pull_request")).number)

    async def judge(self, run: Run, number: int) -> GateDecision:
        """As `evaluate`, by number; returns what was decided.

        The head is read anew: a payload may be older than the last push, and the check must stand on what is there.
        One after the other, facts and all, or an older decision could be written over a newer one; and of several that
        wait the last, which reads what all of them are about.
        """
        client = self._installations.client(run.installation, run.repository)
        return await self._newest.put((run.id, number), lambda: self._judge(client, run, number), client.until_free)

    async def _judge(self, client: GitHubClient, run: Run, number: int) -> GateDecision:
        path = f"/repos/{run.repository}/pulls/{number}"
        pull_request = read(PullRequestObject, await client.getitem(path), Call("GET", path))
        facts = await self._facts(client, run, pull_request)
        if facts.ledger_problem is None:  # else the gate is closed, and nothing can be put down
            unrecorded = await self._people.record(run, number, counting(facts))
            facts = facts.model_copy(update={"unrecorded": unrecorded})
        decision = decide_gate(facts)
        await self._checks.put(client, run.repository, gate_check(run.id, pull_request.head.sha, decision))
        return decision

    async def judge_group(self, run: Run, number: int, head: str) -> GateDecision:
        """Judge the pull request and say so on a merge group's head, or the queue would wait for ever."""
        decision = await self.judge(run, number)
        client = self._installations.client(run.installation, run.repository)
        await self._checks.put(client, run.repository, gate_check(run.id, checked_commit(head), decision))
        return decision

    async def siblings_changed(self, runs: Sequence[Run], pull_request: Mapping[str, Any], before: str = "") -> None:
        """Judge those of `runs` again that somebody else's pull request is a sibling of, or may no longer be.

        `before` is the head that a push replaced, if that is what happened.

        Raises:
            GitHubError: a check could not be set.
        """
        other = read(PullRequestObject, pull_request, Call("GET", "pull_request"))
        for run in runs:
            client = self._installations.client(run.installation, run.repository)
            trees = Trees(client, run.repository, self._remote.path(run.repository))
            known = [await trees.of(head) for head in (other.head.sha, before) if head]
            if issue_of(other.head.ref) == str(run.issue) or run.head_tree in known:
                await self.judge(run, run.pull_request)

    async def pass_over(self, installation: int, repository: str, base: str, head: str) -> bool:
        """Say on the head of somebody's own pull request that there is nothing to judge, where a rule waits for that.

        Not on a commit that the gate has judged for a pull request of ours: a check stands on a commit, and whoever
        brought that commit into a pull request of their own would turn ours green.

        Returns:
            Whether it was said: the branch's rules require the gate, and it judges the commit for nobody.

        Raises:
            GitHubError: the check could not be set.
        """
        client = self._installations.client(installation, checked_repository(repository))
        path = f"/repos/{repository}/rules/branches/{{branch}}"
        rules = await client.getitem(path, {"branch": base})
        if not requires_gate(rules):
            return False
        check = nothing_to_judge(checked_commit(head), self._signed(repository))
        if await self._checks.has_others(client, repository, check):
            return False
        await self._checks.put(client, repository, check)
        return True

    async def _facts(self, client: GitHubClient, run: Run, pull_request: PullRequestObject) -> GateFacts:
        recorded = await self._recorded(run)
        git_dir = self._remote.path(run.repository)
        config = await asyncio.to_thread(_rules, git_dir, run.base_commit)
        rules = config.review if config else None
        change = await asyncio.to_thread(_change, git_dir, run, recorded.scores)
        known = Trees(client, run.repository, git_dir)
        return GateFacts(
            run=run.id,
            requester=run.requester,
            requester_id=run.requester_id,
            ledger_problem=recorded.problem,
            ledger_size=recorded.size,
            ledger_root=recorded.root,
            signed=self._signed(run.repository),
            recorded_tree=recorded.tree,
            stored_tree=run.head_tree or None,
            head=pull_request.head.sha,
            head_tree=await _head_tree(client, run.repository, pull_request.head.sha),
            risk=assess(change, config.patch.protected) if config and change else None,
            risk_approvals=_by_risk(rules) if rules else {},
            siblings=await siblings(client, run.repository, pull_request, run.head_tree, known.of),
            base_ref=pull_request.base.ref,
            recorded_base=run.base_branch,
            approvals_required=rules.approvals if rules else None,
            two_person=rules.two_person if rules else True,
            reviews=await self._people.asked(run, await _reviews(client, run.repository, pull_request.number)),
        )

    def _signed(self, repository: str) -> Copy | None:
        head = self._ledgers.signed(repository)
        return Copy(size=head.size, root=head.root.hex()) if head is not None else None

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


def requires_gate(rules: object) -> bool:
    """Whether a branch's rules name our gate among the required checks."""
    listed = rules if isinstance(rules, list) else []
    parameters = [rule.get("parameters") or {} for rule in listed if isinstance(rule, dict)]
    checks = [check for one in parameters for check in one.get("required_status_checks") or []]
    return any(isinstance(check, dict) and check.get("context") == CHECK_GATE for check in checks)


def nothing_to_judge(head: str, copy: Copy | None) -> CheckRun:
    """The gate on a pull request that is not OPTR's: it asks nothing, and people's own rules hold."""
    return CheckRun(
        name=CHECK_GATE,
        head_sha=head,
        external_id=f"none:gate:{head}",
        status=CheckStatus.COMPLETED,
        conclusion=Conclusion.SUCCESS,
        title="Not a pull request of OPTR",
        summary="No run of OPTR opened this pull request, so the gate asks nothing of it. Other rules hold.\n"
        f"\n{signed_text(copy)}\n",
        text="",
    )


def run_of_check(external_id: str) -> str:
    """The run's id in the key of either of our checks."""
    return external_id.partition(":")[0]


def _change(git_dir: Path, run: Run, scores: Mapping[str, str]) -> Change | None:
    """What the recorded winner changes; None when it cannot be measured, which closes the gate."""
    try:
        paths, lines = numstat(git_dir, checked_commit(run.base_commit), checked_commit(run.head_commit))
    except (GitError, ValueError, OSError):
        return None
    return Change(paths=paths, lines=lines, scores=dict(scores))


def _by_risk(rules: Rules) -> dict[Level, int]:
    return {Level.MEDIUM: rules.medium_risk_approvals, Level.HIGH: rules.high_risk_approvals}


def _rules(git_dir: Path, base_commit: str) -> Config | None:
    """The configuration of the base commit; None when it cannot be read, which closes the gate."""
    try:
        return load_config(_config_bytes(git_dir, checked_commit(base_commit)))
    except (GitError, ValueError, OSError):
        return None


def _config_bytes(git_dir: Path, commit: str) -> bytes | None:
    listed = run_git(git_dir, "ls-tree", "-z", commit, "--", CONFIG_PATH)
    return run_git(git_dir, "cat-file", "blob", f"{commit}:{CONFIG_PATH}") if listed.startswith(b"100") else None


class Trees:
    """Trees of commits: from our copy of the repository, and from GitHub for those of forks."""

    def __init__(self, client: GitHubClient, repository: str, git_dir: Path) -> None:
        self._client = client
        self._repository = repository
        self._git_dir = git_dir

    async def of(self, commit: str) -> str | None:
        """The tree's hex id, None when nobody knows the commit."""
        known = await asyncio.to_thread(_tree_here, self._git_dir, commit)
        return known or await _head_tree(self._client, self._repository, commit)


def _tree_here(git_dir: Path, commit: str) -> str | None:
    try:
        return (
            run_git(git_dir, "rev-parse", "--verify", "--quiet", f"{checked_commit(commit)}^{{tree}}").decode().strip()
        )
    except (GitError, ValueError):
        return None


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
            id=review.id,
            submitted=review.submitted_at or "",
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
