"""What is recorded or shown word for word, and every bound, by its value: changing one is a change of format.

A recorded decision names its rule by digest, so a parameter that moves unnoticed would make old records mean something
else.
"""

import hashlib
import json
from decimal import Decimal
from enum import StrEnum

import pytest
from pydantic import ValidationError

from scoring import fit, stored
from scoring.evidence import (
    CheckForm,
    CheckOutcome,
    CheckResult,
    CrossOutcome,
    CrossVote,
    DiffFacts,
    Evidence,
    ReportCounts,
)
from scoring.profiles import Balanced, Measured, SeedV1, profile_digest, shown
from scoring.select import WhyNot, held_against, plain, rank, select
from scoring.selection import Selection
from scoring.stored import StoredError, parse_results


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (CheckForm, ["candidate", "base_tests"]),
        (CheckOutcome, ["passed", "failed", "timed_out", "error"]),
        (CrossOutcome, ["passed", "failed", "timed_out", "not_run"]),
        (
            WhyNot,
            [
                *("LOWER_SCORE", "MORE_CHANGED_LINES", "NAME_ORDER", "BELOW_ACCEPT_SCORE", "NO_PATCH", "CHECK_FAILED"),
                *("CHECK_TIMED_OUT", "CHECK_NOT_RUN", "NOT_ADMISSIBLE"),
            ],
        ),
    ],
)
def test_words_that_are_recorded(words: type[StrEnum], values: list[str]) -> None:
    assert [word.value for word in words] == values


def test_what_evidence_says_when_nothing_was_measured() -> None:
    bare = Evidence(agent="a")
    assert (bare.execution_ms, bare.ttv_ms, bare.cost_microusd, bare.fit) == (0, 0, 0, 1000)
    assert (ReportCounts().tests, ReportCounts().failures, ReportCounts().errors, ReportCounts().skipped) == (
        0,
        0,
        0,
        0,
    )
    assert (DiffFacts().added, DiffFacts().deleted) == (0, 0)
    assert (
        CheckResult(id="t", form=CheckForm.CANDIDATE, outcome=CheckOutcome.PASSED, exit_code=0, duration_ms=1).required
        is True
    )
    assert CrossVote(voter="a", target="b", check="t", outcome=CrossOutcome.PASSED).duration_ms == 0
    with pytest.raises(ValidationError):
        bare.fit = 1  # type: ignore[misc]


def test_the_parameters_of_balanced_and_their_digest() -> None:
    parameters = Balanced().parameters()
    assert parameters == {
        "profile": "balanced",
        "ttv_half_ms": "600000",
        "execution_half_ms": "300000",
        "preference_max": "10",
        "places": "4",
        "weight.invariants": "0.4",
        "weight.time_to_value": "0.3",
        "weight.execution": "0.2",
        "weight.preference": "0.1",
        "preference.claude": "10",
        "preference.codex": "7",
        "preference.copilot": "5",
        "preference.mscopilot": "3",
    }
    canonical = json.dumps(parameters, sort_keys=True, separators=(",", ":")).encode()
    assert profile_digest(Balanced()) == hashlib.sha256(canonical).hexdigest()


def test_the_parameters_of_seed_v1_and_their_digest() -> None:
    parameters = SeedV1().parameters()
    assert {name: value for name, value in parameters.items() if not name.startswith("preference.")} == {
        "profile": "seed-v1",
        "per_invariant": "40",
        "ttv_full": "30",
        "ttv_per_second": "3",
        "execution_full": "20",
        "execution_per_second": "2",
        "time_terms_floor": "0",
    }
    canonical = json.dumps(parameters, sort_keys=True, separators=(",", ":")).encode()
    assert profile_digest(SeedV1()) == hashlib.sha256(canonical).hexdigest()


def test_half_values_are_positive() -> None:
    assert (Balanced(ttv_half_ms=1).ttv_half_ms, Balanced(execution_half_ms=1).execution_half_ms) == (1, 1)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="positive milliseconds"):
            Balanced(ttv_half_ms=wrong)
        with pytest.raises(ValueError, match="positive milliseconds"):
            Balanced(execution_half_ms=wrong)


def test_an_agent_that_nobody_prefers_gets_nothing_for_its_name() -> None:
    assert Balanced().terms(Measured("stranger", 1, 1, 0, 0))["preference"] == 0
    assert SeedV1().terms(Measured("stranger", 1, 1, 0, 0))["preference"] == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [("160", "160"), ("16.2940", "16.294"), ("100.0", "100"), ("0.0", "0"), ("10.10", "10.1"), ("1E+2", "100")],
)
def test_numbers_are_plain(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


def test_scores_are_rounded_half_away_from_zero() -> None:
    assert [shown(Decimal(text), SeedV1()) for text in ("0.05", "0.15", "0.249")] == ["0.1", "0.2", "0.2"]
    assert shown(Decimal("0.00005"), Balanced()) == "0.0001"


def test_bounds_of_stored_results() -> None:
    assert (stored.STORED_BYTES_MAX, stored.RESULTS_MAX, stored.INTEGER_LIMIT) == (
        10_485_760,
        1000,
        9_007_199_254_740_992,
    )
    assert (stored.INVARIANTS_MAX, stored.RECORD_VERSION) == (100, 1)
    assert (fit.FIT_FULL, fit.FIT_LISTED, fit.FIT_UNLISTED, fit.TEXT_CHARS_MAX) == (1000, 900, 500, 20_000)


def result(**changes: object) -> dict[str, object]:
    fields = {"agent": "a", "output": {}, "admissible": True, "ttvEstimate": 0, "invariants": [], "executionTime": 0}
    return {**fields, "hash": "0" * 64, "timestamp": 0, **changes}


def test_stored_results_hold_up_to_their_bounds_and_no_further() -> None:
    many = [result(agent=f"a{number}") for number in range(stored.RESULTS_MAX)]
    assert len(parse_results(json.dumps(many).encode())) == 1000
    with pytest.raises(StoredError, match="1001 results"):
        parse_results(json.dumps([*many, result(agent="one-more")]).encode())
    exact = json.dumps(result()).encode()
    assert parse_results(exact.ljust(stored.STORED_BYTES_MAX))
    with pytest.raises(StoredError, match="at most 10485760 are read"):
        parse_results(exact.ljust(stored.STORED_BYTES_MAX + 1))
    names = [f"i{number}" for number in range(101)]
    assert parse_results(json.dumps(result(invariants=names[:100])).encode())
    with pytest.raises(StoredError, match="at most 100 names"):
        parse_results(json.dumps(result(invariants=names)).encode())
    assert parse_results(json.dumps(result(ttvEstimate=2**53 - 1)).encode())[0].ttv_ms == 2**53 - 1
    with pytest.raises(StoredError, match="from 0 to 9007199254740991"):
        parse_results(json.dumps(result(ttvEstimate=2**53)).encode())


def test_a_record_of_our_own_may_hold_more_and_only_with_its_version() -> None:
    assert parse_results(json.dumps(result(version=1, evidence={})).encode())
    others: list[dict[str, object]] = [{"version": 2, "evidence": {}}, {"evidence": {}}, {"versionX": 1}]
    for other in others:
        with pytest.raises(StoredError, match="is not a field of a result"):
            parse_results(json.dumps(result(**other)).encode())
    with pytest.raises(StoredError, match=r"agent: must be a string .*, is null"):
        parse_results(json.dumps(result(agent=None)).encode())


@pytest.mark.parametrize(
    ("outcome", "code", "text"),
    [
        (CheckOutcome.FAILED, "CHECK_FAILED", "required check t failed"),
        (CheckOutcome.TIMED_OUT, "CHECK_TIMED_OUT", "required check t ran out of time"),
        (CheckOutcome.ERROR, "CHECK_NOT_RUN", "required check t could not be run"),
    ],
)
def test_what_is_held_against_a_candidate(outcome: CheckOutcome, code: str, text: str) -> None:
    check = CheckResult(id="t", form=CheckForm.CANDIDATE, outcome=outcome, exit_code=None, duration_ms=1)
    (reason,) = held_against(Evidence(agent="a", diff=DiffFacts(paths=("x",)), checks=(check,)))
    assert (reason.code, reason.text) == (code, text)


def test_who_reaches_the_least_score_exactly_has_reached_it() -> None:
    evidence = [
        Evidence(agent=name, diff=DiffFacts(paths=("x",), added=1), invariants=("tested",), ttv_ms=ttv)
        for name, ttv in (("one", 0), ("two", 600_000))
    ]

    def judge(accept_score: Decimal) -> Selection:
        return select(evidence, profile="balanced", accept_score=accept_score, provable=["tested"])

    scores = {row.agent: Decimal(row.score or "") for row in judge(Decimal(0)).ranking}
    judged = judge(scores["two"])
    codes = {row.agent: [reason.code for reason in row.why_not] for row in judged.ranking}
    assert (judged.winner, codes) == ("one", {"one": [], "two": ["LOWER_SCORE"]})
    stricter = judge(scores["two"] + Decimal("0.0001"))
    assert [reason.code for reason in stricter.ranking[1].why_not] == ["LOWER_SCORE", "BELOW_ACCEPT_SCORE"]


def test_stored_results_are_ranked_without_sizes() -> None:
    same = [result(agent=name, ttvEstimate=1000) for name in ("beta", "alpha")]
    judged = rank(parse_results(json.dumps([*same, result(agent="no", admissible=False)]).encode()), profile="balanced")
    assert [row.agent for row in judged.ranking] == ["alpha", "beta", "no"]
    assert judged.ranking[1].why_not[0].text.endswith("and as many changed lines; alpha comes first by name")
    assert (judged.ranking[2].why_not[0].code, judged.ranking[2].score) == ("NOT_ADMISSIBLE", None)


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("refactor", "code"),
        ("implement", "code"),
        ("optimize", "code"),
        ("optimise", "code"),
        ("generate", "workflow"),
        ("orchestrate", "workflow"),
        ("analyze", "workflow"),
        ("analyse", "workflow"),
        ("compliance", "compliance"),
        ("validate", "compliance"),
        ("review", "review"),
        ("merge", "release"),
        ("release", "release"),
    ],
)
def test_each_keyword_is_the_word_it_is(text: str, task: str) -> None:
    assert fit.tasks_of(f"please {text} this") == (task,)
