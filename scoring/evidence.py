"""What was measured about a candidate: the only input that judgement accepts.

An agent's own claims travel beside the evidence as data; no function in this package reads them to decide anything.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of this package's records: immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CheckForm(StrEnum):
    """Which tree a check ran on."""

    CANDIDATE = "candidate"  # the candidate's tree as it is
    BASE_TESTS = "base_tests"  # the candidate's code with the base's tests and configuration restored


class CheckOutcome(StrEnum):
    """How a check ended, the words users see."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    ERROR = "error"  # the verifier could not run it: infrastructure, nobody's fault among the agents


class CrossOutcome(StrEnum):
    """How one candidate's new tests ended on another candidate's code, the words users see."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    NOT_RUN = "not_run"  # a bound was reached, or the voter's tests had hung before


class CrossVote(Record):
    """One candidate's new tests, run on another candidate's code. Evidence for people: it decides nothing.

    Attributes:
        voter: the agent whose new tests ran.
        target: the agent on whose code they ran.
        check: id of the check that ran them.
        outcome: by exit code alone.
        duration_ms: wall time, milliseconds.
    """

    voter: str
    target: str
    check: str
    outcome: CrossOutcome
    duration_ms: int = 0


class ReportCounts(Record):
    """What a test report says was run; counted test by test, the report's own totals are not read.

    Attributes:
        tests: test cases, whatever became of them.
        failures, errors, skipped: of these.
    """

    tests: int = 0
    failures: int = 0
    errors: int = 0
    skipped: int = 0


class CheckResult(Record):
    """One run of one declared check.

    Attributes:
        id: the check's id in the repository's configuration.
        form: which tree it ran on.
        outcome: decided by exit code alone, never by output.
        exit_code: None when the command did not end by itself.
        duration_ms: wall time, milliseconds.
        required: a required check that does not pass makes the candidate inadmissible.
        proves: invariants that hold when the check passes in both forms.
        output_tail: the end of its output, for people; at most 4,000 characters.
        report: what its JUnit report says; None when it declares none or none can be read. A fact, never the verdict.
    """

    id: str
    form: CheckForm
    outcome: CheckOutcome
    exit_code: int | None
    duration_ms: int
    required: bool = True
    proves: tuple[str, ...] = ()
    output_tail: str = ""
    report: ReportCounts | None = None


class DiffFacts(Record):
    """Facts about a patch, counted by us.

    Attributes:
        paths: repository paths touched, sorted.
        added: lines added.
        deleted: lines deleted.
        tests_added: test files that the patch creates.
        tests_changed: test files of the base that the patch changes or deletes.
    """

    paths: tuple[str, ...] = ()
    added: int = 0
    deleted: int = 0
    tests_added: tuple[str, ...] = ()
    tests_changed: tuple[str, ...] = ()

    @property
    def changed_lines(self) -> int:
        """Lines added plus lines deleted."""
        return self.added + self.deleted


class Reason(Record):
    """Why something was refused or ranked as it was: a stable code and one sentence for people."""

    code: str
    text: str


class Evidence(Record):
    """Everything that judgement knows of one candidate.

    Attributes:
        agent: the agent's name, unique in a run.
        violations: findings that make the candidate inadmissible, in order of discovery.
        checks: all check results, both forms.
        diff: facts about the patch; None when there is no patch.
        invariants: names measured to hold, sorted.
        claimed: invariants the agent claimed; data only.
        execution_ms: the agent's wall time, milliseconds.
        ttv_ms: time to value: from dispatch until verified, milliseconds.
        cost_microusd: what the model calls cost, millionths of a US dollar.
        fit: how well the agent's capabilities fit the intent, 0..1000 thousandths.
    """

    agent: str
    violations: tuple[Reason, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    diff: DiffFacts | None = None
    invariants: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()
    execution_ms: int = 0
    ttv_ms: int = 0
    cost_microusd: int = 0
    fit: int = 1000

    @property
    def admissible(self) -> bool:
        """True when nothing measured speaks against the candidate and there is a patch to judge."""
        return not self.violations and self.diff is not None
