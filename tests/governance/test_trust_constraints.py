import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.codes import ReasonCode, RefusedError
from governance.globs import covers, matches
from governance.trust.constraints import KINDS, Constraint
from governance.trust.envelope import Envelope

WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(tuple)
SEGMENTS = st.sampled_from(["a", "b", "*", "**", "a*", "?", "ab"])
GLOBS = st.lists(st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join), max_size=2).map(tuple)
NUMBERS = st.integers(-3, 3)
VALUES = {
    "maximum": NUMBERS,
    "minimum": NUMBERS,
    "budget": NUMBERS,
    "allowed": WORDS,
    "forbidden": WORDS,
    "paths": GLOBS,
    "window": st.tuples(NUMBERS, NUMBERS),
    "required": st.booleans(),
}
PATHS = st.lists(st.lists(st.sampled_from(["a", "b", "ab", "c"]), min_size=1, max_size=3).map("/".join), max_size=2)
FACTS = {
    "maximum": NUMBERS,
    "minimum": NUMBERS,
    "budget": NUMBERS,
    "allowed": WORDS,
    "forbidden": WORDS,
    "paths": PATHS.map(tuple),
    "window": NUMBERS,
    "required": st.booleans(),
}
CONSTRAINTS = st.sampled_from(sorted(VALUES)).flatmap(
    lambda kind: st.tuples(*[VALUES[kind].map(lambda value: Constraint(type=kind, value=value))] * 3)
)
ENVELOPES = st.dictionaries(
    st.sampled_from(["x", "y"]),
    st.sampled_from(sorted(VALUES)).flatmap(lambda k: VALUES[k].map(lambda v: Constraint(type=k, value=v))),
).map(lambda constraints: Envelope(constraints=constraints))


def one(constraint: Constraint) -> Envelope:
    return Envelope(constraints={"x": constraint})


def admits(envelope: Envelope, fact: object, now_ms: int) -> bool:
    try:
        envelope.require({"x": fact}, now_ms)  # type: ignore[dict-item]
    except RefusedError:
        return False
    return True


def test_every_type_is_exercised_here() -> None:
    assert set(VALUES) == set(FACTS) == set(KINDS)


@given(CONSTRAINTS)
def test_tighter_is_a_partial_order(three: tuple[Constraint, Constraint, Constraint]) -> None:
    a, b, c = map(one, three)
    assert a.is_tighter(a)
    if a.is_tighter(b) and b.is_tighter(c):
        assert a.is_tighter(c)


@settings(max_examples=200)
@given(CONSTRAINTS, st.data())
def test_tighter_allows_no_more_and_mutually_tighter_allows_the_same(
    three: tuple[Constraint, Constraint, Constraint], data: st.DataObject
) -> None:
    a, b, _ = map(one, three)
    fact = data.draw(FACTS[three[0].type])
    now_ms = data.draw(NUMBERS)
    allowed = admits(a, fact, now_ms), admits(b, fact, now_ms)
    if a.is_tighter(b):
        assert allowed[1] or not allowed[0]
        if b.is_tighter(a):
            assert allowed[0] == allowed[1]


@given(CONSTRAINTS, st.data())
def test_what_two_allow_together_is_tighter_than_either(
    three: tuple[Constraint, Constraint, Constraint], data: st.DataObject
) -> None:
    a, b, _ = map(one, three)
    met = a.meet(b)
    assert met.is_tighter(a)
    assert met.is_tighter(b)
    fact, now_ms = data.draw(FACTS[three[0].type]), data.draw(NUMBERS)
    if three[0].type != "paths":  # two globs that overlap have no glob for what they share: then less is allowed
        assert admits(met, fact, now_ms) == (admits(a, fact, now_ms) and admits(b, fact, now_ms))


@given(ENVELOPES, ENVELOPES, ENVELOPES)
def test_envelopes_are_ordered_and_a_missing_name_is_looser(a: Envelope, b: Envelope, c: Envelope) -> None:
    assert a.is_tighter(a)
    assert a.is_tighter(Envelope())
    if a.is_tighter(b) and b.is_tighter(c):
        assert a.is_tighter(c)
    if set(b.constraints) - set(a.constraints):
        assert not a.is_tighter(b)


@given(ENVELOPES, ENVELOPES)
def test_tightening_only_tightens(a: Envelope, b: Envelope) -> None:
    met = all(
        one(b.constraints[name]).is_tighter(one(limit))
        for name, limit in a.constraints.items()
        if name in b.constraints
    )
    if met:
        assert a.tighten(b.constraints).is_tighter(a)
    else:
        with pytest.raises(RefusedError, match="TRUST_WIDER"):
            a.tighten(b.constraints)


@settings(max_examples=200)
@given(GLOBS, GLOBS, PATHS)
def test_containment_of_globs_is_sound(outer: tuple[str, ...], inner: tuple[str, ...], paths: list[str]) -> None:
    for wide in outer:
        for narrow in inner:
            if covers(wide, narrow):
                assert all(matches(wide, path) for path in paths if matches(narrow, path))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("maximum", True),
        ("budget", ("a",)),
        ("allowed", 3),
        ("forbidden", (1, 2)),
        ("paths", ("../up",)),
        ("paths", ("/root",)),
        ("window", 5),
        ("required", 1),
        ("max_cost", 5),
    ],
)
def test_what_cannot_be_understood_compares_with_nothing_and_allows_nothing(kind: str, value: object) -> None:
    strange = one(Constraint(type=kind, value=value))  # type: ignore[arg-type]
    assert not strange.is_tighter(strange)
    assert not strange.is_tighter(Envelope())
    assert not Envelope().is_tighter(strange)
    assert not admits(strange, value, 0)


@pytest.mark.parametrize(
    ("kind", "value", "fact"),
    [
        ("maximum", 5, "3"),
        ("maximum", 5, True),
        ("allowed", ("a",), 1),
        ("forbidden", ("a",), None),
        ("paths", ("**",), "../x"),
        ("paths", ("**",), 1),
        ("required", True, 1),
    ],
)
def test_a_fact_of_another_shape_is_not_allowed(kind: str, value: object, fact: object) -> None:
    assert not admits(one(Constraint(type=kind, value=value)), fact, 0)  # type: ignore[arg-type]


def test_two_types_under_one_name_meet_nowhere() -> None:
    a, b = one(Constraint(type="maximum", value=1)), one(Constraint(type="budget", value=1))
    with pytest.raises(RefusedError) as caught:
        a.meet(b)
    assert caught.value.code is ReasonCode.TRUST_CONSTRAINT_UNKNOWN
    assert not a.is_tighter(b)
