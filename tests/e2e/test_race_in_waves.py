"""A race that need not start everybody: what is spared is recorded, what is not good enough spares nobody."""

import json
from pathlib import Path

from tests.e2e.cli_kit import CONFIG, MENDER, Bench, make_bench, profile, write
from tests.e2e.conftest import MakeService
from tests.e2e.service import racing

WAVES = CONFIG.replace("[mender, breaker]", "[breaker, mender, late]")


def _bench(root: Path, race: str) -> Bench:
    bench = make_bench(root, {".github/agents/late.agent.md": profile("late", f"{MENDER}; echo more > late.txt")})
    write(bench.repo, {".github/optr.yml": f"{WAVES}race: {race}\n"})
    bench.commit("Start in waves")
    return bench


def test_a_failure_spares_nobody_and_the_first_that_is_good_enough_spares_the_rest(tmp_path: Path) -> None:
    bench = _bench(tmp_path, "{at_once: 1, enough: '0.1'}")
    ran = bench.execute("fix")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("**mender selected** · 1 of 3 candidates admissible")
    assert "AGENT_SPARED" in ran.out or "not started" in ran.out
    plan = json.loads(bench.recorded("fix/plan.json"))
    ids = {node["agent"]: node["id"] for node in plan["graph"]["nodes"] if node.get("agent")}
    assert plan["waves"] == [[ids["breaker"]], [ids["mender"]], [ids["late"]]]
    assert plan["race"] == {"at_once": 1, "order": "listed", "enough": "0.1"}
    late = json.loads(bench.recorded("fix/agent-outputs/late.json"))
    assert "AGENT_SPARED" in json.dumps(late)
    events = [json.loads(line) for line in bench.recorded("fix/events.jsonl").splitlines()]
    told = [event["type"] for event in events if event.get("node") == ids["late"]]
    assert "DISPATCH_REVOKED" in told
    assert "SUB_PAC_DISPATCHED" not in told
    assert bench.optr("verify-ledger").code == 0


def test_a_score_that_nobody_reaches_starts_them_all(tmp_path: Path) -> None:
    bench = _bench(tmp_path, "{at_once: 2, enough: '1'}")
    ran = bench.execute("fix")
    assert ran.code == 0, ran.err
    assert "2 of 3 candidates admissible" in ran.out


def test_killed_between_two_waves_it_spares_whom_it_had_decided_to_spare(
    make_service: MakeService, sample: dict[str, bytes]
) -> None:
    files = racing(sample, "codex", "late", late=["sh", "-c", "exit 1"])
    files[".github/optr.yml"] += b"race: {at_once: 1, enough: '0.1'}\n"
    service = make_service()
    place = service.settle(files)
    service.start(OPTR_CRASH_AT="inside_enough")
    issue = place.ask()
    service.await_death()
    service.start()
    place.opened(issue)
    assert len(place.ours(issue)) == 1
    assert len(place.pulls()) == 1
    lake = place.lake()
    assert lake.types() == ["MAEG_CREATED", "OPTR_SELECTED", "PR_OPENED"]
    lake.verified()
    service.stop()
