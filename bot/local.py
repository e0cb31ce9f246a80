"""Run OPTR on a local repository: the same stages and engine as the App, with the repository itself as the forge."""

import getpass
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

from bot.intent import sanitise
from bot.local_request import LocalRequest
from bot.settings import SandboxChoice
from execution.agents.build import ModelAccess
from execution.engine import Engine
from execution.gitcmd import GitError, run_git
from execution.local import LocalForge, ledger_key
from execution.problems import SetupProblem
from execution.result import RunResult
from execution.runs import Run, Source
from execution.sandbox import SandboxError
from execution.sandbox.probe import choose_sandbox
from execution.store import Store
from execution.world import World
from governance.states import RunOutcome
from ledger.errors import KeyFileError
from ledger.keys import Signer

RUN_ID_BYTES = 8
SANDBOX_VARIABLE = "OPTR_SANDBOX"
KEY_VARIABLE = "OPTR_LEDGER_KEY_FILE"


async def run_local(request: LocalRequest) -> RunResult:
    """Race the agents on `request.repo` and return the account.

    Interrupting it closes the run as cancelled, with its ledger line.

    Raises:
        SetupProblem: the repository, configuration, keys or sandbox are in the way; says what to do.
    """
    git_dir, top = _repository(request.repo)
    run = _run(request, git_dir)
    try:
        sandbox = await choose_sandbox(_preference(request.environ.get(SANDBOX_VARIABLE, "")))
    except SandboxError as error:
        raise SetupProblem(str(error), code="SANDBOX_MISSING") from None
    home = request.state / "local" / hashlib.sha256(str(git_dir).encode()).hexdigest()[:16]
    forge = LocalForge(git_dir, _key(request, home, top.name), home / "checkpoints", request.on_progress)
    scratch = _scratch()
    store = Store(f"sqlite:///{scratch / 'state.db'}")
    access = ModelAccess(environ=request.environ)
    world = World(
        store=store, forge=lambda _run: forge, sandbox=sandbox, access=access, scratch=scratch, clock=time.time
    )
    engine = Engine(world, f"sqlite:///{scratch / 'engine.db'}", lock=None, on_delivery=_no_deliveries)
    try:
        await engine.start()
        return await _follow(engine, run)
    finally:
        await engine.stop()
        store.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _preference(choice: str) -> str | None:
    return None if choice in {"", SandboxChoice.AUTO} else choice


def _scratch() -> Path:
    made = Path(tempfile.mkdtemp(prefix="optr-run-"))
    made.chmod(0o711)  # the sandbox's user must reach its workspace below, and list nothing here
    return made


def _key(request: LocalRequest, home: Path, name: str) -> Signer:
    """The key that the operator gave, or the repository's own in the state directory."""
    given = request.environ.get(KEY_VARIABLE)
    try:
        return Signer.load(Path(given)) if given else ledger_key(home, name)
    except KeyFileError as error:
        raise SetupProblem(str(error), code="LEDGER_KEY") from None


async def _follow(engine: Engine, run: Run) -> RunResult:
    await engine.submit(run)
    try:
        result = await engine.wait(run.id)
    except BaseException:
        # Ctrl-C and the like: close the run in the open before going.
        await engine.cancel(run.id, run.requester)
        raise
    ended = await engine.get(run.id)
    if ended is not None and ended.outcome is RunOutcome.FAILED and not result.base_commit:
        raise SetupProblem(ended.problem or "the run could not be planned", code="SETUP")
    return result


async def _no_deliveries(guid: str, event: str, payload: bytes) -> None:
    del guid, event, payload
    raise RuntimeError("a local run takes no webhook deliveries")


def _repository(path: Path) -> tuple[Path, Path]:
    """The git directory and the top of a repository that has a commit."""
    try:
        git_dir = Path(run_git(path / ".git", "rev-parse", "--absolute-git-dir").decode().strip())
    except (GitError, OSError):
        raise SetupProblem(
            f"{path} is not the top of a git repository; give its path with --repo, or run `git init` and commit",
            code="REPOSITORY_MISSING",
        ) from None
    return git_dir, path.resolve()


def _run(request: LocalRequest, git_dir: Path) -> Run:
    try:
        base = run_git(git_dir, "rev-parse", "--verify", "HEAD^{commit}").decode().strip()
    except GitError:
        raise SetupProblem("the repository has no commit yet; commit something first", code="BASE_MISSING") from None
    branch = run_git(git_dir, "rev-parse", "--abbrev-ref", "HEAD").decode().strip()
    title, _, body = request.intent.partition("\n")
    return Run(
        id=secrets.token_hex(RUN_ID_BYTES),
        source=Source.CLI,
        repository=str(request.repo.resolve()),
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
    except OSError:
        return f"uid-{os.getuid()}"
