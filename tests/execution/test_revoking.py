"""What a request to take authority back means while runs are open, by the records of those runs."""

from pathlib import Path

import pytest

from execution.artifacts import AUTHORITY
from execution.problems import RunProblem
from execution.revoking import REASON_CHARACTERS_MAX, Aim, Withdrawal, aim, reason_kept
from execution.runs import Run
from governance.graph import race
from governance.mandate import issue
from governance.trust.lineage import authority, draw_up
from governance.trust.operations import revocation
from governance.trust.records import Book, Revocation, RevocationKind
from tests.execution.worlds import SIGNER, a_repository, a_run, a_store, a_world, an_intent

AGENT, HUMAN, DELEGATION = RevocationKind.AGENT, RevocationKind.HUMAN, RevocationKind.DELEGATION


def book_of(run: str, requester: str, *agents: str) -> Book:
    intent = an_intent(requester=requester)
    mandates = issue(
        race(run, agents), intent, paths=("**",), inputs={}, budget_microusd=1, tokens=1, steps=3, deadline_ms=10**13
    )
    return draw_up(SIGNER, requester, mandates, 1)


class Floor:
    """Open runs with their records of trust."""

    def __init__(self, directory: Path) -> None:
        a_repository(directory)
        self.store = a_store(directory)
        self.world = a_world(directory, self.store)
        self.runs: list[Run] = []
        self.words: list[Revocation] = []

    def open(self, requester: str, *agents: str) -> Run:
        number = len(self.runs) + 1
        run = a_run(id=f"{number:016x}", workflow=f"issue-{number}", requester=requester, created_ms=number)
        self.runs.append(self.store.add(run))
        if agents:
            self.store.put(run.id, AUTHORITY, book_of(run.id, requester, *agents))
        return run

    def aim(self, kind: RevocationKind, target: str, by: str = "root") -> Aim:
        return aim(self.world, Withdrawal(kind, target, by), self.runs, self.words)

    def say(self, kind: RevocationKind, target: str, *, lifted: bool = False) -> None:
        self.words.append(revocation(authority(SIGNER), kind, target, by="eve", now_ms=1, lifted=lifted))


@pytest.fixture
def floor(tmp_path: Path) -> Floor:
    made = Floor(tmp_path)
    made.open("ada", "codex", "claude")
    made.open("bob", "claude")
    made.open("ada")  # not planned yet
    return made


def test_it_names_the_runs_that_rest_on_the_target_and_whether_they_end(floor: Floor) -> None:
    assert [(hit.run.workflow, hit.agents, hit.whole) for hit in floor.aim(AGENT, "claude").hits] == [
        ("issue-1", ("claude",), False),
        ("issue-2", ("claude",), False),
    ]
    (ends,) = floor.aim(HUMAN, "ADA").hits
    assert (ends.run.workflow, ends.agents, ends.whole) == ("issue-1", ("claude", "codex"), True)
    assert floor.aim(AGENT, "claud").hits == ()


def test_a_delegation_is_known_by_its_first_digits_or_what_there_is_is_listed(floor: Floor) -> None:
    first, codex, _ = book_of(floor.runs[0].id, "ada", "codex", "claude").delegations
    found = floor.aim(DELEGATION, codex.id[:12])
    assert (found.target, [(hit.run.workflow, hit.agents) for hit in found.hits]) == (
        codex.id,
        [("issue-1", ("codex",))],
    )
    assert floor.aim(DELEGATION, first.id).hits[0].whole
    with pytest.raises(RunProblem) as unknown:
        floor.aim(DELEGATION, "0" * 12)
    assert unknown.value.code == "TRUST_UNKNOWN"
    assert f"0 delegations begin with '{'0' * 12}'" in str(unknown.value)
    assert f"{codex.id[:12]} (agent:codex)" in str(unknown.value)
    with pytest.raises(RunProblem, match="5 delegations begin with ''"):
        floor.aim(DELEGATION, "")
    closed = "f" * 64  # of a run that is not open any more
    floor.say(DELEGATION, closed)
    assert floor.aim(DELEGATION, closed[:12]).standing == floor.words[0]


def test_what_is_in_force_already_is_told_and_the_word_of_who_was_revoked_does_not_count(floor: Floor) -> None:
    assert floor.aim(AGENT, "codex").standing is None
    floor.say(AGENT, "codex")
    assert floor.aim(AGENT, "codex").standing == floor.words[0]
    floor.say(AGENT, "codex", lifted=True)
    assert floor.aim(AGENT, "codex").standing is None
    floor.say(HUMAN, "root")
    with pytest.raises(RunProblem) as refused:
        floor.aim(AGENT, "codex", by="Root")
    assert (refused.value.code, "revoked by 'eve'" in str(refused.value)) == ("TRUST_REVOKED", True)
    floor.say(HUMAN, "ROOT", lifted=True)
    assert floor.aim(AGENT, "codex").hits


def test_a_reason_is_kept_without_secrets_and_under_digest_not_at_all() -> None:
    environ = {"OPENAI_API_KEY": "sk-abcdefghijklmnop0123"}
    said = "It leaked sk-abcdefghijklmnop0123 twice"
    assert reason_kept(environ, said) == "It leaked [redacted] twice"
    assert reason_kept(environ | {"OPTR_CAPTURE": "digest"}, said) == ""
    assert len(reason_kept({}, "x" * 900)) == REASON_CHARACTERS_MAX
