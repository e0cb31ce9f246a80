"""The decision: which candidate wins, and why each of the others did not.

Order of the ranking: admissible before inadmissible; among the admissible the higher score, then fewer changed lines,
then the name. The order of the input never matters, and nothing an agent claims is read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from scoring.evidence import CheckOutcome, Evidence, Reason
from scoring.profiles import INVARIANTS, Measured, Profile, profile_digest, profile_named, shown
from scoring.selection import Ranked, Selection
from scoring.stored import StoredResult

NO_ADMISSIBLE = "No admissible results from any agent"


class WhyNot(StrEnum):
    """Codes that selection itself gives to losers; the codes of violations come with the evidence."""

    LOWER_SCORE = "LOWER_SCORE"
    MORE_CHANGED_LINES = "MORE_CHANGED_LINES"
    NAME_ORDER = "NAME_ORDER"
    BELOW_ACCEPT_SCORE = "BELOW_ACCEPT_SCORE"
    NO_PATCH = "NO_PATCH"
    CHECK_FAILED = "CHECK_FAILED"
    CHECK_TIMED_OUT = "CHECK_TIMED_OUT"
    CHECK_NOT_RUN = "CHECK_NOT_RUN"
    NOT_ADMISSIBLE = "NOT_ADMISSIBLE"


_CHECK_CODES = {
    CheckOutcome.FAILED: (WhyNot.CHECK_FAILED, "failed"),
    CheckOutcome.TIMED_OUT: (WhyNot.CHECK_TIMED_OUT, "ran out of time"),
    CheckOutcome.ERROR: (WhyNot.CHECK_NOT_RUN, "could not be run"),
}


@dataclass(frozen=True)
class _Contender:
    """One candidate with its points; `against` is empty when it is admissible."""

    agent: str
    against: tuple[Reason, ...]
    changed_lines: int
    measured: Measured
    terms: dict[str, Decimal]

    @property
    def score(self) -> Decimal:
        return sum(self.terms.values(), Decimal(0))

    @property
    def place(self) -> tuple[bool, Decimal, int, str]:
        if self.against:
            return (True, Decimal(0), 0, self.agent)
        return (False, -self.score, self.changed_lines, self.agent)


def select(
    evidence: Sequence[Evidence],
    *,
    profile: str,
    accept_score: Decimal,
    provable: Sequence[str],
    weights: Mapping[str, Decimal] | None = None,
) -> Selection:
    """Decide.

    Args:
        evidence: one record per candidate, in any order.
        profile: a name in `scoring.profiles.PROFILES`.
        accept_score: the least score that may win, on the profile's own scale.
        provable: invariants that this run's checks could prove; others are not counted.
        weights: by term, instead of the profile's own; `balanced` only.

    Raises:
        ValueError: unknown profile, weights that do not fit it, or two records for one agent.
    """
    chosen = profile_named(profile, weights)
    possible = frozenset(provable)
    contenders = [_from_evidence(chosen, one, possible) for one in evidence]
    return _decide(chosen, contenders, accept_score)


def rank(results: Sequence[StoredResult], *, profile: str, accept_score: Decimal = Decimal(0)) -> Selection:
    """Rank stored results, taking what they state for what was measured: they are history, not candidates.

    Invariants named by any of the results are the denominator; the size of the changes is unknown, so ties fall to
    the name.

    Raises:
        ValueError: unknown profile, or two results for one agent.
    """
    chosen = profile_named(profile)
    possible = frozenset(name for result in results for name in result.invariants)
    contenders = [_from_stored(chosen, result, possible) for result in results]
    return _decide(chosen, contenders, accept_score)


def held_against(evidence: Evidence) -> tuple[Reason, ...]:
    """Why a candidate may not win; empty when it may.

    The recorded violations stand as they are. Without any, a missing or empty patch and a required check that did not
    pass still count: forgetting to write a violation down must not admit a candidate.
    """
    if evidence.violations:
        return evidence.violations
    if evidence.diff is None or not evidence.diff.paths:
        return (Reason(code=WhyNot.NO_PATCH, text="there is no patch to judge"),)
    return tuple(
        Reason(code=_CHECK_CODES[check.outcome][0], text=f"required check {check.id} {_CHECK_CODES[check.outcome][1]}")
        for check in evidence.checks
        if check.required and check.outcome != CheckOutcome.PASSED
    )


def _from_evidence(profile: Profile, evidence: Evidence, possible: frozenset[str]) -> _Contender:
    measured = Measured(
        agent=evidence.agent,
        proven=len(possible.intersection(evidence.invariants)),
        provable=len(possible),
        ttv_ms=evidence.ttv_ms,
        execution_ms=evidence.execution_ms,
        fit=evidence.fit,
    )
    lines = evidence.diff.changed_lines if evidence.diff else 0
    return _Contender(evidence.agent, held_against(evidence), lines, measured, profile.terms(measured))


def _from_stored(profile: Profile, result: StoredResult, possible: frozenset[str]) -> _Contender:
    measured = Measured(
        agent=result.agent,
        proven=len(set(result.invariants)),
        provable=len(possible),
        ttv_ms=result.ttv_ms or 0,
        execution_ms=result.execution_ms,
    )
    against = () if result.admissible else (Reason(code=WhyNot.NOT_ADMISSIBLE, text="stored as not admissible"),)
    return _Contender(result.agent, against, 0, measured, profile.terms(measured))


def _decide(profile: Profile, contenders: Iterable[_Contender], accept_score: Decimal) -> Selection:
    ordered = sorted(contenders, key=lambda contender: contender.place)
    _refuse_namesakes(ordered)
    best = ordered[0] if ordered and not ordered[0].against else None
    winner = best if best is not None and best.score >= accept_score else None
    return Selection(
        profile=profile.name,
        profile_digest=profile_digest(profile),
        winner=winner.agent if winner else None,
        ranking=tuple(_ranked(profile, contender, winner, accept_score) for contender in ordered),
        why=_why(profile, ordered, winner, accept_score),
    )


def _refuse_namesakes(contenders: Sequence[_Contender]) -> None:
    names = [contender.agent for contender in contenders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"an agent may be judged once per run, but there is more than one record of: {twice}")


def _ranked(profile: Profile, contender: _Contender, winner: _Contender | None, accept_score: Decimal) -> Ranked:
    if contender.against:
        return Ranked(agent=contender.agent, admissible=False, score=None, why_not=contender.against)
    return Ranked(
        agent=contender.agent,
        admissible=True,
        score=shown(contender.score, profile),
        terms={name: plain(points) for name, points in contender.terms.items()},
        why_not=tuple(_why_not(contender, winner, accept_score)) if contender is not winner else (),
    )


def _why_not(contender: _Contender, winner: _Contender | None, accept_score: Decimal) -> Iterable[Reason]:
    if winner is not None:
        yield _behind(contender, winner)
    if contender.score < accept_score:
        missing = plain(accept_score - contender.score)
        yield Reason(
            code=WhyNot.BELOW_ACCEPT_SCORE,
            text=f"scored {plain(contender.score)}, {missing} below the accept_score of {plain(accept_score)}",
        )


def _behind(loser: _Contender, winner: _Contender) -> Reason:
    if loser.score < winner.score:
        gap = f"scored {plain(loser.score)}, {plain(winner.score - loser.score)} below {winner.agent}"
        return Reason(code=WhyNot.LOWER_SCORE, text=f"{gap}; {_largest_gap(winner, loser)}")
    tie = f"same score as {winner.agent} ({plain(winner.score)})"
    if loser.changed_lines > winner.changed_lines:
        size = f"it changes {loser.changed_lines} lines, {winner.agent} {winner.changed_lines}"
        return Reason(code=WhyNot.MORE_CHANGED_LINES, text=f"{tie}; {size}")
    return Reason(code=WhyNot.NAME_ORDER, text=f"{tie} and as many changed lines; {winner.agent} comes first by name")


def _largest_gap(ahead: _Contender, behind: _Contender) -> str:
    gaps = {name: points - behind.terms[name] for name, points in ahead.terms.items()}
    term = max(gaps, key=lambda name: gaps[name])
    return f"most of it from {term.replace('_', ' ')} ({plain(gaps[term])})"


def _why(
    profile: Profile, ordered: Sequence[_Contender], winner: _Contender | None, accept_score: Decimal
) -> tuple[str, ...]:
    if winner is None:
        return (_why_nobody(ordered, accept_score),)
    rivals = [contender for contender in ordered if not contender.against and contender is not winner]
    return (_standing(profile, winner), _lead(winner, rivals))


def _why_nobody(ordered: Sequence[_Contender], accept_score: Decimal) -> str:
    if not ordered or ordered[0].against:
        return NO_ADMISSIBLE
    best = ordered[0]
    return f"no score reached the accept_score of {plain(accept_score)}; the best is {best.agent} {plain(best.score)}"


def _standing(profile: Profile, winner: _Contender) -> str:
    proven = f"{winner.measured.proven} of {winner.measured.provable} provable invariants hold"
    points = plain(winner.terms[INVARIANTS])
    return f"{winner.agent} scored {shown(winner.score, profile)} ({profile.name}): {proven} ({points})"


def _lead(winner: _Contender, rivals: Sequence[_Contender]) -> str:
    if not rivals:
        return "no other candidate was admissible"
    second = rivals[0]
    if second.score < winner.score:
        return f"{plain(winner.score - second.score)} ahead of {second.agent}; {_largest_gap(winner, second)}"
    if second.changed_lines > winner.changed_lines:
        lines = f"{winner.changed_lines} changed lines against {second.changed_lines}"
        return f"same score as {second.agent}; chosen for the smaller change, {lines}"
    return f"same score and size of change as {second.agent}; chosen by name"


def plain(value: Decimal) -> str:
    """A decimal without exponent and without needless zeros: `160`, `16.294`, `0.1234`."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
