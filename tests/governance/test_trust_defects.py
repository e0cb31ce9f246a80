"""The nine defects that a known implementation of this protocol showed when it was run, none of which may be ours."""

from typing import Any

import pytest

from governance.codes import ReasonCode, RefusedError
from governance.trust.constraints import Constraint
from governance.trust.envelope import Envelope
from governance.trust.operations import establish, revoke
from governance.trust.records import RevocationKind
from governance.trust.verify import Level


def refusal(call: Any, *args: Any, **kwargs: Any) -> ReasonCode:
    with pytest.raises(RefusedError) as caught:
        call(*args, **kwargs)
    return caught.value.code


def test_defect_1_delegating_to_an_actor_that_has_a_chain_already_grants(trusted: Any) -> None:
    claude = trusted.party("agent:claude")
    first = trusted.delegate(trusted.ada, trusted.orchestrator, "read", "write")
    trusted.delegate(trusted.orchestrator, claude, "read", parent=first.id)
    assert not trusted.allowed(claude, "write")
    trusted.delegate(trusted.orchestrator, claude, "write", parent=first.id)
    assert all(trusted.allowed(claude, "write", level) for level in Level)
    assert all(trusted.allowed(claude, "read", level) for level in Level)


def test_defect_2_revoking_a_delegation_takes_what_it_gave(trusted: Any) -> None:
    first = trusted.delegate(trusted.ada, trusted.orchestrator, "write")
    assert trusted.allowed(trusted.orchestrator, "write")
    trusted.book = revoke(
        trusted.book, trusted.authority, RevocationKind.DELEGATION, first.id, by="ada", now_ms=trusted.now_ms
    )
    for level in Level:
        assert refusal(trusted.verify, trusted.orchestrator, "write", level) is ReasonCode.TRUST_REVOKED


def test_defect_3_revoking_cascades_to_grandchildren(trusted: Any) -> None:
    claude, helper = trusted.party("agent:claude"), trusted.party("agent:helper")
    root = trusted.delegate(trusted.ada, trusted.orchestrator, "write")
    child = trusted.delegate(trusted.orchestrator, claude, "write", parent=root.id)
    trusted.delegate(claude, helper, "write", parent=child.id)
    assert trusted.allowed(helper, "write")
    before = trusted.book
    targets = [
        (RevocationKind.DELEGATION, root.id),
        (RevocationKind.DELEGATION, child.id),
        (RevocationKind.HUMAN, "ada"),
        (RevocationKind.AGENT, "claude"),
        (RevocationKind.KEY, claude.key),
        (RevocationKind.KEY, trusted.orchestrator.key),
        (RevocationKind.KEY, trusted.ada.key),
        (RevocationKind.KEY, trusted.authority.key),
    ]
    for kind, target in targets:
        trusted.book = revoke(before, trusted.authority, kind, target, by="ada", now_ms=trusted.now_ms)
        for level in Level:
            assert refusal(trusted.verify, helper, "write", level) is ReasonCode.TRUST_REVOKED, (kind, level)


def test_defect_4_an_unknown_constraint_type_denies(trusted: Any) -> None:
    strange = Constraint(type="cost_limit", value=100)
    assert refusal(Envelope(constraints={"cost": strange}).require, {"cost": 1}, 0) is (
        ReasonCode.TRUST_CONSTRAINT_UNKNOWN
    )
    assert refusal(trusted.delegate, trusted.ada, trusted.orchestrator, "write", cost=strange) is (
        ReasonCode.TRUST_CONSTRAINT_UNKNOWN
    )
    assert (
        refusal(
            establish,
            trusted.book,
            trusted.authority,
            subject="agent:claude",
            subject_key=trusted.ada.key,
            capabilities=["read"],
            envelope=Envelope(constraints={"cost": strange}),
            issued_ms=0,
            expires_ms=1,
        )
        is ReasonCode.TRUST_CONSTRAINT_UNKNOWN
    )
    held = Envelope(constraints={"cost": Constraint(type="budget", value=100)})
    assert refusal(held.require, {"cost": 101}, 0) is ReasonCode.TRUST_CONSTRAINT
    assert refusal(held.require, {}, 0) is ReasonCode.TRUST_CONSTRAINT


@pytest.mark.parametrize("level", Level)
@pytest.mark.covers("F5.16")
def test_defect_5_no_level_passes_for_a_capability_that_is_not_held(trusted: Any, level: Level) -> None:
    trusted.delegate(trusted.ada, trusted.orchestrator, "read")
    assert refusal(trusted.verify, trusted.orchestrator, "write", level) is ReasonCode.TRUST_CAPABILITY
    assert refusal(trusted.verify, trusted.ada, "merge", level) is ReasonCode.TRUST_CAPABILITY


@pytest.mark.covers("F5.33")
def test_defect_6_read_only_is_a_fact_about_the_act_and_not_a_word_in_its_name() -> None:
    envelope = Envelope(constraints={"read_only": Constraint(type="required", value=True)})
    envelope.require({"read_only": True, "action": "analyze_created_rows"}, 0)
    for action in ("push", "merge", "deploy", "send"):
        assert refusal(envelope.require, {"read_only": False, "action": action}, 0) is ReasonCode.TRUST_CONSTRAINT
    assert refusal(envelope.require, {"action": "read"}, 0) is ReasonCode.TRUST_CONSTRAINT


def test_defect_7_a_time_window_is_the_one_that_was_given() -> None:
    envelope = Envelope(constraints={"when": Constraint(type="window", value=(1_000, 2_000))})
    for moment, allowed in ((999, False), (1_000, True), (1_999, True), (2_000, False)):
        if allowed:
            envelope.require({}, moment)
        else:
            assert refusal(envelope.require, {"when": 1_500}, moment) is ReasonCode.TRUST_CONSTRAINT


@pytest.mark.covers("F5.13")
def test_defect_8_no_argument_loosens(trusted: Any) -> None:
    budget = Constraint(type="budget", value=100)
    first = trusted.delegate(trusted.ada, trusted.orchestrator, "write", cost=budget)
    claude = trusted.party("agent:claude")

    def again(*capabilities: str, **changes: Any) -> Any:
        return trusted.delegate(trusted.orchestrator, claude, *capabilities, parent=first.id, **changes)

    assert refusal(again, "write", cost=Constraint(type="budget", value=1000)) is ReasonCode.TRUST_WIDER
    assert refusal(again, "write", cost=Constraint(type="maximum", value=1)) is ReasonCode.TRUST_WIDER
    assert refusal(again, "write", expires_ms=50_001) is ReasonCode.TRUST_WIDER
    assert refusal(again, "write", task="another") is ReasonCode.TRUST_WIDER
    assert refusal(again, "read") is ReasonCode.TRUST_CAPABILITY
    kept = again("write", cost=Constraint(type="budget", value=60))
    assert refusal(trusted.verify, claude, "write", cost=61) is ReasonCode.TRUST_CONSTRAINT
    assert kept.envelope.constraints["cost"].value == 60
    # Leaving the limit out keeps it; together siblings are given no more than there is.
    other = trusted.party("agent:codex")
    assert refusal(trusted.delegate, trusted.orchestrator, other, "write", parent=first.id) is ReasonCode.TRUST_WIDER
    rest = trusted.delegate(
        trusted.orchestrator, other, "write", parent=first.id, cost=Constraint(type="budget", value=40)
    )
    assert rest.envelope.constraints["cost"].value == 40


def test_defect_9_cycles_and_self_delegation_are_refused(trusted: Any) -> None:
    claude = trusted.party("agent:claude")
    assert refusal(trusted.delegate, trusted.ada, trusted.ada, "write") is ReasonCode.TRUST_CYCLE
    first = trusted.delegate(trusted.ada, trusted.orchestrator, "write")
    second = trusted.delegate(trusted.orchestrator, claude, "write", parent=first.id)
    for earlier in (claude, trusted.orchestrator, trusted.ada):
        assert refusal(trusted.delegate, claude, earlier, "write", parent=second.id) is ReasonCode.TRUST_CYCLE
