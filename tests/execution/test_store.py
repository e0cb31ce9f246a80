"""Rows that survive crashes: idempotent writes, forward moves, single-use tokens, compare-and-swap checkpoints."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from execution.config import Scoring
from execution.runs import Run, Source
from execution.store import OtherTablesError, Store, StoredCheckpoints, TakenError
from governance.states import IllegalTransitionError, RunOutcome, RunState


def a_run(run_id: str = "0123456789abcdef", **changes: object) -> Run:
    fields = {
        "id": run_id,
        "source": Source.GITHUB,
        "repository": "octo/sample",
        "issue": 7,
        "workflow": f"workflow-{run_id}",
        "requester": "ada",
        "title": "Fix it",
        "intent_sha256": "0" * 64,
        "created_ms": 1000,
    }
    return Run.model_validate({**fields, **changes})


@pytest.fixture
def store(state_url: str) -> Iterator[Store]:
    made = Store(state_url)
    yield made
    made.close()


def test_the_database_is_durable(tmp_path: Path) -> None:
    Store(f"sqlite:///{tmp_path / 'state.db'}").close()
    with sqlite3.connect(tmp_path / "state.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_adding_a_run_twice_keeps_the_first(store: Store) -> None:
    first = store.add(a_run())
    again = store.add(a_run(requester="mallory"))
    assert again == first
    assert store.get(first.id) == first


def test_runs_of_an_issue_come_newest_first(store: Store) -> None:
    store.add(a_run("a" * 16, created_ms=1))
    store.add(a_run("b" * 16, created_ms=2))
    store.add(a_run("c" * 16, issue=8, created_ms=3))
    assert [run.id[0] for run in store.of_issue("octo/sample", 7)] == ["b", "a"]
    assert store.of_issue("octo/other", 7) == []


def test_a_run_moves_forward_only(store: Store) -> None:
    run = store.add(a_run())
    with pytest.raises(IllegalTransitionError, match="from received to executing"):
        store.move(run.id, RunState.EXECUTING)
    store.move(run.id, RunState.ADMITTED)
    store.move(run.id, RunState.PLANNED, base_commit="f" * 40)
    stayed = store.move(run.id, RunState.ADMITTED)
    assert (stayed.state, stayed.base_commit) == (RunState.PLANNED, "f" * 40)


def test_the_first_closing_stands(store: Store) -> None:
    run = store.add(a_run())
    store.move(run.id, RunState.CLOSED, outcome=RunOutcome.CANCELLED)
    again = store.move(run.id, RunState.CLOSED, outcome=RunOutcome.FAILED)
    assert again.outcome is RunOutcome.CANCELLED
    assert store.open_runs() == []


def test_a_run_is_found_by_its_pull_request(store: Store) -> None:
    run = store.add(a_run())
    store.move(run.id, RunState.ADMITTED, pull_request=12)
    found = store.of_pull_request("octo/sample", 12)
    assert found is not None
    assert found.id == run.id
    assert store.of_pull_request("octo/other", 12) is None


def test_what_a_person_asked_for_is_counted_by_their_number_and_by_login_only_without_one(store: Store) -> None:
    asked = [("ada", 7, 5), ("ada-new", 7, 5), ("ada", 8, 5), ("ada", 0, 5), ("ada", 7, 6), ("ada", 7, 5)]
    for number, (login, account, installation) in enumerate(asked):
        who = {"requester": login, "requester_id": account, "installation": installation}
        store.add(a_run(f"{number:016x}", workflow=f"issue-{number}", created_ms=1000 * number, **who))
    assert store.count_asked(5, "ada-new", 7, -1) == 3, "a new login gives no quota"
    assert store.count_asked(5, "ada", 8, -1) == 2, "an old one of somebody else's takes none"
    assert store.count_asked(5, "ADA", 0, -1) == 4, "without a number the login has to do"
    assert store.count_asked(5, "ada", 7, 4500) == 1
    assert store.count_asked(6, "ada", 7, -1) == 1


def test_an_artifact_is_written_once(store: Store) -> None:
    store.put("r", "scoring", Scoring(accept_score="1"))
    store.put("r", "scoring", Scoring(accept_score="2"))
    assert store.load("r", "scoring", Scoring).accept_score == "1"
    assert store.find("r", "other", Scoring) is None
    with pytest.raises(KeyError, match="no artifact other"):
        store.load("r", "other", Scoring)


def test_a_view_may_be_made_anew(store: Store) -> None:
    store.replace("r", "view", Scoring(accept_score="1"))
    store.replace("r", "view", Scoring(accept_score="2"))
    assert store.load("r", "view", Scoring).accept_score == "2"


@pytest.mark.covers("F3.22")
def test_of_many_consumers_one_gets_the_token_and_may_come_back(store: Store) -> None:
    store.issue_token("t")
    store.issue_token("t")
    with ThreadPoolExecutor(8) as pool:
        won = [name for name, ok in pool.map(lambda n: (n, store.consume_token("t", f"w{n}")), range(32)) if ok]
    assert len(won) == 1
    assert store.consume_token("t", f"w{won[0]}"), "the same consumer resumes after a crash"
    assert not store.consume_token("t", "somebody else")
    assert not store.consume_token("never issued", "w1")


def test_checkpoints_swap_only_against_what_stands(store: Store) -> None:
    checkpoints = StoredCheckpoints(store)
    assert checkpoints.load("optr/o/r") is None
    assert checkpoints.swap("optr/o/r", None, b"one")
    assert not checkpoints.swap("optr/o/r", None, b"other")
    assert not checkpoints.swap("optr/o/r", b"stale", b"two")
    assert checkpoints.swap("optr/o/r", b"one", b"two")
    assert checkpoints.load("optr/o/r") == b"two"


def test_concurrent_moves_lose_no_change(store: Store) -> None:
    run = store.add(a_run())
    store.move(run.id, RunState.ADMITTED)
    changes = [{"pull_request": 5}, {"head_commit": "c" * 40}, {"head_tree": "d" * 40}, {"problem": "p"}]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda change: store.move(run.id, RunState.PLANNED, **change), changes))
    stored = store.get(run.id)
    assert stored is not None
    assert (stored.pull_request, stored.head_commit[0], stored.head_tree[0], stored.problem) == (5, "c", "d", "p")


def test_of_two_runs_that_take_one_name_the_first_gets_it(store: Store) -> None:
    first = store.add(a_run("a" * 16, workflow="issue-7"))
    with pytest.raises(TakenError, match=f"octo/sample issue-7 is run {first.id}"):
        store.add(a_run("b" * 16, workflow="issue-7"))
    assert store.get("b" * 16) is None
    assert store.add(a_run("b" * 16, workflow="issue-7.2")).workflow == "issue-7.2"
    assert store.add(a_run("c" * 16, workflow="issue-7", repository="octo/other")).id == "c" * 16
    assert store.add(first) == first


def test_of_many_that_write_at_once_one_stands(store: Store) -> None:
    """Two processes of one App do this; every thread here has a connection of its own."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.put("r", "scoring", Scoring(accept_score=str(n))), range(16)))
        stood = store.load("r", "scoring", Scoring)
        list(pool.map(lambda n: store.replace("r", "view", Scoring(accept_score=str(n))), range(16)))
        assert {run.requester for run in pool.map(lambda n: store.add(a_run(requester=f"u{n}")), range(16))} == {
            store.open_runs()[0].requester
        }
        list(pool.map(lambda _: store.issue_token("t"), range(16)))
    assert store.load("r", "scoring", Scoring) == stood
    assert store.find("r", "view", Scoring) is not None
    checkpoints = StoredCheckpoints(store)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda n: checkpoints.swap("o", None, b"%d" % n), range(16))) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE optr_runs ADD COLUMN priority INTEGER", "optr_runs has also priority"),
        ("ALTER TABLE optr_runs DROP COLUMN closed", "optr_runs lacks closed"),
        ("ALTER TABLE optr_tokens RENAME COLUMN consumer TO holder", "optr_tokens lacks consumer and has also holder"),
    ],
)
def test_another_versions_database_is_refused_and_left_as_it_is(state_url: str, change: str, said: str) -> None:
    first = Store(state_url)
    first.add(a_run())
    with first.database.begin() as connection:
        connection.execute(sa.text(change))
    with pytest.raises(OtherTablesError, match=said) as caught:
        Store(state_url)
    assert "optr-test-word" not in str(caught.value)
    with first.database.begin() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM optr_runs")).scalar() == 1
    first.close()


def test_many_processes_may_make_the_tables_at_once(state_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        for made in pool.map(lambda _: Store(state_url), range(6)):
            made.close()
