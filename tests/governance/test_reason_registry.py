import re
import subprocess
import sys
from pathlib import Path

import pytest

from governance.compliance import CONTROLS, Fact, assess
from governance.reasons import CODES, REGISTRY, PatchCode, ReasonCode, RefusedError, Severity, markdown
from scoring.select import WhyNot

ROOT = Path(__file__).parents[2]


def test_every_code_is_explained_and_nothing_else() -> None:
    assert set(REGISTRY) == {code.value for code in CODES}
    assert len(REGISTRY) == len(CODES) == len(ReasonCode) + len(PatchCode)
    assert all(code.value == code.name for code in ReasonCode)
    for entry in REGISTRY.values():
        assert entry.cause.endswith(".")
        assert entry.remedy.endswith(".")
        assert entry.severity in Severity


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("GS_200", "SUB_PAC_LANE_VIOLATION"),
        ("GS_201", "SUB_PAC_SCOPE_EXPANSION"),
        ("GS_202", "MAEG_CYCLE_DETECTED"),
        ("GS_203", "DISPATCH_DEPENDENCY_UNMET"),
        ("GS_204", "BER_DEPENDENCY_UNMET"),
        ("GS_205", "PDO_ORCH_INCOMPLETE"),
        ("GS_206", "WRAP_PARTIAL_EXECUTION"),
        ("GS_207", "AGENT_SIDE_CHANNEL"),
    ],
)
def test_the_numbered_codes_keep_their_names(code: str, name: str) -> None:
    assert REGISTRY[ReasonCode(code)].name == name


def test_the_codes_of_selection_are_registered() -> None:
    assert {code.value for code in WhyNot} <= {code.value for code in ReasonCode}


def test_every_code_that_is_written_out_in_the_sources_is_registered() -> None:
    sources = [path for package in ("bot", "execution", "scoring") for path in (ROOT / package).rglob("*.py")]
    written = {code for path in sources for code in re.findall(r'code="([A-Z_0-9]+)"', path.read_text("utf-8"))}
    assert written - set(REGISTRY) == set()


def test_docs_are_what_the_registry_prints() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "governance.reasons"], cwd=ROOT, capture_output=True, check=True, timeout=60
    ).stdout.decode()
    assert printed == markdown()
    assert (ROOT / "docs/reasons.md").read_text(encoding="utf-8") == printed


def test_a_refusal_shows_code_and_sentence() -> None:
    error = RefusedError(ReasonCode.GS_205, "run x has no settlement of: A1")
    assert str(error) == "GS_205: run x has no settlement of: A1"
    assert (error.code, error.text) == (ReasonCode.GS_205, "run x has no settlement of: A1")


def test_every_named_control_is_there() -> None:
    assert [control.id for control in CONTROLS] == [
        "CC6.1",
        "CC7.2",
        "CC8.1",
        "A.9.4",
        "A.12.4",
        "A.14.2",
        "AC-3",
        "AU-2",
        "SA-11",
    ]


def statuses(assessed: dict[str, object]) -> dict[str, str]:
    controls = assessed["controls"]
    assert isinstance(controls, list)
    return {control["control"]: control["status"] for control in controls}


def test_a_fact_without_an_entry_is_no_evidence() -> None:
    everything = {fact.value: True for fact in Fact}
    assert set(statuses(assess(everything, {})).values()) == {"not evidenced"}
    assert set(statuses(assess({}, {fact.value: "e" for fact in Fact})).values()) == {"not evidenced"}


def test_all_evidence_supports_and_some_supports_in_part() -> None:
    entries = {fact.value: f"run/{fact.name}" for fact in Fact}
    assert set(statuses(assess({fact.value: True for fact in Fact}, entries)).values()) == {"supported"}
    one = assess({"permission_checked": True, "sandboxed": False}, entries)
    assert statuses(one)["CC6.1"] == "partial"
    assert statuses(one)["AU-2"] == "not evidenced"
    assert one["controls"][0]["evidence"] == ["run/PERMISSION_CHECKED"]  # type: ignore[index]
    assert one["controls"][0]["missing"] == ["requester_authenticated"]  # type: ignore[index]


def test_only_true_counts_and_unknown_facts_are_refused() -> None:
    entries = {"sandboxed": "e"}
    assert statuses(assess({"sandboxed": "yes"}, entries))["AC-3"] == "not evidenced"  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="sandboxd"):
        assess({"sandboxd": True}, {})


def test_nothing_is_called_compliant() -> None:
    text = str(assess({fact.value: True for fact in Fact}, {fact.value: "e" for fact in Fact})).lower()
    assert "compliant" not in text
    assert "compliant" not in (ROOT / "governance/compliance.py").read_text(encoding="utf-8").lower()
