"""The issue's one comment per run: found by its hidden marker, edited through the run's states."""

import re

from bot.render.budget import BODY_BYTES_MAX, Section, fit
from bot.render.comparison import comparison, headline
from bot.render.words import links, name, sentence
from execution.result import RunResult
from governance.states import RunState

_ROAD = (
    RunState.RECEIVED,
    RunState.PLANNED,
    RunState.EXECUTING,
    RunState.VERIFYING,
    RunState.RECORDED,
    RunState.IN_REVIEW,
    RunState.CLOSED,
)
_ORDER = {state: place for place, state in enumerate(RunState)}
_MARKER = re.compile(r"<!-- optr:run=([0-9a-z-]{1,64}) -->")


def marker(run: str) -> str:
    """The hidden first line of what we post about a run."""
    return f"<!-- optr:run={run} -->"


def marked_run(body: str) -> str | None:
    """The run a text of ours is about. Only the very start counts: anybody can write a marker further down.

    Whoever asks must also know that we wrote the text.
    """
    found = _MARKER.match(body)
    return found.group(1) if found else None


def comment_body(result: RunResult) -> str:
    """The comment, at most 65,000 bytes."""
    head = f"{marker(result.run)}\n### OPTR · {name(result.workflow)} · {headline(result)}\n\n{_road(result)}\n"
    return fit(
        [Section(head), Section(_explanation(result)), Section(_links(result), 1), Section(f"\n{comparison(result)}")],
        BODY_BYTES_MAX,
    )


def _road(result: RunResult) -> str:
    """The states passed, the one it is in, and those to come; a closed run shows how it ended instead."""
    if result.state is RunState.CLOSED or result.outcome is not None:
        return f"closed: **{str(result.outcome or RunState.CLOSED).replace('_', ' ')}**"
    here = _ORDER[result.state]
    reached = [state for state in _ROAD if _ORDER[state] <= here]
    current = reached[-1]
    steps = [
        f"**{state}**" if state is current else (f"✓ {state}" if _ORDER[state] < here else str(state))
        for state in _ROAD
    ]
    return " → ".join(steps).replace("_", " ")


def _explanation(result: RunResult) -> str:
    """One sentence on what happens next, when a person may wonder."""
    if result.state is RunState.AWAITING_APPROVAL:
        return "\nWaiting for a maintainer's approval of the plan; nothing runs until then.\n"
    if result.state is RunState.IN_REVIEW:
        return "\nThe pull request waits for a human's review; `optr/gate` says what is missing.\n"
    return f"\nAsked by {name(result.requester)}: {sentence(result.title)}\n"


def _links(result: RunResult) -> str:
    shown = links(result)
    return f"\n{' · '.join(shown)}\n" if shown else ""
