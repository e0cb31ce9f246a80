from pathlib import Path

from execution.config import Check
from execution.invariants import MEASURED_INVARIANTS, REGISTRY, Basis, holding, markdown, provable

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_registry_prints() -> None:
    assert (ROOT / "docs/invariants.md").read_text(encoding="utf-8") == markdown()


def test_every_name_of_the_original_is_defined_once() -> None:
    code = {"type_safe", "tested", "documented", "secure"}
    conduct = {"constitutional_ai", "security_first", "audit_mandatory"}
    platform = {"github_api_access", "commit_history_verified", "workflow_orchestration", "cross_platform_coordination"}
    assert {entry.name for entry in REGISTRY} == code | conduct | platform
    assert len(REGISTRY) == len(code | conduct | platform)


def test_only_what_is_measured_on_a_candidate_earns_points() -> None:
    assert set(MEASURED_INVARIANTS) == {"secure"}
    checks = (Check(id="a", run="x", proves=("tested",)), Check(id="b", run="x", proves=("tested", "type_safe")))
    assert provable(checks) == ("secure", "tested", "type_safe")
    claims = {entry.name for entry in REGISTRY if entry.basis is Basis.CLAIM}
    assert claims.isdisjoint(provable(checks))


def test_names_of_the_run_join_those_of_the_candidate() -> None:
    run = {"audit_mandatory": True, "commit_history_verified": False}
    assert holding(("tested",), run) == ("audit_mandatory", "tested")
    assert holding(("commit_history_verified",), run) == ("audit_mandatory",)
    assert holding((), run, declared=("audit_mandatory",)) == ()
    assert holding(("audit_mandatory",), run, declared=("audit_mandatory",)) == ("audit_mandatory",)
