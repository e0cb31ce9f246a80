"""Measure one candidate in the clean room and make its report from what was measured."""

import asyncio
import hashlib

from execution.artifacts import (
    PLAN,
    PLAN_RECORDED,
    Dispatched,
    Judged,
    Plan,
    PlanRecorded,
    Tried,
    judged_name,
    token_name,
    tried_name,
)
from execution.auditing import stands_recorded
from execution.invariants import AUDIT_MANDATORY, COMMIT_HISTORY_VERIFIED, holding
from execution.problems import InfrastructureProblem
from execution.records import AgentOutcome, Candidate
from execution.redaction import secrets_of
from execution.stages import outputs
from execution.stages.baseline import measure_base, prepared_for
from execution.stages.record import placed
from execution.verification import Baseline, Verdict, Verifier, VerifierError
from execution.world import World
from governance.report import judge as judge_report
from ledger import canonical
from scoring.evidence import Evidence, Reason
from scoring.fit import fit, tasks_of

_CODES = {
    AgentOutcome.FAILED: "AGENT_FAILED",
    AgentOutcome.TIMEOUT: "AGENT_TIMEOUT",
    AgentOutcome.AUTH: "AGENT_AUTH",
    AgentOutcome.BUDGET: "BUDGET_DENIED",
    AgentOutcome.POLICY: "POLICY_DENIED",
    AgentOutcome.SPARED: "AGENT_SPARED",
}


async def judge(world: World, run_id: str, node: str) -> Judged:
    """Verify the node's candidate, or return the verdict that stands.

    Raises:
        InfrastructureProblem: a check could not be run; no agent is blamed for it.
    """
    if (standing := world.store.find(run_id, judged_name(node), Judged)) is not None:
        return standing
    plan = world.store.load(run_id, PLAN, Plan)
    dispatched = world.store.load(run_id, token_name(node), Dispatched)
    tried = world.store.load(run_id, tried_name(node), Tried)
    verdict = await verdict_of(world, run_id, plan, tried.candidate)
    reported_ms = world.now_ms()
    evidence = evidence_of(world, tried.candidate, verdict, ttv_ms=max(0, reported_ms - dispatched.dispatched_ms))
    common = await common_invariants(world, run_id, plan, dispatched) if evidence.diff else {}
    declared = {name for check in plan.checks for name in check.proves}
    tasks = tasks_of(plan.intent.title, plan.intent.body)
    evidence = evidence.model_copy(
        update={
            "invariants": holding(evidence.invariants, common, declared),
            "fit": fit(plan.profiles[node].capabilities, tasks),
        }
    )
    report = judge_report(
        plan.mandate(node),
        candidate_digest=hashlib.sha256(tried.candidate.patch).hexdigest(),
        evidence_digest=canonical.digest(evidence.model_dump(mode="json")),
        violations=tuple((reason.code, reason.text) for reason in evidence.violations),
        touched_paths=evidence.diff.paths if evidence.diff else (),
        claims=tried.candidate.attempt.report.model_dump(mode="json"),
    )
    found = tuple(Reason(code=code, text=text) for code, text in report.violations)
    evidence = evidence.model_copy(update={"violations": found})
    warnings = verdict.warnings if verdict else ()
    judged = Judged(evidence=evidence, warnings=warnings, report=report, reported_ms=reported_ms)
    world.store.put(run_id, judged_name(node), judged)
    return world.store.load(run_id, judged_name(node), Judged)


async def common_invariants(world: World, run_id: str, plan: Plan, dispatched: Dispatched) -> dict[str, bool]:
    """The invariants that are measured per run, and whether they hold for this node."""
    run, measured = world.run(run_id), await measure_base(world, run_id)
    recorded = world.store.find(run_id, PLAN_RECORDED, PlanRecorded)
    audited = recorded is not None and recorded.recorded_ms <= dispatched.dispatched_ms
    if recorded is not None and audited:
        files = placed(plan.workflow, outputs.plan_files(plan, secrets_of(world.access.environ)))
        path = next(path for path in files if path.endswith("/plan.json"))
        git_dir = await world.forge(run).fetch(run)
        audited = await asyncio.to_thread(stands_recorded, git_dir, recorded.receipt.commit, path, files[path])
    return {COMMIT_HISTORY_VERIFIED: measured.history.verified, AUDIT_MANDATORY: audited}


async def verdict_of(world: World, run_id: str, plan: Plan, candidate: Candidate) -> Verdict | None:
    """What the clean room says; None when there is nothing to verify."""
    if candidate.attempt.outcome is not AgentOutcome.COMPLETED:
        return None
    run = world.run(run_id)
    git_dir = await world.forge(run).fetch(run)
    verifier = Verifier(world.sandbox, world.scratch, world.clock)
    measured = await measure_base(world, run_id)
    baseline = Baseline(prepared=await prepared_for(world, run, plan, git_dir), reports=measured.reports)
    try:
        return await verifier.verify(
            git_dir=git_dir,
            base=plan.base_commit,
            candidate=candidate,
            config=plan.config,
            checks=plan.checks,
            baseline=baseline,
        )
    except VerifierError as error:
        raise InfrastructureProblem(f"verification could not run: {error}", code="VERIFIER_INFRA") from error


def evidence_of(world: World, candidate: Candidate, verdict: Verdict | None, *, ttv_ms: int) -> Evidence:
    """What is known of a candidate; without a verdict, only how the attempt ended."""
    attempt = candidate.attempt
    common = {
        "agent": candidate.agent,
        "claimed": attempt.report.invariants,
        "execution_ms": candidate.execution_ms,
        "ttv_ms": ttv_ms,
        "cost_microusd": attempt.usage.cost_microusd,
    }
    if verdict is None:
        if attempt.outcome is AgentOutcome.COMPLETED:
            return Evidence(**common)
        reason = Reason(code=attempt.code or _CODES[attempt.outcome], text=attempt.error or str(attempt.outcome))
        causes = tuple(Reason(code=code, text=text) for code, text in attempt.causes)
        return Evidence(**common, violations=(reason, *causes))
    violations = verdict.violations
    if secrets_of(world.access.environ).found_in(candidate.patch):
        leak = Reason(code="SECRET_IN_PATCH", text="the patch holds the value of a live secret; it is not kept")
        violations = (*violations, leak)
    return Evidence(
        **common, violations=violations, checks=verdict.checks, diff=verdict.diff, invariants=verdict.invariants
    )
