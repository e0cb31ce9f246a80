"""Rows of the registry: workflows, what flows between their nodes, and corrections. Name, cause, remedy."""

from collections.abc import Mapping
from types import MappingProxyType

from governance.codes import ReasonCode

_Row = tuple[str, str, str]

FLOW_REASONS: Mapping[ReasonCode, _Row] = MappingProxyType(
    {
        ReasonCode.NOT_CHOSEN: (
            "NOT_CHOSEN",
            "A node before this one chose another way, so this one was not dispatched.",
            "Nothing, if the workflow means it so; else correct the node that chose.",
        ),
        ReasonCode.OUTPUT_INVALID: (
            "OUTPUT_INVALID",
            "A node did not hand back the fields that its workflow declares, or not of the types declared.",
            "Read what it handed back; say in the node's task what belongs into the field, or correct the node.",
        ),
        ReasonCode.INPUTS_CONFLICT: (
            "INPUTS_CONFLICT",
            "The patches that a node was handed change the same lines, so they cannot be put together.",
            "Correct one of the nodes before it, or divide the work so that they touch different places.",
        ),
    }
)

WORKFLOW_REASONS: Mapping[ReasonCode, _Row] = MappingProxyType(
    {
        ReasonCode.WORKFLOW_INVALID: (
            "WORKFLOW_INVALID",
            "The workflow is not one that can be run: an unknown pattern, role or node, a capability that is not held.",
            "Correct what the message names; `optr workflow check FILE` tries it without a run.",
        ),
        ReasonCode.CORRECTION_REFUSED: (
            "CORRECTION_REFUSED",
            "The correction does not fit the run: the node, its report or the run's state does not allow it.",
            "Correct a node that failed, or invalidate one that passed, of a run that waits for a correction.",
        ),
        ReasonCode.CORRECTION_LIMIT: (
            "CORRECTION_LIMIT",
            "The node has had all the attempts that one node may have.",
            "Start a new run, with a request or a workflow that says what went wrong.",
        ),
    }
)

RESULT_REASONS: Mapping[ReasonCode, _Row] = MappingProxyType(
    {
        ReasonCode.JOIN_UNMET: (
            "JOIN_UNMET",
            "The workflow's result rests on nodes that failed, were blocked or chose otherwise.",
            "Correct the node that failed: `optr correct RUN NODE`, or the comment `/optr correct NODE`.",
        ),
    }
)
