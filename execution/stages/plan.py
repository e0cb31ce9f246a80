"""Freeze what will happen: base commit, configuration, checks, agents, graph and mandates."""

import asyncio
import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from execution import crashpoints
from execution.agents.build import AgentSettingError, AgentUnavailableError, build_agent, grants, limits_for
from execution.agents.profiles import Profile, load_profiles
from execution.agents.prompt import CHECKS_TITLE
from execution.artifacts import PLAN, POLICY, Plan
from execution.authority import establish_authority, require_orchestrator
from execution.blobs import read_blob
from execution.breaker import COOL_MS, FAILURES_MAX, Breakers, breaker_of
from execution.capture import settled
from execution.checks import detect
from execution.config import CONFIG_PATH, Check, Config, load_config
from execution.enrolment import Staff, enrolled, require_enrolled
from execution.gitcmd import GitError, run_git
from execution.panel import panel, policy_warnings, require_candidate
from execution.policies import load_policy, policy_at, require_request
from execution.preparation import may_use_network
from execution.problems import SetupProblem
from execution.records import Limits
from execution.runs import Run, Source
from execution.sandbox import unconfined
from execution.stages.admit import APPROVAL_WAITS_MS, asked_for
from execution.stages.flow_plan import Parts, asked_workflow, cast_flow
from execution.waves import price_of, require_unreviewed, waves_of
from execution.workflowfile import WorkflowFile
from execution.world import World
from execution.yamlfile import ConfigError
from governance.codes import ReasonCode, RefusedError
from governance.graph import Graph, race
from governance.intent import Intent
from governance.mandate import Mandate, issue
from governance.nodes import CANDIDATE_CAPABILITIES
from governance.shortening import shortened
from governance.states import RunState
from governance.trust.lineage import PUBLISH
from governance.trust.verify import Level
from governance.workflow import AnyWorkflow, Contest

AGENTS_MAX = 16
CONTEXT_FILES_MAX = 400
INSTRUCTIONS_CHARS_MAX = 16_000
INSTRUCTION_FILES = ("AGENTS.md", "CLAUDE.md")
LANE_CHARS_MAX = 200  # of a lane that an error names
PROFILES_DIRECTORY = ".github/agents"
FLOW_WAITS_MS = 6 * 24 * 3_600_000  # within what a run's authority lasts
PROFILE_SUFFIX = ".agent.md"
VERIFY_SLACK_MS = 3_600_000  # a mandate outlives its attempt, because its candidate is still being verified


async def plan(world: World, run_id: str) -> Plan:
    """Make the plan, or return the one that stands.

    Raises:
        SetupProblem: configuration, profiles or keys are in the way.
    """
    if world.store.find(run_id, PLAN, Plan) is None:
        run = world.run(run_id)
        git_dir = await world.forge(run).fetch(run)
        branch, base = await asyncio.to_thread(_base, run, git_dir)
        # The base stands first, so that a run that cannot be planned has a commit to say so on.
        run = world.store.move(run_id, RunState.ADMITTED, base_branch=branch, base_commit=base)
        world.store.put(run_id, PLAN, await asyncio.to_thread(_make, world, run, git_dir))
        crashpoints.reach("inside_plan")
    establish_authority(world, run_id)
    await require_orchestrator(world, run_id, PUBLISH, Level.FULL)
    require_request(world, run_id)
    made = world.store.load(run_id, PLAN, Plan)
    world.store.move(
        run_id,
        RunState.PLANNED,
        base_commit=made.base_commit,
        base_branch=made.base_branch,
        workflow=made.workflow,
    )
    return made


def _base(run: Run, git_dir: Path) -> tuple[str, str]:
    branch = run.base_branch or default_branch(git_dir)
    return branch, run.base_commit or resolve_base(git_dir, branch)


def _make(world: World, run: Run, git_dir: Path) -> Plan:
    branch, base = run.base_branch, run.base_commit
    world.store.put(run.id, POLICY, load_policy(world.access.environ, policy_at(git_dir, base)))
    paths = tuple(run_git(git_dir, "ls-tree", "-r", "-z", "--name-only", base).decode("utf-8", "replace").split("\0"))
    raw_config = read_blob(git_dir, base, CONFIG_PATH)
    try:
        config = load_config(raw_config)
        known = load_profiles(_profile_files(git_dir, base, paths))
    except ConfigError as error:
        raise SetupProblem(str(error), code="CONFIG_INVALID") from None
    checks, source = _checks(config, paths)
    asked = asked_workflow(run, config, git_dir, base)
    staff = Staff(known, enrolled(world, run, known.values()))
    parts = _flow_parts(world, run, asked.workflow, staff) if asked else None
    parts = parts or _race_parts(world, run, config, staff, asked)
    workflow = unique_workflow(git_dir, run.workflow)
    intent = Intent(
        workflow=workflow,
        title=run.title,
        body=run.body,
        intent_sha256=run.intent_sha256,
        constraints=run.constraints,
        base_commit=base,
        config_digest=hashlib.sha256(raw_config).hexdigest() if raw_config is not None else "",
        requester=run.requester,
    )
    now_ms = world.now_ms()
    capture, bounded = settled(config.record.capture, world.access.environ)
    limits = _limits(world, {**parts.racers, **parts.judges, **parts.workers})
    return Plan(
        intent=intent,
        graph=parts.graph,
        mandates=_mandates(
            parts.graph, intent, limits, now_ms + _waits_ms(run, config, parts, limits), config.patch.paths
        ),
        config=config,
        config_digest=intent.config_digest,
        checks=checks,
        checks_source=source,
        base_branch=branch,
        base_commit=base,
        workflow=workflow,
        profiles=parts.racers,
        limits=limits,
        instructions=_instructions(git_dir, base, paths),
        context=_context(paths, checks),
        warnings=(*_walls(world), *bounded, *parts.warnings),
        planned_ms=now_ms,
        reviewers=parts.judges,
        workers=parts.workers,
        waves=_waves(world, config, parts),
        capture=capture,
        prepare_network=config.prepare is not None and may_use_network(world.access.environ),
    )


def _waves(world: World, config: Config, parts: Parts) -> tuple[tuple[str, ...], ...]:
    if parts.graph.pattern or config.race.at_once is None:
        return ()
    require_unreviewed(config.race, parts.judges)
    return waves_of(config.race, parts.racers, price_of(world.access))


def _walls(world: World) -> tuple[str, ...]:
    return (unconfined.WARNING,) if world.sandbox.name == unconfined.NAME else ()


def _race_parts(world: World, run: Run, config: Config, staff: Staff, asked: WorkflowFile | None) -> Parts:
    contest = asked.workflow if asked is not None and isinstance(asked.workflow, Contest) else None
    names = run.agents or (contest.agents if contest else config.agents)
    profiles, warnings = _line_up(world, run, names, staff)
    asked_for_votes = contest.reviewers if contest else config.review.reviewers
    reviewers, unheard = panel(asked_for_votes, staff.known, world.access, staff.roster)
    graph = race(run.id, [profile.name for profile in profiles], [profile.name for profile in reviewers])
    return Parts(
        graph=graph,
        racers={node.id: profile for node, profile in zip(graph.racers, profiles, strict=True)},
        judges={node.id: profile for node, profile in zip(graph.reviewers, reviewers, strict=True)},
        warnings=(*warnings, *unheard, *policy_warnings([*profiles, *reviewers])),
    )


def _flow_parts(world: World, run: Run, workflow: AnyWorkflow, staff: Staff) -> Parts | None:
    if isinstance(workflow, Contest):
        return None
    if run.agents:
        raise SetupProblem(
            "agents cannot be chosen for a workflow: it names its own",
            code="CONFIG_INVALID",
            where="--agents, or the workflow",
        )
    return cast_flow(world, workflow.graph(run.id), staff.known, staff.roster)


def _waits_ms(run: Run, config: Config, parts: Parts, limits: Mapping[str, Limits]) -> int:
    """How long the last node may have to wait in all: for a person's approval of the plan, then for those before it."""
    everybody = [*parts.racers.values(), *parts.judges.values(), *parts.workers.values()]
    is_asked = run.source is Source.GITHUB and asked_for(config.review, everybody)
    return (APPROVAL_WAITS_MS if is_asked else 0) + _before_ms(config, parts, limits)


def _before_ms(config: Config, parts: Parts, limits: Mapping[str, Limits]) -> int:
    """How long the last node may have to wait for those before it, and in a workflow for a person's correction."""
    if not parts.graph.pattern:
        waves = math.ceil(len(parts.racers) / (config.race.at_once or len(parts.racers)))
        waiting = (waves - 1) * (_longest_ms(limits[node] for node in parts.racers) + VERIFY_SLACK_MS)
        return waiting + _longest_ms(limits[node] for node in parts.judges)
    return FLOW_WAITS_MS


def _checks(config: Config, paths: tuple[str, ...]) -> tuple[tuple[Check, ...], str]:
    if config.checks:
        return config.checks, f"declared in {CONFIG_PATH} on the base commit"
    return detect(path for path in paths if path)


def _line_up(world: World, run: Run, names: tuple[str, ...], staff: Staff) -> tuple[list[Profile], tuple[str, ...]]:
    """The profiles that can run, and warnings: what each of them was granted, and why the others cannot.

    An agent asked for by name must be available; one that the configuration lists may sit out with a warning, as long
    as another is left.
    """
    if len(names) > AGENTS_MAX or len(set(names)) != len(names):
        raise SetupProblem(f"agents: at most {AGENTS_MAX}, each once; found {', '.join(names)}", code="CONFIG_INVALID")
    ready: list[Profile] = []
    missing: list[AgentUnavailableError] = []
    told: list[str] = []
    for name in names:
        if name not in staff.known:
            choice = ", ".join(sorted(staff.known))
            raise SetupProblem(f"no agent is called {name!r}; known agents: {choice}", code="AGENT_UNKNOWN")
        profile = staff.known[name]
        try:
            require_candidate(profile)
            require_enrolled(staff.roster, name, CANDIDATE_CAPABILITIES)
            build_agent(profile, world.access)
            _sit_out(world, run, profile)
        except AgentUnavailableError as error:
            missing.append(error)
        else:
            ready.append(profile)
            told.extend(grants(profile, world.access))
    if missing and (run.agents or not ready):
        raise _nobody(missing)
    if not ready:
        raise SetupProblem("no agents are configured", code="AGENT_UNAVAILABLE")
    return ready, (*map(str, missing), *told)


def _nobody(missing: list[AgentUnavailableError]) -> SetupProblem:
    """All that is in the way, under its code; under one for all when they differ."""
    codes = {error.code for error in missing}
    code = codes.pop() if len(codes) == 1 else ReasonCode.AGENT_UNAVAILABLE
    return SetupProblem(" ".join(map(str, missing)), code=code)


def _sit_out(world: World, run: Run, profile: Profile) -> None:
    """Leave out an agent that failed too often in a row.

    Raises:
        AgentUnavailableError: its circuit breaker is open.
    """
    if run.source is Source.GITHUB and not Breakers(world.store).admit(breaker_of(run, profile.name), world.now_ms()):
        raise AgentUnavailableError(
            f"Agent '{profile.name}' sits out: it failed {FAILURES_MAX} times in a row; it is tried again "
            f"{COOL_MS // 60_000} minutes after the last failure."
        )


def _limits(world: World, profiles: Mapping[str, Profile]) -> dict[str, Limits]:
    try:
        return {node: limits_for(profile, world.access.environ) for node, profile in profiles.items()}
    except AgentSettingError as error:
        raise SetupProblem(str(error), code="CONFIG_INVALID") from None


def _longest_ms(limits: Iterable[Limits]) -> int:
    return int(max((limit.wall_seconds for limit in limits), default=0) * 1000)


def _mandates(
    graph: Graph, intent: Intent, limits: dict[str, Limits], now_ms: int, lane: tuple[str, ...]
) -> tuple[Mandate, ...]:
    widest = list(limits.values())
    try:
        return issue(
            graph,
            intent,
            paths=lane,
            budget_microusd=max(limit.cost_microusd for limit in widest),
            tokens=max(limit.tokens for limit in widest),
            steps=max(limit.steps for limit in widest),
            deadline_ms=now_ms + _longest_ms(widest) + VERIFY_SLACK_MS,
            inputs={"intent": intent.intent_sha256, "base": hashlib.sha256(intent.base_commit.encode()).hexdigest()},
        )
    except RefusedError as refused:
        text = f"{refused.text}; patch.paths of {CONFIG_PATH} allows {', '.join(lane)[:LANE_CHARS_MAX]}"
        raise SetupProblem(text, code=str(refused.code), where="the workflow") from None


def default_branch(git_dir: Path) -> str:
    """The branch that HEAD names.

    Raises:
        SetupProblem: HEAD names none.
    """
    try:
        return run_git(git_dir, "symbolic-ref", "--short", "HEAD").decode().strip()
    except GitError:
        raise SetupProblem("the repository has no default branch; push one", code="BASE_MISSING") from None


def resolve_base(git_dir: Path, branch: str) -> str:
    """The commit at a branch's tip.

    Raises:
        SetupProblem: the branch has no commit.
    """
    try:
        return run_git(git_dir, "rev-parse", "--verify", f"refs/heads/{branch}^{{commit}}").decode().strip()
    except GitError:
        raise SetupProblem(
            f"branch {branch!r} has no commit; push one, or check the repository's default branch",
            code="BASE_MISSING",
        ) from None


def unique_workflow(git_dir: Path, name: str) -> str:
    """`name`, or `name.2`, `name.3` … where an earlier run already holds it: nothing is overwritten."""
    try:
        listed = run_git(git_dir, "ls-tree", "-z", "--name-only", "refs/heads/datalake:datalake/workflows")
    except GitError:
        listed = b""  # no branch yet, or no workflow on it
    taken = set(listed.decode().split("\0"))
    branches = run_git(git_dir, "for-each-ref", "--format=%(refname:lstrip=3)", "refs/heads/optr/").decode()
    taken |= set(branches.split())
    attempt, unique = 1, name
    while unique in taken:
        attempt += 1
        unique = f"{name}.{attempt}"
    return unique


def _profile_files(git_dir: Path, base: str, paths: tuple[str, ...]) -> dict[str, bytes]:
    wanted = [path for path in paths if path.startswith(f"{PROFILES_DIRECTORY}/") and path.endswith(PROFILE_SUFFIX)]
    return {path: data for path in wanted if (data := read_blob(git_dir, base, path)) is not None}


def _instructions(git_dir: Path, base: str, paths: tuple[str, ...]) -> str:
    """The repository's own words to agents, from the base commit: a candidate cannot instruct its rivals."""
    for path in INSTRUCTION_FILES:
        if path in paths and (data := read_blob(git_dir, base, path)) is not None:
            return shortened(data.decode("utf-8", "replace"), INSTRUCTIONS_CHARS_MAX)
    return ""


def _context(paths: tuple[str, ...], checks: tuple[Check, ...]) -> str:
    shown = [path for path in paths if path][:CONTEXT_FILES_MAX]
    more = len([path for path in paths if path]) - len(shown)
    files = "\n".join(shown) + (f"\n… and {more} more" if more else "")
    judged = "\n".join(f"- {check.id}: {check.run}" for check in checks) or "- none"
    return f"Files:\n{files}\n\n{CHECKS_TITLE}\n{judged}\n"
