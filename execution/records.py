"""Records that travel between the parts of execution. Data, never authority."""

from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from governance.outputs import FieldValue


class Record(BaseModel):
    """Base of this package's records: immutable, strict, bytes as base64 in JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


class AgentOutcome(StrEnum):
    """How an agent's attempt ended, the words users see."""

    COMPLETED = "completed"
    FAILED = "agent_failed"
    TIMEOUT = "agent_timeout"
    AUTH = "agent_auth"
    BUDGET = "budget_denied"
    POLICY = "policy_denied"
    SPARED = "not_started"


class Given(Record):
    """What another node handed this one: `name` is `<node>.<field>`, `text` how it is shown; untrusted."""

    name: str
    text: str


class Usage(Record):
    """Tokens of an attempt, normalised over vendors, and what they cost.

    Attributes:
        fresh: input tokens neither read from nor written to a cache.
        cached: input tokens read from a cache.
        cache_write: input tokens written to a cache.
        output: output tokens, reasoning included.
        cost_microusd: price, millionths of a US dollar.
        calls: model calls made, failed ones included.
    """

    fresh: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    cost_microusd: int = 0
    calls: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        """Sum, field by field."""
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in Usage.model_fields})


class AgentReport(Record):
    """What an agent says of its own work. Every word of it is a claim.

    Attributes:
        summary: what was changed and why, at most 4,000 characters.
        invariants: names the agent claims to hold.
        risks: what the agent thinks a reviewer should look at.
        rollback: how to undo the change.
        output: what a workflow's node was asked to hand back, by field; see governance.outputs.
    """

    summary: str = Field(default="", max_length=4000)
    invariants: tuple[str, ...] = Field(default=(), max_length=100)
    risks: str = Field(default="", max_length=4000)
    rollback: str = Field(default="", max_length=4000)
    output: dict[str, FieldValue] = Field(default_factory=dict)


class Limits(Record):
    """What one attempt may use.

    Attributes:
        wall_seconds: wall clock for the whole attempt.
        steps: commands the agent may run.
        tokens: input plus output tokens.
        cost_microusd: money, millionths of a US dollar.
        command_seconds: wall clock for one command.
        output_bytes: bytes of one command's output shown to the model.
    """

    wall_seconds: float = 900.0
    steps: int = 60
    tokens: int = 2_000_000
    cost_microusd: int = 5_000_000
    command_seconds: float = 120.0
    output_bytes: int = 10_000


class Task(Record):
    """What an agent is asked to do.

    Attributes:
        run: the run's id.
        node: the graph node's id.
        intent: the request's text, untrusted, already sanitised.
        constraints: short constraint names.
        instructions: the repository's own agent instructions, read from the base commit; may be empty.
        context: facts about the repository that OPTR gathered (file list, checks); may be empty.
        repository: `owner/name`, or an absolute path for a local repository; may be empty.
        base_commit: hex object id of what the workspace was checked out from; may be empty.
        assignment: what this node of a workflow is asked beside the intent; empty in a race.
        given: what other nodes handed it.
        output: the fields that it must hand back, by type.
        writes: whether it may change files.
        correction: what a person asks of this attempt after an earlier one; may be empty.
        lane: path globs that it may change files in; empty for all.
    """

    run: str
    node: str
    intent: str
    constraints: tuple[str, ...] = ()
    instructions: str = ""
    context: str = ""
    repository: str = ""
    base_commit: str = ""
    assignment: str = ""
    given: tuple[Given, ...] = ()
    output: dict[str, str] = Field(default_factory=dict)
    writes: bool = True
    correction: str = ""
    lane: tuple[str, ...] = ()


class Step(Record):
    """One command of an attempt's trajectory and what came of it; output is clipped."""

    thought: str = ""
    command: str
    exit_code: int | None
    output: str
    duration_ms: int


class Fact(Record):
    """Something OPTR itself looked up while an agent worked. It is shown; only verification grants an invariant.

    Attributes:
        name: the invariant it speaks of.
        holds: what was found.
        source: where it was looked up, one clause.
    """

    name: str
    holds: bool
    source: str


class Commit(Record):
    """A commit as its repository tells it; title and author are other people's words, cut."""

    sha: str
    parents: tuple[str, ...] = ()
    title: str = ""
    author: str = ""
    committed: str = ""


class Detail(Record):
    """Base of what an agent's type adds to its output; there its members are in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)


class CopilotDetail(Detail):
    """What a `github-copilot` agent adds: the commits it was shown, newest first."""

    type: Literal["github_copilot_execution"] = "github_copilot_execution"
    recent_commits: tuple[Commit, ...] = ()
    latest_commit: Commit | None = None


class StepStatus(StrEnum):
    """How a step of a workflow ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    NOT_REACHED = "not_reached"


class WorkflowStep(Detail):
    """One step: `step` is its name, `action` what was done, one clause."""

    step: str
    action: str
    status: StepStatus


class WorkflowDetail(Detail):
    """What an `ms-copilot-stride` agent adds: its steps, in order, as they really went."""

    type: Literal["microsoft_copilot_workflow"] = "microsoft_copilot_workflow"
    status: StepStatus
    workflow_steps: tuple[WorkflowStep, ...] = ()


class Attempt(Record):
    """What came of asking an agent, before we take the diff.

    Attributes:
        outcome: how the attempt ended.
        report: the agent's claims.
        usage: tokens and money.
        error: one sentence for people when the attempt did not complete.
        trajectory: commands run, oldest first.
        detail: what the agent's type adds to its output.
        facts: see Fact.
        code: the reason's code where the outcome alone does not say it; empty otherwise.
        causes: code and sentence of what stands behind `code`, the nearest first; empty when nothing does.
    """

    outcome: AgentOutcome
    report: AgentReport = AgentReport()
    usage: Usage = Usage()
    error: str | None = None
    trajectory: tuple[Step, ...] = ()
    detail: CopilotDetail | WorkflowDetail | None = Field(default=None, discriminator="type")
    facts: tuple[Fact, ...] = ()
    code: str = ""
    causes: tuple[tuple[str, str], ...] = ()


class Candidate(Record):
    """What an agent handed back: its attempt and the patch that we took.

    Attributes:
        agent: the agent's name.
        attempt: see Attempt.
        patch: bytes of `git diff --binary`, taken by us; empty when nothing changed or the attempt failed.
        execution_ms: wall time of the attempt, milliseconds.
    """

    agent: str
    attempt: Attempt
    patch: bytes = b""
    execution_ms: int = 0


class CommandLimits(Record):
    """Limits of one sandboxed command.

    Attributes:
        wall_seconds: killed after this long.
        memory_bytes: address space.
        file_bytes: largest file it may write.
        processes: processes of the sandbox's user.
        output_bytes: output kept; more is dropped and said so.
    """

    wall_seconds: float = 120.0
    memory_bytes: int = 4 * 2**30
    file_bytes: int = 512 * 2**20
    processes: int = 512
    output_bytes: int = 1 * 2**20


class Command(Record):
    """One command for the sandbox.

    Attributes:
        argv: the program and its arguments; never a shell line unless argv says so.
        workspace: host directory bound read-write at /workspace, the working directory.
        env: the whole environment beside PATH, HOME, LANG and TMPDIR, which the sandbox sets.
        stdin: bytes on standard input.
        limits: see CommandLimits.
        read_only: further host paths bound read-only at the same path.
        network: an explicit, recorded grant; False everywhere by default.
    """

    argv: tuple[str, ...]
    workspace: Path
    env: dict[str, str] = Field(default_factory=dict)
    stdin: bytes = b""
    limits: CommandLimits = CommandLimits()
    read_only: tuple[Path, ...] = ()
    network: bool = False


class CommandResult(Record):
    """What came of a sandboxed command.

    Attributes:
        exit_code: None when it was killed by our clock.
        output: standard output and error, interleaved, at most `output_bytes`.
        timed_out: whether our clock killed it.
        truncated: whether output was dropped.
        duration_ms: wall time, milliseconds.
    """

    exit_code: int | None
    output: bytes
    timed_out: bool = False
    truncated: bool = False
    duration_ms: int = 0
