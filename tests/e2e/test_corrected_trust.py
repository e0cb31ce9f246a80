"""A correction acts on the word of the person who issued it, not on the one that has run out."""

from execution.trustbooks import ledger_keys, read_books, require_kept
from tests.e2e.cli_kit import Bench


def test_a_correction_has_a_chain_of_its_own(waiting: Bench) -> None:
    ran = waiting.optr("correct", "fix", "S1", "--reason", "use a plus")
    assert "(told, attempt 2)" in ran.out, ran.err  # it works again, though what it hands back is not enough
    assert "awaiting correction" in ran.out
    first, again = read_books(waiting.repo / ".git")
    assert (first.workflow, again.workflow) == ("fix", "fix/corrections/1")
    for kept in (first, again):
        require_kept(kept, ledger_keys(waiting.repo / ".git"))
    assert again.book.delegations[0].issued_ms > first.book.delegations[0].issued_ms
    assert next((one.actor, one.result) for one in again.trail) == ("agent:told", "success")


def test_at_the_word_of_a_person_who_was_revoked_nothing_is_done_again_and_the_run_waits_on(waiting: Bench) -> None:
    (kept,) = read_books(waiting.repo / ".git")
    asked_by = kept.book.delegations[0].origin.removeprefix("human:")
    assert waiting.optr("trust", "revoke", "human", asked_by).code == 0
    before = waiting.line_types()
    ran = waiting.optr("correct", "fix", "S1", "--reason", "use a plus")
    assert ran.code != 0
    assert f"human '{asked_by}' was revoked by" in ran.err
    assert waiting.line_types() == before
    assert waiting.optr("trust", "revoke", "human", asked_by, "--lift").code == 0
    ran = waiting.optr("correct", "fix", "S1", "--reason", "use a plus")
    assert "(told, attempt 2)" in ran.out, ran.err
