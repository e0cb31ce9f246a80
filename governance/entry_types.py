"""The names of what is recorded, and the states that node events lead through."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class EntryType(StrEnum):
    """What an event or a ledger line says happened. Declared in the order in which they can follow each other."""

    MAEG_CREATED = "MAEG_CREATED"
    DELEGATED = "DELEGATED"
    CORRECTION_ISSUED = "CORRECTION_ISSUED"
    SUB_PAC_ISSUED = "SUB_PAC_ISSUED"
    SUB_PAC_BLOCKED = "SUB_PAC_BLOCKED"
    SUB_PAC_DISPATCHED = "SUB_PAC_DISPATCHED"
    SUB_PAC_EXECUTING = "SUB_PAC_EXECUTING"
    DISPATCH_EXPIRED = "DISPATCH_EXPIRED"
    DISPATCH_REVOKED = "DISPATCH_REVOKED"
    SUB_PAC_EXECUTED = "SUB_PAC_EXECUTED"
    SUB_PAC_FAILED = "SUB_PAC_FAILED"
    BER_AGENT_GENERATED = "BER_AGENT_GENERATED"
    BER_AGENT_FAILED = "BER_AGENT_FAILED"
    PDO_AGENT_FINALIZED = "PDO_AGENT_FINALIZED"
    OPTR_SELECTED = "OPTR_SELECTED"
    OPTR_NO_WINNER = "OPTR_NO_WINNER"
    PDO_ORCH_AGGREGATED = "PDO_ORCH_AGGREGATED"
    PDO_ORCH_BLOCKED = "PDO_ORCH_BLOCKED"
    PR_OPENED = "PR_OPENED"
    OPTR_PICKED = "OPTR_PICKED"
    HUMAN_REVIEW_RECORDED = "HUMAN_REVIEW_RECORDED"
    WRAP_ORCH_ACCEPTED = "WRAP_ORCH_ACCEPTED"
    WRAP_ORCH_REJECTED = "WRAP_ORCH_REJECTED"
    RUN_REFUSED = "RUN_REFUSED"
    RUN_FAILED = "RUN_FAILED"
    RUN_CANCELLED = "RUN_CANCELLED"
    RUN_SUPERSEDED = "RUN_SUPERSEDED"
    RUN_EXPIRED = "RUN_EXPIRED"
    COMMIT_ALLOWED = "COMMIT_ALLOWED"  # of somebody else's pull request, as the next one: no run of ours
    COMMIT_TRIED = "COMMIT_TRIED"
    TRUST_REVOKED = "TRUST_REVOKED"  # of the installation: outside any run's order
    KEY_ROTATED = "KEY_ROTATED"  # of the ledger, as the next one: see ledger.rotation
    LEDGER_ADOPTED = "LEDGER_ADOPTED"  # of the ledger, not of a run's order: it can stand anywhere but first


class NodeState(StrEnum):
    """Where a node's current attempt stands."""

    ISSUED = "ISSUED"
    DISPATCHED = "DISPATCHED"
    EXECUTING = "EXECUTING"
    BER_PENDING = "BER_PENDING"
    PDO_PENDING = "PDO_PENDING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    BLOCKED = "BLOCKED"


ENDED = frozenset({NodeState.COMPLETE, NodeState.FAILED, NodeState.BLOCKED})

_RUNNING = (NodeState.DISPATCHED, NodeState.EXECUTING)

# A failed or blocked node still gets its report and its settlement: every node is settled, and stays what it was.
MOVES: Mapping[EntryType, Mapping[NodeState, NodeState]] = MappingProxyType(
    {
        EntryType.SUB_PAC_BLOCKED: {NodeState.ISSUED: NodeState.BLOCKED},
        EntryType.SUB_PAC_DISPATCHED: {NodeState.ISSUED: NodeState.DISPATCHED},
        EntryType.SUB_PAC_EXECUTING: {NodeState.DISPATCHED: NodeState.EXECUTING},
        EntryType.DISPATCH_EXPIRED: dict.fromkeys((NodeState.ISSUED, *_RUNNING), NodeState.FAILED),
        EntryType.DISPATCH_REVOKED: dict.fromkeys((NodeState.ISSUED, *_RUNNING), NodeState.FAILED),
        EntryType.SUB_PAC_EXECUTED: dict.fromkeys(_RUNNING, NodeState.BER_PENDING),
        EntryType.SUB_PAC_FAILED: dict.fromkeys(
            (NodeState.ISSUED, *_RUNNING, NodeState.BER_PENDING, NodeState.PDO_PENDING), NodeState.FAILED
        ),
        EntryType.BER_AGENT_GENERATED: {NodeState.BER_PENDING: NodeState.PDO_PENDING},
        EntryType.BER_AGENT_FAILED: {
            NodeState.BER_PENDING: NodeState.FAILED,
            NodeState.FAILED: NodeState.FAILED,
            NodeState.BLOCKED: NodeState.BLOCKED,
        },
        EntryType.PDO_AGENT_FINALIZED: {
            NodeState.PDO_PENDING: NodeState.COMPLETE,
            NodeState.FAILED: NodeState.FAILED,
            NodeState.BLOCKED: NodeState.BLOCKED,
        },
    }
)

NODE_TYPES = frozenset({EntryType.CORRECTION_ISSUED, EntryType.SUB_PAC_ISSUED, *MOVES})
WRAP_TYPES = frozenset({EntryType.WRAP_ORCH_ACCEPTED, EntryType.WRAP_ORCH_REJECTED})
