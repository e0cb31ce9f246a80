"""The files of reviewers, `reviews/<reviewer>.json`, and their node events: pure, from artifacts to records."""

from execution.artifacts import Dispatched, Reviewed
from execution.reviews import Vote
from governance.entry_types import EntryType
from governance.report import Verdict
from governance.settlement import Settlement

Told = list[tuple[EntryType, int, dict[str, str | int]]]


def review_result(node: str, model: str | None, reviewed: Reviewed) -> dict[str, object]:
    """One reviewer's file: every vote, and under which name the reviewer saw whose patch."""
    ballot = reviewed.ballot
    return {
        "version": 1,
        "reviewer": ballot.reviewer,
        "model": model,
        "node": node,
        "verdict": str(reviewed.report.verdict),
        "aliases": {vote.alias: vote.agent for vote in ballot.votes if vote.alias},
        "votes": [_vote(vote) for vote in ballot.votes],
        "costMicrousd": sum(vote.usage.cost_microusd for vote in ballot.votes),
        "timestamp": reviewed.reviewed_ms,
    }


def _vote(vote: Vote) -> dict[str, object]:
    return {
        "alias": vote.alias or None,
        "agent": vote.agent,
        "patch": vote.patch_sha256,
        "vote": str(vote.kind),
        "noVote": str(vote.no_vote) if vote.no_vote else None,
        "problem": vote.problem or None,
        "violations": list(vote.violations),
        "requirements": list(vote.requirements),
        "invariants": list(vote.invariants),
        "rationale": vote.rationale,
        "estimatedComplexity": str(vote.complexity) if vote.complexity else None,
        "usage": vote.usage.model_dump(mode="json"),
    }


def reviewer_told(reviewed: Reviewed, dispatched: Dispatched | None, settled: Settlement, decided_ms: int) -> Told:
    """What happened to a reviewer's node after its mandate was issued, in order, up to its settlement."""
    report, at = reviewed.report, reviewed.reviewed_ms
    settlement: dict[str, str | int] = {"settlement": settled.digest, "outcome": str(settled.outcome)}
    passed = report.verdict is Verdict.PASS
    begun: Told = [(EntryType.SUB_PAC_BLOCKED, at, {"report": report.digest})]
    if dispatched is not None:
        ended = EntryType.SUB_PAC_EXECUTED if passed else EntryType.SUB_PAC_FAILED
        begun = [
            (EntryType.SUB_PAC_DISPATCHED, dispatched.dispatched_ms, {"token": dispatched.token.id}),
            (ended, at, {"review": report.candidate_digest or ""}),
        ]
    if dispatched is not None and dispatched.denied:
        begun = [(EntryType.DISPATCH_REVOKED, dispatched.dispatched_ms, {"code": dispatched.denied})]
    reported = EntryType.BER_AGENT_GENERATED if passed else EntryType.BER_AGENT_FAILED
    return [*begun, (reported, at, {"report": report.digest}), (EntryType.PDO_AGENT_FINALIZED, decided_ms, settlement)]
