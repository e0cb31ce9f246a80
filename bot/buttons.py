"""The buttons under a run's check: at most three, chosen by its state, each bound to its run.

Pressing one is the command of the same name: same handler, same permission, same answer.
Limits: https://docs.github.com/en/rest/checks/runs#create-a-check-run
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from governance.states import RunOutcome, RunState

BUTTONS_MAX = 3
RUN_DIGITS = 12  # of the run's id, as many as GitHub's 20 characters leave beside the longest verb

_IDENTIFIER = re.compile(rf"([a-z]{{1,7}}):([0-9a-f]{{{RUN_DIGITS}}})")


@dataclass(frozen=True)
class Button:
    """A button.

    Attributes:
        verb: the slash command it stands for.
        label: at most 20 characters.
        description: at most 40 characters.
    """

    verb: str
    label: str
    description: str

    def payload(self, run_id: str) -> dict[str, str]:
        """The button as GitHub takes it."""
        return {
            "label": self.label,
            "description": self.description,
            "identifier": f"{self.verb}:{run_id[:RUN_DIGITS]}",
        }


_VERIFY = Button("verify", "Verify the record", "Checks the ledger from its first line")
_EXPLAIN = Button("explain", "Explain the winner", "Why it won, in a comment")
_CANCEL = Button("cancel", "Cancel the run", "Closes the run; its record stays")
_RERUN = Button("rerun", "Run again", "The same request, word for word")
_APPROVE = Button("approve", "Approve the plan", "The agents start")
_REJECT = Button("reject", "Reject the plan", "The run ends; nothing was started")
_PLAN = Button("plan", "Show the plan", "Agents, limits, checks, in a comment")

_WAITING = (_APPROVE, _REJECT, _PLAN)
_REVIEWED = (_EXPLAIN, _VERIFY, _CANCEL)
_ENDED = (_RERUN, _VERIFY)
_BY_OUTCOME: Mapping[RunOutcome, tuple[Button, ...]] = MappingProxyType(
    {RunOutcome.ACCEPTED: (_EXPLAIN, _VERIFY), RunOutcome.NO_WINNER: (_RERUN, _EXPLAIN, _VERIFY)}
)


def buttons(state: RunState, outcome: RunOutcome | None) -> tuple[Button, ...]:
    """What may be pressed now; GitHub shows buttons on completed checks only."""
    if state is RunState.CLOSED or outcome is not None:
        return _BY_OUTCOME.get(outcome, _ENDED) if outcome else _ENDED
    if state is RunState.AWAITING_APPROVAL:
        return _WAITING
    return _REVIEWED if state is RunState.IN_REVIEW else ()


def pressed(identifier: str, run_id: str, state: RunState, outcome: RunOutcome | None) -> str | None:
    """The command a button stands for; None for one of another run, or of a state that is over."""
    found = _IDENTIFIER.fullmatch(identifier)
    if found is None or not run_id.startswith(found[2]):
        return None
    return found[1] if found[1] in {button.verb for button in buttons(state, outcome)} else None
