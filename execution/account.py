"""The account of a run as it stands: one pure function from what is stored to what people and machines read."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from execution.agents.profiles import Profile
from execution.artifacts import Judged, Plan, PlanRecorded, Recorded, Reviewed, Tried
from execution.crossvoting import about
from execution.result import CandidateResult, ReviewResult, RunResult
from execution.reviews import Ballot, Vote, ruled, votes_on
from execution.runs import Run
from scoring.evidence import CrossVote
from scoring.selection import Ranked, Selection

TITLE_CHARS_MAX = 120


@dataclass(frozen=True)
class Finished:
    """What the stages have left so far; `tried`, `judged` and `reviewed` are by node id."""

    plan: Plan | None = None
    tried: Mapping[str, Tried] = field(default_factory=dict)
    judged: Mapping[str, Judged] = field(default_factory=dict)
    reviewed: Mapping[str, Reviewed] = field(default_factory=dict)
    selection: Selection | None = None
    planned: PlanRecorded | None = None
    recorded: Recorded | None = None
    cross: tuple[CrossVote, ...] = ()


def account(run: Run, finished: Finished, sandbox: str) -> RunResult:
    """Assemble the result from whatever stages have finished."""
    plan, selection, recorded = finished.plan, finished.selection, finished.recorded
    newest = recorded or finished.planned
    warnings = plan.warnings if plan else ()
    warnings += tuple(
        f"{verdict.evidence.agent}: {reason.text}"
        for verdict in finished.judged.values()
        for reason in verdict.warnings
    )
    return RunResult(
        run=run.id,
        workflow=run.workflow,
        intent_sha256=run.intent_sha256,
        title=run.title[:TITLE_CHARS_MAX],
        constraints=run.constraints,
        requester=run.requester,
        base_branch=run.base_branch,
        base_commit=run.base_commit,
        state=run.state,
        outcome=run.outcome,
        candidates=_rows(finished),
        winner=selection.winner if selection else None,
        branch=f"optr/{run.workflow}" if recorded and recorded.commit else None,
        commit=recorded.commit if recorded else None,
        tree=recorded.tree if recorded else None,
        why=selection.why if selection else (),
        profile=selection.profile if selection else "",
        checks_source=plan.checks_source if plan else "",
        sandbox=sandbox,
        receipt=newest.receipt if newest else None,
        problem=run.problem,
        code=run.code or None,
        warnings=warnings,
        pull_request=run.pull_request or None,
    )


def _rows(finished: Finished) -> tuple[CandidateResult, ...]:
    if finished.plan is None:
        return ()
    ranked = {place.agent: place for place in finished.selection.ranking} if finished.selection else {}
    rows = {
        profile.name: _row(finished, node, profile, ranked.get(profile.name))
        for node, profile in finished.plan.profiles.items()
    }
    order = list(ranked) or list(rows)
    return tuple(rows[agent] for agent in order)


def _row(finished: Finished, node: str, profile: Profile, place: Ranked | None) -> CandidateResult:
    row = CandidateResult(agent=profile.name, type=str(profile.type), model=profile.model)
    if (tried := finished.tried.get(node)) is not None:
        row = row.model_copy(update=_attempted(tried))
    if (judged := finished.judged.get(node)) is not None:
        ballots = {by: one.ballot for by, one in finished.reviewed.items()}
        row = row.model_copy(update=_measured(judged, ballots))
    row = row.model_copy(update={"cross": about(finished.cross, profile.name)})
    if place is not None:
        reasons = place.why_not or row.reasons
        row = row.model_copy(update={"score": place.score, "terms": place.terms, "reasons": reasons})
    return row


def _attempted(tried: Tried) -> dict[str, object]:
    candidate = tried.candidate
    return {
        "outcome": candidate.attempt.outcome,
        "claimed": candidate.attempt.report.invariants,
        "execution_ms": candidate.execution_ms,
        "cost_microusd": candidate.attempt.usage.cost_microusd,
        "patch_sha256": hashlib.sha256(candidate.patch).hexdigest() if candidate.patch else None,
        "summary": candidate.attempt.report.summary,
        "error": candidate.attempt.error,
    }


def _measured(judged: Judged, ballots: Mapping[str, Ballot]) -> dict[str, object]:
    evidence = ruled(judged.evidence, ballots.values())
    diff = evidence.diff
    return {
        "admissible": evidence.admissible,
        "reasons": evidence.violations,
        "checks": evidence.checks,
        "invariants": evidence.invariants,
        "files": len(diff.paths) if diff else 0,
        "added": diff.added if diff else 0,
        "deleted": diff.deleted if diff else 0,
        "ttv_ms": evidence.ttv_ms,
        "fit": evidence.fit,
        "reviews": tuple(_review(reviewer, vote) for reviewer, vote in votes_on(evidence.agent, ballots)),
    }


def _review(reviewer: str, vote: Vote) -> ReviewResult:
    return ReviewResult(
        reviewer=reviewer,
        vote=vote.kind,
        no_vote=vote.no_vote,
        problem=vote.problem,
        violations=vote.violations,
        rationale=vote.rationale,
        complexity=vote.complexity,
        cost_microusd=vote.usage.cost_microusd,
    )
