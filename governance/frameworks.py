"""One framework over many runs, and one run's assessment as a page: what is evidenced, never that it conforms."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from governance.compliance import CONTROLS, NO_AUDIT, Control, Fact, Status

STATEMENT = f"This lists what the records of a ledger evidence, run by run. {NO_AUDIT}"
REPORT_VERSION = 1


class Framework(StrEnum):
    """What a report can be asked for, as people write it."""

    SOC2 = "soc2"
    ISO27001 = "iso27001"
    NIST_800_53 = "nist-800-53"


NAMES: Mapping[Framework, str] = {
    Framework.SOC2: "SOC 2",
    Framework.ISO27001: "ISO/IEC 27001:2013",
    Framework.NIST_800_53: "NIST SP 800-53",
}


@dataclass(frozen=True)
class RunEvidence:
    """What the ledger holds of one run.

    Attributes:
        run, workflow: as in the ledger.
        assessment: what `compliance.assess` returned when the run was decided.
        later: by fact, the id of a ledger entry that evidences it and was written after the decision.
        seqs: seq by id of the run's ledger entries.
    """

    run: str
    workflow: str
    assessment: Mapping[str, Any]
    later: Mapping[Fact, str]
    seqs: Mapping[str, int]


@dataclass(frozen=True)
class Basis:
    """What a report was made from.

    Attributes:
        origin: the ledger's name.
        size: its lines.
        root: its tree's root over them, hex.
        since: the date that was asked for, as it was given; empty when there was none.
    """

    origin: str
    size: int
    root: str
    since: str


def report(framework: Framework, runs: Sequence[RunEvidence], of: Basis | None = None) -> dict[str, Any]:
    """Aggregate what runs evidence for the controls of one framework, as JSON data.

    A control is `supported` when every run supports it, `not evidenced` when none evidences any of it, else `partial`.

    Args:
        framework: which.
        runs: each with its assessment; an entry that the ledger does not hold evidences nothing.
        of: what the report was made from; left out, it is not said.
    """
    controls = [control for control in CONTROLS if control.framework == NAMES[framework]]
    return {
        "version": REPORT_VERSION,
        "framework": NAMES[framework],
        "statement": STATEMENT,
        **({"ledger": {"origin": of.origin, "size": of.size, "root": of.root}, "since": of.since} if of else {}),
        "runs": len(runs),
        "controls": [_control(control, runs) for control in controls],
    }


def _control(control: Control, runs: Sequence[RunEvidence]) -> dict[str, Any]:
    found = [_of_run(control, run) for run in runs]
    counts = Counter(one["status"] for one in found)
    return {
        "control": control.id,
        "sentence": control.sentence,
        "status": _overall(counts, len(runs)).value,
        "counts": {status.value: counts[status.value] for status in Status},
        "runs": found,
    }


def _of_run(control: Control, run: RunEvidence) -> dict[str, Any]:
    assessed = next(
        (one for one in run.assessment.get("controls", ()) if (one["framework"], one["control"]) == _key(control)), None
    )
    missing = {str(fact) for fact in (assessed["missing"] if assessed is not None else control.needs)}
    gained = {fact.value: entry for fact, entry in run.later.items() if fact.value in missing and entry in run.seqs}
    evidence = sorted({*(assessed["evidence"] if assessed is not None else ()), *gained.values()} & run.seqs.keys())
    missing -= gained.keys()
    held = len(control.needs) - len(missing) if evidence else 0
    return {
        "run": run.run,
        "workflow": run.workflow,
        "status": _status(held, len(control.needs)).value,
        "evidence": sorted(({"seq": run.seqs[entry], "id": entry} for entry in evidence), key=lambda one: one["seq"]),
        "missing": [fact.value for fact in control.needs if fact.value in missing],
    }


def _key(control: Control) -> tuple[str, str]:
    return control.framework, control.id


def _status(held: int, needed: int) -> Status:
    if held == needed:
        return Status.SUPPORTED
    return Status.PARTIAL if held else Status.NOT_EVIDENCED


def _overall(counts: Counter[str], runs: int) -> Status:
    if runs and counts[Status.SUPPORTED.value] == runs:
        return Status.SUPPORTED
    return Status.NOT_EVIDENCED if counts[Status.NOT_EVIDENCED.value] == runs else Status.PARTIAL


def report_page(told: Mapping[str, Any]) -> str:
    """Return a report as Markdown."""
    lines = [f"# {told['framework']}: what the ledger evidences", "", str(told["statement"]), ""]
    lines += [*_basis_lines(told), f"Runs: {told['runs']}", ""]
    for control in told["controls"]:
        counts = ", ".join(f"{number} {status}" for status, number in control["counts"].items())
        lines += [f"## {control['control']}: {control['status']}", "", control["sentence"], "", f"Runs: {counts}", ""]
        lines += [f"- {_run_line(one)}" for one in control["runs"]]
        lines += [""] if control["runs"] else []
    return "\n".join(lines).rstrip("\n") + "\n"


def _basis_lines(told: Mapping[str, Any]) -> list[str]:
    ledger = told.get("ledger")
    if ledger is None:
        return []
    period = f"Only runs decided since: {told['since']}" if told["since"] else "All runs that were decided"
    head = f"Checkpoint of the ledger `{ledger['origin']}`: {ledger['size']} lines, root `{ledger['root']}`"
    return [f"{head} (`optr verify-ledger` checks it)", "", period, ""]


def _run_line(one: Mapping[str, Any]) -> str:
    evidence = ", ".join(f"entry {item['seq']} (`{item['id']}`)" for item in one["evidence"]) or "no entry"
    missing = f"; missing: {', '.join(one['missing'])}" if one["missing"] else ""
    return f"`{one['workflow']}` {one['status']}: {evidence}{missing}"


def assessment_page(assessment: Mapping[str, Any]) -> str:
    """Return one run's assessment, `compliance.assess`, as Markdown: `compliance.md`."""
    lines = ["# What this run's record evidences", "", str(assessment["statement"]), ""]
    lines += ["| framework | control | status | evidence | missing |", "|---|---|---|---|---|"]
    for one in assessment["controls"]:
        evidence = ", ".join(f"`{entry}`" for entry in one["evidence"]) or "none"
        missing = ", ".join(one["missing"]) or "nothing"
        lines.append(f"| {one['framework']} | {one['control']} | {one['status']} | {evidence} | {missing} |")
    lines += ["", *(f"- {one['control']}: {one['sentence']}" for one in assessment["controls"])]
    return "\n".join(lines) + "\n"
