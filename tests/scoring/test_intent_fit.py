from decimal import Decimal

import pytest

from execution.agents.profiles import starter_profiles
from scoring.evidence import DiffFacts, Evidence
from scoring.fit import FIT_FULL, FIT_LISTED, FIT_UNLISTED, KEYWORDS, TEXT_CHARS_MAX, Work, fit, tasks_of
from scoring.select import select


@pytest.mark.parametrize("work", [Work.CODE, Work.WORKFLOW, Work.COMPLIANCE])
def test_the_originals_keywords_route(work: Work) -> None:
    assert all(tasks_of(f"Please {word} it") == (work,) for word in KEYWORDS[work])


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("Fixes the parser", (Work.CODE,)),
        ("debugging", (Work.CODE,)),
        ("Optimised, then analysed", (Work.CODE, Work.WORKFLOW)),
        ("it is verified", (Work.COMPLIANCE,)),
        ("prefix and suffix, a codebase", ()),
        ("", ()),
    ],
)
def test_inflections_route_and_other_words_do_not(text: str, tasks: tuple[Work, ...]) -> None:
    assert tasks_of(text) == tasks


def test_the_title_decides_and_the_body_only_when_it_says_nothing() -> None:
    assert tasks_of("Fix it", "an audit report") == (Work.CODE,)
    assert tasks_of("It is broken", "an audit report") == (Work.WORKFLOW, Work.COMPLIANCE)
    assert tasks_of("", "x" * TEXT_CHARS_MAX + " fix") == ()


def test_fit_is_the_mean_over_the_tasks() -> None:
    assert fit(("code", "review"), (Work.CODE,)) == FIT_FULL
    assert fit(("tests", "review", "code"), (Work.CODE,)) == FIT_LISTED  # words that are no task are passed over
    assert fit(("review",), (Work.CODE,)) == FIT_UNLISTED
    assert fit(("code",), (Work.CODE, Work.REVIEW)) == (FIT_FULL + FIT_UNLISTED) // 2
    assert fit((), (Work.CODE,)) == FIT_LISTED
    assert fit((), ()) == fit(("review",), ()) == FIT_FULL


@pytest.mark.parametrize(
    ("intent", "winner"),
    [
        ("Implement the CSV export", "codex"),
        ("Compliance review of the payment module", "claude"),
        ("Merge the open pull requests and release 1.2", "copilot"),
        ("Generate the quarterly compliance report", "mscopilot"),
    ],
)
def test_the_originals_examples_select_as_it_says(intent: str, winner: str) -> None:
    evidence = [
        Evidence(
            agent=profile.name,
            diff=DiffFacts(paths=("a",), added=1),
            invariants=("tested",),
            execution_ms=60_000,
            ttv_ms=90_000,
            fit=fit(profile.capabilities, tasks_of(intent)),
        )
        for profile in starter_profiles().values()
        if profile.name in {"codex", "claude", "copilot", "mscopilot"}
    ]
    assert len(evidence) == 4
    made = select(evidence, profile="balanced", accept_score=Decimal(0), provable=("tested", "secure"))
    assert made.winner == winner


def test_weights_are_the_configurations_and_the_digest_knows() -> None:
    one = Evidence(agent="a", diff=DiffFacts(paths=("x",)), invariants=("tested",))
    weights = {
        "preference": Decimal(0),
        "execution": Decimal(0),
        "time_to_value": Decimal(0),
        "invariants": Decimal(1),
    }
    made = select([one], profile="balanced", accept_score=Decimal(0), provable=("tested",), weights=weights)
    usual = select([one], profile="balanced", accept_score=Decimal(0), provable=("tested",))
    assert made.ranking[0].score == "1.0000"
    assert made.profile_digest != usual.profile_digest
    with pytest.raises(ValueError, match="sum to 1"):
        select(
            [one],
            profile="balanced",
            accept_score=Decimal(0),
            provable=(),
            weights={**weights, "execution": Decimal("0.1")},
        )
    with pytest.raises(ValueError, match="no weights"):
        select([one], profile="seed-v1", accept_score=Decimal(0), provable=(), weights=weights)
