"""`/optr ok-to-run`: a stranger's commit is tried because a writer said so, and the answer stands on that commit alone.

Nothing is remembered but the check run on the commit itself: a push makes another head, which has none. What is fetched
is the pull request's own ref, so a fork's address is never used, and the clean room holds no token, key or network.
"""

import asyncio

from bot.github.checks import CheckRuns
from bot.github.client import GitHubClient
from bot.github.errors import Call
from bot.github.git import GitRemote, checked_commit
from bot.github.installations import Installations
from bot.github.objects import PullRequestObject, read
from bot.names import CHECK_TRIAL
from bot.render.check_run import CheckRun, CheckStatus, Conclusion
from bot.render.neutral import fenced
from bot.render.words import FAILED, PASSED, code, form_words, name, sentence, short
from execution.foreign import Trial, TrialError, try_commit
from execution.problems import SetupProblem
from execution.world import World
from scoring.evidence import CheckOutcome, CheckResult

AT_ONCE_MAX = 2  # in one process: each holds one of the places where deliveries are handled
REASONS_SHOWN_MAX = 20
OUTPUT_SHOWN_MAX = 3_000  # characters of a check that did not pass
BUSY = "Two commits are being tried already, so this one was not. Ask again when one of them is done."


class Trials:
    """Tries commits of pull requests.

    Args:
        world: the clean room's dependencies.
        installations: the App.
        remote: git of the repositories.
        checks: where check runs are written.
    """

    def __init__(self, world: World, installations: Installations, remote: GitRemote, checks: CheckRuns) -> None:
        self._world = world
        self._installations = installations
        self._remote = remote
        self._checks = checks
        self._places = asyncio.Semaphore(AT_ONCE_MAX)

    async def run(self, installation: int, repository: str, pull: PullRequestObject, by: str) -> str:
        """Try the pull request's head as `pull` names it; returns the answer for people.

        Raises:
            GitHubError: GitHub or git did not answer; asking again starts anew and leaves one check.
        """
        if self._places.locked():
            return BUSY
        async with self._places:
            return await self._run(installation, repository, pull, by)

    async def _run(self, installation: int, repository: str, pull: PullRequestObject, by: str) -> str:
        client = self._installations.client(installation, repository)
        head = checked_commit(pull.head.sha)
        await self._checks.put(client, repository, underway(head, by))
        said = await self._try(installation, repository, pull, by)
        # Whoever pushed meanwhile has replaced what was allowed; nothing of it may look like a yes.
        if await _head(client, repository, pull.number) != head:
            said = voided(head, by)
        await self._checks.put(client, repository, said)
        return f"{said.title}. {ONLY_THIS}"

    async def _try(self, installation: int, repository: str, pull: PullRequestObject, by: str) -> CheckRun:
        head = pull.head.sha
        git_dir = await self._remote.fetch_pull(installation, repository, pull.number)
        try:
            trial = await try_commit(self._world, git_dir, repository, pull.base.ref, head)
        except (TrialError, SetupProblem) as error:
            return not_tried(head, by, str(error))
        return tried(head, by, trial)


async def _head(client: GitHubClient, repository: str, number: int) -> str:
    path = f"/repos/{repository}/pulls/{number}"
    return read(PullRequestObject, await client.getitem(path), Call("GET", path)).head.sha


ONLY_THIS = "It stands on this commit only: after a push a person with write permission must say so again."


def underway(head: str, by: str) -> CheckRun:
    """Somebody has allowed the commit and it is being tried."""
    return _check(head, CheckStatus.IN_PROGRESS, None, f"{name(by)} let {short(code(head))} run", ONLY_THIS)


def voided(head: str, by: str) -> CheckRun:
    """The pull request moved on while its old head was tried."""
    title = f"A push voided what {name(by)} had allowed for {short(code(head))}"
    return _check(head, CheckStatus.COMPLETED, Conclusion.CANCELLED, title, ONLY_THIS)


def not_tried(head: str, by: str, why: str) -> CheckRun:
    """Infrastructure or configuration were in the way; never a yes."""
    summary = f"{sentence(why)}\n\nAllowed by {name(by)}. {ONLY_THIS}\n"
    title = f"{short(code(head))} could not be tried"
    return _check(head, CheckStatus.COMPLETED, Conclusion.FAILURE, title, summary)


def tried(head: str, by: str, trial: Trial) -> CheckRun:
    """What the clean room found."""
    verdict = trial.verdict
    passed = not verdict.violations and bool(verdict.checks)
    how = "passes" if passed else "does not pass"
    lines = [
        f"- {_mark(check)} {name(check.id)}, {form_words(check.form)}: {check.outcome}" for check in verdict.checks
    ]
    lines += [f"- {FAILED} {sentence(reason.text)} (`{code(reason.code)}`)" for reason in verdict.violations]
    lines += [f"- {sentence(reason.text)} (`{code(reason.code)}`)" for reason in verdict.warnings[:REASONS_SHOWN_MAX]]
    rules = f"Checks and rules of `{short(code(trial.rules))}`, compared with `{short(code(trial.base))}`."
    summary = "\n".join([*lines[:REASONS_SHOWN_MAX], "", f"Allowed by {name(by)}. {rules} {ONLY_THIS}", ""])
    outputs = [check for check in verdict.checks if check.outcome is not CheckOutcome.PASSED and check.output_tail]
    text = "\n\n".join(f"{name(one.id)}\n\n{fenced(one.output_tail, OUTPUT_SHOWN_MAX)}" for one in outputs[:2])
    conclusion = Conclusion.SUCCESS if passed else Conclusion.FAILURE
    title = f"{short(code(head))} {how} the base's checks"
    return _check(head, CheckStatus.COMPLETED, conclusion, title, summary, text)


def _mark(check: CheckResult) -> str:
    return PASSED if check.outcome is CheckOutcome.PASSED else FAILED


def _check(
    head: str, status: CheckStatus, conclusion: Conclusion | None, title: str, summary: str, text: str = ""
) -> CheckRun:
    return CheckRun(
        name=CHECK_TRIAL,
        head_sha=head,
        external_id=f"trial/{head}",
        status=status,
        conclusion=conclusion,
        title=title,
        summary=summary,
        text=text,
    )
