"""What a run's authority leaves in the record: `trust.json`, `audit.jsonl` and the events of delegation. Pure.

`trust.json` is the run's book (`governance.trust.records.Book`) as canonical JSON; `audit.jsonl` holds one audit anchor
per line, each linked to the one before it and signed by the actor's own key, or by the installation for a denied act.
"""

from collections.abc import Iterable

from execution.records import AgentOutcome
from execution.stages.outputs import Story
from execution.trustbooks import AUDIT_FILE, REGISTER_FILE, TRUST_FILE
from governance.entry_types import EntryType
from governance.events import NodeEvent
from governance.mandate import Mandate
from governance.report import Verdict
from governance.trust.chain import Grounds, chain_of, grounds_of
from governance.trust.lineage import PUBLISH, agent, authority, orchestrator, task_of
from governance.trust.operations import Party, audit
from governance.trust.records import ActResult, Anchor, Book
from ledger import canonical
from ledger.keys import Signer
from scoring.selection import Selection

__all__ = ["AUDIT_FILE", "REGISTER_FILE", "TRUST_FILE", "audit_file", "delegated", "trust_file"]


def trust_file(book: Book) -> bytes:
    """`trust.json`: everything that the run's acts rest on, signatures included; and the same of `agents.json`."""
    return canonical.encode(book.model_dump(mode="json")) + b"\n"


def delegated(books: Iterable[Book]) -> list[NodeEvent]:
    """One event per delegation, from the person's on."""
    return [
        NodeEvent(
            type=EntryType.DELEGATED,
            timestamp=one.issued_ms,
            actor=one.delegator,
            facts={
                "delegation": one.id,
                "parent": one.parent,
                "delegatee": one.delegatee,
                "origin": one.origin,
                "task": one.task,
                "capabilities": " ".join(one.capabilities),
                "expires": one.expires_ms,
            },
        )
        for book in books
        for one in book.delegations
    ]


def audit_file(story: Story, book: Book, selection: Selection, signer: Signer) -> bytes:
    """`audit.jsonl`: what the book's agents did or were denied, in node order, and what was decided."""
    last: Anchor | None = None
    lines = []
    tasks = {one.task for one in book.delegations}
    for mandate in story.plan.mandates:
        if task_of(mandate) in tasks and (made := _of_node(story, book, mandate, signer, last)) is not None:
            lines.append(made)
            last = made
    optr = orchestrator(signer, story.plan.graph.run)
    lines.append(
        audit(
            optr,
            optr.name,
            "decide",
            ActResult.SUCCESS,
            at_ms=story.decided_ms,
            grounds=_grounds(book, optr, PUBLISH, story.plan.graph.run),
            resource=selection.winner or "",
            parent=last,
        )
    )
    return b"".join(canonical.encode(one.model_dump(mode="json")) + b"\n" for one in lines)


def _of_node(story: Story, book: Book, mandate: Mandate, signer: Signer, last: Anchor | None) -> Anchor | None:
    """The anchor of what a node's agent did; None when it was never asked."""
    found = _ended(story, mandate.node)
    if found is None:
        return None
    action, result, code, at_ms = found
    who = agent(signer, mandate)
    denied = result is ActResult.DENIED
    grounds = None if denied else _grounds(book, who, mandate.capabilities[0], task_of(mandate))
    return audit(
        authority(signer) if denied else who,
        who.name,
        action,
        result,
        at_ms=at_ms,
        grounds=grounds,
        resource=task_of(mandate),
        code=code,
        parent=last,
    )


def _ended(story: Story, node: str) -> tuple[str, ActResult, str, int] | None:
    """What a node's agent was asked for, how that ended, by which code, and when."""
    dispatched = story.dispatched.get(node)
    if (tried := story.tried.get(node)) is not None:
        attempt = tried.candidate.attempt
        completed = ActResult.SUCCESS if attempt.outcome is AgentOutcome.COMPLETED else ActResult.FAILURE
        refused = attempt.outcome in {AgentOutcome.POLICY, AgentOutcome.SPARED}
        return "attempt", ActResult.DENIED if refused else completed, attempt.code, tried.executed_ms
    reviewed = story.reviewed.get(node)
    if reviewed is None or dispatched is None:
        return None
    if dispatched.denied:
        return "review", ActResult.DENIED, dispatched.denied, reviewed.reviewed_ms
    heard = ActResult.SUCCESS if reviewed.report.verdict is Verdict.PASS else ActResult.FAILURE
    return "review", heard, "", reviewed.reviewed_ms


def _grounds(book: Book, who: Party, capability: str, task: str) -> Grounds:
    mine = (who.name, who.key, task)
    held = next(one for one in book.delegations if (one.delegatee, one.delegatee_key, one.task) == mine)
    return grounds_of(book, chain_of(book, held), capability)
