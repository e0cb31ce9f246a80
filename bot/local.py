"""Run OPTR on a local repository: the same stages and engine as the App, with the repository itself as the forge."""

import asyncio
import hashlib
import secrets
import shlex
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bot import waiting
from bot.intent import sanitise
from bot.local_request import LocalCorrection, LocalRequest
from bot.models_file import operator_registry
from bot.person import person
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
from execution.stages.flow_correct import Asked
from execution.store import Store
from execution.world import World
from governance.codes import ReasonCode
from governance.states import RunOutcome

RUN_ID_BYTES = 8
SETTLING_SECONDS_MAX = 10.0
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
    return await _carry(request, place, run, _scratch(), lambda engine: _follow(engine, run))


async def correct_local(request: LocalRequest, correction: LocalCorrection) -> RunResult:
    """Correct one node of a workflow that waits for it, and carry the run on.

    Args:
        request: where and with what; its workflow and intent are not read.
        correction: what is corrected, and why.

    Raises:
        RunProblem: there is no such run, or the correction is refused; nothing was changed.
        LedgerError: the branch is not what was signed last, or cannot be read.
    """
    place = _repository(request.repo)
    kept, scratch = waiting.find(request.state, correction.run), _scratch()
    try:
        with waiting.taken(kept, scratch) as run:
            if Path(run.repository) != place.top:
                problem = f"run {run.id} belongs to the repository {run.repository}"
                raise SetupProblem(problem, code="CORRECTION_REFUSED", where="--repo")
            asked = Asked(correction.node, correction.reason, person(), correction.kind)
            return await _carry(request, place, run, scratch, lambda engine: _corrected(engine, run, asked))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def _corrected(engine: Engine, run: Run, asked: Asked) -> RunResult:
    await engine.correct(run.id, asked)
    return await _awaited(engine, run)


async def _carry(
    request: LocalRequest, place: Place, run: Run, scratch: Path, work: Callable[[Engine], Awaitable[RunResult]]
) -> RunResult:
    """Work with an engine whose databases go with it, unless the run waits for a correction at the end."""
    registry = operator_registry(request.environ)
    access = ModelAccess(environ=request.environ, registry=registry, history=_history(place.common_dir))
    store: Store | None = None
    engine: Engine | None = None
    try:
        sandbox = await operator_sandbox(request.environ)
        forge = await asyncio.to_thread(_forge, request, place, run)
        store = Store(f"sqlite:///{scratch / waiting.STATE_FILE}", lasting=False)
        world = World(
            store=store,
            forge=lambda _run: forge,
            sandbox=sandbox,
            access=access,
            scratch=scratch,
            clock=time.time,
            prepared=lambda: open_cache(request.state, time.time()),
        )
        engine = Engine(world, f"sqlite:///{scratch / waiting.ENGINE_FILE}", lock=None, on_delivery=None)
        await engine.start()
        return await work(engine)
    finally:
        if engine is not None:
            await engine.stop()
        if store is not None:
            store.close()
        waiting.keep(scratch, request.state, run.id)
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
    ledger = open_ledger(request.state, place.common_dir, place.top.name, request.environ)
    forge = LocalForge(place.common_dir, ledger.keys, ledger.checkpoints, request.on_progress)
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
    await engine.submit(run)
    result = await _awaited(engine, run)
    if result.outcome is RunOutcome.FAILED and not result.candidates and result.code != INTERNAL:
        raise SetupProblem(
            result.problem or "the run could not be planned", code=result.code or str(ReasonCode.RUN_FAILED)
        )
    return result


async def _awaited(engine: Engine, run: Run) -> RunResult:
    others = asyncio.all_tasks()
    try:
        return await engine.wait(run.id)
    except asyncio.CancelledError:
        # Ctrl-C and the like: close the run in the open before going.
        await engine.cancel(run.id, run.requester)
        await _settled(others)
        raise


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
        requester=person(),
        title=sanitise(title),
        body=sanitise(body),
        intent_sha256=hashlib.sha256(f"{title}\n{body}".encode()).hexdigest(),
        constraints=tuple(request.constraints),
        agents=tuple(request.agents),
        definition=request.definition,
        definition_path=request.definition_path,
        base_branch=branch,
        base_commit=base,
        created_ms=int(time.time() * 1000),
    )
