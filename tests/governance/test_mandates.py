from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from governance.gates import input_gate
from governance.graph import race
from governance.intent import Intent
from governance.mandate import Mandate, issue, lane_violations, narrow, root_mandate, side_channels
from governance.reasons import ReasonCode, RefusedError

LIMITS = {"budget_microusd": 100, "tokens": 100, "steps": 100, "deadline_ms": 100}
A = "a" * 64
B = "b" * 64


def parent() -> Mandate:
    return Mandate(
        id="Sub-PAC-run-A1",
        run="run",
        node="A1",
        attempt=1,
        agent="codex",
        parent=A,
        capabilities=("repo.read", "repo.write"),
        paths=("src/**",),
        inputs={"base": A, "intent": B},
        **LIMITS,
    )


@pytest.mark.covers("F3.06", "F3.12", "F3.13", "F3.14")
def test_issue_gives_every_agent_node_a_mandate_under_the_root(intent: Intent) -> None:
    graph = race("run", ["codex", "claude"])
    mandates = issue(graph, intent, paths=["src/**"], inputs={"base": A}, **LIMITS)
    root = root_mandate(graph, intent, paths=["src/**"], inputs={"base": A}, limits=LIMITS)
    assert [(mandate.id, mandate.agent) for mandate in mandates] == [
        ("Sub-PAC-run-A1", "codex"),
        ("Sub-PAC-run-A2", "claude"),
    ]
    assert {mandate.parent for mandate in mandates} == {root.digest}
    assert root.parent == intent.digest
    assert root.inputs["graph"] == graph.digest
    assert mandates[0].inputs == {"base": A}
    assert len({mandate.digest for mandate in mandates}) == 2


def test_the_intent_is_bound_through_the_parent(intent: Intent) -> None:
    graph = race("run", ["codex"])
    other = intent.model_copy(update={"title": "Something else"})
    first, second = (issue(graph, one, paths=["**"], inputs={}, **LIMITS)[0] for one in (intent, other))
    assert first.parent != second.parent


@pytest.mark.covers("F3.16")
def test_narrow_tightens_and_binds_to_its_parent() -> None:
    child = narrow(parent(), node="B1", agent="claude", paths=("src/a/*.py",), tokens=7, inputs={"base": A})
    assert child.id == "Sub-PAC-run-B1"
    assert (child.paths, child.tokens, child.steps, child.inputs) == (("src/a/*.py",), 7, 100, {"base": A})
    assert child.parent == parent().digest


def test_what_is_omitted_stays_and_what_is_emptied_allows_nothing() -> None:
    child = narrow(parent(), paths=(), capabilities=())
    assert child.inputs == parent().inputs
    assert lane_violations(child, ["src/a.py"]) != ()
    assert child.capabilities == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"capabilities": ("repo.read", "github.write")},
        {"capabilities": "repo.read"},
        {"paths": ("**",)},
        {"paths": ("src/a", "lib/**")},
        {"paths": ("src/../../etc",)},
        {"paths": "**"},
        {"inputs": {"base": B}},
        {"inputs": {"secret": A}},
        {"inputs": [("base", A)]},
        {"budget_microusd": 101},
        {"tokens": 101},
        {"steps": 101},
        {"deadline_ms": 101},
        {"deadline_ms": -1},
        {"tokens": True},
        {"tokens": "7"},
        {"tokens": 7.5},
        {"tokens": None},
        {"run": "other"},
        {"id": "Sub-PAC-run-A9"},
        {"parent": B},
        {"constraints": {"tokens": 1_000_000}},
        {"additional_constraints": ()},
        {"tools": ()},
    ],
)
@pytest.mark.covers("F3.18", "F3.46")
def test_gs_201_whatever_argument_carries_the_loosening(changes: dict[str, object]) -> None:
    with pytest.raises(RefusedError) as caught:
        narrow(parent(), **changes)
    assert caught.value.code == ReasonCode.GS_201
    assert f"`{next(iter(changes))}`" in caught.value.text


narrowings = st.fixed_dictionaries(
    {},
    optional={
        "capabilities": st.lists(st.sampled_from(["repo.read", "repo.write", "github.write"]), unique=True).map(tuple),
        "paths": st.lists(st.sampled_from(["src/**", "src/*", "src/a.py", "**", "lib/*"])).map(tuple),
        "inputs": st.dictionaries(st.sampled_from(["base", "intent", "x"]), st.sampled_from([A, B])),
        "budget_microusd": st.integers(-5, 150),
        "tokens": st.integers(-5, 150),
        "steps": st.integers(-5, 150),
        "deadline_ms": st.integers(-5, 150),
    },
)


@given(st.lists(narrowings, min_size=1, max_size=4))
def test_no_sequence_of_narrowings_gains_anything(steps: list[dict[str, Any]]) -> None:
    mandate = first = parent()
    for changes in steps:
        try:
            mandate = narrow(mandate, **changes)
        except RefusedError:
            continue
    assert set(mandate.capabilities) <= set(first.capabilities)
    assert mandate.inputs.items() <= first.inputs.items()
    for name in LIMITS:
        assert 0 <= getattr(mandate, name) <= getattr(first, name)
    for path in ("lib/x", "a.py", "srcs/a"):
        assert lane_violations(mandate, [path])


@pytest.mark.covers("F3.17", "F3.45")
def test_gs_200_lane_is_measured_from_paths() -> None:
    assert lane_violations(parent(), ["src/a.py", "src/b/c.py"]) == ()
    assert lane_violations(parent(), ["src/a.py", "ci/\nx", "../src/a.py"]) == (
        "'ci/\\nx' is outside the lane of Sub-PAC-run-A1",
        "'../src/a.py' is outside the lane of Sub-PAC-run-A1",
    )


def test_many_lane_violations_are_counted() -> None:
    found = lane_violations(parent(), [f"x{number}" for number in range(50)])
    assert len(found) == 21
    assert found[-1].startswith("30 more paths")


@pytest.mark.covers("F3.52")
def test_gs_207_inputs_beyond_the_manifest() -> None:
    assert side_channels(parent(), {"base": A}) == ()
    assert len(side_channels(parent(), {"base": B, "notes": A, "intent": B})) == 2
    input_gate(parent(), {"base": A, "intent": B})
    with pytest.raises(RefusedError, match="notes") as caught:
        input_gate(parent(), {"notes": A})
    assert caught.value.code == ReasonCode.GS_207


@pytest.mark.parametrize(
    "changes",
    [{"id": "Sub-PAC-run-A2"}, {"attempt": 0}, {"tokens": 2**53}, {"parent": "x"}, {"extra": 1}, {"steps": "7"}],
)
def test_a_mandate_is_strict(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Mandate.model_validate(parent().model_dump() | changes)


def test_records_are_frozen_and_survive_json(intent: Intent) -> None:
    with pytest.raises(ValidationError):
        parent().tokens = 9  # type: ignore[misc]
    assert Mandate.model_validate_json(parent().model_dump_json()).digest == parent().digest
    assert Intent.model_validate_json(intent.model_dump_json()).digest == intent.digest


def test_an_intent_names_a_directory_and_nothing_above_it(intent: Intent) -> None:
    for workflow in ("../../x", "a/b", "", ".hidden", "x\n"):
        with pytest.raises(ValidationError):
            Intent.model_validate(intent.model_dump() | {"workflow": workflow})
