"""How a run ended, as one word from a closed list: what people filter, count and search for."""

from enum import StrEnum

from execution.records import AgentOutcome
from execution.result import CandidateResult, RunResult
from governance.codes import ReasonCode
from governance.states import RunOutcome


class Ending(StrEnum):
    """The words users see, in check runs, comments and pull requests."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    AGENT_FAILED = "agent_failed"
    AGENT_TIMEOUT = "agent_timeout"
    AGENT_AUTH = "agent_auth"
    VERIFIER_INFRA = "verifier_infra"
    VERIFIED_FAIL = "verified_fail"
    POLICY_DENIED = "policy_denied"
    BUDGET_DENIED = "budget_denied"
    NO_WINNER = "no_winner"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"


_BY_OUTCOME = {
    RunOutcome.ACCEPTED: Ending.ACCEPTED,
    RunOutcome.REJECTED: Ending.REJECTED,
    RunOutcome.CANCELLED: Ending.CANCELLED,
    RunOutcome.SUPERSEDED: Ending.SUPERSEDED,
    RunOutcome.EXPIRED: Ending.EXPIRED,
    RunOutcome.REFUSED: Ending.POLICY_DENIED,
    RunOutcome.FAILED: Ending.FAILED,
}
_BY_CODE = {
    ReasonCode.BUDGET_DENIED: Ending.BUDGET_DENIED,
    ReasonCode.VERIFIER_INFRA: Ending.VERIFIER_INFRA,
    ReasonCode.AGENT_UNAVAILABLE: Ending.AGENT_AUTH,
    ReasonCode.POLICY_DENIED: Ending.POLICY_DENIED,
}
_OF_AGENT = {
    AgentOutcome.FAILED: Ending.AGENT_FAILED,
    AgentOutcome.TIMEOUT: Ending.AGENT_TIMEOUT,
    AgentOutcome.AUTH: Ending.AGENT_AUTH,
}
_FAILED_CHECKS = frozenset({ReasonCode.CHECK_FAILED, ReasonCode.CHECK_TIMED_OUT})


def ending(result: RunResult) -> Ending | None:
    """The run's ending; None while it is open."""
    if result.outcome is None:
        return None
    if result.outcome is RunOutcome.NO_WINNER:
        return _without_winner(result)
    by_code = _BY_CODE.get(ReasonCode(result.code)) if result.code in set(ReasonCode) else None
    # What a person decided is told as such; a code tells why a run ended that nobody decided.
    decided = result.outcome not in {RunOutcome.FAILED, RunOutcome.REFUSED}
    return _BY_OUTCOME[result.outcome] if decided or by_code is None else by_code


def ending_word(result: RunResult, said: str) -> str:
    """The ending where it says more than `said` does; empty otherwise."""
    word = ending(result)
    if word is None or word in {Ending.ACCEPTED, Ending.REJECTED} or word.replace("_", " ") == said:
        return ""
    return str(word)


def candidate_ending(candidate: CandidateResult) -> Ending | None:
    """How one candidate failed; None for one that did not, or whose reason is another."""
    if candidate.outcome in _OF_AGENT:
        return _OF_AGENT[candidate.outcome]
    failed = {reason.code for reason in candidate.reasons} & _FAILED_CHECKS
    return Ending.VERIFIED_FAIL if candidate.admissible is False and failed else None


def _without_winner(result: RunResult) -> Ending:
    """What all candidates have in common, if anything."""
    common = {candidate_ending(candidate) for candidate in result.candidates}
    (only, *others) = common or {None}
    return Ending.NO_WINNER if only is None or others else only
