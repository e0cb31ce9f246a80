"""The one registry of reason codes: what is refused, how badly, why, and what to do about it.

`python -m governance.reasons` prints the registry as Markdown; docs/reasons.md is that text.
"""

import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from governance.codes import Explanation, ReasonCode, RefusedError, Severity
from governance.flow_reasons import FLOW_REASONS, RESULT_REASONS, WORKFLOW_REASONS
from governance.patch import PatchCode
from governance.patch_reasons import PATCH_REASONS, PATCH_WARNINGS
from governance.rule_reasons import NODE_REASONS, RECORD_REASONS
from governance.run_reasons import CANDIDATE_REASONS, INFO_REASONS, RUN_REASONS
from governance.trust_reasons import TRUST_REASONS

__all__ = ["CODES", "REGISTRY", "Explanation", "PatchCode", "ReasonCode", "RefusedError", "Severity", "markdown"]

_Code = TypeVar("_Code", ReasonCode, PatchCode)


def _explained(rows: Mapping[_Code, tuple[str, str, str]], severity: Severity) -> dict[str, Explanation]:
    return {code.value: Explanation(name, severity, cause, remedy) for code, (name, cause, remedy) in rows.items()}


REGISTRY: Mapping[str, Explanation] = MappingProxyType(
    _explained(NODE_REASONS, Severity.NODE)
    | _explained(FLOW_REASONS, Severity.NODE)
    | _explained(TRUST_REASONS, Severity.NODE)
    | _explained(RECORD_REASONS, Severity.RUN)
    | _explained(RUN_REASONS, Severity.RUN)
    | _explained(WORKFLOW_REASONS, Severity.RUN)
    | _explained(CANDIDATE_REASONS, Severity.CANDIDATE)
    | _explained(RESULT_REASONS, Severity.CANDIDATE)
    | _explained(PATCH_REASONS, Severity.CANDIDATE)
    | _explained(PATCH_WARNINGS, Severity.INFO)
    | _explained(INFO_REASONS, Severity.INFO)
)
CODES: tuple[ReasonCode | PatchCode, ...] = (*ReasonCode, *PatchCode)

_HEADER = """\
# Reason codes

Every refusal, and every rank below the first, carries one of these codes. Severity says what the reason stops:
`run` the run, `node` one node, `candidate` one candidate's chance to win, `info` nothing.

This page is printed by `python -m governance.reasons`; a test compares the two.

| code | name | severity | cause | what to do |
|---|---|---|---|---|
"""


def markdown() -> str:
    """The registry as a Markdown page, in the order of `CODES`."""
    rows = [
        f"| `{code}` | {entry.name} | {entry.severity} | {entry.cause} | {entry.remedy} |\n"
        for code, entry in ((code, REGISTRY[code]) for code in CODES)
    ]
    return _HEADER + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(markdown())
