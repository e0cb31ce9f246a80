"""Let one reviewer judge the admissible candidates, blinded, once all of them are verified."""

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence

from execution.agents.build import AgentUnavailableError
from execution.agents.reviewer import Case, build_reviewer
from execution.artifacts import (
    PLAN,
    Blinding,
    Judged,
    Plan,
    Reviewed,
    Tried,
    blinding_name,
    judged_name,
    reviewed_name,
    tried_name,
)
from execution.authority import require_agent
from execution.records import Record
from execution.redaction import Secrets, secrets_of
from execution.reviews import Ballot, NoVote, Vote, VoteKind, shuffled
from execution.stages.dispatch import dispatch
from execution.world import World
from governance.codes import ReasonCode, RefusedError
from governance.gates import dispatch_gate
from governance.graph import Capability
from governance.report import Report, Verdict, block, judge
from governance.shortening import shortened
from ledger import canonical
from scoring.evidence import CheckForm, CheckResult, Evidence

# A reviewer never judges a part of a patch: what was cut off could hold anything.
PATCH_BYTES_MAX = 200_000
TIMEOUT_GRACE_SECONDS = 15.0
ERROR_CHARS_MAX = 500

_LOG = logging.getLogger(__name__)

_FORMS = {
    CheckForm.CANDIDATE: "on the patch as it is",
    CheckForm.BASE_TESTS: "with the base's tests and configuration restored",
}
_CODES = {
    NoVote.TIMEOUT: ReasonCode.AGENT_TIMEOUT,
    NoVote.AUTH: ReasonCode.AGENT_AUTH,
    NoVote.BUDGET: ReasonCode.BUDGET_DENIED,
    NoVote.DENIED: ReasonCode.POLICY_DENIED,
}


async def admit_reviewer(world: World, run_id: str, node: str, consumer: str) -> bool:
    """Dispatch a reviewer; False when no candidate is admissible or it may not act: then its node is settled at once.

    Raises:
        RunProblem: its dispatch token was refused.
    """
    if (standing := world.store.find(run_id, reviewed_name(node), Reviewed)) is not None:
        return bool(standing.ballot.votes)
    plan = world.store.load(run_id, PLAN, Plan)
    reports = {racer: judged.report for racer, judged in _judged(world, run_id, plan).items()}
    try:
        dispatch_gate(plan.graph, node, reports)
    except RefusedError as refused:
        if refused.code is not ReasonCode.GS_203:
            raise
        blocked = block(plan.mandate(node), by=tuple(reports.values()))
        ballot = Ballot(reviewer=plan.reviewers[node].name)
        world.store.put(
            run_id, reviewed_name(node), Reviewed(ballot=ballot, report=blocked, reviewed_ms=world.now_ms())
        )
        return False
    dispatched = await dispatch(world, run_id, node, consumer, Capability.READ)
    if not dispatched.denied:
        return True
    ballot, why = Ballot(reviewer=plan.reviewers[node].name), [(dispatched.denied, dispatched.denial)]
    passed = [report for report in reports.values() if report.verdict is Verdict.PASS]
    denied = Reviewed(ballot=ballot, report=_report(plan, node, ballot, passed, why), reviewed_ms=world.now_ms())
    world.store.put(run_id, reviewed_name(node), denied)
    return False


async def review(world: World, run_id: str, node: str) -> Reviewed:
    """Ask the node's reviewer, or return what it said. It can fail in any way; that is a vote that was not cast."""
    if (standing := world.store.find(run_id, reviewed_name(node), Reviewed)) is not None:
        return standing
    plan = world.store.load(run_id, PLAN, Plan)
    judged = _judged(world, run_id, plan)
    patches = _patches(world, run_id, judged)
    profile = plan.reviewers[node]
    seen = [name for name, patch in patches.items() if name != profile.name and len(patch) <= PATCH_BYTES_MAX]
    # Written once, so that a retry after a crash shows the same names in the same order.
    world.store.put(run_id, blinding_name(node), Blinding(aliases=shuffled(seen, world.nonce())))
    aliases = world.store.load(run_id, blinding_name(node), Blinding).aliases
    evidence = {one.evidence.agent: one.evidence for one in judged.values()}
    cases = [_case(plan, alias, evidence[agent], patches[agent]) for alias, agent in aliases.items()]
    cast = await _cast(world, plan, node, cases)
    named = [_named(vote, aliases[vote.alias], patches) for vote in cast]
    unseen = [_unseen(agent, patches, own=agent == profile.name) for agent in patches if agent not in seen]
    ballot = _redacted(Ballot(reviewer=profile.name, votes=(*named, *unseen)), secrets_of(world.access.environ))
    passed = [one.report for one in judged.values() if one.evidence.admissible]
    made = Reviewed(ballot=ballot, report=_report(plan, node, ballot, passed), reviewed_ms=world.now_ms())
    world.store.put(run_id, reviewed_name(node), made)
    return world.store.load(run_id, reviewed_name(node), Reviewed)


async def _cast(world: World, plan: Plan, node: str, cases: list[Case]) -> tuple[Vote, ...]:
    profile, limits = plan.reviewers[node], plan.limits[node]
    try:
        await require_agent(world, plan.mandate(node), Capability.READ)
        reviewer = build_reviewer(profile, world.access)
        async with asyncio.timeout(limits.wall_seconds + TIMEOUT_GRACE_SECONDS):
            return await reviewer.review(cases, limits)
    except AgentUnavailableError as error:
        why, problem = NoVote.AUTH, str(error)
    except RefusedError as refused:
        why, problem = NoVote.DENIED, str(refused)
    except TimeoutError:
        why, problem = NoVote.TIMEOUT, f"Reviewer '{profile.name}' did not stop in time"
    except Exception as error:  # noqa: BLE001 - a reviewer that breaks must not take the run down with it
        _LOG.exception("reviewer %s broke", profile.name)
        why, problem = NoVote.FAILED, shortened(f"{type(error).__name__}: {error}", ERROR_CHARS_MAX)
    return tuple(
        Vote(agent="", alias=case.alias, patch_sha256="", kind=VoteKind.NO_VOTE, no_vote=why, problem=problem)
        for case in cases
    )


def _judged(world: World, run_id: str, plan: Plan) -> dict[str, Judged]:
    return {node.id: world.store.load(run_id, judged_name(node.id), Judged) for node in plan.graph.racers}


def _patches(world: World, run_id: str, judged: Mapping[str, Judged]) -> dict[str, bytes]:
    """The admissible patches by agent; the others are out already, and nobody pays for looking at them."""
    return {
        one.evidence.agent: world.store.load(run_id, tried_name(node), Tried).candidate.patch
        for node, one in judged.items()
        if one.evidence.admissible
    }


def _case(plan: Plan, alias: str, evidence: Evidence, patch: bytes) -> Case:
    measured = [_told(check) for check in evidence.checks]
    if evidence.invariants:
        measured.append(f"measured to hold: {', '.join(evidence.invariants)}")
    return Case(
        alias=alias,
        intent=f"{plan.intent.title}\n\n{plan.intent.body}".strip(),
        constraints=plan.intent.constraints,
        guidance=plan.instructions,
        checks=tuple(measured),
        patch=patch.decode("utf-8", "replace"),
    )


def _told(check: CheckResult) -> str:
    """A result without what the check printed: that is the candidate's own prose."""
    optional = "" if check.required else ", optional"
    return f"check {check.id} {_FORMS[check.form]}{optional}: {check.outcome}"


def _named(vote: Vote, agent: str, patches: Mapping[str, bytes]) -> Vote:
    return vote.model_copy(update={"agent": agent, "patch_sha256": hashlib.sha256(patches[agent]).hexdigest()})


def _unseen(agent: str, patches: Mapping[str, bytes], *, own: bool) -> Vote:
    large = f"the patch has {len(patches[agent])} bytes; reviewers are shown {PATCH_BYTES_MAX} at most"
    return Vote(
        agent=agent,
        alias="",
        patch_sha256=hashlib.sha256(patches[agent]).hexdigest(),
        kind=VoteKind.NO_VOTE,
        no_vote=NoVote.OWN_PATCH if own else NoVote.TOO_LARGE,
        problem="its own patch" if own else large,
    )


def _report(
    plan: Plan, node: str, ballot: Ballot, passed: Iterable[Report], denied: Sequence[tuple[str, str]] = ()
) -> Report:
    """The reviewer's own report: it passes unless it was shown patches and voted on none.

    What it says is no claim about itself, so it is not searched for claims of authority; a vote has just the effect
    that `execution.reviews.ruled` gives it.
    """
    failed = next((vote for vote in ballot.votes if vote.alias and vote.kind is VoteKind.NO_VOTE), None)
    violations = list(denied)
    if ballot.silent and failed is not None and failed.no_vote is not None:
        violations = [(_CODES.get(failed.no_vote, ReasonCode.AGENT_FAILED).value, failed.problem)]
    seen = {vote.alias: vote.patch_sha256 for vote in ballot.votes if vote.alias}
    return judge(
        plan.mandate(node),
        candidate_digest=_digest(ballot),
        evidence_digest=canonical.digest({"kind": "optr/reviewed/1", "value": seen}),
        violations=violations,
        touched_paths=(),
        claims={},
        predecessors=tuple(passed),
    )


def _digest(record: Record) -> str:
    return canonical.digest(record.model_dump(mode="json"))


def _redacted(ballot: Ballot, secrets: Secrets) -> Ballot:
    """The ballot without live secrets: its words are shown to people, not only recorded."""
    return ballot.model_copy(update={"votes": tuple(_clean(vote, secrets) for vote in ballot.votes)})


def _clean(vote: Vote, secrets: Secrets) -> Vote:
    return vote.model_copy(
        update={
            "problem": secrets.redact(vote.problem),
            "violations": tuple(secrets.redact(text) for text in vote.violations),
            "requirements": tuple(secrets.redact(text) for text in vote.requirements),
            "invariants": tuple(secrets.redact(text) for text in vote.invariants),
            "rationale": secrets.redact(vote.rationale),
        }
    )
