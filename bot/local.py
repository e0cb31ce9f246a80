"""Run OPTR on a local repository: the same stages and engine as the App, with the repository itself as the forge."""

import asyncio
import getpass
import hashlib
import os
import secrets
import shlex
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from bot.intent import sanitise
from bot.local_request import LocalRequest
from bot.models_file import operator_registry
from bot.sandboxes import operator_sandbox
from execution.agents.build import ModelAccess
from execution.agents.history import CommitHistory, ReadHistory, local_history
from execution.discovery import NoRepositoryError, Place, locate
from execution.engine import Engine
from execution.flows import INTERNAL
from execution.gitcmd import GitError, run_git
from execution.local import LEDGER_REF, LocalForge
from execution.local_ledger import open_ledger
from execution.prepared_cache import open_cache
from execution.problems import SetupProblem
from execution.result import RunResult
from execution.runs import Run, Source
from execution.store import Store
from execution.world import World
from governance.states import RunOutcome

RUN_ID_BYTES = 8
SETTLING_SECONDS_MAX = 10.0
KEY_VARIABLE = "OPTR_LEDGER_KEY_FILE"
WINNERS = "refs/heads/optr"  # a directory of branches, one for each workflow


async def run_local(request: LocalRequest) -> RunResult:
    """Race the agents on the repository that `request.repo` is in, and return the account.

    Cancelling it closes the run as cancelled, with its ledger line.

    Raises:
        SetupProblem: the repository, configuration or keys are in the way; nothing was recorded but an adoption.
        SandboxError: no sandbox works here.
        LedgerError: the branch is not what was signed last, or cannot be read.
    """
    place = _repository(request.repo)
    run = _run(request, place)
    registry = operator_registry(request.environ)
    access = ModelAccess(environ=request.environ, registry=registry, history=_history(place.common_dir))
    sandbox = await operator_sandbox(request.environ)
    forge = await asyncio.to_thread(_forge, request, place, run)
    scratch = _scratch()
    store = Store(f"sqlite:///{scratch / 'state.db'}", lasting=False)
    world = World(
        store=store,
        forge=lambda _run: forge,
        sandbox=sandbox,
        access=access,
        scratch=scratch,
        clock=time.time,
        prepared=lambda: open_cache(request.state, time.time()),
    )
    engine = Engine(world, f"sqlite:///{scratch / 'engine.db'}", lock=None, on_delivery=None)
    try:
        await engine.start()
        return await _follow(engine, run)
    finally:
        await engine.stop()
        store.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _history(git_dir: Path) -> ReadHistory:
    async def read(_repository: str, commit: str) -> CommitHistory:
        return await asyncio.to_thread(local_history, git_dir, commit)

    return read


def _scratch() -> Path:
    made = Path(tempfile.mkdtemp(prefix="optr-run-"))
    made.chmod(0o711)  # the sandbox's user must reach its workspace below, and list nothing here
    return made


def _forge(request: LocalRequest, place: Place, run: Run) -> LocalForge:
    """The repository as a forge, once its branches and its ledger are fit to be written."""
    _require_room(place.common_dir)
    given = request.environ.get(KEY_VARIABLE)
    ledger = open_ledger(request.state, place.common_dir, place.top.name, Path(given) if given else None)
    forge = LocalForge(place.common_dir, ledger.signer, ledger.checkpoints, request.on_progress)
    forge.ready(run, adopt=request.adopt)
    return forge


def _require_room(git_dir: Path) -> None:
    """See that no branch stands where directories of branches must be."""
    listed = run_git(git_dir, "for-each-ref", "--format=%(refname)", WINNERS, LEDGER_REF)
    for ref in listed.decode("utf-8", "replace").splitlines():
        if ref == WINNERS or ref.startswith(f"{LEDGER_REF}/"):
            branch = ref.removeprefix("refs/heads/")
            raise SetupProblem(
                f"the branch {ascii(branch)[1:-1]} is in the way of the branches optr/WORKFLOW and datalake",
                code="BRANCH_TAKEN",
                where=str(git_dir),
                remedy=f"Rename it: git branch -m {shlex.quote(branch)} NAME",
            )


async def _follow(engine: Engine, run: Run) -> RunResult:
    others = asyncio.all_tasks()
    await engine.submit(run)
    try:
        result = await engine.wait(run.id)
    except asyncio.CancelledError:
        # Ctrl-C and the like: close the run in the open before going.
        await engine.cancel(run.id, run.requester)
        await _settled(others)
        raise
    if result.outcome is RunOutcome.FAILED and not result.candidates and result.code != INTERNAL:
        raise SetupProblem(result.problem or "the run could not be planned", code=result.code or "SETUP")
    return result


async def _settled(others: set[asyncio.Task[Any]]) -> None:
    """Wait until what was cancelled has killed its processes and removed its workspaces."""
    if running := asyncio.all_tasks() - others:
        await asyncio.wait(running, timeout=SETTLING_SECONDS_MAX)


def _repository(path: Path) -> Place:
    try:
        return locate(path)
    except NoRepositoryError as error:
        raise SetupProblem(str(error), code="REPOSITORY_MISSING", where=str(path), remedy=error.remedy) from None


def _run(request: LocalRequest, place: Place) -> Run:
    try:
        base = run_git(place.git_dir, "rev-parse", "--verify", "HEAD^{commit}").decode().strip()
    except GitError as error:
        raise SetupProblem(
            f"the repository has no commit to start from: {error.stderr.splitlines()[0][:200] if error.stderr else ''}",
            code="BASE_MISSING",
            where=str(place.top),
            remedy="Commit something first: git add --all && git commit",
        ) from None
    branch = run_git(place.git_dir, "rev-parse", "--abbrev-ref", "HEAD").decode("utf-8", "replace").strip()
    title, _, body = request.intent.partition("\n")
    return Run(
        id=secrets.token_hex(RUN_ID_BYTES),
        source=Source.CLI,
        repository=str(place.top),
        workflow=request.workflow,
        requester=_user(),
        title=sanitise(title),
        body=sanitise(body),
        intent_sha256=hashlib.sha256(f"{title}\n{body}".encode()).hexdigest(),
        constraints=tuple(request.constraints),
        agents=tuple(request.agents),
        base_branch=branch,
        base_commit=base,
        created_ms=int(time.time() * 1000),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"
