"""The graphs that patterns compile to, as they were once, in `golden/`: their digests stand in ledgers and in mandates.

A change of these files is a change of what agents are told and in which order, for every workflow of that pattern;
`python -m tests.governance.test_pattern_golden` writes them anew.
"""

import json
from pathlib import Path

import pytest

from governance.codes import ReasonCode, RefusedError
from governance.patterns import PATTERNS, Cast, compile_pattern
from governance.svg import svg
from tests.governance.test_patterns import CASTS, graph

GOLDEN = Path(__file__).parent / "golden"
DRAWN = ("debate", "race", "router")
MORE = {
    "plan_pipeline_alone": (
        "plan_pipeline",
        Cast({"planner": ("a",), "writers": ("b",), "tester": ("b",), "auditor": ("d",)}),
    ),
    "consensus_all": ("consensus", Cast({"proposer": ("a",), "voters": ("b", "c", "d")}, {"approvals": 3})),
    "blackboard_three": (
        "blackboard",
        Cast({"controller": ("a",), "specialists": ("b",), "integrator": ("a",)}),
    ),
    "debate_short": (
        "debate",
        Cast({"proposer": ("a",), "proponent": ("a",), "opponent": ("b",), "judge": ("c",)}),
    ),
    "supervisor_worker_some": (
        "supervisor_worker",
        Cast({"supervisor": ("a",), "workers": ("b", "c")}, {"minimum": 1}),
    ),
    "ensemble_all": ("ensemble", Cast({"experts": ("b", "c"), "synthesizer": ("a",)})),
}
MADE = {**{name: (name, cast) for name, cast in CASTS.items()}, **MORE}


def compiled(name: str) -> str:
    pattern, cast = MADE[name]
    value = compile_pattern(pattern, cast).graph("run").model_dump(mode="json", exclude_defaults=True)
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("name", MADE)
def test_a_pattern_compiles_to_the_recorded_graph(name: str) -> None:
    assert compiled(name) == (GOLDEN / f"{name}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DRAWN)
def test_a_graph_is_drawn_as_recorded(name: str) -> None:
    assert svg(graph(name)) == (GOLDEN / f"{name}.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASTS)
def test_the_words_of_a_workflow_replace_those_of_the_pattern(name: str) -> None:
    if name == "race":
        return
    cast = CASTS[name]
    for role in PATTERNS[name].roles:
        told = Cast(cast.roles, cast.options, {role: f"Words for the {role}."})
        tasks = [node.task for node in compile_pattern(name, told).graph("run").nodes]
        changed = [task for task in tasks if f"Words for the {role}." in task]
        agents = {node.agent for node in graph(name).nodes}
        assert changed
        assert agents == {node.agent for node in compile_pattern(name, told).graph("run").nodes}


def _with(name: str, roles: dict[str, tuple[str, ...]], **options: int) -> Cast:
    return Cast({**CASTS[name].roles, **roles}, {**CASTS[name].options, **options})


@pytest.mark.parametrize(
    ("name", "cast"),
    [
        ("blackboard", _with("blackboard", {"specialists": ("b", "b")})),
        ("blackboard", _with("blackboard", {"specialists": ("b", "solved")})),
        ("blackboard", _with("blackboard", {"specialists": ("stuck",)})),
        ("blackboard", _with("blackboard", {}, rounds=0)),
        ("blackboard", _with("blackboard", {}, rounds=11)),
        ("blackboard", _with("blackboard", {"controller": ("a", "b")})),
        ("blackboard", _with("blackboard", {"integrator": ()})),
        ("blackboard", _with("blackboard", {"specialists": tuple("bcdef")})),
        ("consensus", _with("consensus", {}, approvals=4)),
        ("consensus", _with("consensus", {}, approvals=-1)),
        ("consensus", _with("consensus", {"proposer": ("b",)})),
        ("consensus", _with("consensus", {"voters": ("b",)})),
        ("consensus", _with("consensus", {"voters": tuple("bcdefghij")})),
        ("debate", _with("debate", {"judge": ("a",)})),
        ("debate", _with("debate", {"judge": ("b",)})),
        ("debate", _with("debate", {"proponent": ("c",)})),
        ("debate", _with("debate", {}, rounds=4)),
        ("debate", _with("debate", {}, rounds=0)),
        ("ensemble", _with("ensemble", {}, minimum=4)),
        ("ensemble", _with("ensemble", {}, minimum=-1)),
        ("ensemble", _with("ensemble", {"experts": ("b",)})),
        ("handoff", _with("handoff", {"tiers": ("a",)})),
        ("handoff", _with("handoff", {"tiers": tuple("abcdef")})),
        ("parallel", _with("parallel", {"agents": ("a",)})),
        ("parallel", _with("parallel", {"agents": tuple("abcdefghi")})),
        ("plan_pipeline", _with("plan_pipeline", {"writers": tuple("abcde")})),
        ("plan_pipeline", _with("plan_pipeline", {"writers": ()})),
        ("race", _with("race", {"reviewers": tuple("cdefg")})),
        ("race", _with("race", {"agents": ()})),
        ("router", _with("router", {"specialists": ("b", "b")})),
        ("router", _with("router", {"specialists": ("b", "nobody")})),
        ("router", _with("router", {"specialists": ("b",)})),
        ("router", _with("router", {"specialists": tuple("abcdefghi")})),
        ("sequential", _with("sequential", {"agents": ("a",)})),
        ("sequential", _with("sequential", {"agents": tuple("abcdefghi")})),
        ("supervisor_worker", _with("supervisor_worker", {}, slots=17)),
        ("supervisor_worker", _with("supervisor_worker", {}, slots=-1)),
        ("supervisor_worker", _with("supervisor_worker", {"workers": ()})),
        ("supervisor_worker", _with("supervisor_worker", {"workers": tuple("abcdefghi")})),
        ("router", Cast({**CASTS["router"].roles, "judge": ("a",)})),
        ("router", Cast(CASTS["router"].roles, {"rounds": 1})),
        ("router", Cast(CASTS["router"].roles, {}, {"judge": "words"})),
    ],
)
def test_a_cast_that_the_pattern_has_no_place_for_is_refused(name: str, cast: Cast) -> None:
    with pytest.raises(RefusedError) as caught:
        compile_pattern(name, cast)
    assert caught.value.code is ReasonCode.WORKFLOW_INVALID


@pytest.mark.parametrize(
    ("name", "cast"),
    [
        ("blackboard", _with("blackboard", {"specialists": tuple("bcde")}, rounds=1)),
        ("blackboard", _with("blackboard", {"specialists": ("b",)}, rounds=10)),
        ("consensus", _with("consensus", {"voters": ("b", "c")}, approvals=2)),
        ("consensus", _with("consensus", {"voters": tuple("bcdefghi")}, approvals=8)),
        ("debate", _with("debate", {}, rounds=3)),
        ("ensemble", _with("ensemble", {"experts": tuple("bcdefghi")}, minimum=8)),
        ("ensemble", _with("ensemble", {"experts": ("b", "c")}, minimum=0)),
        ("handoff", _with("handoff", {"tiers": tuple("abcde")})),
        ("handoff", _with("handoff", {"tiers": ("a", "b")})),
        ("parallel", _with("parallel", {"agents": tuple("abcdefgh")})),
        ("parallel", _with("parallel", {"agents": ("a", "b")}, minimum=2)),
        ("plan_pipeline", _with("plan_pipeline", {"writers": tuple("abcd")})),
        ("race", _with("race", {"agents": ("a",), "reviewers": ()})),
        ("race", _with("race", {"reviewers": tuple("cdef")})),
        ("race", _with("race", {"agents": tuple("defghijklmnopqrs")})),
        ("router", _with("router", {"specialists": tuple("bcdefghi")})),
        ("sequential", _with("sequential", {"agents": ("a", "b")})),
        ("sequential", _with("sequential", {"agents": tuple("abcdefgh")})),
        ("supervisor_worker", _with("supervisor_worker", {"workers": ("b",)}, slots=16)),
        ("supervisor_worker", _with("supervisor_worker", {"workers": tuple("bcdefghi")}, slots=0)),
    ],
)
def test_a_cast_at_the_edge_of_what_fits_is_taken(name: str, cast: Cast) -> None:
    assert compile_pattern(name, cast).graph("run").nodes


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for made in MADE:
        (GOLDEN / f"{made}.json").write_text(compiled(made), encoding="utf-8")
    for drawn in DRAWN:
        (GOLDEN / f"{drawn}.svg").write_text(svg(graph(drawn)), encoding="utf-8")
