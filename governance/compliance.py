"""What a run's record evidences for named controls. It says what is evidenced, never that anything conforms."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

ASSESSMENT_VERSION = 1
NO_AUDIT = (
    "It is not an audit, a certification or a legal opinion; "
    "a control also depends on people and systems that this record does not see."
)
STATEMENT = f"This lists what the record of one run evidences. {NO_AUDIT}"


class Fact(StrEnum):
    """What can be true of a run."""

    REQUESTER_AUTHENTICATED = "requester_authenticated"  # GitHub vouched for who asked
    PERMISSION_CHECKED = "permission_checked"  # their live permission was read and sufficient
    GRAPH_RECORDED = "graph_recorded"  # the plan was on the ledger before any dispatch
    OUTPUTS_RECORDED = "outputs_recorded"  # every candidate's output is kept, by digest
    SELECTION_RECORDED = "selection_recorded"  # scores and reasons are on the ledger
    LEDGER_SIGNED = "ledger_signed"  # a signed checkpoint covers the run's lines
    SANDBOXED = "sandboxed"  # agents and checks ran isolated
    CHECKS_PASSED = "checks_passed"  # the winner passed the required checks in the clean room
    STATIC_SCAN_PASSED = "static_scan_passed"  # a secret scan and static scan of the diff found nothing
    HUMAN_APPROVED = "human_approved"  # a person other than the requester accepted the change


class Status(StrEnum):
    """How far the record goes."""

    SUPPORTED = "supported"
    PARTIAL = "partial"
    NOT_EVIDENCED = "not evidenced"


@dataclass(frozen=True)
class Control:
    """One control of one framework.

    Attributes:
        framework, id: as published.
        sentence: what this kind of record can say about it.
        needs: facts that together support it.
    """

    framework: str
    id: str
    sentence: str
    needs: tuple[Fact, ...]


_SOC2 = "SOC 2"
_ISO = "ISO/IEC 27001:2013"
_NIST = "NIST SP 800-53"

CONTROLS: tuple[Control, ...] = (
    Control(
        _SOC2,
        "CC6.1",
        "Logical access: only an identified person with write permission could start the run.",
        (Fact.REQUESTER_AUTHENTICATED, Fact.PERMISSION_CHECKED),
    ),
    Control(
        _SOC2,
        "CC7.2",
        "Monitoring: what every agent did is kept on a signed record where a change shows.",
        (Fact.OUTPUTS_RECORDED, Fact.SELECTION_RECORDED, Fact.LEDGER_SIGNED),
    ),
    Control(
        _SOC2,
        "CC8.1",
        "Change management: the change was planned on record, tested and accepted by a second person.",
        (Fact.GRAPH_RECORDED, Fact.CHECKS_PASSED, Fact.HUMAN_APPROVED),
    ),
    Control(
        _ISO,
        "A.9.4",
        "System and application access control: agents worked in isolation, on behalf of a permitted person.",
        (Fact.PERMISSION_CHECKED, Fact.SANDBOXED),
    ),
    Control(
        _ISO,
        "A.12.4",
        "Logging and monitoring: events are logged and the log is protected by signatures and hashes.",
        (Fact.GRAPH_RECORDED, Fact.OUTPUTS_RECORDED, Fact.LEDGER_SIGNED),
    ),
    Control(
        _ISO,
        "A.14.2",
        "Security in development: the change was scanned, tested apart from its author and reviewed.",
        (Fact.STATIC_SCAN_PASSED, Fact.CHECKS_PASSED, Fact.HUMAN_APPROVED),
    ),
    Control(
        _NIST,
        "AC-3",
        "Access enforcement: permission was checked when the run started and agents had only what they were granted.",
        (Fact.REQUESTER_AUTHENTICATED, Fact.PERMISSION_CHECKED, Fact.SANDBOXED),
    ),
    Control(
        _NIST,
        "AU-2",
        "Event logging: the plan, each output and the decision are recorded events.",
        (Fact.GRAPH_RECORDED, Fact.OUTPUTS_RECORDED, Fact.SELECTION_RECORDED),
    ),
    Control(
        _NIST,
        "SA-11",
        "Developer testing: the change was tested and scanned where its author could not interfere.",
        (Fact.CHECKS_PASSED, Fact.STATIC_SCAN_PASSED, Fact.SANDBOXED),
    ),
)


def assess(facts: Mapping[str, bool], entries: Mapping[str, str]) -> dict[str, object]:
    """What the record of a run evidences, as JSON data.

    A fact counts only when it is true *and* an entry evidences it. A control is `supported` when all it needs counts,
    `partial` when some does, otherwise `not evidenced`.

    Args:
        facts: by value of `Fact`; one left out is false.
        entries: by value of `Fact`, the id of the ledger entry that evidences it.

    Raises:
        ValueError: a name that is no Fact.
    """
    unknown = sorted((facts.keys() | entries.keys()) - {fact.value for fact in Fact})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a fact of a run; facts are: {', '.join(Fact)}")
    evidence = {fact: entries[fact] for fact in Fact if facts.get(fact) is True and entries.get(fact)}
    return {
        "version": ASSESSMENT_VERSION,
        "statement": STATEMENT,
        "controls": [_assessed(control, evidence) for control in CONTROLS],
    }


def _assessed(control: Control, evidence: Mapping[Fact, str]) -> dict[str, object]:
    held = [fact for fact in control.needs if fact in evidence]
    return {
        "framework": control.framework,
        "control": control.id,
        "sentence": control.sentence,
        "status": _status(len(held), len(control.needs)).value,
        "evidence": sorted({evidence[fact] for fact in held}),
        "missing": [fact.value for fact in control.needs if fact not in evidence],
    }


def _status(held: int, needed: int) -> Status:
    if held == needed:
        return Status.SUPPORTED
    return Status.PARTIAL if held else Status.NOT_EVIDENCED
