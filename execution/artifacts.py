"""What each stage leaves in the store: written once, read by every later stage, the source of the record."""

from pydantic import Field

from execution.agents.profiles import Profile
from execution.config import Check, Config
from execution.history import History
from execution.records import Candidate, Given, Limits, Record
from execution.result import Receipt
from execution.reviews import Ballot
from governance.graph import Graph
from governance.intent import Intent
from governance.keeping import Capture
from governance.mandate import Mandate
from governance.outputs import FieldValue
from governance.report import Report, Verdict
from governance.settlement import Aggregate, Settlement
from governance.tokens import DispatchToken
from scoring.evidence import CrossVote, Evidence, Reason, ReportCounts

PLAN = "plan"
PLAN_RECORDED = "plan_recorded"
AUTHORITY = "authority"
REGISTER = "register"  # of agents, when the run was planned
POLICY = "policy"
BASELINE = "baseline"
CROSS = "cross"
ENOUGH = "enough"
SELECTION = "selection"
RECORDED = "recorded"
RESULT = "result"
APPROVED = "approved"
APPROVING = "approving"  # who said so first, before the ledger heard of it
PICKED = "picked"


def token_name(node: str) -> str:
    """The name of a node's dispatch token."""
    return f"token:{node}"


def tried_name(node: str) -> str:
    """The name of a node's attempt."""
    return f"tried:{node}"


def judged_name(node: str) -> str:
    """The name of a node's verdict."""
    return f"judged:{node}"


def issued_name(node: str) -> str:
    """The name of the mandate that a workflow's node was dispatched with."""
    return f"issued:{node}"


def correction_name(number: int) -> str:
    """The name of a run's correction, from 1."""
    return f"correction:{number}"


def correction_recorded_name(number: int) -> str:
    """The name of what was recorded after a correction."""
    return f"recorded:{number}"


def blinding_name(node: str) -> str:
    """The name of a reviewer's aliases."""
    return f"blinding:{node}"


def reviewed_name(node: str) -> str:
    """The name of what a reviewer said."""
    return f"reviewed:{node}"


class Plan(Record):
    """What will happen, frozen before anything is dispatched.

    Attributes:
        intent, graph, mandates: see governance.
        config, config_digest: the repository's configuration at the base commit; hex SHA-256 of its bytes or "".
        checks, checks_source: what judges every candidate, and one sentence on where that came from.
        base_branch, base_commit: what candidates are written against.
        workflow: the unique directory name.
        profiles: of the candidates, by node id.
        limits: by node id, reviewers included.
        reviewers: profiles of the reviewers, by node id.
        instructions: the repository's own agent instructions at the base commit.
        context: facts about the repository for the agents.
        warnings: what a reader should know.
        planned_ms: milliseconds since the epoch.
        prepare_network: whether the operator lets `prepare` have the network.
        workers: profiles of a workflow's nodes that cannot be the result, by node id.
        waves: node ids of a race in the order they start; empty for all at once.
        capture: what the record keeps of the run's texts.
    """

    intent: Intent
    graph: Graph
    mandates: tuple[Mandate, ...]
    config: Config
    config_digest: str
    checks: tuple[Check, ...]
    checks_source: str
    base_branch: str
    base_commit: str
    workflow: str
    profiles: dict[str, Profile]
    limits: dict[str, Limits]
    instructions: str
    context: str
    warnings: tuple[str, ...]
    planned_ms: int
    prepare_network: bool = False
    reviewers: dict[str, Profile] = Field(default_factory=dict)
    workers: dict[str, Profile] = Field(default_factory=dict)
    waves: tuple[tuple[str, ...], ...] = ()
    capture: Capture = Capture.REDACTED

    @property
    def is_flow(self) -> bool:
        """Whether it is a workflow of nodes and not a race."""
        return bool(self.graph.pattern)

    def profile(self, node: str) -> Profile:
        """The profile of one node of a workflow."""
        return self.profiles.get(node) or self.workers[node]

    def mandate(self, node: str) -> Mandate:
        """The mandate of one node."""
        return next(mandate for mandate in self.mandates if mandate.node == node)


class PlanRecorded(Record):
    """Where the plan stands on the ledger, and when it did, milliseconds since the epoch."""

    receipt: Receipt
    recorded_ms: int


class Approved(Record):
    """Who let the plan go ahead, and when, milliseconds since the epoch."""

    by: str
    approved_ms: int


class Picked(Record):
    """A person's override of the selection, the newest one.

    Attributes:
        agent: whose candidate.
        by, why: the person, and what they said.
        commit, tree: of the candidate.
        replaces: the pull request that stood there before.
        picked_ms: milliseconds since the epoch.
    """

    agent: str
    by: str
    why: str
    commit: str
    tree: str
    replaces: int
    picked_ms: int


class BaseMeasured(Record):
    """What was measured on the base before anything was dispatched: its history, and its test reports by check id."""

    history: History
    reports: dict[str, ReportCounts]


class CrossVotes(Record):
    """The votes of all admissible candidates' new tests; empty when there was nothing to vote with."""

    votes: tuple[CrossVote, ...] = ()


class Dispatched(Record):
    """A node's permission to start.

    Attributes:
        token: what was minted for it; never made usable when the node was denied.
        dispatched_ms: milliseconds since the epoch.
        denied: the code of the reason why its agent may not act; empty when it may.
        denial: one sentence on that.
    """

    token: DispatchToken
    dispatched_ms: int
    denied: str = ""
    denial: str = ""


class Enough(Record):
    """Whose candidate was good enough to start nobody else, and its score; both empty when nobody's was."""

    agent: str = ""
    score: str = ""


class Issued(Record):
    """What a workflow's node was dispatched with.

    Attributes:
        mandate: its inputs list by hash all that it was given.
        given: what other nodes handed it, as text.
        patches: ids of the nodes whose patches are in its files when it starts, in the order they were put together.
        correction: what a person asks of this attempt; empty for the first.
    """

    mandate: Mandate
    given: tuple[Given, ...] = ()
    patches: tuple[str, ...] = ()
    correction: str = ""


class Tried(Record):
    """A node's candidate and when it was handed back; `fault` is a code when it was not the agent that failed."""

    candidate: Candidate
    executed_ms: int
    fault: str = ""


class Judged(Record):
    """What we measured about a candidate, and the report made of it; `output` is what a workflow's node handed back."""

    evidence: Evidence
    warnings: tuple[Reason, ...]
    report: Report
    reported_ms: int
    output: dict[str, FieldValue] = Field(default_factory=dict)


class Blinding(Record):
    """Under which name a reviewer sees whose patch: agent by alias, in the order shown."""

    aliases: dict[str, str]


class Reviewed(Record):
    """What a reviewer said, and the report made of it; blocked when there was no admissible candidate."""

    ballot: Ballot
    report: Report
    reviewed_ms: int

    @property
    def blocked(self) -> bool:
        """Whether the reviewer was never asked."""
        return self.report.verdict is Verdict.BLOCKED


class Recorded(Record):
    """What stands on the datalake branch for this run.

    Attributes:
        commit, tree: the winner's; None without one.
        settlements, aggregate: see governance.settlement.
        receipt: the ledger receipt.
        decided_ms: the moment of the newest thing that was decided on, milliseconds since the epoch; workflows only.
    """

    commit: str | None
    tree: str | None
    settlements: tuple[Settlement, ...]
    aggregate: Aggregate
    receipt: Receipt
    decided_ms: int = 0
