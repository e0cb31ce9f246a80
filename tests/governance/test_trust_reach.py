import itertools
from typing import Any

import pytest

from governance.codes import ReasonCode, RefusedError
from governance.trust.chain import chain_of, grounds_of, in_force, require_trusted, resting_on
from governance.trust.constraints import Constraint
from governance.trust.envelope import Envelope
from governance.trust.operations import establish, found, revocation
from governance.trust.records import DEPTH_MAX, Book, Delegation, Revocation, RevocationKind

AGENT, HUMAN, KEY, DELEGATION = (RevocationKind(word) for word in ("agent", "human", "key", "delegation"))


def said(trusted: Any, kind: RevocationKind, target: str, *, lifted: bool = False) -> Revocation:
    return revocation(trusted.authority, kind, target, by="eve", now_ms=1, lifted=lifted)


def staffed(trusted: Any) -> Book:
    """ada > orchestrator > (abe > cal, zoe)."""
    first = trusted.delegate(trusted.ada, trusted.orchestrator, "read", "write")
    abe, zoe, cal = (trusted.party(f"agent:{name}") for name in ("abe", "zoe", "cal"))
    second = trusted.delegate(trusted.orchestrator, abe, "write", parent=first.id)
    trusted.delegate(trusted.orchestrator, zoe, "read", parent=first.id)
    trusted.delegate(abe, cal, "write", parent=second.id)
    book: Book = trusted.book
    return book


def fallen(book: Book, kind: RevocationKind, target: str) -> list[str]:
    return [one.delegatee.partition(":")[2] for one in resting_on(book, kind, target)]


def test_what_falls_is_the_target_and_everything_below_it_and_nothing_beside_it(trusted: Any) -> None:
    book = staffed(trusted)
    first, second = book.delegations[:2]
    everybody = ["optr", "abe", "zoe", "cal"]
    assert fallen(book, AGENT, "abe") == fallen(book, DELEGATION, second.id) == ["abe", "cal"]
    assert fallen(book, AGENT, "cal") == fallen(book, KEY, trusted.party("agent:cal").key) == ["cal"]
    assert fallen(book, HUMAN, "ada") == fallen(book, DELEGATION, first.id) == everybody
    assert fallen(book, KEY, trusted.authority.key) == fallen(book, KEY, trusted.ada.key) == everybody
    assert fallen(book, AGENT, "ada") == fallen(book, HUMAN, "abe") == fallen(book, AGENT, "Abe") == []


def test_the_newest_word_on_a_target_stands_and_a_login_is_the_same_in_any_case(trusted: Any) -> None:
    book = staffed(trusted)
    assert fallen(book, HUMAN, "ADA") == fallen(book, HUMAN, "ada")
    words = [said(trusted, AGENT, "abe"), said(trusted, HUMAN, "Ada"), said(trusted, AGENT, "abe", lifted=True)]
    assert list(in_force(words)) == [(HUMAN, "ada")]
    assert list(in_force(words[:2])) == [(AGENT, "abe"), (HUMAN, "ada")]
    assert in_force([*words, said(trusted, HUMAN, "ADA", lifted=True)]) == {}
    trusted.book = book.model_copy(update={"revocations": tuple(words)})
    assert not trusted.allowed(trusted.party("agent:zoe"), "read")
    trusted.book = book.model_copy(update={"revocations": (*words, said(trusted, HUMAN, "ADA", lifted=True))})
    assert trusted.allowed(trusted.party("agent:zoe"), "read")


def test_only_a_person_whose_newest_word_is_a_revocation_is_refused(trusted: Any) -> None:
    words = [said(trusted, HUMAN, "Ada"), said(trusted, AGENT, "grace")]
    with pytest.raises(RefusedError) as refused:
        require_trusted(words, "ADA")
    assert (refused.value.code, refused.value.text) == (ReasonCode.TRUST_REVOKED, "human 'ADA' was revoked by 'eve'")
    require_trusted(words, "grace")  # an agent of that name is no person
    require_trusted([*words, said(trusted, HUMAN, "ada", lifted=True)], "Ada")
    require_trusted((), "ada")


def test_grounds_are_those_of_the_last_on_the_way(trusted: Any) -> None:
    first = trusted.delegate(trusted.ada, trusted.orchestrator, "write", steps=Constraint(type="maximum", value=9))
    tighter = Constraint(type="maximum", value=5)
    second = trusted.delegate(
        trusted.orchestrator, trusted.party("agent:abe"), "write", parent=first.id, expires_ms=40_000, steps=tighter
    )
    found = grounds_of(trusted.book, chain_of(trusted.book, second), "write")
    assert (found.actor, found.origin, found.grant) == ("agent:abe", "human:ada", second.id)
    assert (found.expires_ms, found.envelope.constraints["steps"]) == (40_000, tighter)
    held = next(one for one in trusted.book.attestations if one.capability == "write")
    attested = grounds_of(trusted.book, held, "write")
    assert (attested.actor, attested.origin, attested.grant) == ("human:ada", "human:ada", held.id)
    assert (attested.expires_ms, attested.envelope) == (100_000, held.envelope)


def test_of_several_attestations_the_one_that_carries_the_delegation_is_its_root(trusted: Any) -> None:
    def attest(expires_ms: int, envelope: Envelope) -> None:
        trusted.book = establish(
            trusted.book,
            trusted.authority,
            subject=trusted.ada.name,
            subject_key=trusted.ada.key,
            capabilities=["write"],
            envelope=envelope,
            issued_ms=0,
            expires_ms=expires_ms,
        )

    trusted.book = found(trusted.authority)
    attest(50_000, Envelope())
    (carrying,) = trusted.book.attestations
    made = trusted.delegate(trusted.ada, trusted.orchestrator, "write", expires_ms=50_000)
    attest(100_000, Envelope(constraints={"steps": Constraint(type="maximum", value=5)}))
    assert grounds_of(trusted.book, chain_of(trusted.book, made), "write").attestation == carrying


def test_a_way_that_is_too_long_or_comes_back_is_none(trusted: Any) -> None:
    parties = [trusted.ada, trusted.orchestrator, *(trusted.party(f"agent:a{n}") for n in range(DEPTH_MAX))]
    made: list[Delegation] = []
    for above, below in itertools.pairwise(parties[: DEPTH_MAX + 1]):
        made.append(trusted.delegate(above, below, "write", parent=made[-1].id if made else ""))
    assert len(chain_of(trusted.book, made[-1])) == DEPTH_MAX

    def refused(update: dict[str, object]) -> ReasonCode:
        last = made[-1].model_copy(update={"parent": made[-1].id, "delegator": made[-1].delegatee, **update})
        last = last.model_copy(update={"signer": made[-1].delegatee_key})
        with pytest.raises(RefusedError) as caught:
            chain_of(trusted.book, last)
        return caught.value.code

    assert refused({"delegatee": "agent:more"}) is ReasonCode.TRUST_DEPTH
    made.pop()
    assert refused({"delegatee": trusted.orchestrator.name}) is ReasonCode.TRUST_CYCLE
    assert refused({"delegatee": "agent:more", "depth": 3}) is ReasonCode.TRUST_BROKEN
