from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from governance.codes import ReasonCode, RefusedError
from governance.trust.constraints import Constraint
from governance.trust.operations import Party, Terms, audit, delegate, establish, found, require_anchors, revoke
from governance.trust.records import DEPTH_MAX, ActResult, Book, Delegation, RevocationKind
from governance.trust.verify import Act, Level, verify
from ledger.keys import Signer

RUN = "0123456789abcdef"


def refusal(call: Any, *args: Any, **kwargs: Any) -> ReasonCode:
    with pytest.raises(RefusedError) as caught:
        call(*args, **kwargs)
    return caught.value.code


def replaced(book: Book, old: Delegation, **changes: object) -> Book:
    """The book with one delegation rewritten by someone who cannot sign."""
    forged = Delegation.model_validate({**old.model_dump(), **changes})
    return book.model_copy(update={"delegations": tuple(forged if d is old else d for d in book.delegations)})


@pytest.mark.covers("F5.34")
def test_grounds_lead_from_the_act_to_the_person(trusted: Any) -> None:
    claude = trusted.party("agent:claude")
    first = trusted.delegate(trusted.ada, trusted.orchestrator, "read", "write")
    second = trusted.delegate(trusted.orchestrator, claude, "write", parent=first.id, task=f"{RUN}/A1")
    grounds = trusted.verify(claude, "write", Level.FULL, task=f"{RUN}/A1")
    assert grounds.delegations == (first, second)
    assert (grounds.origin, grounds.actor, grounds.grant) == ("human:ada", "agent:claude", second.id)
    assert grounds.attestation.subject == "human:ada"
    assert [one.depth for one in grounds.delegations] == [1, 2]
    assert refusal(trusted.verify, claude, "write", task=f"{RUN}/A2") is ReasonCode.TRUST_CAPABILITY
    assert refusal(trusted.verify, claude, "write", task=RUN) is ReasonCode.TRUST_CAPABILITY


def test_a_stranger_and_a_stranger_with_a_known_name_are_unknown(trusted: Any) -> None:
    trusted.delegate(trusted.ada, trusted.orchestrator, "write")
    stranger = Party("orchestrator:optr", Signer("x", bytes([7]) * 32))
    assert refusal(trusted.verify, stranger, "write") is ReasonCode.TRUST_UNKNOWN
    assert refusal(trusted.verify, trusted.party("agent:nobody"), "read") is ReasonCode.TRUST_UNKNOWN


def test_grants_end(trusted: Any) -> None:
    trusted.delegate(trusted.ada, trusted.orchestrator, "write", expires_ms=2_000)
    trusted.now_ms = 1_999
    assert trusted.allowed(trusted.orchestrator, "write")
    trusted.now_ms = 2_000
    for level in Level:
        assert refusal(trusted.verify, trusted.orchestrator, "write", level) is ReasonCode.TRUST_EXPIRED
    with pytest.raises(ValidationError, match="expire after"):
        trusted.delegate(trusted.ada, trusted.orchestrator, "write", expires_ms=2_000)


def test_there_are_at_most_ten_delegations_on_the_way(trusted: Any) -> None:
    giver, parent = trusted.ada, ""
    for number in range(DEPTH_MAX):
        taker = trusted.party(f"agent:a{number}")
        parent = trusted.delegate(giver, taker, "write", parent=parent).id
        giver = taker
    assert trusted.allowed(giver, "write", Level.FULL)
    last = trusted.party("agent:last")
    assert refusal(trusted.delegate, giver, last, "write", parent=parent) is ReasonCode.TRUST_DEPTH


def test_only_a_person_is_an_origin(trusted: Any) -> None:
    trusted.book = establish(
        trusted.book,
        trusted.authority,
        subject="agent:claude",
        subject_key=trusted.party("agent:claude").key,
        capabilities=["write"],
        issued_ms=0,
        expires_ms=100_000,
    )
    claude = trusted.party("agent:claude")
    assert refusal(trusted.delegate, claude, trusted.orchestrator, "write") is ReasonCode.TRUST_BROKEN
    made = trusted.delegate(trusted.ada, trusted.orchestrator, "write")
    with pytest.raises(ValidationError, match="origin of a delegation is a person"):
        Delegation.model_validate({**made.model_dump(), "origin": claude.name})


def test_an_attestation_cannot_be_transplanted(trusted: Any) -> None:
    mallory = Party("human:mallory", Signer("m", bytes([9]) * 32))
    own = trusted.book.attestations[1]
    for changes in ({"subject_key": mallory.key}, {"subject": "human:mallory", "subject_key": mallory.key}):
        stolen = own.model_copy(update=changes)
        trusted.book = trusted.book.model_copy(update={"attestations": (*trusted.book.attestations, stolen)})
        holder = Party(stolen.subject, mallory.signer)
        assert refusal(trusted.verify, holder, "write") is ReasonCode.TRUST_SIGNATURE
    by_herself = own.model_copy(update={**changes, "signer": mallory.key}).sealed(mallory.signer)
    trusted.book = trusted.book.model_copy(update={"attestations": (*trusted.book.attestations, by_herself)})
    assert refusal(trusted.verify, mallory, "write") in {ReasonCode.TRUST_BROKEN, ReasonCode.TRUST_SIGNATURE}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"capabilities": ("read", "write")}, ReasonCode.TRUST_CAPABILITY),
        ({"parent": "0" * 64}, ReasonCode.TRUST_BROKEN),
        ({"parent": "", "depth": 1, "delegator": "human:ada"}, ReasonCode.TRUST_CAPABILITY),
        ({"origin": "human:eve"}, ReasonCode.TRUST_BROKEN),
        ({"depth": 5}, ReasonCode.TRUST_BROKEN),
        ({"expires_ms": 60_000}, ReasonCode.TRUST_SIGNATURE),
        ({"signature": "00" * 64}, ReasonCode.TRUST_SIGNATURE),
    ],
)
def test_a_forged_delegation_is_refused(trusted: Any, changes: dict[str, object], code: ReasonCode) -> None:
    claude = trusted.party("agent:claude")
    first = trusted.delegate(trusted.ada, trusted.orchestrator, "write")
    second = trusted.delegate(trusted.orchestrator, claude, "write", parent=first.id)
    trusted.book = replaced(trusted.book, second, **changes)
    wanted = "read" if "capabilities" in changes else "write"
    assert refusal(trusted.verify, claude, wanted) is code
    assert refusal(trusted.verify, claude, wanted, Level.FULL) is code


def test_a_delegation_that_its_own_delegator_signed_too_wide_is_refused(trusted: Any) -> None:
    claude = trusted.party("agent:claude")
    first = trusted.delegate(trusted.ada, trusted.orchestrator, "write", steps=Constraint(type="maximum", value=5))
    second = trusted.delegate(trusted.orchestrator, claude, "write", parent=first.id)
    wide = second.model_copy(update={"envelope": type(second.envelope)()}).sealed(trusted.orchestrator.signer)
    trusted.book = trusted.book.model_copy(update={"delegations": (first, wide)})
    assert refusal(trusted.verify, claude, "write", steps=3) is ReasonCode.TRUST_WIDER
    # Even where nobody compares, the act is measured against every envelope on the way.
    assert refusal(trusted.verify, claude, "write", Level.QUICK, steps=6) is ReasonCode.TRUST_CONSTRAINT


def test_full_finds_what_the_act_does_not_touch(trusted: Any) -> None:
    other, claude = trusted.party("agent:other"), trusted.party("agent:claude")
    first = trusted.delegate(trusted.ada, trusted.orchestrator, "write", cost=Constraint(type="budget", value=10))
    share = Constraint(type="budget", value=5)
    trusted.delegate(trusted.orchestrator, claude, "write", parent=first.id, cost=share)
    beside = trusted.delegate(trusted.orchestrator, other, "write", parent=first.id, cost=share)
    sound = trusted.book
    trusted.book = replaced(sound, beside, signature="00" * 64)
    assert trusted.verify(claude, "write", cost=1).grant
    assert refusal(trusted.verify, claude, "write", Level.FULL, cost=1) is ReasonCode.TRUST_SIGNATURE
    more = beside.model_copy(update={"envelope": first.envelope}).sealed(trusted.orchestrator.signer)
    trusted.book = sound.model_copy(update={"delegations": (*sound.delegations[:2], more)})
    assert refusal(trusted.verify, claude, "write", Level.FULL, cost=1) is ReasonCode.TRUST_WIDER


def test_nobody_but_the_authority_attests_or_revokes(trusted: Any) -> None:
    mallory = Party("installation:optr/ada/parser", Signer("m", bytes([9]) * 32))
    attest = {"subject": "human:eve", "subject_key": mallory.key, "capabilities": ["write"]}
    assert refusal(establish, trusted.book, mallory, **attest, issued_ms=0, expires_ms=9) is ReasonCode.TRUST_BROKEN
    assert refusal(revoke, trusted.book, mallory, RevocationKind.HUMAN, "ada", by="eve", now_ms=1) is (
        ReasonCode.TRUST_BROKEN
    )
    forged = revoke(found(mallory), mallory, RevocationKind.HUMAN, "ada", by="eve", now_ms=1).revocations
    trusted.book = trusted.book.model_copy(update={"revocations": forged})
    assert refusal(trusted.verify, trusted.ada, "write", Level.FULL) is ReasonCode.TRUST_BROKEN


def test_a_record_is_signed_by_the_key_that_it_names(trusted: Any) -> None:
    assert refusal(trusted.book.genesis.sealed, trusted.ada.signer) is ReasonCode.TRUST_SIGNATURE
    trusted.book.genesis.require_signature()


@pytest.mark.covers("F5.15")
def test_acts_are_audited_in_a_chain_even_those_of_strangers(trusted: Any) -> None:
    trusted.delegate(trusted.ada, trusted.orchestrator, "write")
    grounds = trusted.verify(trusted.orchestrator, "write")
    first = audit(trusted.orchestrator, "orchestrator:optr", "publish", ActResult.SUCCESS, at_ms=5, grounds=grounds)
    denied = audit(trusted.authority, "who?", "publish", ActResult.DENIED, at_ms=6, code="TRUST_UNKNOWN", parent=first)
    assert (first.origin, first.grant) == ("human:ada", grounds.grant)
    require_anchors(trusted.book, [first, denied])
    assert refusal(require_anchors, trusted.book, [denied]) is ReasonCode.TRUST_BROKEN
    assert refusal(require_anchors, trusted.book, [first, denied.model_copy(update={"code": ""})]) is (
        ReasonCode.TRUST_SIGNATURE
    )
    stranger = Party("agent:x", Signer("x", bytes([3]) * 32))
    alone = audit(stranger, "agent:x", "publish", ActResult.SUCCESS, at_ms=7)
    assert refusal(require_anchors, trusted.book, [alone]) is ReasonCode.TRUST_BROKEN


@settings(max_examples=60)
@given(st.data())
def test_a_verified_act_implies_that_every_ancestor_held_the_capability(data: st.DataObject) -> None:
    """Random trees of delegations, some refused, some revoked afterwards."""
    words = st.lists(st.sampled_from(["read", "write", "publish"]), unique=True, max_size=3)
    authority = Party("installation:x", Signer("x", bytes(32)))
    parties = [Party(name, authority.signer.derive(name)) for name in ("human:h", "agent:a", "agent:b", "agent:c")]
    held = data.draw(words)
    book = found(authority)
    book = establish(
        book, authority, subject="human:h", subject_key=parties[0].key, capabilities=held, issued_ms=0, expires_ms=99
    )
    holders = [(parties[0], "")]
    for _ in range(data.draw(st.integers(1, 5))):
        giver, parent = data.draw(st.sampled_from(holders))
        taker = data.draw(st.sampled_from(parties))
        limit = Constraint(type="maximum", value=data.draw(st.integers(0, 9)))
        terms = Terms(task=RUN, capabilities=data.draw(words), expires_ms=90, constraints={"steps": limit})
        try:
            book, made = delegate(book, giver, taker.name, taker.key, terms, now_ms=1, parent=parent)
        except RefusedError:
            continue
        holders.append((taker, made.id))
    if book.delegations and data.draw(st.booleans()):
        gone = data.draw(st.sampled_from(book.delegations))
        book = revoke(book, authority, RevocationKind.DELEGATION, gone.id, by="h", now_ms=2)
    (who, _), capability = data.draw(st.sampled_from(holders)), data.draw(st.sampled_from(["read", "write", "publish"]))
    steps = data.draw(st.integers(0, 9))
    act = Act(who.name, who.key, capability, RUN, {"steps": steps})
    outcomes = []
    for level in Level:
        try:
            grounds = verify(book, act, level, 3)
        except RefusedError:
            outcomes.append(None)
            continue
        outcomes.append(grounds.grant)
        assert capability in held
        assert grounds.attestation.capability == capability
        assert all(capability in one.capabilities for one in grounds.delegations)
        assert not {one.id for one in grounds.delegations} & {one.target for one in book.revocations}
        assert all(steps <= one.envelope.constraints["steps"].value for one in grounds.delegations)  # type: ignore[operator]
    assert len(set(outcomes)) == 1  # of an honest book, all levels say the same
