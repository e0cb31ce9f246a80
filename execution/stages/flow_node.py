"""One node of a workflow: admitted when what it waits for has passed, worked, and judged from what was measured."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from execution.artifacts import (
    PLAN,
    Dispatched,
    Issued,
    Judged,
    Plan,
    Tried,
    issued_name,
    judged_name,
    token_name,
    tried_name,
)
from execution.gitcmd import GitError, run_git
from execution.problems import InfrastructureProblem, RunProblem
from execution.records import AgentOutcome, Attempt, Candidate, Given, Task
from execution.redaction import secrets_of
from execution.sandbox import SandboxError
from execution.stages.attempt import Allowed, candidate_of, task_of
from execution.stages.dispatch import permit
from execution.stages.flow_state import attempts, corrections, judgements, reports, slot
from execution.stages.flow_tree import own_paths, start_tree
from execution.stages.judge import common_invariants, evidence_of, verdict_of
from execution.verification import Verdict, room
from execution.workspace import WorkspaceError, discard, prepare
from execution.world import World
from governance.codes import ReasonCode, RefusedError
from governance.correction import Correction, reissued
from governance.gates import dispatch_gate, input_gate, offers, report_gate, unmet_edges
from governance.graph import Capability, Graph, Node
from governance.mandate import Mandate, supply
from governance.nodes import PATCH_FIELD
from governance.outputs import FieldValue, checked, chosen, field_digest, shown
from governance.report import Report, withhold
from governance.report import Verdict as Passed
from governance.report import judge as judge_report
from ledger import canonical
from scoring.evidence import Evidence, Reason

# What is wrong with one node's token ends that node; anything else ends the run.
_TOKEN_CODES = frozenset({ReasonCode.DISPATCH_EXPIRED.value, ReasonCode.DISPATCH_REUSED.value})
CONFLICT_TEXT = "the patches it was handed change the same lines"


async def admit_node(world: World, run_id: str, node: str, consumer: str) -> bool:
    """Dispatch a node, or settle it as blocked; False when it will not work.

    Args:
        world: dependencies.
        run_id: the run.
        node: the graph node.
        consumer: the durable workflow that will use the permission.
    """
    plan = world.store.load(run_id, PLAN, Plan)
    here = slot(node, attempts(world, run_id, plan)[node])
    if (standing := world.store.find(run_id, judged_name(here), Judged)) is not None:
        return standing.report.verdict is Passed.PASS
    judged = judgements(world, run_id, plan)
    mandate, correction = _issued(world, run_id, plan, node)
    try:
        dispatch_gate(plan.graph, node, reports(judged))
    except RefusedError as refused:
        if refused.code is not ReasonCode.GS_203:
            raise
        known = reports(judged)
        _settle(world, run_id, plan, here, withhold(mandate, unmet_edges(plan.graph, node, known), known))
        return False
    issued = _supplied(world, run_id, plan, judged, mandate, correction)
    world.store.put(run_id, issued_name(here), issued)
    issued = world.store.load(run_id, issued_name(here), Issued)
    try:
        given = await permit(world, issued.mandate, token_name(here), consumer, _capability(plan.graph.node(node)))
    except RunProblem as problem:
        if problem.code not in _TOKEN_CODES:
            raise
        _settle(world, run_id, plan, here, _refused(issued.mandate, problem.code, str(problem)))
        return False
    if given.denied:
        _settle(world, run_id, plan, here, _refused(issued.mandate, given.denied, given.denial))
    return not given.denied


def _capability(spec: Node) -> Capability:
    return Capability.WRITE if spec.writes else Capability.READ


def _issued(world: World, run_id: str, plan: Plan, node: str) -> tuple[Mandate, Correction | None]:
    """The mandate of the attempt that counts, and the correction that asked for it."""
    newest = next((one for one in reversed(corrections(world, run_id)) if node in one.attempts), None)
    mandate = plan.mandate(node)
    return (mandate, None) if newest is None else (reissued(mandate, newest), newest)


def _settle(world: World, run_id: str, plan: Plan, here: str, report: Report) -> None:
    """A node that never worked: there is nothing but its report."""
    found = tuple(Reason(code=code, text=text) for code, text in report.violations)
    evidence = Evidence(agent=plan.profile(report.node).name, violations=found)
    world.store.put(
        run_id,
        judged_name(here),
        Judged(evidence=evidence, warnings=(), report=report, reported_ms=world.now_ms()),
    )


def _refused(mandate: Mandate, code: str, text: str) -> Report:
    return judge_report(
        mandate,
        candidate_digest=None,
        evidence_digest=None,
        violations=((code, text),),
        touched_paths=(),
        claims={},
    )


def _supplied(
    world: World,
    run_id: str,
    plan: Plan,
    judged: Mapping[str, Judged],
    mandate: Mandate,
    correction: Correction | None,
) -> Issued:
    """What flows to the node from those before it that passed, and its mandate with the hash of each."""
    given: list[Given] = []
    patches: list[str] = []
    manifest: dict[str, str] = {}
    numbers = attempts(world, run_id, plan)
    for name in mandate.data_inputs:
        source, _, field = name.partition(".")
        one = judged.get(source)
        if one is None or one.report.verdict is not Passed.PASS:
            continue  # a join that tolerates it stands between
        if field == PATCH_FIELD:
            tried = world.store.load(run_id, tried_name(slot(source, numbers[source])), Tried)
            manifest[name] = hashlib.sha256(tried.candidate.patch).hexdigest()
            patches.append(source)
        elif field in one.output:
            manifest[name] = field_digest(one.output[field])
            given.append(Given(name=name, text=shown(one.output[field])))
    told = correction.told if correction is not None and correction.node == mandate.node else ""
    return Issued(mandate=supply(mandate, manifest), given=tuple(given), patches=tuple(patches), correction=told)


async def work(world: World, run_id: str, node: str) -> Tried:
    """Let the node's agent work on its files, or return what it already handed back.

    Raises:
        InfrastructureProblem: workspace or sandbox failed; the agent is not to blame.
    """
    plan = world.store.load(run_id, PLAN, Plan)
    here = slot(node, attempts(world, run_id, plan)[node])
    if (standing := world.store.find(run_id, tried_name(here), Tried)) is not None:
        return standing
    issued = world.store.load(run_id, issued_name(here), Issued)
    run = world.run(run_id)
    git_dir = await world.forge(run).fetch(run)
    patches = _patches(world, run_id, plan, issued)
    _seen(issued, patches)
    with room(world.scratch) as root:
        try:
            tree, store = await asyncio.to_thread(start_tree, git_dir, root / "store", plan.base_commit, patches)
        except GitError:
            failed = Attempt(outcome=AgentOutcome.FAILED, error=f"node {node}: {CONFLICT_TEXT}")
            candidate = Candidate(agent=plan.profile(node).name, attempt=failed)
            tried = Tried(candidate=candidate, executed_ms=world.now_ms(), fault=ReasonCode.INPUTS_CONFLICT.value)
        else:
            candidate = await _worked(world, plan, node, issued, tree, store)
            tried = Tried(candidate=candidate, executed_ms=world.now_ms())
    world.store.put(run_id, tried_name(here), tried)
    made = tried.candidate.attempt
    world.observer.attempted(str(plan.profile(node).type), made.outcome, made.usage)
    return world.store.load(run_id, tried_name(here), Tried)


def _patches(world: World, run_id: str, plan: Plan, issued: Issued) -> dict[str, bytes]:
    numbers = attempts(world, run_id, plan)
    names = {source: tried_name(slot(source, numbers[source])) for source in issued.patches}
    return {source: world.store.load(run_id, name, Tried).candidate.patch for source, name in names.items()}


def _seen(issued: Issued, patches: Mapping[str, bytes]) -> None:
    """Compare what the node is about to see with its mandate's manifest, at the moment of use."""
    flown = {f"{source}.{PATCH_FIELD}": hashlib.sha256(patch).hexdigest() for source, patch in patches.items()}
    with _refusing():
        input_gate(issued.mandate, flown)
    listed = {name for name in issued.mandate.inputs if name in issued.mandate.data_inputs}
    stray = sorted({one.name for one in issued.given} - listed)
    if stray:
        raise RunProblem(f"{stray[0]} is not among the inputs of {issued.mandate.id}", code=str(ReasonCode.GS_207))


@contextmanager
def _refusing() -> Iterator[None]:
    """A rule that is broken here was broken by us or by who changed our database: the run ends, and says so."""
    try:
        yield
    except RefusedError as refused:
        raise RunProblem(str(refused), code=str(refused.code)) from None


async def _worked(world: World, plan: Plan, node: str, issued: Issued, tree: str, store: Path) -> Candidate:
    workspace = await asyncio.to_thread(prepare, store, tree, world.scratch)
    try:
        # A patch is taken against the base, so that it holds what was given too and can be judged like any other.
        base_tree = run_git(store, "rev-parse", "--verify", f"{plan.base_commit}^{{tree}}").decode().strip()
        spec = plan.graph.node(node)
        start = workspace.base_tree
        against = workspace.model_copy(update={"base_tree": base_tree if spec.writes else start})
        task = _task(world, plan, spec, issued)
        allowed = Allowed(plan.profile(node), plan.limits[node], issued.mandate, _capability(spec))
        return await candidate_of(world, allowed, task, against)
    except SandboxError as error:
        raise InfrastructureProblem(f"the sandbox failed: {error}", code="VERIFIER_INFRA") from error
    except WorkspaceError as error:
        raise InfrastructureProblem(f"the workspace failed: {error}", code="VERIFIER_INFRA") from error
    finally:
        await asyncio.to_thread(discard, workspace)


def _task(world: World, plan: Plan, spec: Node, issued: Issued) -> Task:
    return task_of(world, plan, spec.id).model_copy(
        update={
            "assignment": spec.task,
            "given": issued.given,
            "output": dict(spec.output),
            "writes": spec.writes,
            "correction": issued.correction,
        }
    )


async def judge_node(world: World, run_id: str, node: str) -> Judged:
    """Measure what the node handed back and report on it, or return the report that stands.

    Raises:
        InfrastructureProblem: a check could not be run; no agent is blamed for it.
    """
    plan = world.store.load(run_id, PLAN, Plan)
    here = slot(node, attempts(world, run_id, plan)[node])
    if (standing := world.store.find(run_id, judged_name(here), Judged)) is not None:
        return standing
    before = {id_: one.report for id_, one in judgements(world, run_id, plan).items()}
    with _refusing():
        report_gate(plan.graph, node, before)
    spec = plan.graph.node(node)
    dispatched = world.store.load(run_id, token_name(here), Dispatched)
    tried = world.store.load(run_id, tried_name(here), Tried)
    values, wrong = _output(world, spec, tried)
    verdict = await _measured(world, run_id, plan, spec, tried, values)
    reported_ms = world.now_ms()
    evidence = await _evidence(world, run_id, plan, tried, verdict, dispatched, reported_ms)
    evidence = evidence.model_copy(update={"violations": (*_faults(evidence, tried), *wrong)})
    issued = world.store.load(run_id, issued_name(here), Issued)
    report = judge_report(
        issued.mandate,
        candidate_digest=_digest(tried.candidate.patch, values),
        evidence_digest=canonical.digest(evidence.model_dump(mode="json")),
        violations=tuple((reason.code, reason.text) for reason in evidence.violations),
        touched_paths=await _touched(world, run_id, plan, issued, tried, evidence),
        claims=tried.candidate.attempt.report.model_dump(mode="json", exclude={"output"}),
        predecessors=_resting(plan.graph, node, before),
        choices=chosen(spec, values),
    )
    found = tuple(Reason(code=code, text=text) for code, text in report.violations)
    judged = Judged(
        evidence=evidence.model_copy(update={"violations": found}),
        warnings=verdict.warnings if verdict else (),
        report=report,
        reported_ms=reported_ms,
        output=values,
    )
    world.store.put(run_id, judged_name(here), judged)
    return world.store.load(run_id, judged_name(here), Judged)


def _output(world: World, spec: Node, tried: Tried) -> tuple[dict[str, FieldValue], tuple[Reason, ...]]:
    """The declared fields, without live secrets: they are shown to others and recorded."""
    if tried.candidate.attempt.outcome is not AgentOutcome.COMPLETED:
        return {}, ()
    values, wrong = checked(spec, tried.candidate.attempt.report.output)
    secrets = secrets_of(world.access.environ)
    clean = {name: _redacted(value, secrets.redact) for name, value in values.items()}
    return clean, tuple(Reason(code=code, text=text) for code, text in wrong)


def _redacted(value: FieldValue, redact: Callable[[str], str]) -> FieldValue:
    if isinstance(value, str):
        return redact(value)
    return tuple(redact(item) for item in value) if isinstance(value, tuple) else value


async def _measured(
    world: World, run_id: str, plan: Plan, spec: Node, tried: Tried, values: Mapping[str, FieldValue]
) -> Verdict | None:
    """The clean room's verdict; None where there is no patch to judge.

    A writer's patch is judged by all checks, or only as a patch where the workflow says that it is a part of a change.
    A reader's is read for what it touched, which is all outside its lane.
    """
    patch = tried.candidate.patch
    offered = spec.writes and offers(plan.graph, spec.id, chosen(spec, values))
    if not offered and spec.writes:
        return None
    if not patch and (not spec.writes or not spec.checks):
        return None
    judged_by = plan if spec.writes and spec.checks else plan.model_copy(update={"checks": ()})
    return await verdict_of(world, run_id, judged_by, tried.candidate)


async def _evidence(  # noqa: PLR0913, PLR0917 - one caller
    world: World,
    run_id: str,
    plan: Plan,
    tried: Tried,
    verdict: Verdict | None,
    dispatched: Dispatched,
    reported_ms: int,
) -> Evidence:
    made = evidence_of(world, tried.candidate, verdict, ttv_ms=max(0, reported_ms - dispatched.dispatched_ms))
    if not made.diff:
        return made
    common = await common_invariants(world, run_id, plan, dispatched)
    held = {name for name, holds in common.items() if holds}
    return made.model_copy(update={"invariants": tuple(sorted(held.union(made.invariants)))})


async def _touched(
    world: World, run_id: str, plan: Plan, issued: Issued, tried: Tried, evidence: Evidence
) -> tuple[str, ...]:
    """What the node itself changed: its patch also holds what it was handed, which others had their own lanes for."""
    if not evidence.diff:
        return ()
    if not (issued.patches and plan.graph.node(issued.mandate.node).paths):
        return evidence.diff.paths
    run = world.run(run_id)
    git_dir, patches = await world.forge(run).fetch(run), _patches(world, run_id, plan, issued)
    with room(world.scratch) as root:
        patch = tried.candidate.patch
        try:
            return await asyncio.to_thread(own_paths, git_dir, root / "store", plan.base_commit, patches, patch)
        except GitError:
            return evidence.diff.paths  # a patch that does not apply: what else it is charged with, it is charged whole


def _faults(evidence: Evidence, tried: Tried) -> tuple[Reason, ...]:
    if not tried.fault:
        return evidence.violations
    return tuple(Reason(code=tried.fault, text=reason.text) for reason in evidence.violations)


def _digest(patch: bytes, values: Mapping[str, FieldValue]) -> str:
    """Names what was handed back: the patch alone, as in a race, or the patch with the fields."""
    sha256 = hashlib.sha256(patch).hexdigest()
    if not values:
        return sha256
    fields = {name: field_digest(value) for name, value in values.items()}
    return canonical.digest({"kind": "optr/handed/1", "value": {"patch": sha256, "fields": fields}})


def _resting(graph: Graph, node: str, before: Mapping[str, Report]) -> tuple[Report, ...]:
    """The reports that this one rests on: of the agent nodes whose edges lead here, through sync points too."""
    waiting, seen = list(graph.predecessors(node)), dict[str, Report]()
    while waiting:
        id_ = waiting.pop(0)
        if graph.node(id_).agent is None:
            waiting.extend(graph.predecessors(id_))
        elif id_ in before:
            seen[id_] = before[id_]
    return tuple(seen.values())
