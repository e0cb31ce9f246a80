"""Ledger entries (contract; the ledger's author completes this module)."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Draft:
    """A line before it has a place: the sequencer adds seq, previousHash and hash.

    Attributes:
        id: unique in the ledger and deterministic (`<run>/<TYPE>` or `<run>/<TYPE>/<n>`): appending again is a no-op.
        type: MAEG_CREATED, OPTR_SELECTED, PR_OPENED, WRAP_ORCH_ACCEPTED and the others of governance.events.
        workflow: directory under datalake/workflows/.
        run: the run's id.
        actor: who caused it.
        timestamp: milliseconds since the epoch; raised to the previous line's if it is smaller.
        body: further members, JSON without floats.
    """

    id: str
    type: str
    workflow: str
    run: str
    actor: str
    timestamp: int
    body: Mapping[str, object] = field(default_factory=dict)
