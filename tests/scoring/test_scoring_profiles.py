import hashlib
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.profiles import (
    PROFILES,
    TERMS,
    Balanced,
    Measured,
    Profile,
    SeedV1,
    profile_digest,
    profile_named,
    shown,
)

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/scoring.md").read_text(encoding="utf-8")

names = st.sampled_from(["claude", "codex", "copilot", "mscopilot", "other"])
measured = st.builds(
    Measured,
    agent=names,
    proven=st.integers(0, 8),
    provable=st.just(8),
    ttv_ms=st.integers(0, 7_200_000),
    execution_ms=st.integers(0, 3_600_000),
    fit=st.integers(0, 1000),
)
profiles = st.sampled_from(list(PROFILES.values()))


def total(profile: Profile, one: Measured) -> Decimal:
    return sum(profile.terms(one).values(), Decimal(0))


@pytest.mark.parametrize(
    ("agent", "proven", "ttv_ms", "execution_ms", "exact", "text"),
    [
        ("codex", 4, 2000, 1853, "207.294", "207.3"),
        ("claude", 3, 5000, 2134, "160.732", "160.7"),
        ("copilot", 2, 2000, 845, "127.310", "127.3"),
        ("mscopilot", 2, 3000, 1234, "121.532", "121.5"),
    ],
)
def test_seed_v1_reproduces_the_worked_example(
    agent: str, proven: int, ttv_ms: int, execution_ms: int, exact: str, text: str
) -> None:
    score = total(SeedV1(), Measured(agent, proven, 4, ttv_ms, execution_ms))
    assert score == Decimal(exact)
    assert shown(score, SeedV1()) == text


def test_seed_v1_time_terms_stop_at_zero() -> None:
    terms = SeedV1().terms(Measured("other", 1, 1, 3_600_000, 3_600_000))
    assert list(terms.values()) == [40, 0, 0, 0]


def _digits(cell: str) -> int:
    return int(re.sub(r"\D", "", cell))


def _rows(heading: str) -> list[list[str]]:
    section = DOCS.split(heading)[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return [row for row in cells if row[0] in {"codex", "claude", "copilot", "mscopilot"}]


def test_the_documented_example_of_balanced_is_what_comes_out() -> None:
    rows = _rows("## balanced")
    assert len(rows) == 3
    for agent, proven, ttv, execution, fit, *points in rows:
        terms = Balanced().terms(Measured(agent, int(proven), 4, _digits(ttv), _digits(execution), int(fit)))
        assert [f"{value:.4f}" for value in terms.values()] == points[:-1]
        assert shown(sum(terms.values(), Decimal(0)), Balanced()) == points[-1]


def test_the_documented_example_of_seed_v1_is_what_comes_out() -> None:
    rows = _rows("## seed-v1")
    assert len(rows) == 4
    for agent, proven, ttv, execution, exact, text in rows:
        score = total(SeedV1(), Measured(agent, int(proven), 4, _digits(ttv), _digits(execution)))
        assert (score, shown(score, SeedV1())) == (Decimal(exact), text)


@given(measured)
def test_balanced_stays_in_its_range_and_has_four_places(one: Measured) -> None:
    terms = Balanced().terms(one)
    assert tuple(terms) == TERMS
    assert all(0 <= points <= Balanced().weights[name] for name, points in terms.items())
    assert all(points == points.quantize(Decimal("0.0001")) for points in terms.values())
    assert 0 <= total(Balanced(), one) <= 1


@given(profiles, measured, st.integers(0, 500_000), st.integers(0, 500_000))
def test_slower_is_never_better(profile: Profile, one: Measured, later: int, longer: int) -> None:
    slower = Measured(one.agent, one.proven, one.provable, one.ttv_ms + later, one.execution_ms + longer, one.fit)
    assert total(profile, slower) <= total(profile, one)


@given(profiles, measured)
def test_one_more_proven_invariant_is_never_worse(profile: Profile, one: Measured) -> None:
    more = Measured(one.agent, one.proven + 1, one.provable + 1, one.ttv_ms, one.execution_ms, one.fit)
    fewer = Measured(one.agent, one.proven, one.provable + 1, one.ttv_ms, one.execution_ms, one.fit)
    assert total(profile, more) >= total(profile, fewer)


@given(names, st.integers(1, 20), st.integers(0, 3_600_000), st.integers(0, 3_600_000), st.data())
def test_one_more_invariant_outweighs_noise_in_timing(
    agent: str, provable: int, ttv_ms: int, execution_ms: int, data: st.DataObject
) -> None:
    proven = data.draw(st.integers(0, provable - 1))
    noise = data.draw(st.integers(0, 500))
    quick = Measured(agent, proven, provable, ttv_ms, execution_ms)
    better = Measured(agent, proven + 1, provable, ttv_ms + noise, execution_ms + noise)
    assert total(Balanced(), better) > total(Balanced(), quick)


@given(measured, st.integers(0, 1000))
def test_a_better_fit_is_never_worse(one: Measured, fit: int) -> None:
    other = Measured(one.agent, one.proven, one.provable, one.ttv_ms, one.execution_ms, fit)
    worse, better = sorted([one, other], key=lambda item: item.fit)
    assert total(Balanced(), worse) <= total(Balanced(), better)


def test_the_documented_bound_on_timing_noise_holds() -> None:
    at_once = Measured("other", 0, 1, 0, 0)
    late = Measured("other", 0, 1, 300, 300)
    assert total(Balanced(), at_once) - total(Balanced(), late) <= Decimal("0.0004")


def test_nothing_provable_gives_no_points_and_no_error() -> None:
    assert Balanced().terms(Measured("other", 0, 0, 0, 0))["invariants"] == 0


def test_broken_measurements_earn_nothing_extra() -> None:
    for profile in PROFILES.values():
        assert profile.terms(Measured("x", 1, 1, -9_000, -9_000, 5_000)) == profile.terms(Measured("x", 1, 1, 0, 0))
    assert total(Balanced(), Measured("x", 1, 1, 0, 0, -5)) == 0
    assert Balanced().terms(Measured("x", 9, 3, 0, 0))["invariants"] == Decimal("0.4")


def test_the_digest_covers_every_parameter() -> None:
    variants: list[Profile] = [
        Balanced(),
        SeedV1(),
        Balanced(ttv_half_ms=1),
        Balanced(execution_half_ms=1),
        Balanced(preferences={"claude": 1}),
        Balanced(weights=dict(zip(TERMS, map(Decimal, ("0.1", "0.2", "0.3", "0.4")), strict=True))),
        SeedV1(per_invariant=Decimal(41)),
        SeedV1(execution_per_second=Decimal(20)),
    ]
    assert len({profile_digest(variant) for variant in variants}) == len(variants)


def test_the_digest_is_sha256_of_canonical_json() -> None:
    pairs = sorted(Balanced().parameters().items())
    text = "{" + ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs) + "}"
    assert profile_digest(Balanced()) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "weights",
    [
        dict.fromkeys(TERMS, Decimal("0.3")),
        {"invariants": Decimal(1)},
        dict(zip(TERMS, map(Decimal, ("1.5", "-0.5", "0", "0")), strict=True)),
    ],
)
def test_weights_divide_one(weights: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match="weights must"):
        Balanced(weights=weights)


def test_half_times_are_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        Balanced(ttv_half_ms=0)


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="balanced, seed-v1"):
        profile_named("best")
