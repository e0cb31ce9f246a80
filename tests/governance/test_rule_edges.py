"""Rules at the very value where they turn: one less is allowed, one more is refused."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from governance import globs
from governance.claims import DEPTH_MAX, MEMBERS_MAX, forbidden_claims
from governance.codes import ReasonCode, RefusedError
from governance.compliance import Fact
from governance.correction import REASON_CHARS_MAX
from governance.frameworks import Framework, RunEvidence, assessment_page, report, report_page
from governance.gates import unmet_reasons
from governance.graph import Graph, Join, JoinKind, Node, NodeType
from governance.intent import Intent
from governance.mandate import Mandate, data_inputs, issue, narrow, supply
from governance.nodes import Edge, EdgeType
from governance.outputs import field_digest
from governance.patch import PATH_BYTES_MAX, PatchCode
from governance.patch_format import PatchSyntaxError, parse_patch
from governance.record import Record
from governance.report import VIOLATIONS_MAX, Report, judge
from governance.trust.chain import Grounds
from governance.trust.constraints import Constraint
from governance.trust.envelope import Envelope
from governance.workflow import RESULT_ID, Workflow
from ledger import canonical
from tests.governance.conftest import Race, Trusted, sha
from tests.governance.test_correction import Standing
from tests.governance.test_flow_graphs import edge, graph_of, reader, writer
from tests.governance.test_frameworks import evidence
from tests.governance.test_patch import A, B, codes, deleted, modified, new


@pytest.fixture
def planned() -> Graph:
    return graph_of(
        [reader("PLAN", steps="strings", go="yes|no"), writer("WRITE")],
        [edge("ROOT", "PLAN"), edge("PLAN", "WRITE", "steps"), edge("WRITE", "JOIN")],
    )


def issued(graph: Graph, intent: Intent) -> dict[str, Mandate]:
    limits = {"budget_microusd": 9, "tokens": 8, "steps": 7, "deadline_ms": 6}
    made = issue(graph, intent, paths=("src/**",), inputs={"intent": sha("intent")}, **limits)
    return {one.node: one for one in made}


def test_what_other_nodes_hand_over_is_added_to_the_manifest_by_hash(planned: Graph, intent: Intent) -> None:
    mandate = issued(planned, intent)["WRITE"]
    assert mandate.data_inputs == data_inputs(planned, "WRITE") == ("PLAN.steps",)
    assert supply(mandate, {}) is mandate
    told = supply(mandate, {"PLAN.steps": field_digest(("a",))})
    assert told.inputs == {**mandate.inputs, "PLAN.steps": field_digest(("a",))}
    assert told.parent == mandate.digest
    assert told.model_copy(update={"inputs": mandate.inputs, "parent": mandate.parent}) == mandate
    with pytest.raises(RefusedError, match=r"'PLAN\.other' is not among") as caught:
        supply(mandate, {"PLAN.steps": sha("a"), "PLAN.other": sha("b")})
    assert caught.value.code is ReasonCode.GS_207


def test_a_mandate_may_be_narrowed_to_exactly_what_it_is(planned: Graph, intent: Intent) -> None:
    mandate = issued(planned, intent)["WRITE"]
    same: dict[str, Any] = {name: getattr(mandate, name) for name in Mandate.model_fields if name not in _BOUND}
    assert narrow(mandate, **same).model_copy(update={"parent": mandate.parent}) == mandate
    assert narrow(mandate, run=mandate.run, data_inputs=[], tokens=0).data_inputs == ()
    assert narrow(mandate, tokens=0).tokens == 0
    with pytest.raises(RefusedError, match="`tokens` for node OTHER would") as caught:
        narrow(mandate, node="OTHER", tokens=9)
    assert caught.value.code is ReasonCode.GS_201
    with pytest.raises(RefusedError, match="`tokens` would"):
        narrow(mandate, tokens=9)
    with pytest.raises(RefusedError, match="`data_inputs`"):
        narrow(mandate, data_inputs=("PLAN.steps", "PLAN.go"))


_BOUND = {"id", "parent"}


@pytest.mark.parametrize(
    "claim", ["wrap", "unwrap wrap", "the_wrap", "Wrapper", "isWrap", "a.wrap.b", "is_final", "ber"]
)
def test_a_claim_is_found_as_a_word_however_it_is_joined(claim: str) -> None:
    code = "GS_132" if claim in {"is_final", "ber"} else "GS_131"
    assert [found for found, _ in forbidden_claims({claim: 1})] == [code]


@pytest.mark.parametrize("claim", ["bubblewrapped", "number", "disapprovedly", "finality", "berry", "isfinal"])
def test_a_word_that_only_contains_another_claims_nothing(claim: str) -> None:
    assert forbidden_claims({claim: 1}) == ()


def test_a_report_may_be_as_deep_and_as_large_as_the_bounds_say() -> None:
    deep: object = 1
    for _ in range(DEPTH_MAX):
        deep = [deep]
    assert forbidden_claims({"a": [1] * (MEMBERS_MAX - 1)}) == ()
    assert [code for code, _ in forbidden_claims({"a": [1] * MEMBERS_MAX})] == ["GS_130"]
    assert [code for code, _ in forbidden_claims({"a": deep})] == ["GS_130"]
    inner = deep[0] if isinstance(deep, list) else None
    assert forbidden_claims({"a": inner}) == ()


def test_as_many_violations_as_a_report_holds_are_kept_and_of_more_the_rest_is_counted(contest: Race) -> None:
    def kept(count: int) -> tuple[tuple[str, str], ...]:
        return contest.report(contest.mandates[0], *[("CHECK_FAILED", f"test {at}") for at in range(count)]).violations

    assert kept(VIOLATIONS_MAX)[-1] == ("CHECK_FAILED", f"test {VIOLATIONS_MAX - 1}")
    assert len(kept(VIOLATIONS_MAX + 1)) == VIOLATIONS_MAX
    assert kept(VIOLATIONS_MAX + 1)[-1] == ("CHECK_FAILED", "and 2 more findings than a report holds")


def test_a_reason_may_be_as_long_as_recorded(intent: Intent, planned: Graph) -> None:
    standing = Standing(planned, intent, failed="WRITE")
    assert standing.correct("WRITE", reason=f" {'a' * REASON_CHARS_MAX}\n").reason == "a" * REASON_CHARS_MAX
    with pytest.raises(RefusedError, match="characters") as caught:
        standing.correct("WRITE", reason="a" * (REASON_CHARS_MAX + 1))
    assert caught.value.code is ReasonCode.CORRECTION_REFUSED


def reported(mandate: Mandate, *violations: tuple[str, str], **choices: str) -> Report:
    made = judge(
        mandate,
        candidate_digest=sha("candidate"),
        evidence_digest=sha("evidence"),
        violations=violations,
        touched_paths=(),
        claims={},
    )
    return made.model_copy(update={"choices": choices})


def test_what_shut_a_way_is_told_once_and_only_where_it_was_reached(intent: Intent) -> None:
    graph = graph_of(
        [reader("PLAN", go="yes|no"), writer("WRITE"), writer("OTHER")],
        [
            edge("ROOT", "PLAN"),
            Edge(source="PLAN", target="WRITE", type=EdgeType.DEPENDENCY, when=("go", "yes")),
            Edge(source="PLAN", target="OTHER", type=EdgeType.DEPENDENCY, when=("go", "no")),
            edge("WRITE", "JOIN"),
            edge("OTHER", "JOIN"),
        ],
    )
    made = issued(graph, intent)
    assert unmet_reasons(graph, {"PLAN": reported(made["PLAN"], go="yes")}) == ("node PLAN chose yes as go",)
    assert unmet_reasons(graph, {"PLAN": reported(made["PLAN"])}) == ("node PLAN chose nothing as go",)
    failed = reported(made["PLAN"], ("CHECK_FAILED", "tests fail"), go="yes")
    assert unmet_reasons(graph, {"PLAN": failed}) == ("node PLAN failed: tests fail",)
    assert unmet_reasons(graph, {}) == ()


def test_a_report_page_lists_controls_with_blank_lines_between() -> None:
    lines = report_page(report(Framework.SOC2, [evidence()])).splitlines()
    for at, line in enumerate(lines):
        if line.startswith("## "):
            assert (lines[at - 1], lines[at + 1]) == ("", "")
    assert not any(first == second == "" for first, second in pairwise(lines))
    assert [line for line in lines if line.startswith("- `issue-1` supported: entry 4 (`r/DECIDED`)")]
    lacking = report(Framework.SOC2, [evidence(Fact.SANDBOXED, Fact.REQUESTER_AUTHENTICATED)])
    assert "; missing: " in report_page(lacking)
    bare: RunEvidence = replace(evidence(), seqs={})
    assert "- `issue-1` not evidenced: no entry\n" in report_page(report(Framework.SOC2, [bare]))


def test_an_assessment_page_has_a_row_and_a_sentence_for_each_control() -> None:
    assessment = evidence().assessment
    page = assessment_page(assessment)
    for one in assessment["controls"]:
        assert f"\n- {one['control']}: {one['sentence']}\n" in page
        assert f"| {one['framework']} | {one['control']} | {one['status']} | `" in page
    nothing = {"controls": [{**one, "evidence": [], "missing": ["A", "B"]} for one in assessment["controls"]]}
    assert assessment_page({**assessment, **nothing}).count("| none | A, B |\n") == len(assessment["controls"])


class _Named(Record):
    record_kind = "optr/named/1"
    many: tuple[str, ...] = ()
    word: str = "usual"


def test_a_record_is_named_by_kind_and_by_what_is_not_usual() -> None:
    assert _Named().digest == canonical.digest({"kind": "optr/named/1", "value": {}})
    assert _Named(many=("a",)).digest == canonical.digest({"kind": "optr/named/1", "value": {"many": ["a"]}})


def test_a_path_may_be_as_long_as_allowed() -> None:
    assert codes(new("é" * (PATH_BYTES_MAX // 2))) == []
    assert codes(new("é" * (PATH_BYTES_MAX // 2) + "a")) == [PatchCode.BAD_PATH]


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        (
            deleted("x").replace(b"..0000000000000000000000000000000000000000", b"..%s 100644" % B.encode()),
            "stated twice",
        ),
        (modified().replace(b"a/x.py b/x.py\n", b"a/x.py-b/x.py\n"), "halves differ"),
        (modified().replace(b"+++ b/x.py", b'+++ "b/x.py'), "differs from the header"),
        (modified().replace(b"+++ b/x.py", b'+++ b/x.py"'), "differs from the header"),
        (modified().replace(b"diff --git a/x.py b/x.py\n", b'diff --git "a/x.py"  "b/x.py"\n'), "cannot be read"),
    ],
)
def test_a_header_that_git_would_not_write_is_refused(patch: bytes, words: str) -> None:
    with pytest.raises(PatchSyntaxError, match=words):
        parse_patch(patch)


def test_added_lines_that_are_not_utf8_are_shown_with_replacements() -> None:
    (found,) = parse_patch(modified().replace(b"+new", b"+n\xffw"))
    assert found.added_lines == ("n\ufffdw", "more")


def test_an_empty_file_that_is_binary_to_git_expands_to_its_own_size() -> None:
    block = b"literal 3\nKcmZQzK>z>%00000\n\nliteral 0\nHcmV?d00001\n\n"
    (found,) = parse_patch(f"diff --git a/x b/x\nindex {A}..{B} 100644\nGIT binary patch\n".encode() + block)
    assert (found.binary, found.expanded, found.added, found.deleted, found.added_lines) == (True, 3, 0, 0, ())


@pytest.mark.parametrize(
    ("pattern", "path", "inside"),
    [
        ("a*b", "ab", True),
        ("a*b", "axxb", True),
        ("a*b*c", "aXbYbZc", True),
        ("a*b*c", "aXbYbZ", False),
        ("*a", "ba", True),
        ("*ab", "aab", True),
        ("*a*", "b", False),
        ("a?", "a", False),
        ("a", "ab", False),
        ("ab", "a", False),
        ("a**", "abc", True),
    ],
)
def test_wildcards_backtrack_to_the_last_star(pattern: str, path: str, *, inside: bool) -> None:
    assert globs.matches(pattern, path) is inside


def test_a_pattern_and_a_path_may_be_as_long_as_allowed() -> None:
    longest = "a" * globs.GLOB_MAX
    assert globs.matches(longest, longest)
    assert globs.covers(longest, longest)
    assert not globs.matches(longest + "a", longest)
    assert not globs.covers("*" * (globs.GLOB_MAX + 1), "a")
    assert not globs.is_plain(longest + "a")
    assert globs.is_plain("a/b") is True
    assert globs.is_plain("a\\b") is False
    assert globs.is_plain("a\x1fb") is False
    assert globs.is_plain("a\x7fb") is False
    assert globs.is_plain("a b") is True


@pytest.mark.parametrize("fields", [{"task": "t"}, {"output": {"a": "string"}}, {"checks": False}])
def test_only_an_agent_node_is_told_something(fields: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="only an agent node has a task"):
        Node(id="S", type=NodeType.SYNC_POINT, join=Join(kind=JoinKind.ALL), **fields)


def test_the_builder_returns_itself_and_makes_the_edges_it_says() -> None:
    flow = Workflow()
    assert flow.add_agent("PLAN", "ada", output={"go": "yes|no"}) is flow
    assert flow.add_sync("MET", JoinKind.QUORUM, 1) is flow
    assert flow.add_agent("WRITE", "bob", capabilities=("repo.read", "repo.write", "test.run")) is flow
    assert flow.connect("PLAN", "MET", when=("go", "yes")) is flow
    assert flow.connect("MET", "WRITE", fields=("go",)) is flow
    assert flow.finish(JoinKind.SELECTION, 1) is flow
    made = flow.connect("WRITE", RESULT_ID).build()
    assert [(one.source, one.target, one.type) for one in made.edges] == [
        ("PLAN", "MET", EdgeType.BARRIER),
        ("MET", "WRITE", EdgeType.DATA_FLOW),
        ("WRITE", RESULT_ID, EdgeType.BARRIER),
    ]
    assert made.join == Join(kind=JoinKind.SELECTION, minimum=1)
    other = Workflow().add_agent("A", "ada").add_agent("B", "bob", capabilities=("repo.read", "repo.write", "test.run"))
    assert [one.type for one in other.connect("A", "B").build().edges] == [EdgeType.DEPENDENCY]


def test_a_grant_ends_when_the_actors_own_does(trusted: Trusted) -> None:
    first = trusted.delegate(trusted.ada, trusted.orchestrator, "write", expires_ms=40_000)
    claude = trusted.party("agent:claude")
    trusted.delegate(trusted.orchestrator, claude, "write", parent=first.id, expires_ms=30_000)
    tight = Constraint(type="maximum", value=3)
    codex = trusted.party("agent:codex")
    trusted.delegate(trusted.orchestrator, codex, "write", parent=first.id, expires_ms=20_000, spend=tight)
    held: Grounds = trusted.verify(claude, "write")
    assert (held.expires_ms, held.envelope) == (30_000, Envelope())
    narrower = trusted.verify(codex, "write", spend=2)
    assert (narrower.expires_ms, narrower.envelope.constraints) == (20_000, {"spend": tight})
    root = trusted.verify(trusted.ada, "write")
    assert (root.expires_ms, root.actor, root.origin, root.grant) == (
        100_000,
        "human:ada",
        "human:ada",
        root.attestation.id,
    )


def test_a_fact_may_be_one_word_or_several(trusted: Trusted) -> None:
    limits = {"tool": Constraint(type="allowed", value=("a", "b")), "not": Constraint(type="forbidden", value=("c",))}
    trusted.delegate(trusted.ada, trusted.orchestrator, "write", **limits)
    who = trusted.orchestrator
    assert trusted.allowed(who, "write", tool="a", **{"not": "d"})
    assert trusted.allowed(who, "write", tool=("a", "b"), **{"not": ("d", "e")})
    assert not trusted.allowed(who, "write", tool="c", **{"not": "d"})
    assert not trusted.allowed(who, "write", tool=("a", "c"), **{"not": "d"})
    assert not trusted.allowed(who, "write", tool="a", **{"not": "c"})
    assert not trusted.allowed(who, "write", tool="a", **{"not": ("d", "c")})
    assert not trusted.allowed(who, "write", tool=("a", 1), **{"not": "d"})  # type: ignore[arg-type]
