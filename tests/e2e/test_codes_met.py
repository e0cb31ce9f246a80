"""Codes met by whole runs: what agents claim and do, and what is in the way of a run."""

import asyncio
import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.demo.cassette import Cassette, Fault, FaultKind, RecordedTurn
from bot.demo.recorded import recorded_model
from bot.local import run_local
from bot.local_request import LocalRequest
from execution.problems import SetupProblem
from execution.result import RunResult
from governance.states import RunOutcome
from tests.e2e.cli_kit import MENDER, Bench, make_bench, profile, write

MODEL, SECRET = "gpt-6.1-sol", "sk-live-0123456789abcdef0123"


def reporting(**output: str) -> str:
    """Mends, and then hands back a report with these members."""
    text = base64.b64encode(json.dumps({"output": output}).encode()).decode()
    return f"{MENDER}; echo {text} | base64 -d"


MISDEEDS = {
    "closes": (reporting(closed="yes"), "GS_132"),
    "claims": (reporting(approved_by="ada"), "GS_133"),
    "disguises": (reporting(аpproved="yes"), "GS_130"),
    "leaks": (f"{MENDER}; echo {SECRET} > note.txt", "SECRET_IN_PATCH"),
    "wraps": (reporting(wrap_status="WRAP_ACCEPTED"), "GS_131"),
}
SHADOWS = profile("shadows", f"{MENDER}; echo 'import sys' > pytest.py")
SLOW = profile("slow", "sleep 60").replace("\ntype:", "\nlimits: {wall_seconds: 0.5}\ntype:")
LOCKED_OUT = f"---\nname: locked-out\ntype: openai-codex\nmodel: {MODEL}\n---\n"


def run(
    bench: Bench,
    environ: dict[str, str],
    definition: str = "",
    on_progress: Callable[[str], None] = lambda _line: None,
) -> RunResult:
    request = LocalRequest(
        repo=bench.repo,
        workflow="fix",
        intent="Mend add",
        constraints=(),
        agents=(),
        state=bench.state,
        environ={**bench.environ(), **environ},
        on_progress=on_progress,
        definition=definition,
        definition_path="flow.yml" if definition else "",
    )
    return asyncio.run(run_local(request))


def refused(bench: Bench, **environ: str) -> str:
    with pytest.raises(SetupProblem) as caught:
        run(bench, environ)
    return caught.value.code


@pytest.mark.covers("F3.38")
def test_each_misdeed_costs_its_agent_the_race_by_its_own_code(tmp_path: Path) -> None:
    agents = {f".github/agents/{name}.agent.md": profile(name, script) for name, (script, _) in MISDEEDS.items()}
    agents |= {
        ".github/agents/shadows.agent.md": SHADOWS,
        ".github/agents/slow.agent.md": SLOW,
        ".github/agents/locked-out.agent.md": LOCKED_OUT,
    }
    names = ["mender", "shadows", "slow", "locked-out", *MISDEEDS]
    bench = make_bench(tmp_path, agents)
    config = (bench.repo / ".github/optr.yml").read_text("utf-8")
    write(bench.repo, {".github/optr.yml": config.replace("[mender, breaker]", f"[{', '.join(names)}]")})
    bench.commit("Let all of them race")
    turn = RecordedTurn(text="never said", faults=(Fault(kind=FaultKind.UNAUTHORIZED),))

    async def main() -> RunResult:
        async with recorded_model([Cassette(protocol="openai_responses", model=MODEL, turns=(turn,))]) as model:
            return await asyncio.to_thread(run, bench, {**model.environ, "OTHER_API_KEY": SECRET})

    result = asyncio.run(main())
    expected = {name: code for name, (_, code) in MISDEEDS.items()} | {
        "slow": "AGENT_TIMEOUT",
        "locked-out": "AGENT_AUTH",
    }
    assert {row.agent: {one.code for one in row.reasons} for row in result.candidates if row.agent in expected} == {
        name: {code} for name, code in expected.items()
    }
    assert result.winner == "mender"
    warnings = json.loads(bench.recorded("fix/agent-outputs/shadows.json"))["warnings"]
    assert "RUNNER_SHADOWED" in [one["code"] for one in warnings]


def test_patches_that_do_not_fit_together_stop_the_node_that_needs_both(tmp_path: Path) -> None:
    notes = base64.b64encode(b'{"output": {"notes": "done"}}').decode()
    sides = {
        name: f"echo 'def add(a, b): return {text}' > calc.py; echo {notes} | base64 -d"
        for name, text in (("left", "a + b"), ("right", "b + a"))
    }
    bench = make_bench(
        tmp_path, {f".github/agents/{name}.agent.md": profile(name, text) for name, text in sides.items()}
    )
    flow = {"version": 1, "pattern": "parallel", "roles": {"agents": ["left", "right"], "joiner": "mender"}}
    result = run(bench, {}, json.dumps(flow))
    codes = {one.node: [reason.code for reason in one.reasons] for one in result.nodes}
    assert codes == {"P1": [], "P2": [], "JOIN": ["INPUTS_CONFLICT"]}


def test_what_is_in_the_way_of_a_run_has_its_code(tmp_path: Path) -> None:
    nowhere = Bench(tmp_path / "nowhere", tmp_path / "state")
    nowhere.repo.mkdir()
    assert refused(nowhere) == "REPOSITORY_MISSING"
    bench = make_bench(tmp_path / "one")
    empty = Bench(tmp_path / "empty", bench.state)
    empty.repo.mkdir()
    empty.git("init", "--quiet", "--initial-branch=main")
    assert refused(empty) == "BASE_MISSING"
    bench.git("branch", "optr")
    assert refused(bench) == "BRANCH_TAKEN"
    bench.git("branch", "-D", "optr")

    operator = tmp_path / "operator.cedar"
    operator.write_text('permit (principal, action, resource) unless { action == Action::"request" };', "utf-8")
    operator.chmod(0o600)
    denied = run(bench, {"OPTR_POLICY_FILE": str(operator)})
    assert (denied.outcome, denied.code) == (RunOutcome.FAILED, "POLICY_REFUSED")

    assert run(bench, {}).winner == "mender"
    copy = Bench(tmp_path / "copy" / "thing", bench.state)
    shutil.copytree(bench.repo, copy.repo)
    assert refused(copy) == "LEDGER_KEY"


def test_a_branch_that_is_turned_back_under_a_run_ends_it(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)

    def turn_back(line: str) -> None:
        if line == "mender: admissible":
            bench.git("update-ref", "refs/heads/datalake", "HEAD")

    result = run(bench, {}, on_progress=turn_back)
    assert (result.outcome, result.code) == (RunOutcome.FAILED, "LEDGER_REFUSED")
    assert "optr/fix" not in bench.branches()
