"""What a run leaves on the ledger when it ends before its plan, and that nothing of it comes after its end."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from execution.lastword import before_the_end
from execution.problems import RunProblem
from execution.runs import Source
from execution.stages.conclude import FACT_CHARS_MAX, conclude, record_late
from execution.stages.flow_record import record_flow
from execution.stages.publish import publish
from execution.stages.record import record, record_plan
from execution.world import World
from governance.states import RunOutcome, RunState
from tests.execution.worlds import RUN, SHA, a_repository, a_run, a_store, a_world

Effect = Callable[[World, str], Coroutine[Any, Any, object]]


@dataclass
class Yard:
    """A bare repository and a run that was asked for and not planned yet."""

    git_dir: Path
    world: World

    def git(self, *words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.git_dir), *words], check=True, capture_output=True, text=True
        ).stdout

    def begin(self, source: Source = Source.GITHUB, base: str = "") -> None:
        self.world.store.add(a_run(source=source, workflow="issue-7", base_commit=base))

    def fill(self) -> str:
        tree = self.git("hash-object", "-t", "tree", "-w", "--stdin").strip()
        commit = self.git(*["-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", "-m", "m"], tree).strip()
        self.git("update-ref", "refs/heads/main", commit)
        return commit

    def end(self, outcome: RunOutcome = RunOutcome.FAILED, **facts: str) -> bool:
        return asyncio.run(conclude(self.world, RUN, outcome, "ada", facts))

    def lines(self) -> list[dict[str, Any]]:
        text = self.git("show", "refs/heads/datalake:datalake/ledger.jsonl")
        return [json.loads(line) for line in text.splitlines()]

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    store = a_store(tmp_path)
    yield Yard(a_repository(tmp_path), a_world(tmp_path, store))
    store.close()


def test_a_run_that_could_not_be_planned_leaves_its_ending(yard: Yard) -> None:
    base = yard.fill()
    yard.begin(base=base)
    assert yard.end(problem="é" * 100_000, code="CONFIG_INVALID")
    (line,) = yard.lines()
    assert (line["type"], line["run"], line["workflow"], line["actor"]) == ("RUN_FAILED", RUN, "issue-7", "ada")
    assert (line["outcome"], line["code"], line["baseCommit"]) == ("failed", "CONFIG_INVALID", base)
    assert len(line["problem"]) == FACT_CHARS_MAX, "whatever a file or a model said, the line fits"
    assert line["problem"].startswith("éé")
    assert "[… cut from 200000 bytes, sha256 " in line["problem"], "and says that it is not all"
    assert line["intentSha256"] == SHA
    assert not yard.end(RunOutcome.CANCELLED)
    assert len(yard.lines()) == 1


def test_one_that_was_stopped_before_its_base_was_known_too(yard: Yard) -> None:
    yard.fill()
    yard.begin()
    assert yard.end(RunOutcome.CANCELLED)
    assert [line["type"] for line in yard.lines()] == ["RUN_CANCELLED"]


@pytest.mark.parametrize("source", [Source.GITHUB, Source.CLI])
def test_nothing_is_pushed_to_an_empty_repository_nor_by_a_request_at_a_terminal(yard: Yard, source: Source) -> None:
    if source is Source.CLI:
        yard.fill()
    yard.begin(source)
    before = yard.branches()
    assert yard.end(problem="no branch", code="BASE_MISSING")
    assert yard.branches() == before
    assert yard.world.run(RUN).outcome is RunOutcome.FAILED


def test_a_line_that_could_not_be_written_is_written_later_and_once(yard: Yard) -> None:
    yard.begin(base=yard.fill())
    lock = yard.git_dir / "refs/heads/datalake.lock"
    lock.touch()
    assert yard.end(problem="GitHub was away", code="RUN_FAILED")
    assert yard.world.run(RUN).state is RunState.CLOSED, "people hear of the end all the same"
    assert yard.branches() == ["main"]
    asyncio.run(record_late(yard.world, RUN))
    assert yard.branches() == ["main"]
    lock.unlink()
    for _ in range(2):
        asyncio.run(record_late(yard.world, RUN))
    (line,) = yard.lines()
    assert (line["type"], line["problem"], line["code"]) == ("RUN_FAILED", "GitHub was away", "RUN_FAILED")


def test_an_open_run_owes_no_line(yard: Yard) -> None:
    yard.begin(base=yard.fill())
    asyncio.run(record_late(yard.world, RUN))
    assert yard.branches() == ["main"]


@pytest.mark.parametrize("effect", [record_plan, record, publish, lambda world, run: record_flow(world, run, 0)])
def test_nothing_is_left_outside_after_the_end(yard: Yard, effect: Effect) -> None:
    yard.begin(base=yard.fill())
    assert yard.end(RunOutcome.CANCELLED)
    with pytest.raises(RunProblem, match="closed as cancelled") as caught:
        asyncio.run(effect(yard.world, RUN))
    assert caught.value.outcome is RunOutcome.CANCELLED
    assert [line["type"] for line in yard.lines()] == ["RUN_CANCELLED"]
    assert yard.branches() == ["datalake", "main"]


def test_the_end_waits_for_an_effect_that_has_begun(yard: Yard) -> None:
    yard.begin(base=yard.fill())

    async def both() -> list[str]:
        order: list[str] = []
        begun, go_on = asyncio.Event(), asyncio.Event()

        @before_the_end
        async def effect(_world: World, _run_id: str) -> None:
            begun.set()
            await go_on.wait()
            order.append("effect")

        async def end() -> None:
            await conclude(yard.world, RUN, RunOutcome.CANCELLED, "ada", {})
            order.append("end")

        tasks = [asyncio.create_task(effect(yard.world, RUN))]
        await begun.wait()
        tasks.append(asyncio.create_task(end()))
        await asyncio.sleep(0.05)
        assert order == []
        go_on.set()
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(both()) == ["effect", "end"]
