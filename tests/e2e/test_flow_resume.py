"""A workflow whose process goes down in the middle, and another that carries it on from the same databases."""

import asyncio
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from bot import local
from bot.demo.recorded import RecordedModel, recorded_model
from execution.agents.build import ModelAccess
from execution.artifacts import Judged, judged_name
from execution.engine import Engine
from execution.result import RunResult
from execution.runs import Run
from execution.sandbox.probe import choose_sandbox
from execution.store import Store
from execution.world import World
from governance.states import RunState
from tests.e2e.flow_kit import FIX, NOTE, Workshop, calls, says, verdicts
from tests.e2e.test_flows import CASES, definition

# Slow enough to be caught at work.
WORDS = [
    says("Plan the change", steps=["Turn minus into plus"]),
    says("Carry out the plan", f"sleep 2; {FIX}"),
    says("Add the tests", NOTE, notes="They pass."),
    says("Look for what is wrong", opinion="sound", findings=[]),
]


class Machine:
    """What one process has of a run: the databases are on the disk, the rest is its own."""

    def __init__(self, shop: Workshop, scratch: Path, model: RecordedModel) -> None:
        self._request = shop.request(model, definition("plan_pipeline", CASES["plan_pipeline"]))
        self._scratch = scratch
        self._model = model
        self._place = local._repository(self._request.repo)
        self.store = Store(f"sqlite:///{scratch / 'state.db'}", lasting=False)

    def run(self) -> Run:
        return local._run(self._request, self._place)

    async def engine(self, run: Run) -> Engine:
        forge = await asyncio.to_thread(local._forge, self._request, self._place, run)
        world = World(
            store=self.store,
            forge=lambda _run: forge,
            sandbox=await choose_sandbox(None),
            access=ModelAccess(environ=self._model.environ, registry=local.operator_registry(self._model.environ)),
            scratch=self._scratch,
            clock=time.time,
        )
        engine = Engine(world, f"sqlite:///{self._scratch / 'engine.db'}", lock=None, on_delivery=None)
        await engine.start()
        return engine

    async def until(self, run: Run, node: str) -> None:
        """Until a node was judged."""
        while self.store.find(run.id, judged_name(node), Judged) is None:  # noqa: ASYNC110 - it is told by a database
            await asyncio.sleep(0.05)


@pytest.mark.covers("F3.23")
def test_an_interrupted_workflow_goes_on_where_it_was(tmp_path: Path) -> None:
    shop, scratch = Workshop(tmp_path), local._scratch()  # the sandbox's user must reach it

    async def begin() -> tuple[Run, Counter[str]]:
        async with recorded_model(WORDS) as model:
            machine = Machine(shop, scratch, model)
            run = machine.run()
            engine = await machine.engine(run)
            await engine.submit(run)
            await machine.until(run, "PLAN")
            await engine.stop()
            machine.store.close()
            return run, calls(model)

    async def go_on(run: Run) -> tuple[RunResult, Counter[str]]:
        async with recorded_model(WORDS) as model:
            machine = Machine(shop, scratch, model)
            engine = await machine.engine(run)
            try:
                return await engine.wait(run.id), calls(model)
            finally:
                await engine.stop()
                machine.store.close()

    try:
        run, before = asyncio.run(begin())
        result, after = asyncio.run(go_on(run))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    assert (result.state, result.winner) == (RunState.PUBLISHED, "test")
    assert set(verdicts(result.nodes).values()) == {"PASS"}
    assert (before["ann"], after["ann"]) == (2, 0)  # what had finished was not asked again
    assert (before["cat"], after["cat"], after["dan"]) == (0, 2, 2)
    assert [line["type"] for line in shop.lines()] == ["MAEG_CREATED", "OPTR_SELECTED"]
