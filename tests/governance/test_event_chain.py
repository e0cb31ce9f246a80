import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from governance.entry_types import ENDED, MOVES, NODE_TYPES
from governance.events import EntryType, NodeEvent, NodeState, chain, replay
from governance.reasons import ReasonCode, RefusedError
from ledger import canonical

T = EntryType
STARTED = NodeEvent(type=T.MAEG_CREATED, timestamp=1, actor="optr", facts={"graph": "a" * 64})
GOOD = (T.SUB_PAC_ISSUED, T.SUB_PAC_DISPATCHED, T.SUB_PAC_EXECUTED, T.BER_AGENT_GENERATED, T.PDO_AGENT_FINALIZED)


def events(node: str, *types: EntryType, start: int = 2, attempt: int = 1) -> list[NodeEvent]:
    return [
        NodeEvent(type=type_, timestamp=start + index, node=node, attempt=attempt, actor="optr")
        for index, type_ in enumerate(types)
    ]


def at_once(node: str, *types: EntryType) -> list[NodeEvent]:
    return [NodeEvent(type=type_, timestamp=1, node=node, attempt=1, actor="optr") for type_ in types]


def states(*parts: list[NodeEvent]) -> dict[str, NodeState]:
    return replay(chain("run", [STARTED, *(event for part in parts for event in part)]))


def refusal(lines: bytes, code: ReasonCode) -> str:
    with pytest.raises(RefusedError) as caught:
        replay(lines)
    assert caught.value.code == code
    return caught.value.text


@pytest.mark.parametrize(
    ("types", "state"),
    [
        (GOOD[:1], NodeState.ISSUED),
        (GOOD[:2], NodeState.DISPATCHED),
        ((*GOOD[:2], T.SUB_PAC_EXECUTING), NodeState.EXECUTING),
        (GOOD[:3], NodeState.BER_PENDING),
        (GOOD[:4], NodeState.PDO_PENDING),
        (GOOD, NodeState.COMPLETE),
        ((*GOOD[:2], T.SUB_PAC_FAILED, T.BER_AGENT_FAILED, T.PDO_AGENT_FINALIZED), NodeState.FAILED),
        ((*GOOD[:3], T.BER_AGENT_FAILED, T.PDO_AGENT_FINALIZED), NodeState.FAILED),
        ((*GOOD[:1], T.SUB_PAC_BLOCKED, T.BER_AGENT_FAILED, T.PDO_AGENT_FINALIZED), NodeState.BLOCKED),
        ((*GOOD[:1], T.DISPATCH_EXPIRED), NodeState.FAILED),
        ((*GOOD[:2], T.SUB_PAC_EXECUTING, T.DISPATCH_REVOKED), NodeState.FAILED),
    ],
)
@pytest.mark.covers("F3.15", "F3.43")
def test_the_states_of_a_node(types: tuple[EntryType, ...], state: NodeState) -> None:
    assert states(events("A1", *types)) == {"A1": state}
    assert states(at_once("A1", *types)) == {"A1": state}


def test_lines_are_chained_like_ledger_lines() -> None:
    lines = chain("run", [STARTED, *events("A1", *GOOD)]).splitlines()
    previous = "0"
    for seq, line in enumerate(lines):
        members = json.loads(line)
        assert (members["seq"], members["run"], members["previousHash"]) == (seq, "run", previous)
        stated = members.pop("hash")
        assert stated == hashlib.sha256(canonical.encode(members)).hexdigest()
        previous = stated


def test_order_is_time_then_node_then_type_and_never_that_of_arrival() -> None:
    everything = [
        STARTED.model_copy(update={"timestamp": 5}),
        *(event.model_copy(update={"timestamp": 5}) for node in ("A10", "A2") for event in events(node, *GOOD)),
        NodeEvent(type=T.PDO_ORCH_AGGREGATED, timestamp=5, actor="optr"),
        NodeEvent(type=T.OPTR_SELECTED, timestamp=5, actor="optr"),
    ]
    lines = chain("run", everything)
    assert chain("run", everything[::-1]) == lines
    seen = [(json.loads(line)["node"], json.loads(line)["type"]) for line in lines.splitlines()]
    expected = [("A2", type_.value) for type_ in GOOD] + [("A10", type_.value) for type_ in GOOD]
    assert seen == [("", "MAEG_CREATED"), *expected, ("", "OPTR_SELECTED"), ("", "PDO_ORCH_AGGREGATED")]
    assert replay(lines) == {"A2": NodeState.COMPLETE, "A10": NodeState.COMPLETE}


@given(st.permutations([STARTED, *events("A1", *GOOD), *events("A2", *GOOD[:3]), *events("B", *GOOD[:1])]))
@pytest.mark.covers("F3.44")
def test_any_order_of_arrival_gives_the_same_bytes(shuffled: list[NodeEvent]) -> None:
    lines = chain("run", shuffled)
    assert hashlib.sha256(lines).hexdigest() == hashlib.sha256(chain("run", sorted(shuffled, key=repr))).hexdigest()
    assert replay(lines) == {"A1": NodeState.COMPLETE, "A2": NodeState.BER_PENDING, "B": NodeState.ISSUED}


def test_a_correction_allows_one_more_attempt() -> None:
    failed = events("A1", *GOOD[:2], T.SUB_PAC_FAILED)
    corrected = events("A1", T.CORRECTION_ISSUED, *GOOD, start=10, attempt=2)
    assert states(failed, corrected) == {"A1": NodeState.COMPLETE}
    without = chain("run", [STARTED, *failed, *corrected[1:]])
    assert "no correction" in refusal(without, ReasonCode.EVENT_OUT_OF_ORDER)
    twice = [*failed, *corrected[:2], *events("A1", T.SUB_PAC_ISSUED, start=20, attempt=3)]
    assert "no correction" in refusal(chain("run", [STARTED, *twice]), ReasonCode.EVENT_OUT_OF_ORDER)


@pytest.mark.parametrize(
    "types",
    [
        (T.SUB_PAC_DISPATCHED,),
        (T.SUB_PAC_ISSUED, T.SUB_PAC_ISSUED),
        (T.SUB_PAC_ISSUED, T.SUB_PAC_EXECUTED),
        (T.SUB_PAC_ISSUED, T.BER_AGENT_GENERATED),
        (T.SUB_PAC_ISSUED, T.PDO_AGENT_FINALIZED),
        (T.SUB_PAC_ISSUED, T.SUB_PAC_BLOCKED, T.SUB_PAC_DISPATCHED),
        (*GOOD[:2], T.SUB_PAC_DISPATCHED),
        (*GOOD[:2], T.SUB_PAC_FAILED, T.BER_AGENT_GENERATED),
        (*GOOD, T.PDO_AGENT_FINALIZED),
        (*GOOD, T.SUB_PAC_FAILED),
        (*GOOD[:2], T.CORRECTION_ISSUED),
    ],
)
def test_an_event_that_cannot_follow_is_refused(types: tuple[EntryType, ...]) -> None:
    text = refusal(chain("run", [STARTED, *events("A1", *types)]), ReasonCode.EVENT_OUT_OF_ORDER)
    assert text.startswith(f"line {len(types) + 1}: {types[-1]}")


def test_the_graph_comes_first_and_once() -> None:
    refusal(chain("run", events("A1", *GOOD)), ReasonCode.EVENT_OUT_OF_ORDER)
    later = STARTED.model_copy(update={"timestamp": 9})
    refusal(chain("run", [STARTED, later]), ReasonCode.EVENT_OUT_OF_ORDER)


def test_after_the_wrap_there_is_no_second_and_no_work() -> None:
    wrapped = NodeEvent(type=T.WRAP_ORCH_ACCEPTED, timestamp=50, actor="ada")
    base = [STARTED, *events("A1", *GOOD), wrapped]
    replay(chain("run", base))
    again = NodeEvent(type=T.WRAP_ORCH_REJECTED, timestamp=51, actor="ada")
    for late in (again, *events("A2", T.SUB_PAC_ISSUED, start=60)):
        refusal(chain("run", [*base, late]), ReasonCode.EVENT_OUT_OF_ORDER)


def test_every_flipped_byte_is_noticed() -> None:
    lines = chain("run", [STARTED, *events("A1", *GOOD[:2])])
    for place in range(len(lines)):
        flipped = lines[:place] + bytes([lines[place] ^ 1]) + lines[place + 1 :]
        with pytest.raises(RefusedError) as caught:
            replay(flipped)
        assert caught.value.code == ReasonCode.EVENT_CHAIN_BROKEN


def _rehash(line: bytes, **changes: Any) -> bytes:
    members = json.loads(line) | changes
    members.pop("hash")
    body = {name: value for name, value in members.items() if value is not ...}
    return canonical.encode(body | {"hash": hashlib.sha256(canonical.encode(body)).hexdigest()})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: [], "empty"),
        (lambda lines: lines[1:], "`seq`"),
        (lambda lines: [lines[0], lines[2]], "`seq`"),
        (lambda lines: [lines[0], lines[2], lines[1]], "`seq`"),
        (lambda lines: [_rehash(lines[0], previousHash="1"), *lines[1:]], "`previousHash`"),
        (lambda lines: [lines[0], _rehash(lines[1], actor="eve"), lines[2]], "line 3: `previousHash`"),
        (lambda lines: [_rehash(lines[0], run=None)], "`run`"),
        (lambda lines: [lines[0], _rehash(lines[1], run="other")], "`run`"),
        (lambda lines: [_rehash(lines[0], seq=False)], "`seq`"),
        (lambda lines: [canonical.encode({k: v for k, v in json.loads(lines[0]).items() if k != "hash"})], "`hash`"),
        (lambda lines: [_rehash(lines[0], actor=...)], "actor"),
        (lambda lines: [_rehash(lines[0], extra=1)], "extra"),
        (lambda lines: [_rehash(lines[0], type="MAEG_DELETED")], "type"),
        (lambda lines: [b" " + lines[0]], "line 1"),
        (lambda lines: [b"[]"], "line 1"),
    ],
    ids=range(15),
)
def test_a_broken_chain_says_where(change: Any, words: str) -> None:
    lines = chain("run", [STARTED, *events("A1", *GOOD[:2])]).splitlines()
    changed = b"".join(line + b"\n" for line in change(lines))
    assert words in refusal(changed, ReasonCode.EVENT_CHAIN_BROKEN)


def test_a_cut_last_line_is_noticed() -> None:
    refusal(chain("run", [STARTED])[:-1], ReasonCode.EVENT_CHAIN_BROKEN)


def test_events_of_nodes_name_node_and_attempt_and_hold_no_floats() -> None:
    base: dict[str, Any] = {"type": T.SUB_PAC_ISSUED, "timestamp": 1, "node": "A1", "attempt": 1, "actor": "optr"}
    NodeEvent(**base)
    for changes in ({"node": ""}, {"attempt": 0}, {"facts": {"x": 1.5}}, {"facts": {"x": True}}, {"actor": ""}):
        with pytest.raises(ValidationError):
            NodeEvent.model_validate(base | changes)


def test_the_table_of_moves_leaves_no_state_without_an_end() -> None:
    reach = {
        state: {after for moves in MOVES.values() for before, after in moves.items() if before == state}
        for state in NodeState
    }
    for state in set(NodeState) - ENDED:
        seen, waiting = set(), [state]
        while waiting:
            current = waiting.pop()
            if current not in seen:
                seen.add(current)
                waiting.extend(reach[current])
        assert NodeState.FAILED in seen
    assert all(reach[state] <= {state} for state in ENDED)
    assert set(MOVES) < NODE_TYPES


@given(st.lists(st.sampled_from(sorted(NODE_TYPES)), max_size=12))
def test_replay_never_ends_outside_the_machine(types: list[EntryType]) -> None:
    accepted: list[EntryType] = []
    for type_ in types:
        try:
            states(events("A1", *accepted, type_))
        except RefusedError as error:
            assert error.code == ReasonCode.EVENT_OUT_OF_ORDER  # noqa: PT017 - both ends are explored
            continue
        accepted.append(type_)
    if accepted:
        assert accepted[0] == T.SUB_PAC_ISSUED
        assert states(events("A1", *accepted)).keys() == {"A1"}
