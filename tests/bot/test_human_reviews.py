"""Whose review counts, by the run's policy; and that nothing counts which is not on the ledger."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.gate import GateReason, Review, ReviewState, counting, decide_gate
from bot.github.errors import Call, GitHubError, GitHubErrorCode
from bot.github.git import GitRemote
from bot.human_reviews import HumanReviews
from bot.ledgers import Ledgers
from bot.render.check_run import Conclusion
from execution.artifacts import POLICY
from execution.policies import load_policy
from execution.store import Store
from execution.trustbooks import revocation_draft
from governance.states import RunState
from governance.trust.lineage import authority
from governance.trust.operations import revocation
from governance.trust.records import RevocationKind
from ledger.keys import Signer
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from tests.bot import results
from tests.bot.test_gate import facts, review

FORBID = b"""permit (principal, action, resource);
@id("not-own") forbid (principal, action == Action::"approve", resource) when { context.own_request };
@id("not-rae") forbid (principal == Human::"rae", action == Action::"approve", resource);
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'state.db'}", lasting=False)
    yield made
    made.close()


def cache_of(home: Path) -> GitRemote:
    async def no_token(_installation: int, _repository: str, /, **_asked: object) -> str:
        raise GitHubError(GitHubErrorCode.UNREACHABLE, Call("POST", "token"), "nobody answers")

    return GitRemote(home, "http://127.0.0.1:9", no_token)


def people(store: Store, home: Path, *, copied: bool = True) -> HumanReviews:
    remote = cache_of(home)
    if copied:
        subprocess.run(["git", "init", "--quiet", "--bare", str(remote.path(results.run().repository))], check=True)
    return HumanReviews(store, Ledgers(home, remote, FileCheckpoints(home / "checkpoints")), time.time)


def test_the_run_s_policy_says_whose_approval_counts(store: Store, tmp_path: Path) -> None:
    run = results.run(requester="mona")
    store.put(run.id, POLICY, load_policy({}, FORBID))
    given = tuple(review(login) for login in ("rae", "MONA", "grace"))
    asked = asyncio.run(people(store, tmp_path).asked(run, given))
    assert asked is not None
    assert ["not-rae" in asked[0].denied, "not-own" in asked[1].denied, asked[2].denied] == [True, True, ""]
    judged = facts(reviews=asked, two_person=False)
    assert [one.login for one in counting(judged)] == ["grace"]
    assert decide_gate(judged).conclusion is Conclusion.SUCCESS
    denied = decide_gate(facts(reviews=asked[:1]))
    assert denied.reasons == (GateReason.APPROVALS_MISSING,)
    assert "rae may not approve, the repository policy does not let Human" in denied.summary


def test_without_a_policy_to_ask_nobody_s_approval_counts(store: Store, tmp_path: Path) -> None:
    given = (review(), review("eve", state=ReviewState.COMMENTED))
    asked = asyncio.run(people(store, tmp_path).asked(results.run(), given))
    assert asked is not None
    assert ("is not there to be asked" in asked[0].denied, asked[1].denied) == (True, "")
    assert counting(facts(reviews=asked)) == ()
    assert asyncio.run(people(store, tmp_path).asked(results.run(), None)) is None


def test_the_approval_of_a_person_who_was_revoked_counts_for_nothing(store: Store, tmp_path: Path) -> None:
    run, asked_of = results.run(requester="mona"), people(store, tmp_path)
    store.put(run.id, POLICY, load_policy({}, None))
    signer, git_dir = Signer("optr/octo/sums", bytes(32)), cache_of(tmp_path).path(run.repository)
    made = revocation(authority(signer), RevocationKind.HUMAN, "Grace", by="root", now_ms=1)
    Sequencer(git_dir, signer, FileCheckpoints(tmp_path / "signed")).append([revocation_draft(made)], {})
    asked = asyncio.run(asked_of.asked(run, (review("grace"), review("eve"))))
    assert asked is not None
    assert [one.denied for one in asked] == ["human 'grace' was revoked by 'root'", ""]
    assert [one.login for one in counting(facts(reviews=asked))] == ["eve"]


def test_when_nobody_can_tell_who_was_revoked_no_approval_counts(store: Store, tmp_path: Path) -> None:
    run = results.run(requester="mona")
    store.put(run.id, POLICY, load_policy({}, None))
    asked = asyncio.run(people(store, tmp_path, copied=False).asked(run, (review("eve"),)))
    assert asked is not None
    assert "who was revoked cannot be read" in asked[0].denied


def test_what_counts_and_cannot_be_recorded_closes_the_gate(store: Store, tmp_path: Path) -> None:
    run = store.add(results.run(state=RunState.IN_REVIEW))
    problem = asyncio.run(people(store, tmp_path).record(run, 7, (review(),)))
    assert "nobody answers" in (problem or "")
    decision = decide_gate(facts(unrecorded=problem))
    assert (decision.conclusion, decision.reasons) == (Conclusion.FAILURE, (GateReason.REVIEWS_UNRECORDED,))
    assert asyncio.run(people(store, tmp_path).record(run, 7, ())) is None


def test_words_for_and_against_count_and_nobody_s_older_word() -> None:
    against = review("eve", state=ReviewState.CHANGES_REQUESTED)
    given: tuple[Review, ...] = (
        review("eve"),
        against,
        review("rae"),
        review("mona"),
        review("bot", human=False),
        review("old", commit="2" * 40),
    )
    assert counting(facts(reviews=given)) == (against, review("rae"))
    assert counting(facts(reviews=None)) == ()
