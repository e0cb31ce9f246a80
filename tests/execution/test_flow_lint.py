"""The lint of durable workflows: our own pass, and each rule catches a workflow that would not survive a crash."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.flow_lint import lint

ROOT = Path(__file__).parents[2]
BAD = {
    "child workflow": 'await asyncio.gather(step("a", f), step("b", g))',
    "gather makes": 'await asyncio.gather(x(), y())\n    await step("a", f)',
    "TaskGroup makes": 'async with asyncio.TaskGroup() as g:\n        pass\n    await step("a", f)',
    "create_task makes": 't = asyncio.create_task(x())\n    await step("a", f)',
    "time differs": 'await step("a", f, time.time())',
    "uuid4 differs": 'await step("a", f, uuid.uuid4())',
    "token_hex differs": 'await step("a", f, secrets.token_hex(8))',
    "now differs": 'await step("a", f, datetime.now())',
    "name is a plain string": 'await step(f"a{n}", f)',
    "a step is awaited": 'later = step("a", f)\n    await later',
    "handles are awaited": 'await step("a", f)\n    late = [h.get_result() for h in handles]',
    "write_text is an effect": 'path.write_text("x")\n    await step("a", f)',
    "use DBOS.sleep_async": 'await asyncio.sleep(1)\n    await step("a", f)',
    "a set has no order": 'for n in {x for x in y}:\n        await step("a", f, n)',
    "async with do work": 'async with lock:\n        await step("a", f)',
}


@pytest.mark.parametrize(("words", "body"), BAD.items(), ids=list(BAD))
def test_a_body_that_would_not_survive_is_refused(words: str, body: str) -> None:
    found = lint("x.py", f"async def flow(handles, n):\n    {body}\n")
    assert any(words in str(one) and str(one).startswith("x.py:") for one in found), found


def test_a_workflow_needs_a_fixed_name() -> None:
    source = "@DBOS.workflow()\nasync def flow():\n    pass\n"
    assert "fixed name" in str(lint("x.py", source)[0])
    assert lint("x.py", source.replace("()", '(name="optr.x")', 1)) == []


def test_what_runs_in_a_step_may_do_what_it_likes() -> None:
    work = "    async def work():\n        await asyncio.gather(x(), time.time())\n"
    body = f'async def flow():\n{work}    await step("a", work)\n'
    assert lint("x.py", body) == []
    assert lint("x.py", "async def plain():\n    await asyncio.gather(a(), b())\n") == []


def test_ours_pass() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.flow_lint"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "workflow bodies: ok" in done.stdout
