"""Somebody else's commit in the clean room: its tree under the base's checks, with no secret and no network in reach.

What decides comes from the base branch as it is now: configuration, checks, patch rules, preparation. The commit brings
its tree and nothing else, so a fork cannot choose by what it is judged.
"""

import asyncio
from pathlib import Path

from execution.blobs import read_blob
from execution.checks import detect
from execution.config import CONFIG_PATH, Check, Config, load_config
from execution.gitcmd import GitError, run_git
from execution.preparation import Prepared, Preparer, may_use_network
from execution.records import AgentOutcome, Attempt, Candidate, Record
from execution.redaction import secrets_of
from execution.sandbox import SandboxError, unconfined
from execution.verification import Baseline, Verdict, Verifier, VerifierError
from execution.workspace import PATCH_FORM
from execution.world import World
from execution.yamlfile import ConfigError
from scoring.evidence import Reason

PATCH_BYTES_MAX = 8 * 2**20  # a person's pull request that is larger is looked at by people
STRANGER = "contributor"


class Trial(Record):
    """What was found out about a commit.

    Attributes:
        base: the commit that it was compared with: where it left the base branch.
        rules: the tip of the base branch, whose configuration and checks were used.
        verdict: what the clean room found.
    """

    base: str
    rules: str
    verdict: Verdict


class TrialError(RuntimeError):
    """The commit cannot be tried; the message is for people and says what to do. No fault of the commit's author."""


async def try_commit(world: World, git_dir: Path, repository: str, branch: str, commit: str) -> Trial:
    """Run the base's checks on a commit that nobody of ours wrote.

    Args:
        world: sandbox, scratch directory and clock.
        git_dir: holds the commit and the branch.
        repository: whose it is; preparations are kept by it.
        branch: what the commit would be merged into.
        commit: full hex id.

    Raises:
        TrialError: there is nothing to run, or it could not be run.
        SetupProblem: the base's preparation failed.
    """
    if world.sandbox.name == unconfined.NAME:
        raise TrialError("this App runs without a sandbox, and strangers' code never runs so")
    try:
        rules, base = await asyncio.to_thread(_bases, git_dir, branch, commit)
        config, checks = await asyncio.to_thread(_rules, git_dir, rules)
        patch = await asyncio.to_thread(run_git, git_dir, *PATCH_FORM, base, commit, "--")
        prepared = await _prepared(world, git_dir, repository, rules, config)
        verdict = await Verifier(world.sandbox, world.scratch, world.clock).verify(
            git_dir=git_dir,
            base=base,
            candidate=_candidate(patch),
            config=config,
            checks=checks,
            baseline=Baseline(prepared=prepared),
        )
    except (GitError, SandboxError, OSError, VerifierError) as error:
        raise TrialError(f"the commit could not be tried: {error}") from error
    if secrets_of(world.access.environ).found_in(patch):
        leak = Reason(code="SECRET_IN_PATCH", text="The commit holds the value of a live secret of this App.")
        verdict = verdict.model_copy(update={"violations": (*verdict.violations, leak)})
    return Trial(base=base, rules=rules, verdict=verdict)


def _bases(git_dir: Path, branch: str, commit: str) -> tuple[str, str]:
    """The branch's tip, and where the commit left the branch."""
    tip = run_git(git_dir, "rev-parse", "--verify", f"refs/heads/{branch}^{{commit}}").decode().strip()
    return tip, run_git(git_dir, "merge-base", tip, commit).decode().strip()


def _rules(git_dir: Path, rules: str) -> tuple[Config, tuple[Check, ...]]:
    try:
        config = load_config(read_blob(git_dir, rules, CONFIG_PATH))
    except ConfigError as error:
        raise TrialError(f"the base's configuration cannot be read: {error}") from None
    listed = run_git(git_dir, "ls-tree", "-r", "-z", "--name-only", rules).decode("utf-8", "replace")
    checks = config.checks or detect(listed.split("\0"))[0]
    if not checks:
        raise TrialError(f"there is nothing to run: declare `checks` in {CONFIG_PATH} on the base branch")
    return config, checks


async def _prepared(world: World, git_dir: Path, repository: str, rules: str, config: Config) -> tuple[Prepared, ...]:
    if config.prepare is None:
        return ()
    home = await asyncio.to_thread(world.prepared) if world.prepared is not None else None
    network = may_use_network(world.access.environ)
    preparer = Preparer(world.sandbox, world.scratch, home)
    return await preparer.ensure(git_dir, repository, rules, config.prepare, network=network)


def _candidate(patch: bytes) -> Candidate:
    if len(patch) > PATCH_BYTES_MAX:
        raise TrialError(f"the commit changes more than {PATCH_BYTES_MAX} bytes; people must look at it")
    return Candidate(agent=STRANGER, attempt=Attempt(outcome=AgentOutcome.COMPLETED), patch=patch)
