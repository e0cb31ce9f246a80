"""What many runs evidence for a framework, from their assessments and later entries alone."""

import json
from dataclasses import replace

import pytest

from governance.compliance import Fact, assess
from governance.frameworks import NAMES, Framework, RunEvidence, assessment_page, report, report_page

ALL = {fact.value: "r/DECIDED" for fact in Fact}
SEQS = {"r/DECIDED": 4, "r/WRAPPED": 9}


def evidence(*missing: Fact, later: dict[Fact, str] | None = None) -> RunEvidence:
    facts = {fact.value: fact not in missing for fact in Fact}
    return RunEvidence("r", "issue-1", assess(facts, ALL), later or {}, SEQS)


def statuses(*runs: RunEvidence, framework: Framework = Framework.SOC2) -> dict[str, str]:
    return {control["control"]: control["status"] for control in report(framework, runs)["controls"]}


@pytest.mark.parametrize("framework", Framework)
def test_each_framework_has_its_three_controls(framework: Framework) -> None:
    assert set(statuses(evidence(), framework=framework).values()) == {"supported"}
    assert len(statuses(evidence(), framework=framework)) == 3
    assert set(statuses(framework=framework).values()) == {"not evidenced"}
    assert report(framework, [])["framework"] == NAMES[framework]


def test_one_run_that_lacks_something_makes_the_whole_partial() -> None:
    lacking = evidence(Fact.REQUESTER_AUTHENTICATED, Fact.PERMISSION_CHECKED)
    assert statuses(lacking)["CC6.1"] == "not evidenced"
    assert statuses(lacking, evidence())["CC6.1"] == "partial"
    assert statuses(evidence(Fact.PERMISSION_CHECKED))["CC6.1"] == "partial"


def test_what_came_later_counts_when_the_ledger_has_its_entry() -> None:
    run = evidence(Fact.HUMAN_APPROVED)
    assert statuses(run)["CC8.1"] == "partial"
    accepted = replace(run, later={Fact.HUMAN_APPROVED: "r/WRAPPED"})
    assert statuses(accepted)["CC8.1"] == "supported"
    row = report(Framework.SOC2, [accepted])["controls"][2]["runs"][0]
    assert row["evidence"] == [{"seq": 4, "id": "r/DECIDED"}, {"seq": 9, "id": "r/WRAPPED"}]
    assert statuses(replace(run, later={Fact.HUMAN_APPROVED: "r/NOWHERE"}))["CC8.1"] == "partial"


def test_entries_that_the_ledger_does_not_hold_evidence_nothing() -> None:
    assert set(statuses(replace(evidence(), seqs={})).values()) == {"not evidenced"}
    assert set(statuses(replace(evidence(), assessment={})).values()) == {"not evidenced"}


def test_no_rendering_says_what_only_an_auditor_can_say() -> None:
    runs = [evidence(), evidence(Fact.SANDBOXED), evidence(later={Fact.HUMAN_APPROVED: "r/WRAPPED"})]
    rendered = [page for one in runs for page in (json.dumps(one.assessment), assessment_page(one.assessment))]
    for framework in Framework:
        told = report(framework, runs)
        rendered += [json.dumps(told), report_page(told)]
        assert all(f"{count} {status}" in report_page(told) for status, count in told["controls"][0]["counts"].items())
    assert [text for text in rendered if "compliant" in text.lower() or "certified" in text.lower()] == []
