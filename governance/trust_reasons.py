"""Rows of the registry: who may act for whom, and what the policy says. Name, cause, remedy."""

from collections.abc import Mapping
from types import MappingProxyType

from governance.codes import ReasonCode

_Row = tuple[str, str, str]

TRUST_REASONS: Mapping[ReasonCode, _Row] = MappingProxyType(
    {
        ReasonCode.NO_CAPABLE_AGENT: (
            "NO_CAPABLE_AGENT",
            "No registered agent holds the capability on grounds that stand.",
            "Add an agent whose signed capabilities include it; what an agent says of itself does not count.",
        ),
        ReasonCode.TRUST_UNKNOWN: (
            "TRUST_UNKNOWN",
            "Nothing was ever granted to this actor with this key.",
            "Start the run again; if an agent is new, look at it with `optr trust show`.",
        ),
        ReasonCode.TRUST_CAPABILITY: (
            "TRUST_CAPABILITY",
            "The actor, or somebody on whose word it acts, does not hold the capability.",
            "Give the agent's profile the role that the act needs, or let another agent do it.",
        ),
        ReasonCode.TRUST_CONSTRAINT: (
            "TRUST_CONSTRAINT",
            "The act is outside the envelope that the actor was given.",
            "Read which limit the message names; a run's envelope comes from its mandate.",
        ),
        ReasonCode.TRUST_CONSTRAINT_UNKNOWN: (
            "TRUST_CONSTRAINT_UNKNOWN",
            "A constraint has a type that this version does not know, or a value that does not fit its type.",
            "Use a type from docs/trust.md; what cannot be compared cannot be shown to be kept.",
        ),
        ReasonCode.TRUST_WIDER: (
            "TRUST_WIDER",
            "A delegation would allow more than its delegator may do.",
            "Hand on no more than is held; constraints can only be tightened.",
        ),
        ReasonCode.TRUST_EXPIRED: (
            "TRUST_EXPIRED",
            "The grant has expired; grants of a run end with the run.",
            "Start the run again.",
        ),
        ReasonCode.TRUST_REVOKED: (
            "TRUST_REVOKED",
            "The agent, person, key or delegation, or one that it rests on, was revoked.",
            "See `optr trust show` for who revoked it and why; start a run without it, or have trust given back.",
        ),
        ReasonCode.TRUST_SIGNATURE: (
            "TRUST_SIGNATURE",
            "A record of trust was not signed by the key that it names.",
            "Treat the record as forged or damaged; run `optr trust verify`.",
        ),
        ReasonCode.TRUST_BROKEN: (
            "TRUST_BROKEN",
            "A link of the chain is missing or belongs to another chain, task, person or authority.",
            "Treat the record as forged or damaged; run `optr trust verify`.",
        ),
        ReasonCode.TRUST_CYCLE: (
            "TRUST_CYCLE",
            "An actor would stand on the way to itself; nobody delegates to themselves.",
            "Delegate to somebody who is not on the way already.",
        ),
        ReasonCode.TRUST_DEPTH: (
            "TRUST_DEPTH",
            "More than ten delegations lie between the person and the act.",
            "Delegate more directly.",
        ),
    }
)
