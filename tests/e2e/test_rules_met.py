"""The numbered rules met by whole runs: lanes that are left or widened, and a state that is changed under a run."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import local
from bot.demo.cassette import Fault, FaultKind
from bot.demo.recorded import recorded_model
from execution.artifacts import Judged, judged_name
from execution.problems import SetupProblem
from execution.result import RunResult
from execution.store import Store
from governance.states import RunOutcome
from tests.e2e.cli_kit import MENDER, make_bench, profile, write
from tests.e2e.flow_kit import FIX, NOTE, Workshop, calls, says, verdicts
from tests.e2e.test_codes_met import run
from tests.e2e.test_flow_resume import WORDS, Machine

Change = Callable[[dict[str, dict[str, object]]], None]


def lanes(writer: str, tester: str) -> str:
    """A writer and a tester, each with a lane."""
    return json.dumps(
        {
            "version": 1,
            "nodes": [
                {"id": "write", "agent": "ann", "can": "write", "task": "Mend it", "checks": False, "paths": [writer]},
                {
                    "id": "test",
                    "agent": "bob",
                    "can": "write",
                    "task": "Note it",
                    "inputs": ["write.patch"],
                    "paths": [tester],
                },
            ],
        }
    )


@pytest.mark.covers("F3.17", "F3.18", "F3.45", "F3.46")
def test_a_node_keeps_to_its_lane_and_no_workflow_widens_the_repositorys(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    shop.commit(
        {".github/optr.yml": "patch: {paths: ['*.py', 'tests/**', NOTES.md]}\nchecks: [{id: ok, run: 'true'}]\n"}
    )
    with pytest.raises(SetupProblem, match="`paths` for node write would allow more than its parent") as widened:
        shop.carry(lanes("**", "tests/**"), [])
    assert widened.value.code == "GS_201"
    assert "patch.paths of .github/optr.yml allows *.py, tests/**, NOTES.md" in str(widened.value)

    mends, notes = says("Mend it", FIX), says("Note it", NOTE)
    kept, called = shop.carry(lanes("*.py", "NOTES.md"), [mends, notes])
    assert (kept.winner, called) == ("test", {"ann": 2, "bob": 2})  # what it was handed is not what it touched

    left, _ = shop.carry(lanes("*.py", "tests/**"), [mends, notes])
    assert verdicts(left.nodes) == {"write": "PASS", "test": "FAIL"}
    (reason,) = left.nodes[1].reasons
    assert (reason.code, "'NOTES.md' is outside the lane" in reason.text) == ("GS_200", True)


@pytest.mark.covers("F3.17", "F3.45")
def test_a_racer_that_leaves_the_repositorys_lane_cannot_win(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, {".github/agents/strays.agent.md": profile("strays", f"{MENDER}; echo x > other.txt")})
    config = (bench.repo / ".github/optr.yml").read_text("utf-8").replace("[mender, breaker]", "[mender, strays]")
    write(bench.repo, {".github/optr.yml": f"{config}patch: {{paths: [calc.py]}}\n"})
    bench.commit("Narrow the lane")
    result = run(bench, {})
    assert result.winner == "mender"
    assert [[one.code for one in row.reasons] for row in result.candidates if row.agent == "strays"] == [["GS_200"]]


def artifacts(store: Store, run_id: str) -> dict[str, dict[str, object]]:
    query = sa.text("select name, data from optr_artifacts where run = :run")
    with store.database.connect() as connection:
        return {name: json.loads(data) for name, data in connection.execute(query, {"run": run_id})}


def tampered(tmp_path: Path, change: Change) -> tuple[RunResult, Workshop]:
    """A workflow that goes down while TEST works, whose stored state somebody changes, and that is carried on.

    Args:
        tmp_path: an empty directory.
        change: changes the stored artifacts in place, by name.
    """
    words = [WORDS[0], says("Carry out the plan", FIX), says("Add the tests", NOTE, notes=""), WORDS[3]]
    first, *rest = words[2].turns
    slow = first.model_copy(update={"faults": (Fault(kind=FaultKind.SLOW, seconds=30),)})
    waiting = [*words[:2], words[2].model_copy(update={"turns": (slow, *rest)}), words[3]]
    shop, scratch = Workshop(tmp_path), local._scratch()  # the sandbox's user must reach it

    async def begin() -> str:
        async with recorded_model(waiting) as model:
            machine = Machine(shop, scratch, model)
            made = machine.run()
            engine = await machine.engine(made)
            await engine.submit(made)
            while not calls(model)["cat"]:  # noqa: ASYNC110 - it is told by whom the model heard
                await asyncio.sleep(0.05)
            await engine.stop()
            assert machine.store.find(made.id, judged_name("TEST"), Judged) is None
            rewrite(machine.store, made.id, change)
            machine.store.close()
            return made.id

    async def go_on(run_id: str) -> RunResult:
        async with recorded_model(words) as model:
            machine = Machine(shop, scratch, model)
            engine = await machine.engine(machine.store.get(run_id) or machine.run())
            try:
                return await engine.wait(run_id)
            finally:
                await engine.stop()
                machine.store.close()

    try:
        return asyncio.run(go_on(asyncio.run(begin()))), shop
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def rewrite(store: Store, run_id: str, change: Change) -> None:
    found = artifacts(store, run_id)
    before = {name: json.dumps(value) for name, value in found.items()}
    change(found)
    changed = {name: json.dumps(value) for name, value in found.items() if json.dumps(value) != before[name]}
    assert changed
    update = sa.text("update optr_artifacts set data = :data where run = :run and name = :name")
    with store.database.begin() as connection:
        for name, data in changed.items():
            connection.execute(update, {"run": run_id, "name": name, "data": data})


def unbelieve(found: dict[str, dict[str, object]]) -> None:
    """A node that had passed has failed all along, says the database."""
    report = found["judged:WRITE1"]["report"]
    assert isinstance(report, dict)
    report |= {"verdict": "FAIL", "violations": [["CHECK_FAILED", "not so"]]}


def slip_in(found: dict[str, dict[str, object]]) -> None:
    """A node is handed more than its mandate lists."""
    found["issued:TEST"]["given"] = [{"name": "AUDIT.opinion", "text": "sound"}]


def exchange(found: dict[str, dict[str, object]]) -> None:
    """A node is handed another patch than its mandate lists."""
    candidate = found["tried:WRITE1"]["candidate"]
    assert isinstance(candidate, dict)
    candidate["patch"] = ""


@pytest.mark.covers("F3.49", "F3.52")
@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (unbelieve, "GS_204", "node TEST of run"),
        (slip_in, "GS_207", "AUDIT.opinion is not among the inputs of"),
        (exchange, "GS_207", "'WRITE1.patch' is not among the inputs of"),
    ],
)
def test_a_state_that_was_changed_under_a_run_ends_it_by_the_rule_it_breaks(
    tmp_path: Path, change: Change, code: str, words: str
) -> None:
    result, shop = tampered(tmp_path, change)
    assert (result.outcome, result.code) == (RunOutcome.FAILED, code)
    assert words in (result.problem or "")
    last = shop.lines()[-1]
    assert (last["type"], last["code"]) == ("RUN_FAILED", code)
