"""Replay: a run's order of execution and its nodes' states, from the record alone, against what was stored (F3.44).

Nothing is run again. The chained events give the order and the states; the stored settlements, the aggregate, the
selection and the ledger's lines are then held against them, and every difference is named with its file and line.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from governance.codes import RefusedError
from governance.entry_types import ENDED, EntryType, NodeState
from governance.events import NodeEvent, read, replay
from governance.policy.decide import Policy
from governance.settlement import Aggregate, Outcome, Settlement

EVENTS = "events.jsonl"
COMPLETE = "execution-complete.json"
SELECTION = "optr-selection.json"
POLICY = "policy.json"
_EARNED = frozenset({Outcome.SELECTED, Outcome.NOT_SELECTED, Outcome.COMPLETE})


@dataclass(frozen=True)
class Stored:
    """What the record holds of one decision of a run.

    Attributes:
        planned: members of the ledger line MAEG_CREATED; None when the ledger has none.
        decided: members of the ledger line of the decision.
        events, complete, selection: the files `events.jsonl`, `execution-complete.json`, `optr-selection.json`.
        lines: members of every ledger line of the run.
        policy: the file `policy.json`; empty when the record has none.
    """

    planned: Mapping[str, Any] | None
    decided: Mapping[str, Any]
    events: bytes
    complete: bytes
    selection: bytes
    lines: Sequence[Mapping[str, Any]] = ()
    policy: bytes = b""


@dataclass(frozen=True)
class Difference:
    """Something stored that is not what the events say.

    Attributes:
        where: the file, or the ledger's line, such as `events.jsonl line 7` or `ledger entry 12`.
        what: in words.
    """

    where: str
    what: str


@dataclass(frozen=True)
class Replayed:
    """What a replay gave.

    Attributes:
        events: in their order; empty when the chain is broken.
        states: of every node, by id.
        differences: none when the stored outcome is what the events say.
    """

    events: tuple[NodeEvent, ...]
    states: Mapping[str, NodeState]
    differences: tuple[Difference, ...]


def reconstruct(stored: Stored) -> Replayed:
    """Replay the events, then compare everything stored with them."""
    try:
        states, events = replay(stored.events), read(stored.events)
    except RefusedError as refused:
        return Replayed((), {}, (Difference(EVENTS, str(refused)),))
    found = [
        *_against_ledger(stored, events),
        *_against_policy(stored, events),
        *_against_selection(stored),
        *_against_outcome(stored, events, states),
    ]
    return Replayed(tuple(events), states, tuple(found))


def _against_ledger(stored: Stored, events: Sequence[NodeEvent]) -> Iterator[Difference]:
    decided, planned = stored.decided, stored.planned
    here = f"ledger entry {int(decided['seq']) + 1}"
    first, run = events[0], json.loads(stored.events.split(b"\n", 1)[0])["run"]
    if run != decided["run"]:
        yield Difference(f"{EVENTS} line 1", f"these are the events of run {run}, not of {decided['run']}")
    if planned is None:
        yield Difference(here, "the ledger has no MAEG_CREATED of this run: the graph was not recorded at its start")
    else:
        place = f"ledger entry {int(planned['seq']) + 1}"
        if planned["seq"] >= decided["seq"]:
            yield Difference(place, f"the graph was recorded after the decision, {here}")
        if first.facts.get("graph") != planned.get("graph"):  # the chain begins with it, or could not be replayed
            yield Difference(f"{EVENTS} line 1", f"the graph is not the one of {place}")
    roots = [(number, event) for number, event in enumerate(events, 1) if event.type == EntryType.PDO_ORCH_AGGREGATED]
    if not roots:
        yield Difference(EVENTS, "the settlements were never aggregated (PDO_ORCH_AGGREGATED)")
    elif roots[-1][1].facts.get("root") != decided.get("aggregate"):
        yield Difference(f"{EVENTS} line {roots[-1][0]}", f"the aggregate's root is not the one of {here}")


def _against_policy(stored: Stored, events: Sequence[NodeEvent]) -> Iterator[Difference]:
    """Everything was decided under the policy of the plan; plans of old versions name none, and their lines neither."""
    if stored.planned is None:
        return
    wanted, said = stored.planned.get("policy"), f"ledger entry {int(stored.planned['seq']) + 1}"
    for line in stored.lines:
        if "policy" in line and line["policy"] != wanted:
            what = f"{line['type']} names another policy than the plan, {said}"
            yield Difference(f"ledger entry {int(line['seq']) + 1}", what)
    for number, event in enumerate(events, 1):
        if event.facts.get("policy") != wanted:
            yield Difference(f"{EVENTS} line {number}", f"{event.type} names another policy than the plan, {said}")
    if stored.policy and _digest(stored.policy) != wanted:
        yield Difference(POLICY, f"it is not the policy that the plan names, {said}")


def _digest(content: bytes) -> str | None:
    """The digest of the policy that is kept word for word, whatever the file says of it; None when it is none."""
    kept = _object(content) or {}
    kept.pop("digest", None)
    try:
        return Policy.model_validate_json(json.dumps(kept)).digest
    except ValidationError:
        return None


def _against_selection(stored: Stored) -> Iterator[Difference]:
    selection, complete = _object(stored.selection), _object(stored.complete)
    if selection is None:
        yield Difference(SELECTION, "it is not a JSON object")
        return
    winner, here = stored.decided.get("selectedOptr"), f"ledger entry {int(stored.decided['seq']) + 1}"
    if selection.get("winner") != winner:
        yield Difference(SELECTION, f"the winner is {selection.get('winner')!r}, in {here} it is {winner!r}")
    if complete is not None and complete.get("selectedAgent") != winner:
        yield Difference(COMPLETE, f"the winner is {complete.get('selectedAgent')!r}, in {here} it is {winner!r}")
    if complete is not None and complete.get("commitHash") != stored.decided.get("commit"):
        yield Difference(COMPLETE, f"the winner's commit is not the one of {here}")


def _against_outcome(
    stored: Stored, events: Sequence[NodeEvent], states: Mapping[str, NodeState]
) -> Iterator[Difference]:
    complete = _object(stored.complete)
    try:
        made = [Settlement.model_validate_json(json.dumps(one)) for one in (complete or {})["settlements"]]
        under = Aggregate.model_validate_json(json.dumps((complete or {})["aggregate"]))
    except (KeyError, TypeError, ValidationError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"{error} is missing or malformed"
        yield Difference(COMPLETE, f"settlements or aggregate: {what}")
        return
    if under.root != stored.decided.get("aggregate"):
        yield Difference(COMPLETE, f"the aggregate's root is not the one of entry {int(stored.decided['seq']) + 1}")
    if under.children != tuple((one.id, one.digest) for one in made):
        yield Difference(COMPLETE, "the settlements are not the children of the aggregate")
    for node in sorted(states.keys() ^ {one.node for one in made}):
        side = "has events but no settlement" if node in states else "has a settlement but no events"
        yield Difference(COMPLETE, f"node {node} {side}")
    for one in made:
        yield from _against_settlement(one, events, states)


def _against_settlement(
    one: Settlement, events: Sequence[NodeEvent], states: Mapping[str, NodeState]
) -> Iterator[Difference]:
    state = states.get(one.node)
    if state is None:
        return
    settled = [
        (number, event.facts)
        for number, event in enumerate(events, 1)
        if event.type == EntryType.PDO_AGENT_FINALIZED and event.node == one.node
    ]
    if not settled:
        yield Difference(EVENTS, f"node {one.node} was never settled (PDO_AGENT_FINALIZED)")
    elif all(facts.get("settlement") != one.digest for _, facts in settled):
        number, facts = settled[-1]
        words = (
            f"outcome {facts.get('outcome')}, stored {one.outcome}"
            if facts.get("outcome") != one.outcome
            else ("another settlement than the stored one")
        )
        yield Difference(f"{EVENTS} line {number}", f"node {one.node}: {words}")
    if state not in ENDED:
        yield Difference(EVENTS, f"node {one.node} ends in {state}, which is no end")
    elif (one.outcome in _EARNED) and state != NodeState.COMPLETE:
        yield Difference(COMPLETE, f"node {one.node} is {one.outcome}, but its events leave it {state}")


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
