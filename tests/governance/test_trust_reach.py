from typing import Any

from governance.trust.chain import in_force, resting_on
from governance.trust.operations import revocation
from governance.trust.records import Book, Revocation, RevocationKind

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
