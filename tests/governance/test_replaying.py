"""Replay against what is stored: a small race's record, whole, and with one thing changed at a time."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from governance.entry_types import EntryType, NodeState
from governance.events import NodeEvent, chain
from governance.policy.decide import Layer, Policy
from governance.replaying import Difference, Replayed, Stored, reconstruct
from governance.settlement import Aggregate, Outcome, Settlement, aggregate

RUN = "0123456789abcdef"
POLICY = Policy(layers=(Layer(origin="default", text="permit (principal, action, resource);"),), schema_text="")
PLANNED = f"ledger entry {5 + 1}"
DECIDED = f"ledger entry {6 + 1}"


@dataclass(frozen=True)
class Record:
    """What a run of two agents stores, from which single parts are replaced."""

    graph: str
    settlements: tuple[Settlement, ...]
    under: Aggregate

    @property
    def events(self) -> list[NodeEvent]:
        first = self._event(EntryType.MAEG_CREATED, 1, graph=self.graph)
        last = self._event(EntryType.PDO_ORCH_AGGREGATED, 9, root=self.under.root)
        return [first, *(event for one in self.settlements for event in self._node(one)), last]

    def _node(self, one: Settlement) -> list[NodeEvent]:
        failed = one.outcome is Outcome.REJECTED
        ran = EntryType.SUB_PAC_FAILED if failed else EntryType.SUB_PAC_EXECUTED
        reported = EntryType.BER_AGENT_FAILED if failed else EntryType.BER_AGENT_GENERATED
        kinds = (EntryType.SUB_PAC_ISSUED, EntryType.SUB_PAC_DISPATCHED, ran, reported)
        made = [self._event(kind, at, one.node) for at, kind in enumerate(kinds, 2)]
        facts = {"settlement": one.digest, "outcome": str(one.outcome)}
        return [*made, self._event(EntryType.PDO_AGENT_FINALIZED, 8, one.node, **facts)]

    @staticmethod
    def _event(kind: EntryType, at: int, node: str = "", **facts: str) -> NodeEvent:
        told: dict[str, str | int] = {**facts, "policy": POLICY.digest}
        return NodeEvent(type=kind, timestamp=at, node=node, attempt=1 if node else 0, actor="optr", facts=told)

    @property
    def complete(self) -> dict[str, Any]:
        return {
            "selectedAgent": "codex",
            "commitHash": "c" * 40,
            "settlements": [one.model_dump(mode="json") for one in self.settlements],
            "aggregate": self.under.model_dump(mode="json"),
        }

    def stored(self) -> Stored:
        planned = {"seq": 5, "type": "MAEG_CREATED", "run": RUN, "graph": self.graph, "policy": POLICY.digest}
        decided = {
            "seq": 6,
            "type": "OPTR_SELECTED",
            "run": RUN,
            "aggregate": self.under.root,
            "selectedOptr": "codex",
            "commit": "c" * 40,
            "policy": POLICY.digest,
        }
        return Stored(
            planned,
            decided,
            chain(RUN, self.events),
            json.dumps(self.complete).encode(),
            b'{"winner":"codex"}',
            [planned, decided, {"seq": 7, "type": "OLD", "run": RUN}],
            json.dumps({"digest": "any", **POLICY.model_dump(mode="json")}).encode(),
        )


@pytest.fixture
def record(contest: Any) -> Record:
    settlements = contest.settlements(rejected=("A2",))
    return Record(contest.graph.digest, settlements, aggregate(contest.graph, settlements))


def told(stored: Stored) -> list[tuple[str, str]]:
    return [(one.where, one.what) for one in reconstruct(stored).differences]


def line(stored: Stored, which: str, **members: object) -> Stored:
    """The plan's line or the decision's, with other members, wherever it stands."""
    old: Mapping[str, Any] = getattr(stored, which)
    new = {**old, **members}
    return replace(stored, **{which: new, "lines": [new if one is old else one for one in stored.lines]})


def rechained(stored: Stored, record: Record, change: Callable[[NodeEvent], NodeEvent | None]) -> Stored:
    return replace(stored, events=chain(RUN, [new for one in record.events if (new := change(one)) is not None]))


def facts(event: NodeEvent, **changed: str) -> NodeEvent:
    return event.model_copy(update={"facts": {**event.facts, **changed}})


def test_a_whole_record_gives_its_order_its_states_and_no_difference(record: Record) -> None:
    found = reconstruct(record.stored())
    assert isinstance(found, Replayed)
    assert found.differences == ()
    assert found.states == {"A1": NodeState.COMPLETE, "A2": NodeState.FAILED, "A3": NodeState.COMPLETE}
    assert [one.timestamp for one in found.events] == sorted(one.timestamp for one in record.events)
    assert len(found.events) == len(record.events)


def test_a_broken_chain_is_all_that_is_said(record: Record) -> None:
    stored = record.stored()
    found = reconstruct(replace(stored, events=stored.events.replace(b'"actor":"optr"', b'"actor":"else"', 1)))
    assert (found.events, found.states) == ((), {})
    (difference,) = found.differences
    assert isinstance(difference, Difference)
    assert difference.where == "events.jsonl"
    assert "line 1" in difference.what


def test_the_plan_s_line_is_held_against_the_events(record: Record) -> None:
    stored = record.stored()
    assert told(replace(stored, planned=None)) == [
        (DECIDED, "the ledger has no MAEG_CREATED of this run: the graph was not recorded at its start")
    ]
    assert told(line(stored, "planned", seq=6)) == [(DECIDED, f"the graph was recorded after the decision, {DECIDED}")]
    assert told(line(stored, "planned", graph="0" * 64)) == [
        ("events.jsonl line 1", f"the graph is not the one of {PLANNED}")
    ]
    (headless,) = told(rechained(stored, record, lambda one: None if one.type is EntryType.MAEG_CREATED else one))
    assert (headless[0], "before everything else" in headless[1]) == ("events.jsonl", True)
    assert told(line(stored, "decided", run="other")) == [
        ("events.jsonl line 1", f"these are the events of run {RUN}, not of other")
    ]


def test_the_aggregate_is_the_one_of_the_decision_everywhere(record: Record) -> None:
    stored, last = record.stored(), len(record.events)
    assert told(rechained(stored, record, lambda one: facts(one, root="0" * 64))) == [
        (f"events.jsonl line {last}", f"the aggregate's root is not the one of {DECIDED}")
    ]
    assert told(rechained(stored, record, lambda one: one if one.timestamp < 9 else None)) == [
        ("events.jsonl", "the settlements were never aggregated (PDO_ORCH_AGGREGATED)")
    ]
    assert told(line(stored, "decided", aggregate="0" * 64)) == [
        (f"events.jsonl line {last}", f"the aggregate's root is not the one of {DECIDED}"),
        ("execution-complete.json", "the aggregate's root is not the one of entry 7"),
    ]


def test_the_winner_is_the_same_in_the_line_and_in_both_files(record: Record) -> None:
    stored = record.stored()
    complete = record.complete
    assert told(line(stored, "decided", selectedOptr="claude")) == [
        ("optr-selection.json", f"the winner is 'codex', in {DECIDED} it is 'claude'"),
        ("execution-complete.json", f"the winner is 'codex', in {DECIDED} it is 'claude'"),
    ]
    assert told(line(stored, "decided", commit="d" * 40)) == [
        ("execution-complete.json", f"the winner's commit is not the one of {DECIDED}")
    ]
    assert told(replace(stored, complete=json.dumps(complete | {"selectedAgent": None}).encode())) == [
        ("execution-complete.json", f"the winner is None, in {DECIDED} it is 'codex'")
    ]
    for broken in (b"", b"[]", b"{", b"[" * 100_000):
        assert told(replace(stored, selection=broken)) == [("optr-selection.json", "it is not a JSON object")]


def test_settlements_are_those_of_the_events_and_the_children_of_the_aggregate(record: Record) -> None:
    stored, complete = record.stored(), record.complete

    def kept(**changed: object) -> list[tuple[str, str]]:
        return told(replace(stored, complete=json.dumps(complete | changed).encode()))

    name = "execution-complete.json"
    assert told(replace(stored, complete=b"")) == [
        (name, "settlements or aggregate: 'settlements' is missing or malformed")
    ]
    assert kept(aggregate={})[0][1].startswith("settlements or aggregate: Field required")
    assert kept(aggregate=complete["aggregate"] | {"root": 3}) == [
        (name, "settlements or aggregate: Input should be a valid string")
    ]
    assert kept(settlements=3) == [
        (name, "settlements or aggregate: 'int' object is not iterable is missing or malformed")
    ]
    assert kept(settlements=complete["settlements"][:2]) == [
        (name, "the settlements are not the children of the aggregate"),
        (name, "node A3 has events but no settlement"),
    ]
    ghost = complete["settlements"][0] | {"node": "A9", "id": f"PDO-{RUN}-A9-1"}
    assert (name, "node A9 has a settlement but no events") in kept(settlements=[*complete["settlements"], ghost])
    earned = complete["settlements"][1] | {"outcome": "NOT_SELECTED"}
    number = next(at for at, one in enumerate(_ordered(record), 1) if one.facts.get("outcome") == "REJECTED")
    assert kept(settlements=[complete["settlements"][0], earned, complete["settlements"][2]]) == [
        (name, "the settlements are not the children of the aggregate"),
        (f"events.jsonl line {number}", "node A2: outcome REJECTED, stored NOT_SELECTED"),
        (name, "node A2 is NOT_SELECTED, but its events leave it FAILED"),
    ]


def test_every_node_was_settled_as_it_is_stored(record: Record) -> None:
    stored = record.stored()

    def other(one: NodeEvent) -> NodeEvent:
        return facts(one, settlement="0" * 64) if "outcome" in one.facts and one.node == "A1" else one

    def unsettled(one: NodeEvent) -> NodeEvent | None:
        return None if "outcome" in one.facts and one.node == "A1" else one

    number = next(at for at, one in enumerate(_ordered(record), 1) if "outcome" in one.facts and one.node == "A1")
    assert told(rechained(stored, record, other)) == [
        (f"events.jsonl line {number}", "node A1: another settlement than the stored one")
    ]
    assert told(rechained(stored, record, unsettled)) == [
        ("events.jsonl", "node A1 was never settled (PDO_AGENT_FINALIZED)"),
        ("events.jsonl", "node A1 ends in PDO_PENDING, which is no end"),
    ]


def test_one_policy_stands_on_the_lines_on_the_events_and_in_its_file(record: Record) -> None:
    stored = record.stored()
    assert told(line(stored, "decided", policy="0" * 64)) == [
        (DECIDED, f"OPTR_SELECTED names another policy than the plan, {PLANNED}")
    ]

    def strange(one: NodeEvent) -> NodeEvent:
        return facts(one, policy="0" * 64) if one.type is EntryType.PDO_ORCH_AGGREGATED else one

    def silent(one: NodeEvent) -> NodeEvent:
        return one.model_copy(update={"facts": {name: it for name, it in one.facts.items() if name != "policy"}})

    assert told(rechained(stored, record, strange)) == [
        (
            f"events.jsonl line {len(record.events)}",
            f"PDO_ORCH_AGGREGATED names another policy than the plan, {PLANNED}",
        )
    ]
    assert len(told(rechained(stored, record, silent))) == len(record.events)
    for broken in (b"[]", b"{}", stored.policy.replace(b"permit", b"forbid")):
        assert told(replace(stored, policy=broken)) == [
            ("policy.json", f"it is not the policy that the plan names, {PLANNED}")
        ]
    assert told(replace(stored, policy=b"")) == []


def test_a_record_from_before_policies_were_named_replays_as_it_was(record: Record) -> None:
    def silent(one: NodeEvent) -> NodeEvent:
        return one.model_copy(update={"facts": {name: it for name, it in one.facts.items() if name != "policy"}})

    stored = rechained(record.stored(), record, silent)
    old = [{name: it for name, it in one.items() if name != "policy"} for one in stored.lines]
    assert told(replace(stored, planned=old[0], decided=old[1], lines=old, policy=b"")) == []


def _ordered(record: Record) -> tuple[NodeEvent, ...]:
    return reconstruct(record.stored()).events
