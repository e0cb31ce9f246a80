"""Rows of the registry: rules of nodes and of the record. Name, cause, remedy."""

from collections.abc import Mapping
from types import MappingProxyType

from governance.codes import ReasonCode

_Row = tuple[str, str, str]

NODE_REASONS: Mapping[ReasonCode, _Row] = MappingProxyType(
    {
        ReasonCode.GS_130: (
            "EXECUTION_RESULT_INVALID",
            "The agent's report is missing, too deep, too large or not plain JSON.",
            "Look at the agent's output; run the node again.",
        ),
        ReasonCode.GS_131: (
            "EXECUTION_RESULT_WRAP_CLAIM",
            "The agent's report carries a wrap field, which only the closing record may.",
            "Remove wrap fields from what the agent reports.",
        ),
        ReasonCode.GS_132: (
            "EXECUTION_RESULT_CLOSURE_CLAIM",
            "The agent's report declares the work settled, closed or merged.",
            "Remove it: whether work is closed is decided from evidence and by people.",
        ),
        ReasonCode.GS_133: (
            "EXECUTION_RESULT_AUTHORITY_CLAIM",
            "The agent's report claims approval, a verdict or authority.",
            "Remove it: an agent's word approves nothing.",
        ),
        ReasonCode.GS_200: (
            "SUB_PAC_LANE_VIOLATION",
            "A candidate touched a path, or its agent tried an act, outside the lane of its mandate.",
            "Keep the change inside the lane, or ask for a wider one when the run starts.",
        ),
        ReasonCode.GS_201: (
            "SUB_PAC_SCOPE_EXPANSION",
            "A mandate would allow more than its parent does.",
            "Ask for no more than the parent mandate allows; a mandate can only narrow.",
        ),
        ReasonCode.GS_203: (
            "DISPATCH_DEPENDENCY_UNMET",
            "A node was to be dispatched before all that it depends on had passed.",
            "Wait for the reports of its predecessors, or correct the one that failed.",
        ),
        ReasonCode.GS_204: (
            "BER_DEPENDENCY_UNMET",
            "A report was to be made before the reports it rests on had passed.",
            "Make the predecessors' reports first.",
        ),
        ReasonCode.GS_207: (
            "AGENT_SIDE_CHANNEL",
            "A node saw an input that its mandate does not list by hash.",
            "List every input in the mandate; look for a channel between candidates.",
        ),
        ReasonCode.DISPATCH_WRONG_RUN: (
            "DISPATCH_WRONG_RUN",
            "The dispatch token belongs to another run.",
            "Use the token that this run issued.",
        ),
        ReasonCode.DISPATCH_WRONG_NODE: (
            "DISPATCH_WRONG_NODE",
            "The dispatch token belongs to another node.",
            "Use the token that was issued for this node.",
        ),
        ReasonCode.DISPATCH_WRONG_ATTEMPT: (
            "DISPATCH_WRONG_ATTEMPT",
            "The dispatch token belongs to another attempt of this node.",
            "Use the token of the current attempt.",
        ),
        ReasonCode.DISPATCH_WRONG_AGENT: (
            "DISPATCH_WRONG_AGENT",
            "The dispatch token was issued to another agent; tokens cannot be passed on.",
            "Dispatch this agent with a token of its own.",
        ),
        ReasonCode.DISPATCH_WRONG_CAPABILITY: (
            "DISPATCH_WRONG_CAPABILITY",
            "The token or its mandate does not grant this capability.",
            "Grant the capability in the graph, or do not ask for it.",
        ),
        ReasonCode.DISPATCH_WRONG_INPUTS: (
            "DISPATCH_WRONG_INPUTS",
            "The inputs are not those that the token was issued for.",
            "Issue a new token for the inputs as they are now.",
        ),
        ReasonCode.DISPATCH_EXPIRED: (
            "DISPATCH_EXPIRED",
            "The dispatch token's time is over.",
            "Run the node again; raise the deadline if it is too short.",
        ),
        ReasonCode.DISPATCH_REUSED: (
            "DISPATCH_REUSED",
            "The dispatch token was used before; it works once.",
            "Find out who used it first; run the node again.",
        ),
    }
)

RECORD_REASONS: Mapping[ReasonCode, _Row] = MappingProxyType(
    {
        ReasonCode.GS_202: (
            "MAEG_CYCLE_DETECTED",
            "Nodes of the graph wait for each other in a circle.",
            "Remove one of the edges named.",
        ),
        ReasonCode.GS_205: (
            "PDO_ORCH_INCOMPLETE",
            "A node has no settlement, so the run's settlements cannot be aggregated.",
            "Settle or correct the node named.",
        ),
        ReasonCode.GS_206: (
            "WRAP_PARTIAL_EXECUTION",
            "More nodes failed than the graph's join had declared acceptable.",
            "Correct the failed nodes; a join that tolerates failure must be declared before the run.",
        ),
        ReasonCode.MAEG_INVALID: (
            "MAEG_INVALID",
            "The graph is not one that can be governed: ids, edges, joins or convergence are wrong.",
            "Correct the workflow as the message says.",
        ),
        ReasonCode.BINDING_MISMATCH: (
            "BINDING_MISMATCH",
            "Records that must belong together do not: run, node, attempt, agent or digest differs.",
            "Treat the records as tampered with or mixed up; verify the ledger.",
        ),
        ReasonCode.OUTCOME_UNEARNED: (
            "OUTCOME_UNEARNED",
            "A settlement would give a node an outcome that its report or its join does not allow.",
            "Settle a node without a passing report as REJECTED, and use the outcomes of the graph's join.",
        ),
        ReasonCode.SELECTION_NOT_ONE: (
            "SELECTION_NOT_ONE",
            "A race must have exactly one SELECTED node, or none and every node REJECTED.",
            "Settle again from the recorded selection.",
        ),
        ReasonCode.WRAP_NOT_HUMAN: (
            "WRAP_NOT_HUMAN",
            "A run would be accepted by an agent, an App or nobody.",
            "Let a person accept: merge the pull request yourself.",
        ),
        ReasonCode.EVENT_CHAIN_BROKEN: (
            "EVENT_CHAIN_BROKEN",
            "A line of the run's events is not canonical, not in sequence or does not fit its hash.",
            "Restore the file from an earlier commit of the record; keep the broken copy.",
        ),
        ReasonCode.EVENT_OUT_OF_ORDER: (
            "EVENT_OUT_OF_ORDER",
            "An event does not follow from the state its node was in.",
            "Read the events of that node from its first; one is missing, doubled or misplaced.",
        ),
    }
)
