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
    }
)

WORKFLOW_REASONS: Mapping[ReasonCode, _Row] = MappingProxyType(
    {
        ReasonCode.WORKFLOW_INVALID: (
            "WORKFLOW_INVALID",
            "The workflow is not one that can be run: an unknown pattern, role or node, a capability that is not held.",
            "Correct what the message names; `optr workflow check FILE` tries it without a run.",
        ),
    }
)
