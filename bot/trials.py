"""`/optr ok-to-run`: a stranger's commit is tried because a writer said so, and the answer stands on that commit alone.

The word is on the ledger before anything is run, and its result before the check is shown. A push makes another head,
which has neither. What is fetched is the pull request's own ref, so a fork's address is never used, and the clean room
holds no token, key or network.
"""

import asyncio

from bot.github.checks import CheckRuns
from bot.github.client import GitHubClient
from bot.github.errors import Call
from bot.github.git import GitRemote, checked_commit
from bot.github.installations import Installations
from bot.github.objects import PullRequestObject, read
from bot.ledgers import Ledgers
from bot.names import CHECK_TRIAL
from bot.render.check_run import CheckRun, CheckStatus, Conclusion
from bot.render.neutral import fenced
from bot.render.words import FAILED, PASSED, code, form_words, name, sentence, short
from bot.trial_lines import (
    ALLOWED,
    ENDED,
    Allowed,
    Ended,
    TrialResult,
    Word,
    allowed_line,
    facts_of,
    result_of,
    tried_line,
)
from execution.foreign import Trial, TrialError, try_commit
from execution.problems import SetupProblem
from execution.whose import working_for
from execution.world import World
from ledger.entry import Draft
from ledger.errors import LedgerRefusedError
from scoring.evidence import CheckOutcome, CheckResult

AT_ONCE_MAX = 2  # in one process: each holds one of the places where deliveries are handled
REASONS_SHOWN_MAX = 20
OUTPUT_SHOWN_MAX = 3_000  # characters of a check that did not pass
BUSY = "Two commits are being tried already, so this one was not. Ask again when one of them is done."


class Trials:
    """Tries commits of pull requests.

    Args:
        world: the clean room's dependencies, and the store.
        installations: the App.
        remote: git of the repositories.
        checks: where check runs are written.
        ledgers: where the word and its result are recorded.
    """

    def __init__(
        self, world: World, installations: Installations, remote: GitRemote, checks: CheckRuns, ledgers: Ledgers
    ) -> None:
        self._world = world
        self._installations = installations
        self._remote = remote
        self._checks = checks
        self._ledgers = ledgers
        self._places = asyncio.Semaphore(AT_ONCE_MAX)

    async def run(self, word: Word, obstacle: str) -> str:
        """Try the commit that `word` names; returns the answer for people. Again goes on from where it stopped.

        Args:
            word: whose, and which commit.
            obstacle: why nothing may be run now, for people; empty when it may. What is recorded as allowed by then
                is recorded as not run.

        Raises:
            GitHubError, LedgerError: GitHub, git or the ledger did not answer; asking again finishes it, once.
        """
        begun = self._world.store.find(word.key, ALLOWED, Allowed) is not None
        if not begun and (obstacle or self._places.locked()):
            return obstacle or BUSY
        try:
            async with self._places:
                with working_for(word.key):
                    return await self._run(word, obstacle)
        except LedgerRefusedError as refused:
            why = f"it could not be recorded ({sentence(str(refused))})"
            await self._show(word, not_tried(word.head, word.by, why))
            return f"The ledger refuses: {why}, so nothing of it counts. `optr doctor` says more."
        finally:
            await self._installations.revoke(word.key)

    async def _run(self, word: Word, obstacle: str) -> str:
        ended = self._world.store.find(word.key, ENDED, Ended)
        if ended is None:
            await self._allow(word)
            ended = await self._end(word, obstacle)
            self._world.store.put(word.key, ENDED, ended)
        await self._record(word, tried_line(ended))
        await self._show(word, ended.check)
        return f"{ended.check.title}. {ONLY_THIS}"

    async def _allow(self, word: Word) -> None:
        """Record the word; nothing of the commit was run before."""
        allowed = Allowed(word=word, allowed_ms=self._world.now_ms())
        self._world.store.put(word.key, ALLOWED, allowed)
        since = self._world.store.load(word.key, ALLOWED, Allowed).allowed_ms
        await self._record(word, allowed_line(word, since))

    async def _end(self, word: Word, obstacle: str) -> Ended:
        result, facts, check = _not_tried(word, obstacle) if obstacle else await self._try(word)
        # Whoever pushed meanwhile has replaced what was allowed; nothing of it may look like a yes.
        if await self._present_head(word) != word.head:
            result, check = TrialResult.VOIDED, voided(word.head, word.by)
        return Ended(word=word, result=result, ended_ms=self._world.now_ms(), facts=facts, check=check)

    async def _try(self, word: Word) -> "_Found":
        head = checked_commit(word.head)
        await self._show(word, underway(head, word.by))
        git_dir = await self._remote.fetch_pull(word.installation, word.repository, word.pull_request)
        await self._installations.revoke(word.key)  # while it runs, no token that its word brought about is alive
        try:
            trial = await try_commit(self._world, git_dir, word.repository, word.base, head)
        except (TrialError, SetupProblem) as error:
            return _not_tried(word, str(error))
        return result_of(trial), facts_of(trial), tried(head, word.by, trial)

    async def _record(self, word: Word, line: Draft) -> None:
        await self._ledgers.append(word.installation, word.repository, [line], {})

    async def _show(self, word: Word, check: CheckRun) -> None:
        await self._checks.put(self._client(word), word.repository, check)

    async def _present_head(self, word: Word) -> str:
        path = f"/repos/{word.repository}/pulls/{word.pull_request}"
        return read(PullRequestObject, await self._client(word).getitem(path), Call("GET", path)).head.sha

    def _client(self, word: Word) -> GitHubClient:
        return self._installations.client(word.installation, word.repository)


_Found = tuple[TrialResult, dict[str, object], CheckRun]


def _not_tried(word: Word, why: str) -> _Found:
    return TrialResult.NOT_TRIED, {}, not_tried(word.head, word.by, why)


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
    verdict, passed = trial.verdict, result_of(trial) is TrialResult.PASSED
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
