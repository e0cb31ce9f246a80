"""The versioned account of a run: `--json`, the comparison, the check run and the pull request are made from it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from execution.records import AgentOutcome
from execution.reviews import Complexity, NoVote, VoteKind
from governance.states import RunOutcome, RunState
from scoring.evidence import CheckResult, CrossVote, Reason

RESULT_VERSION: Literal[1] = 1


class Record(BaseModel):
    """Immutable and strict."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ReviewResult(Record):
    """One reviewer's vote on one candidate; its texts are a model's words, neutralise before showing.

    Attributes:
        reviewer: the reviewing agent's name.
        vote: see execution.reviews.VoteKind.
        no_vote: why there is none.
        problem: one sentence on that.
        violations, rationale, complexity: the answer.
        cost_microusd: what asking cost, millionths of a US dollar.
    """

    reviewer: str
    vote: VoteKind
    no_vote: NoVote | None = None
    problem: str = ""
    violations: tuple[str, ...] = ()
    rationale: str = ""
    complexity: Complexity | None = None
    cost_microusd: int = 0


class CandidateResult(Record):
    """One agent's row.

    Attributes:
        agent: the agent's name.
        type: openai-codex, anthropic-claude, github-copilot, ms-copilot-stride or command.
        model: the model's id, None for command agents.
        outcome: how the attempt ended; None while it runs.
        admissible: None while unknown.
        reasons: why it is inadmissible or did not win.
        score: decimal string.
        terms: the score's terms, decimal strings.
        checks: every check that we ran, both forms.
        invariants: measured.
        claimed: claims, data only.
        files, added, deleted: the patch's size.
        execution_ms, ttv_ms: milliseconds.
        cost_microusd: millionths of a US dollar.
        patch_sha256: hex digest of the patch's bytes.
        summary: the agent's own words; neutralise before showing.
        error: one sentence when the attempt did not complete.
        fit: how well the agent's capabilities fit the intent, thousandths.
        cross: cross-votes with this agent as voter or target; for people, they decide nothing.
        reviews: what reviewers said of it.
    """

    agent: str
    type: str
    model: str | None = None
    outcome: AgentOutcome | None = None
    admissible: bool | None = None
    reasons: tuple[Reason, ...] = ()
    score: str | None = None
    terms: dict[str, str] = Field(default_factory=dict)
    checks: tuple[CheckResult, ...] = ()
    invariants: tuple[str, ...] = ()
    claimed: tuple[str, ...] = ()
    files: int = 0
    added: int = 0
    deleted: int = 0
    execution_ms: int = 0
    ttv_ms: int = 0
    cost_microusd: int = 0
    patch_sha256: str | None = None
    summary: str = ""
    error: str | None = None
    fit: int = 1000
    cross: tuple[CrossVote, ...] = ()
    reviews: tuple[ReviewResult, ...] = ()


class NodeResult(Record):
    """One node of a workflow.

    Attributes:
        node: its id.
        agent: who works there.
        attempt: which attempt counts, from 1.
        verdict: PASS, FAIL or BLOCKED; None while unknown.
        reasons: why it did not pass.
    """

    node: str
    agent: str
    attempt: int = 1
    verdict: str | None = None
    reasons: tuple[Reason, ...] = ()


class Receipt(Record):
    """Where the record of this run stands.

    Attributes:
        origin: the ledger's name, the checkpoint's first line.
        entry: the ledger line's id.
        seq: the line's place, from 0.
        size: lines in the tree that `root` commits to.
        root: hex RFC 6962 root.
        key: the verification key's name and hash (`name+hex`).
        commit: the datalake commit.
    """

    origin: str
    entry: str
    seq: int
    size: int
    root: str
    key: str
    commit: str


class RunResult(Record):
    """A run as it stands; `version` 1.

    Attributes:
        run, workflow: ids; `workflow` is the directory under datalake/workflows/.
        intent_sha256: hex digest of the intent's original bytes.
        title: the intent's first line, sanitised, at most 120 characters.
        constraints: as asked.
        requester: who asked (a GitHub login, or the local user's name).
        base_branch, base_commit: what the candidates were written against.
        state, outcome: see governance.states; outcome is None until closed.
        candidates: in graph order until selection, best first after it.
        winner: the selected agent's name.
        branch, commit, tree: the winner's; None without one.
        why: why the winner won.
        profile: scoring profile.
        checks_source: where the checks came from, one sentence.
        sandbox: the sandbox backend's name.
        receipt: the ledger receipt of the newest line of this run.
        problem: one sentence when the run failed, was refused or has no winner.
        code: that problem's reason code; None without one.
        warnings: what a reader should know.
        pull_request: number, GitHub only.
        links: named URLs, GitHub only.
        nodes: a workflow's nodes, in node order; empty for a race.
    """

    version: Literal[1] = RESULT_VERSION
    run: str
    workflow: str
    intent_sha256: str
    title: str
    constraints: tuple[str, ...] = ()
    requester: str
    base_branch: str = ""
    base_commit: str = ""
    state: RunState
    outcome: RunOutcome | None = None
    candidates: tuple[CandidateResult, ...] = ()
    winner: str | None = None
    branch: str | None = None
    commit: str | None = None
    tree: str | None = None
    why: tuple[str, ...] = ()
    profile: str = ""
    checks_source: str = ""
    sandbox: str = ""
    receipt: Receipt | None = None
    problem: str | None = None
    code: str | None = None
    warnings: tuple[str, ...] = ()
    pull_request: int | None = None
    links: dict[str, str] = Field(default_factory=dict)
    nodes: tuple[NodeResult, ...] = ()
