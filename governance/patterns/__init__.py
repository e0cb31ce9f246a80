"""Patterns of working together, each compiled to a graph. The orchestration is fixed; only nodes generate."""

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from governance.patterns.cast import Cast, Pattern, Setting
from governance.patterns.chains import CHAINS
from governance.patterns.councils import COUNCILS
from governance.patterns.fans import FANS
from governance.workflow import AnyWorkflow, Trust, WorkflowProblemError, require_trusted

__all__ = ["PATTERNS", "Cast", "Pattern", "Setting", "compile_pattern"]

PATTERNS: Mapping[str, Pattern] = MappingProxyType(
    {pattern.name: pattern for pattern in sorted((*CHAINS, *FANS, *COUNCILS), key=lambda one: one.name)}
)


def compile_pattern(name: str, cast: Cast, trust: Trust | None = None) -> AnyWorkflow:
    """The workflow of a pattern.

    Args:
        name: one of `PATTERNS`.
        cast: who plays what.
        trust: who says what agents may do; None leaves that to the run, which asks again in any case.

    Raises:
        RefusedError: WORKFLOW_INVALID for an unknown pattern, a cast that it cannot be played with, or an agent that is
            not trusted with what its nodes do.
    """
    pattern = PATTERNS.get(name)
    if pattern is None:
        close = get_close_matches(name, PATTERNS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(PATTERNS)}"
        raise WorkflowProblemError(f"no pattern is called {name[:80]!a}; {hint}")
    made = pattern.compiled(cast)
    if trust is not None:
        require_trusted(made, trust)
    return made
