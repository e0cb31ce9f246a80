"""The policy of a run: read once, from the operator's file and from the base commit, and asked at every act.

A candidate's patch cannot change it: what is in force was read before any agent started and is stored with the run.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from execution.agents.profiles import Profile
from execution.artifacts import PLAN, POLICY, Plan, Tried, tried_name
from execution.gitcmd import run_git
from execution.operatorfile import read_operators
from execution.problems import RunProblem, SetupProblem
from execution.records import Command
from execution.runs import Run
from execution.stages.flow_state import FIRST, attempts, slot
from execution.store import Store
from execution.world import World
from governance.codes import ReasonCode, RefusedError
from governance.mandate import Mandate
from governance.policy.decide import POLICY_BYTES_MAX, Context, Layer, Policy, Question, require_allowed, require_valid
from ledger import canonical

POLICY_PATH = ".github/optr/policy.cedar"
POLICY_FILE = "policy.json"
POLICY_VARIABLE = "OPTR_POLICY_FILE"
DEFAULT, OPERATOR, REPOSITORY = "default", "operator", "repository"
ORCHESTRATOR = ("Orchestrator", "optr")
LINE_BYTES_MAX = 131_072  # of a command; Linux starts none with a longer argument (MAX_ARG_STRLEN, execve(2))
_SHELL_ARGUMENTS = 3  # bash -c LINE


def default_layer() -> Layer:
    """The policy that OPTR ships with."""
    return Layer(origin=DEFAULT, text=_shipped("default.cedar"))


def schema_text() -> str:
    """The questions that a policy is asked, a Cedar schema."""
    return _shipped("schema.cedarschema")


def load_policy(environ: Mapping[str, str], repository_text: bytes | None) -> Policy:
    """What is in force: the operator's policy or the shipped one, and the repository's, which can only forbid more.

    Args:
        environ: the operator's environment.
        repository_text: `.github/optr/policy.cedar` on the base commit; None without one.

    Raises:
        SetupProblem: a file cannot be read safely or is not a policy for the schema.
    """
    told = environ.get(POLICY_VARIABLE, "").strip()
    layers = [_operator(Path(told)) if told else default_layer()]
    if repository_text is not None:
        layers.append(_layer(REPOSITORY, repository_text, POLICY_PATH))
    policy = Policy(layers=tuple(layers), schema_text=schema_text())
    try:
        require_valid(policy)
    except ValueError as error:
        raise SetupProblem(
            str(error),
            code=str(ReasonCode.CONFIG_INVALID),
            remedy="Run `optr policy check`; the questions that a policy can ask about are in docs/policy.md",
        ) from None
    return policy


def policy_file(policy: Policy) -> bytes:
    """`policy.json`: the layers in force, word for word, and the schema that they were read against."""
    return canonical.encode({"digest": policy.digest, **policy.model_dump(mode="json")}) + b"\n"


def policy_at(git_dir: Path, commit: str) -> bytes | None:
    """The repository's policy at a commit; None when there is no such regular file."""
    listed = run_git(git_dir, "ls-tree", "-z", commit, "--", POLICY_PATH)
    if not listed.startswith((b"100644 blob ", b"100755 blob ")):
        return None
    return run_git(git_dir, "cat-file", "blob", f"{commit}:{POLICY_PATH}")


def require_request(world: World, run_id: str) -> None:
    """Let the person's request become a run, or end it.

    Raises:
        RunProblem: POLICY_REFUSED.
    """
    plan, run = world.store.load(run_id, PLAN, Plan), world.run(run_id)
    context: Context = {
        "source": str(run.source),
        "agents": tuple(sorted({mandate.agent for mandate in plan.mandates})),
        "constraints": tuple(run.constraints),
        "budget_microusd": sum(mandate.budget_microusd for mandate in plan.mandates),
    }
    _or_end(world, Question(("Human", plan.intent.requester), "request", run.repository, context, {}), run)


def require_publishing(world: World, run_id: str, *, winner: str, paths: tuple[str, ...], changed_lines: int) -> None:
    """Let the winner be published, or end the run.

    Raises:
        RunProblem: POLICY_REFUSED.
    """
    run, spent = world.run(run_id), _spent(world, run_id)
    context: Context = {"winner": winner, "paths": paths, "changed_lines": changed_lines, "cost_microusd": spent}
    _or_end(world, Question(ORCHESTRATOR, "publish", run.repository, context, {}), run)


def require_approval(store: Store, run: Run, login: str, *, own_request: bool, bot: bool) -> str:
    """Let a person's review count, by the policy that the run was planned under.

    Returns:
        The policy's digest.

    Raises:
        RefusedError: POLICY_DENIED; also when there is no policy to ask.
    """
    policy = store.find(run.id, POLICY, Policy)
    if policy is None:
        raise RefusedError(ReasonCode.POLICY_DENIED, f"the policy of run {run.id} is not there to be asked")
    context: Context = {"own_request": own_request, "bot": bot}
    require_allowed(policy, Question(("Human", login), "approve", run.repository, context, {}))
    return policy.digest


def in_force(store: Store, run_id: str) -> dict[str, str]:
    """What a ledger line says of the policy that its run was planned under: the digest; nothing before there is one."""
    policy = store.find(run_id, POLICY, Policy)
    return {"policy": policy.digest} if policy is not None else {}


def require_dispatch(world: World, mandate: Mandate, capability: str) -> None:
    """Let an agent go on a node.

    Raises:
        RefusedError: POLICY_DENIED.
    """
    context: Context = {"capability": str(capability), "node": mandate.node, "attempt": mandate.attempt}
    _ask_for_agent(world, mandate, "dispatch", context)


def require_command(world: World, mandate: Mandate, command: Command, count: int) -> None:
    """Let an agent run one command.

    Raises:
        RefusedError: POLICY_DENIED.
    """
    argv = command.argv
    shell = len(argv) == _SHELL_ARGUMENTS and argv[1] == "-c"
    line = argv[2] if shell else " ".join(argv)
    if (size := len(line.encode("utf-8", "replace"))) > LINE_BYTES_MAX:
        # Never a part of it: what a policy forbids could stand in the rest.
        text = f"the command has {size} bytes; a policy is asked about at most {LINE_BYTES_MAX}, and no longer one runs"
        raise RefusedError(ReasonCode.POLICY_DENIED, text)
    context: Context = {
        "program": argv[0],
        "line": line,
        "network": command.network,
        "count": count,
    }
    _ask_for_agent(world, mandate, "command", context)


def _ask_for_agent(world: World, mandate: Mandate, action: str, context: Context) -> None:
    plan, run = world.store.load(mandate.run, PLAN, Plan), world.run(mandate.run)
    profile: Profile = {**plan.workers, **plan.profiles, **plan.reviewers}[mandate.node]
    attributes = {"type": str(profile.type), "model": profile.model or ""}
    question = Question(("Agent", mandate.agent), action, run.repository, context, attributes)
    require_allowed(world.store.load(mandate.run, POLICY, Policy), question)


def _or_end(world: World, question: Question, run: Run) -> None:
    try:
        require_allowed(world.store.load(run.id, POLICY, Policy), question)
    except RefusedError as refused:
        raise RunProblem(refused.text, code=str(ReasonCode.POLICY_REFUSED)) from None


def _spent(world: World, run_id: str) -> int:
    numbers = attempts(world, run_id, world.store.load(run_id, PLAN, Plan))
    names = [slot(node, attempt) for node, last in numbers.items() for attempt in range(FIRST, last + 1)]
    tried = [world.store.find(run_id, tried_name(name), Tried) for name in names]
    return sum(one.candidate.attempt.usage.cost_microusd for one in tried if one is not None)


def _shipped(name: str) -> str:
    return (files("governance.policy") / name).read_text(encoding="utf-8")


def _operator(path: Path) -> Layer:
    try:
        return _layer(OPERATOR, read_operators(path.expanduser().absolute(), POLICY_BYTES_MAX), str(path))
    except (OSError, ValueError) as error:
        why = (error.strerror or "it cannot be read") if isinstance(error, OSError) else str(error)
        raise SetupProblem(
            f"{POLICY_VARIABLE}: {why}",
            code=str(ReasonCode.CONFIG_INVALID),
            where=str(path),
            remedy=f"Correct the file, or unset {POLICY_VARIABLE} to use the shipped policy",
        ) from None


def _layer(origin: str, data: bytes, where: str) -> Layer:
    if len(data) > POLICY_BYTES_MAX:
        raise SetupProblem(
            f"the {origin} policy has {len(data)} bytes; at most {POLICY_BYTES_MAX} are read",
            code=str(ReasonCode.CONFIG_INVALID),
            where=where,
        )
    try:
        return Layer(origin=origin, text=data.decode("utf-8"))
    except UnicodeDecodeError:
        raise SetupProblem(
            f"the {origin} policy is not UTF-8", code=str(ReasonCode.CONFIG_INVALID), where=where
        ) from None
