"""Dispatch tokens: single-use, expiring permission for one act of one attempt.

This module makes and checks tokens. That a token works once is the store's part: one atomic update of its row, which
raises DISPATCH_REUSED when the row was already used.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from governance.codes import ReasonCode, RefusedError
from governance.mandate import Mandate
from governance.record import AgentName, AttemptNumber, Count, NodeId, Record, RunId, Sha256
from ledger import canonical


class DispatchToken(Record):
    """Permission for one capability of one attempt.

    Attributes:
        id: hex SHA-256 over everything it is bound to and a nonce; as hard to guess as the nonce.
        run, node, attempt, agent, capability: what it is bound to.
        inputs_digest: see `inputs_digest`.
        expires_ms: milliseconds since the epoch; at this moment it no longer works.
    """

    record_kind: ClassVar[str] = "optr/dispatch/1"

    id: Sha256
    run: RunId
    node: NodeId
    attempt: AttemptNumber
    agent: AgentName
    capability: Annotated[str, Field(min_length=1)]
    inputs_digest: Sha256
    expires_ms: Count


def inputs_digest(inputs: Mapping[str, str]) -> str:
    """Hex SHA-256 of a manifest of inputs, name to hex SHA-256."""
    return canonical.digest({"kind": "optr/inputs/1", "value": dict(inputs)})


def mint(mandate: Mandate, capability: str, *, expires_ms: int, nonce: str) -> DispatchToken:
    """A token for one of the mandate's capabilities; it expires with the mandate at the latest.

    Args:
        mandate: what it permits a part of.
        capability: must be the mandate's.
        expires_ms: milliseconds since the epoch.
        nonce: not empty; random for everyone but its issuer, and used once.

    Raises:
        RefusedError: DISPATCH_WRONG_CAPABILITY when the mandate does not hold the capability.
        ValueError: without a nonce.
    """
    if capability not in mandate.capabilities:
        held = ", ".join(mandate.capabilities) or "nothing"
        raise RefusedError(
            ReasonCode.DISPATCH_WRONG_CAPABILITY, f"{mandate.id} does not hold {capability!a}; it holds: {held}"
        )
    if not nonce:
        raise ValueError("a dispatch token needs a nonce")
    bound: dict[str, str | int] = {
        "run": mandate.run,
        "node": mandate.node,
        "attempt": mandate.attempt,
        "agent": mandate.agent,
        "capability": str(capability),
        "inputs_digest": inputs_digest(mandate.inputs),
        "expires_ms": min(expires_ms, mandate.deadline_ms),
    }
    id_ = canonical.digest(
        {"kind": DispatchToken.record_kind, "mandate": mandate.digest, "nonce": nonce, "value": bound}
    )
    return DispatchToken.model_validate({"id": id_, **bound})


def check(  # noqa: PLR0913 - a token is bound to all of these
    token: DispatchToken,
    *,
    run: str,
    node: str,
    attempt: int,
    agent: str,
    capability: str,
    inputs_digest: str,
    now_ms: int,
) -> None:
    """Refuse a token that does not permit exactly this act now.

    Raises:
        RefusedError: the first mismatch, each with its own code: DISPATCH_WRONG_RUN, _NODE, _ATTEMPT, _AGENT,
            _CAPABILITY, _INPUTS, or DISPATCH_EXPIRED.
    """
    bindings: tuple[tuple[ReasonCode, str, object, object], ...] = (
        (ReasonCode.DISPATCH_WRONG_RUN, "run", token.run, run),
        (ReasonCode.DISPATCH_WRONG_NODE, "node", token.node, node),
        (ReasonCode.DISPATCH_WRONG_ATTEMPT, "attempt", token.attempt, attempt),
        (ReasonCode.DISPATCH_WRONG_AGENT, "agent", token.agent, agent),
        (ReasonCode.DISPATCH_WRONG_CAPABILITY, "capability", token.capability, capability),
        (ReasonCode.DISPATCH_WRONG_INPUTS, "inputs", token.inputs_digest, inputs_digest),
    )
    for code, name, bound, actual in bindings:
        if bound != actual:
            raise RefusedError(code, f"the token's {name} is {bound!a}, but {actual!a} was presented")
    if now_ms >= token.expires_ms:
        raise RefusedError(
            ReasonCode.DISPATCH_EXPIRED, f"the token of node {node} expired {now_ms - token.expires_ms} ms ago"
        )
