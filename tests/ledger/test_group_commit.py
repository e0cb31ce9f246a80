import asyncio
import json
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import pytest

from ledger.errors import CanonicalError, DraftError, EntryError, LedgerBusyError, LedgerError, LedgerRefusedError
from ledger.group import ENTRIES_MAX, Group
from ledger.lease import Lease
from ledger.request import Request
from ledger.sequencer import Appended
from tests.ledger.conftest import draft


def plan(number: int, content: bytes = b"plan\n") -> dict[str, bytes]:
    return {f"datalake/workflows/issue-{number}/plan.md": content}


def request(*numbers: int, **fields: Any) -> Request:
    return Request.of([draft(n, **fields) for n in numbers], plan(numbers[-1]))


def test_requests_of_several_callers_share_one_commit_and_each_speaks_for_its_own_files(world: Any) -> None:
    outcomes = world.sequencer().append_all([request(0), request(1, 2), request(3)])
    assert [one.seqs for one in outcomes] == [(0,), (1, 2), (3,)]
    assert {one.size for one in outcomes} == {4}
    assert world.git("rev-list", "--count", "refs/heads/datalake") == "1"
    files = [sorted(json.loads(line).get("files", {})) for line in world.lines()]
    key = f"keys/{world.signer.vkey.key_id}.vkey"
    plans = [f"workflows/issue-{n}/plan.md" for n in range(4)]
    assert files == [[key, plans[0]], [], [plans[2]], [plans[3]]]
    assert world.verify().problem is None


def test_a_request_that_cannot_be_written_fails_alone(world: Any) -> None:
    world.append(9)
    bad = [
        request(1, body={"score": 1.5}),
        request(2, type="no"),
        Request.of([draft(9, id="other")], {"datalake/workflows/issue-9/plan.md": b"changed"}),
        Request.of([draft(3), draft(4, body={"v": 2})], {}),
    ]
    outcomes = world.sequencer().append_all([request(0), *bad, request(5)])
    assert [type(one) for one in outcomes] == [
        Appended,
        CanonicalError,
        EntryError,
        DraftError,
        EntryError,
        Appended,
    ]
    assert [json.loads(line)["run"] for line in world.lines()] == ["run9", "run0", "run5"]
    assert world.verify().problem is None


def test_a_first_request_that_fails_leaves_the_key_to_the_next(world: Any) -> None:
    outcomes = world.sequencer().append_all([request(1, type="no"), request(2)])
    assert isinstance(outcomes[0], EntryError)
    assert outcomes[1].seqs == (0,)
    assert world.verify().problem is None


def test_the_same_draft_from_two_callers_is_written_once(world: Any) -> None:
    outcomes = world.sequencer().append_all([request(0), request(0), request(1)])
    assert [one.seqs for one in outcomes] == [(0,), (0,), (1,)]
    assert len(world.lines()) == 2


def test_two_callers_cannot_record_one_path_with_two_contents(world: Any) -> None:
    first = Request.of([draft(0)], plan(0))
    other = Request.of([draft(1, workflow="issue-0")], plan(0, b"other"))
    below = Request.of([draft(2, workflow="issue-0")], {"datalake/workflows/issue-0/plan.md/x": b""})
    outcomes = world.sequencer().append_all([first, other, below])
    assert [type(one) for one in outcomes] == [Appended, DraftError, DraftError]
    assert world.verify().problem is None


def test_when_none_can_be_written_nothing_is(world: Any) -> None:
    (outcome,) = world.sequencer().append_all([request(0, type="no")])
    assert isinstance(outcome, EntryError)
    assert world.git("for-each-ref") == ""


def test_a_single_append_that_was_signed_and_lost_is_made_again_from_within_a_group(world: Any) -> None:
    world.append(0)
    before, tip = world.store.load(world.signer.origin), world.tip()
    world.append(1)
    world.git("update-ref", "refs/heads/datalake", tip)
    assert before != world.store.load(world.signer.origin)
    with pytest.raises(LedgerRefusedError, match="repeat the interrupted append"):
        world.sequencer().append_all([request(2), request(3)])
    again = Request.of([draft(1)], plan(1, b"plan 1\n"))
    outcomes = world.sequencer().append_all([request(2), again, request(3)])
    assert [one.seqs for one in outcomes] == [(2,), (1,), (3,)]
    assert world.verify(remembered=world.store.load(world.signer.origin)).entries == 4


def run_group(world: Any, requests: Sequence[Request]) -> tuple[list[Any], list[int]]:
    """Append from as many tasks at a time; return the outcomes and how many requests each commit took."""
    sequencer, taken = world.sequencer(), []

    async def commit(some: Sequence[Request]) -> list[Appended | LedgerError]:
        taken.append(len(some))
        return list(await asyncio.to_thread(sequencer.append_all, some))

    async def main() -> list[Any]:
        group = Group(commit)
        return await asyncio.gather(*(group.append(one) for one in requests), return_exceptions=True)

    return asyncio.run(main()), taken


def test_two_hundred_callers_need_few_commits_and_keep_their_order(world: Any) -> None:
    outcomes, taken = run_group(world, [request(n) for n in range(200)])
    assert taken == [ENTRIES_MAX, 200 - ENTRIES_MAX]
    assert [one.seqs for one in outcomes] == [(n,) for n in range(200)]
    assert world.git("rev-list", "--count", "refs/heads/datalake") == "2"
    assert world.verify().entries == 200


def test_a_large_request_has_a_commit_of_its_own(world: Any) -> None:
    outcomes, taken = run_group(world, [request(0), request(*range(1, 150)), request(150)])
    assert taken == [1, 1, 1]
    assert [one.size for one in outcomes] == [1, 150, 151]


def test_each_caller_gets_its_own_error(world: Any) -> None:
    outcomes, taken = run_group(world, [request(0), request(1, type="no"), request(2)])
    assert taken == [3]
    assert [type(one) for one in outcomes] == [Appended, EntryError, Appended]


def test_a_commit_that_fails_fails_for_those_in_it_and_the_next_callers_go_on() -> None:
    calls: list[int] = []

    async def commit(some: Sequence[Request]) -> list[Appended | LedgerError]:
        calls.append(len(some))
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise LedgerBusyError("busy")
        return [Appended("o", (0,), 1, "", "", "") for _ in some]

    async def main() -> None:
        group = Group(commit)
        first = asyncio.gather(group.append(request(0)), group.append(request(1)), return_exceptions=True)
        await asyncio.sleep(0)
        second = group.append(request(2))
        assert [type(one) for one in await first] == [LedgerBusyError] * 2
        assert (await second).size == 1
        assert (await group.append(request(3))).size == 1

    asyncio.run(main())
    assert calls == [2, 1, 1]


def test_a_caller_that_is_cancelled_while_waiting_is_left_out_and_hurts_nobody() -> None:
    seen: list[list[str]] = []
    gate = asyncio.Event()

    async def commit(some: Sequence[Request]) -> list[Appended | LedgerError]:
        seen.append([one.drafts[0].id for one in some])
        await gate.wait()
        return [Appended("o", (0,), 1, "", "", "") for _ in some]

    async def main() -> None:
        group = Group(commit)
        tasks = [asyncio.create_task(group.append(request(n))) for n in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        late = [asyncio.create_task(group.append(request(n))) for n in (2, 3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        late[0].cancel()
        gate.set()
        assert (await tasks[1]).size == 1
        assert (await late[1]).size == 1

    asyncio.run(main())
    assert seen == [["run0/OPTR_SELECTED", "run1/OPTR_SELECTED"], ["run3/OPTR_SELECTED"]]


def test_a_commit_is_made_in_the_context_of_one_who_waits_for_it() -> None:
    run: ContextVar[str] = ContextVar("run")
    seen: list[str] = []
    gate = asyncio.Event()

    async def commit(some: Sequence[Request]) -> list[Appended | LedgerError]:
        seen.append(await asyncio.to_thread(run.get))
        await gate.wait()
        return [Appended("o", (0,), 1, "", "", "") for _ in some]

    async def main() -> None:
        group = Group(commit)

        async def append(name: str, number: int) -> None:
            run.set(name)
            await group.append(request(number))

        first = asyncio.create_task(append("first", 0))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(append("second", 1))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, second)

    asyncio.run(main())
    assert seen == ["first", "second"]


def test_a_lease_is_had_by_one_at_a_time_and_a_hanging_holder_is_passed_by(tmp_path: Any) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    path = tmp_path / "state" / "lease"
    with Lease(path).held() as first:
        with Lease(path, lambda: now[0], sleep).held() as second:
            assert (first, second) == (True, False)
        assert now[0] >= 30
    with Lease(path).held() as third:
        assert third
