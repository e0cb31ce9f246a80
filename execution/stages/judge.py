"""Measure one candidate in the clean room and make its report from what was measured."""

import hashlib

from execution.artifacts import PLAN, Dispatched, Judged, Plan, Tried, judged_name, token_name, tried_name
from execution.problems import InfrastructureProblem
from execution.records import AgentOutcome, Candidate
from execution.redaction import secrets_of
from execution.verification import Verdict, Verifier, VerifierError
from execution.world import World
from governance.report import judge as judge_report
from ledger import canonical
from scoring.evidence import Evidence, Reason

_CODES = {
    AgentOutcome.FAILED: "AGENT_FAILED",
    AgentOutcome.TIMEOUT: "AGENT_TIMEOUT",
    AgentOutcome.AUTH: "AGENT_AUTH",
    AgentOutcome.BUDGET: "BUDGET_DENIED",
    AgentOutcome.POLICY: "POLICY_DENIED",
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
    verdict = await _verdict(world, run_id, plan, tried.candidate)
    reported_ms = world.now_ms()
    evidence = _evidence(world, tried.candidate, verdict, ttv_ms=max(0, reported_ms - dispatched.dispatched_ms))
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


async def _verdict(world: World, run_id: str, plan: Plan, candidate: Candidate) -> Verdict | None:
    """What the clean room says; None when there is nothing to verify."""
    if candidate.attempt.outcome is not AgentOutcome.COMPLETED:
        return None
    run = world.run(run_id)
    git_dir = await world.forge(run).fetch(run)
    verifier = Verifier(world.sandbox, world.scratch, world.clock)
    try:
        return await verifier.verify(
            git_dir=git_dir, base=plan.base_commit, candidate=candidate, config=plan.config, checks=plan.checks
        )
    except VerifierError as error:
        raise InfrastructureProblem(f"verification could not run: {error}", code="VERIFIER_INFRA") from error


def _evidence(world: World, candidate: Candidate, verdict: Verdict | None, *, ttv_ms: int) -> Evidence:
    attempt = candidate.attempt
    common = {
        "agent": candidate.agent,
        "claimed": attempt.report.invariants,
        "execution_ms": candidate.execution_ms,
        "ttv_ms": ttv_ms,
        "cost_microusd": attempt.usage.cost_microusd,
    }
    if verdict is None:
        reason = Reason(code=_CODES[attempt.outcome], text=attempt.error or str(attempt.outcome))
        return Evidence(**common, violations=(reason,))
    violations = verdict.violations
    if secrets_of(world.access.environ).found_in(candidate.patch):
        leak = Reason(code="SECRET_IN_PATCH", text="the patch holds the value of a live secret; it is not kept")
        violations = (*violations, leak)
    return Evidence(
        **common, violations=violations, checks=verdict.checks, diff=verdict.diff, invariants=verdict.invariants
    )
