"""The words of refusal: codes, severities, and the one error that carries them. Their meaning: `governance.reasons`."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """What a reason stops."""

    INFO = "info"  # nothing: it explains a rank
    CANDIDATE = "candidate"  # one candidate cannot win
    NODE = "node"  # one node cannot proceed
    RUN = "run"  # the run ends or is refused


class ReasonCode(StrEnum):
    """Every code; the values are what users see."""

    GS_130 = "GS_130"
    GS_131 = "GS_131"
    GS_132 = "GS_132"
    GS_133 = "GS_133"
    GS_200 = "GS_200"
    GS_201 = "GS_201"
    GS_202 = "GS_202"
    GS_203 = "GS_203"
    GS_204 = "GS_204"
    GS_205 = "GS_205"
    GS_206 = "GS_206"
    GS_207 = "GS_207"
    NOT_CHOSEN = "NOT_CHOSEN"
    OUTPUT_INVALID = "OUTPUT_INVALID"
    INPUTS_CONFLICT = "INPUTS_CONFLICT"
    JOIN_UNMET = "JOIN_UNMET"
    CORRECTION_REFUSED = "CORRECTION_REFUSED"
    CORRECTION_LIMIT = "CORRECTION_LIMIT"
    WORKFLOW_INVALID = "WORKFLOW_INVALID"
    MAEG_INVALID = "MAEG_INVALID"
    DISPATCH_WRONG_RUN = "DISPATCH_WRONG_RUN"
    DISPATCH_WRONG_NODE = "DISPATCH_WRONG_NODE"
    DISPATCH_WRONG_ATTEMPT = "DISPATCH_WRONG_ATTEMPT"
    DISPATCH_WRONG_AGENT = "DISPATCH_WRONG_AGENT"
    DISPATCH_WRONG_CAPABILITY = "DISPATCH_WRONG_CAPABILITY"
    DISPATCH_WRONG_INPUTS = "DISPATCH_WRONG_INPUTS"
    DISPATCH_EXPIRED = "DISPATCH_EXPIRED"
    DISPATCH_REUSED = "DISPATCH_REUSED"
    BINDING_MISMATCH = "BINDING_MISMATCH"
    OUTCOME_UNEARNED = "OUTCOME_UNEARNED"
    SELECTION_NOT_ONE = "SELECTION_NOT_ONE"
    WRAP_NOT_HUMAN = "WRAP_NOT_HUMAN"
    EVENT_CHAIN_BROKEN = "EVENT_CHAIN_BROKEN"
    EVENT_OUT_OF_ORDER = "EVENT_OUT_OF_ORDER"
    NO_CAPABLE_AGENT = "NO_CAPABLE_AGENT"
    TRUST_UNKNOWN = "TRUST_UNKNOWN"
    TRUST_CAPABILITY = "TRUST_CAPABILITY"
    TRUST_CONSTRAINT = "TRUST_CONSTRAINT"
    TRUST_CONSTRAINT_UNKNOWN = "TRUST_CONSTRAINT_UNKNOWN"
    TRUST_WIDER = "TRUST_WIDER"
    TRUST_EXPIRED = "TRUST_EXPIRED"
    TRUST_REVOKED = "TRUST_REVOKED"
    TRUST_SIGNATURE = "TRUST_SIGNATURE"
    TRUST_BROKEN = "TRUST_BROKEN"
    TRUST_CYCLE = "TRUST_CYCLE"
    TRUST_DEPTH = "TRUST_DEPTH"
    REFUSED_APPROVAL = "REFUSED_APPROVAL"
    REPOSITORY_MISSING = "REPOSITORY_MISSING"
    BASE_MISSING = "BASE_MISSING"
    BRANCH_TAKEN = "BRANCH_TAKEN"
    CONFIG_INVALID = "CONFIG_INVALID"
    PREPARE_FAILED = "PREPARE_FAILED"
    AGENT_UNKNOWN = "AGENT_UNKNOWN"
    AGENT_UNAVAILABLE = "AGENT_UNAVAILABLE"
    VERIFIER_INFRA = "VERIFIER_INFRA"
    LEDGER_KEY = "LEDGER_KEY"
    LEDGER_REFUSED = "LEDGER_REFUSED"
    ACCESS_ENDED = "ACCESS_ENDED"
    AGENT_FAILED = "AGENT_FAILED"
    AGENT_TIMEOUT = "AGENT_TIMEOUT"
    AGENT_AUTH = "AGENT_AUTH"
    BUDGET_DENIED = "BUDGET_DENIED"
    POLICY_DENIED = "POLICY_DENIED"
    AGENT_SPARED = "AGENT_SPARED"
    POLICY_REFUSED = "POLICY_REFUSED"
    NO_PATCH = "NO_PATCH"
    CHECK_FAILED = "CHECK_FAILED"
    CHECK_TIMED_OUT = "CHECK_TIMED_OUT"
    CHECK_NOT_RUN = "CHECK_NOT_RUN"
    SECRET_IN_PATCH = "SECRET_IN_PATCH"  # noqa: S105 - a code
    SECRET_SHAPE = "SECRET_SHAPE"  # noqa: S105 - a code
    TESTS_CHANGED = "TESTS_CHANGED"
    CONFIGURATION_CHANGED = "CONFIGURATION_CHANGED"
    RUNNER_SHADOWED = "RUNNER_SHADOWED"
    REVIEW_VETO = "REVIEW_VETO"
    TESTS_WEAKENED = "TESTS_WEAKENED"
    JUNIT_UNREADABLE = "JUNIT_UNREADABLE"
    JUNIT_CONTRADICTS = "JUNIT_CONTRADICTS"
    STATIC_FINDING = "STATIC_FINDING"
    NOT_ADMISSIBLE = "NOT_ADMISSIBLE"
    LOWER_SCORE = "LOWER_SCORE"
    MORE_CHANGED_LINES = "MORE_CHANGED_LINES"
    NAME_ORDER = "NAME_ORDER"
    BELOW_ACCEPT_SCORE = "BELOW_ACCEPT_SCORE"
    NO_WINNER = "NO_WINNER"
    RUN_FAILED = "RUN_FAILED"
    RUN_SUPERSEDED = "RUN_SUPERSEDED"
    RUN_EXPIRED = "RUN_EXPIRED"


class RefusedError(Exception):
    """Something was refused.

    Attributes:
        code: why, from the registry.
        text: one sentence for people, naming what was refused.
    """

    def __init__(self, code: ReasonCode, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


@dataclass(frozen=True)
class Explanation:
    """What a code means.

    Attributes:
        name: the long name.
        severity: what it stops.
        cause: what happened, one sentence.
        remedy: what to do, one sentence.
    """

    name: str
    severity: Severity
    cause: str
    remedy: str
