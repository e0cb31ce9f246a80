from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.evidence import CheckForm, CheckOutcome, CheckResult, DiffFacts, Evidence, Reason
from scoring.select import NO_ADMISSIBLE, WhyNot, held_against, plain, rank, select
from scoring.selection import Ranked, Selection
from scoring.stored import StoredResult, parse_results

ROOT = Path(__file__).parents[2]
PROVABLE = ("tested", "type_safe", "documented", "secure")


def evidence(agent: str, **changes: Any) -> Evidence:
    fields: dict[str, Any] = {
        "agent": agent,
        "diff": DiffFacts(paths=("src/app.py",), added=10, deleted=2),
        "invariants": ("tested", "type_safe"),
        "execution_ms": 60_000,
        "ttv_ms": 90_000,
    }
    return Evidence(**(fields | changes))


def check(outcome: CheckOutcome, *, required: bool = True) -> CheckResult:
    return CheckResult(
        id="tests", form=CheckForm.BASE_TESTS, outcome=outcome, exit_code=1, duration_ms=5, required=required
    )


def decide(*records: Evidence, profile: str = "balanced", accept: str = "0") -> Selection:
    return select(records, profile=profile, accept_score=Decimal(accept), provable=PROVABLE)


def place(selection: Selection, agent: str) -> Ranked:
    return next(ranked for ranked in selection.ranking if ranked.agent == agent)


def codes(ranked: Ranked) -> list[str]:
    return [reason.code for reason in ranked.why_not]


def test_the_higher_score_wins_and_the_loser_learns_by_how_much() -> None:
    decided = decide(evidence("codex", invariants=PROVABLE), evidence("claude"))
    assert decided.winner == "codex"
    loser = place(decided, "claude")
    assert codes(loser) == [WhyNot.LOWER_SCORE]
    assert loser.why_not[0].text == "scored 0.7276, 0.17 below codex; most of it from invariants (0.2)"
    assert place(decided, "codex").why_not == ()
    assert decided.why == (
        "codex scored 0.8976 (balanced): 4 of 4 provable invariants hold (0.4)",
        "0.17 ahead of claude; most of it from invariants (0.2)",
    )


def test_the_smaller_change_wins_a_tie() -> None:
    small = DiffFacts(paths=("a",), added=3)
    decided = decide(evidence("alpha"), evidence("beta", diff=small))
    assert decided.winner == "beta"
    assert codes(place(decided, "alpha")) == [WhyNot.MORE_CHANGED_LINES]
    assert "12 lines, beta 3" in place(decided, "alpha").why_not[0].text
    assert "chosen for the smaller change, 3 changed lines against 12" in decided.why[1]


def test_the_name_decides_the_last_tie() -> None:
    decided = decide(evidence("beta"), evidence("alpha"))
    assert decided.winner == "alpha"
    assert codes(place(decided, "beta")) == [WhyNot.NAME_ORDER]
    assert "chosen by name" in decided.why[1]


def test_the_only_admissible_candidate_says_so() -> None:
    decided = decide(evidence("codex"), evidence("claude", diff=None))
    assert decided.why[1] == "no other candidate was admissible"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"violations": (Reason(code="GS_200", text="outside"),)}, "GS_200"),
        ({"diff": None}, "NO_PATCH"),
        ({"diff": DiffFacts()}, "NO_PATCH"),
        ({"checks": (check(CheckOutcome.FAILED),)}, "CHECK_FAILED"),
        ({"checks": (check(CheckOutcome.TIMED_OUT),)}, "CHECK_TIMED_OUT"),
        ({"checks": (check(CheckOutcome.ERROR),)}, "CHECK_NOT_RUN"),
    ],
)
def test_the_inadmissible_never_win_however_good_they_look(changes: dict[str, Any], code: str) -> None:
    hopeful = evidence("claude", invariants=PROVABLE, execution_ms=0, ttv_ms=0, **changes)
    decided = decide(hopeful, evidence("slow", invariants=(), ttv_ms=10**9, execution_ms=10**9))
    assert decided.winner == "slow"
    ranked = place(decided, "claude")
    assert (ranked.admissible, ranked.score, ranked.terms, codes(ranked)) == (False, None, {}, [code])
    assert decided.ranking[-1] == ranked


def test_an_optional_check_may_fail() -> None:
    record = evidence("codex", checks=(check(CheckOutcome.FAILED, required=False), check(CheckOutcome.PASSED)))
    assert held_against(record) == ()
    assert decide(record).winner == "codex"


def test_recorded_violations_stand_as_they_are() -> None:
    found = (Reason(code="CHECK_FAILED", text="tests fail"),)
    assert held_against(evidence("codex", violations=found, checks=(check(CheckOutcome.FAILED),))) == found


@pytest.mark.parametrize("records", [(), (evidence("b", diff=None), evidence("a", diff=None))])
def test_nobody_admissible_nobody_wins(records: tuple[Evidence, ...]) -> None:
    decided = decide(*records)
    assert (decided.winner, decided.why) == (None, (NO_ADMISSIBLE,))
    assert [ranked.agent for ranked in decided.ranking] == sorted(record.agent for record in records)


def test_below_accept_score_nobody_wins_and_everybody_knows_what_was_missing() -> None:
    decided = decide(evidence("codex"), evidence("claude", invariants=()), accept="0.75")
    assert decided.winner is None
    assert decided.why == ("no score reached the accept_score of 0.75; the best is codex 0.6976",)
    best = place(decided, "codex")
    assert codes(best) == [WhyNot.BELOW_ACCEPT_SCORE]
    assert best.why_not[0].text == "scored 0.6976, 0.0524 below the accept_score of 0.75"
    assert best.admissible


def test_a_loser_may_be_both_behind_and_below() -> None:
    decided = decide(evidence("codex", invariants=PROVABLE), evidence("claude", invariants=()), accept="0.6")
    assert decided.winner == "codex"
    assert codes(place(decided, "claude")) == [WhyNot.LOWER_SCORE, WhyNot.BELOW_ACCEPT_SCORE]


def test_reaching_accept_score_exactly_is_enough() -> None:
    assert decide(evidence("codex"), accept="0.6976").winner == "codex"


def test_only_provable_invariants_count_and_each_once() -> None:
    plain_record = evidence("codex", invariants=("tested",))
    padded = evidence("codex", invariants=("tested", "tested", *(f"invented-{number}" for number in range(50))))
    for profile in ("balanced", "seed-v1"):
        assert decide(padded, profile=profile).ranking == decide(plain_record, profile=profile).ranking


def test_one_agent_is_judged_once() -> None:
    with pytest.raises(ValueError, match="codex"):
        decide(evidence("codex"), evidence("codex"))


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="no scoring profile"):
        decide(evidence("codex"), profile="best")


invariants = st.lists(st.sampled_from(PROVABLE), unique=True).map(tuple)
records = st.lists(
    st.builds(
        evidence,
        st.sampled_from(["claude", "codex", "copilot", "mscopilot", "one", "two"]),
        invariants=invariants,
        ttv_ms=st.integers(0, 600_000),
        execution_ms=st.integers(0, 600_000),
        fit=st.integers(0, 1000),
        diff=st.none() | st.builds(DiffFacts, paths=st.just(("a",)), added=st.integers(0, 3)),
        violations=st.sampled_from([(), (Reason(code="GS_200", text="outside"),)]),
    ),
    max_size=6,
    unique_by=lambda record: record.agent,
)
profiles = st.sampled_from(["balanced", "seed-v1"])


@given(records, profiles, st.randoms(use_true_random=False))
def test_the_order_of_arrival_never_matters(found: list[Evidence], profile: str, random: Any) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert decide(*shuffled, profile=profile) == decide(*found, profile=profile)


@given(records, profiles, st.lists(st.text(), max_size=50).map(tuple))
def test_claims_gain_nothing(found: list[Evidence], profile: str, claimed: tuple[str, ...]) -> None:
    boasting = [record.model_copy(update={"claimed": claimed}) for record in found]
    assert decide(*boasting, profile=profile) == decide(*found, profile=profile)


@given(records, profiles)
def test_every_decision_explains_itself(found: list[Evidence], profile: str) -> None:
    decided = decide(*found, profile=profile)
    assert (decided.winner is None) == (not any(record.admissible for record in found))
    assert decided.why
    for ranked in decided.ranking:
        assert bool(ranked.why_not) == (ranked.agent != decided.winner)
    admissible = [ranked for ranked in decided.ranking if ranked.admissible]
    assert list(decided.ranking[: len(admissible)]) == admissible
    exact = [sum(Decimal(points) for points in ranked.terms.values()) for ranked in admissible]
    assert exact == sorted(exact, reverse=True)


@given(records, profiles)
def test_a_loser_that_leaves_changes_no_winner(found: list[Evidence], profile: str) -> None:
    decided = decide(*found, profile=profile)
    for record in found:
        if record.agent != decided.winner:
            remaining = [other for other in found if other is not record]
            assert decide(*remaining, profile=profile).winner == decided.winner


def stored() -> tuple[StoredResult, ...]:
    return parse_results((ROOT / "examples/seed-results.json").read_bytes())


def test_the_shipped_results_rank_as_the_original_says() -> None:
    decided = rank(stored(), profile="seed-v1")
    assert decided.winner == "codex"
    assert [(ranked.agent, ranked.score) for ranked in decided.ranking] == [
        ("codex", "207.3"),
        ("claude", "160.7"),
        ("copilot", "127.3"),
        ("mscopilot", "121.5"),
    ]
    sums = [sum(Decimal(points) for points in ranked.terms.values()) for ranked in decided.ranking]
    assert sums == [Decimal(text) for text in ("207.294", "160.732", "127.310", "121.532")]


def test_stored_results_rank_under_balanced_too() -> None:
    decided = rank(stored(), profile="balanced")
    assert decided.winner == "codex"
    assert "4 of 11 provable" in decided.why[0]


def test_a_stored_result_that_is_not_admissible_never_wins() -> None:
    changed = [result.model_copy(update={"admissible": result.agent == "mscopilot"}) for result in stored()]
    decided = rank(changed, profile="seed-v1")
    assert decided.winner == "mscopilot"
    assert codes(place(decided, "codex")) == [WhyNot.NOT_ADMISSIBLE]


@pytest.mark.parametrize(
    ("value", "text"), [("160", "160"), ("16.2940", "16.294"), ("0.0000", "0"), ("1E+2", "100"), ("-0.50", "-0.5")]
)
def test_plain_decimals(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text
