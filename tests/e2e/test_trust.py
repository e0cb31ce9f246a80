"""Authority in real runs: who asked, what was handed on, and what happens when it is taken back."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.local import run_local
from bot.local_request import LocalRequest
from execution.local_ledger import open_ledger
from execution.problems import SetupProblem
from execution.result import RunResult
from execution.trustbooks import read_books, revocation_draft
from governance.codes import ReasonCode
from governance.states import RunOutcome
from governance.trust.lineage import authority
from governance.trust.operations import require_anchors, revocation
from governance.trust.records import RevocationKind
from governance.trust.registry import status_of
from governance.trust.verify import require_sound
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from ledger.verify import verify_branch
from tests.e2e.cli_kit import MENDER, Bench, make_bench, profile, write
from tests.e2e.flow_kit import Workshop

PIPELINE = json.dumps(
    {
        "version": 1,
        "pattern": "plan_pipeline",
        "roles": {"planner": "ann", "writers": ["bob"], "tester": "cat", "auditor": "dan"},
    }
)
SLOW = 'sleep 31.7 & wait_for=$!; sed -i s/-/+/ calc.py; sleep 2; kill "$wait_for"'
SECONDS_MAX = 60.0


def run(bench: Bench, workflow: str, on_progress: Callable[[str], None] = lambda _line: None) -> RunResult:
    request = LocalRequest(
        repo=bench.repo,
        workflow=workflow,
        intent="Mend add",
        constraints=(),
        agents=(),
        state=bench.state,
        environ=bench.environ(),
        on_progress=on_progress,
    )
    return asyncio.run(run_local(request))


def revoke(bench: Bench | Workshop, kind: RevocationKind, target: str) -> None:
    """What `optr trust revoke` does, without the time that a new process takes."""
    git_dir = bench.repo / ".git"
    ledger = open_ledger(bench.state, git_dir, bench.repo.name, {})
    made = revocation(authority(ledger.signer), kind, target, by="ada", now_ms=1)
    Sequencer(git_dir, ledger.signer, FileCheckpoints(ledger.checkpoints)).append([revocation_draft(made)], {})


def events(bench: Bench, workflow: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in bench.recorded(f"{workflow}/events.jsonl").splitlines()]


def violations(bench: Bench, workflow: str, agent: str) -> list[dict[str, str]]:
    made: list[dict[str, str]] = json.loads(bench.recorded(f"{workflow}/agent-outputs/{agent}.json"))["violations"]
    return made


@pytest.mark.covers("F5.04", "F5.08", "F5.10", "F5.12", "F5.31")
def test_every_act_leads_to_the_person_who_asked_and_a_revoked_agent_acts_no_more(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    write(bench.repo, {".github/agents/second.agent.md": profile("second", MENDER)})
    write(bench.repo, {".github/optr.yml": (bench.repo / ".github/optr.yml").read_text().replace("breaker", "second")})
    bench.commit("Let two agents mend it")
    ran = bench.execute("first")
    assert ran.code == 0, ran.err

    (kept,) = read_books(bench.repo / ".git")
    require_sound(kept.book)
    require_anchors(kept.book, kept.trail)
    asked = next(one.subject for one in kept.book.attestations)
    assert [(one.delegator, one.delegatee, one.depth) for one in kept.book.delegations] == [
        (asked, "orchestrator:optr", 1),
        ("orchestrator:optr", "agent:mender", 2),
        ("orchestrator:optr", "agent:second", 2),
    ]
    assert {one.origin for one in kept.book.delegations} == {asked}
    assert [(one.actor, one.action, one.result) for one in kept.trail] == [
        ("agent:mender", "attempt", "success"),
        ("agent:second", "attempt", "success"),
        ("orchestrator:optr", "decide", "success"),
    ]
    delegated = [event["facts"] for event in events(bench, "first") if event["type"] == "DELEGATED"]
    assert [fact["delegation"] for fact in delegated] == [one.id for one in kept.book.delegations]  # type: ignore[index]
    line = json.loads(bench.git("show", "refs/heads/datalake:datalake/ledger.jsonl").splitlines()[0])
    assert line["authority"] == kept.book.model_copy(update={"revocations": ()}).digest

    shown = bench.optr("trust", "show")
    assert f"{asked} > orchestrator:optr" in shown.out
    verified = bench.optr("trust", "verify", "--json")
    assert json.loads(verified.out) == {"version": 1, "runs": 1, "delegations": 3, "anchors": 3}
    assert verified.code == 0

    long = bench.optr("trust", "revoke", "agent", "mender", "--reason", "x" * 501)
    assert (long.code, "501 characters" in long.err, bench.line_types()[-1]) == (2, True, "OPTR_SELECTED")
    revoked = bench.optr("trust", "revoke", "agent", "mender", "--reason", f"it gave away ghp_{'a' * 36} and more")
    assert revoked.code == 0, revoked.err
    assert bench.line_types()[-1] == "TRUST_REVOKED"
    assert "it gave away [redacted] and more" in bench.optr("trust", "show").out
    assert "ghp_" not in bench.git("show", "datalake:datalake/ledger.jsonl") + revoked.out
    ran = bench.execute("after")
    assert ran.code == 0, ran.err
    assert "second selected" in ran.out
    planned = json.loads(bench.recorded("after/plan.json"))
    assert [node["agent"] for node in planned["graph"]["nodes"] if node["agent"]] == ["second"]
    (why,) = planned["warnings"]
    assert why.startswith("Agent 'mender' is not planned (TRUST_REVOKED)"), why
    enrolled = next(one for one in read_books(bench.repo / ".git") if one.workflow == "after").register
    assert enrolled is not None
    assert status_of(enrolled, "agent:mender", 0).code == ReasonCode.TRUST_REVOKED
    assert status_of(enrolled, "agent:second", 0).capabilities == ("repo.read", "repo.write", "test.run")
    status = json.loads(bench.optr("trust", "show", "--workflow", "first", "--json").out)
    mender = next(one for one in status["runs"][0]["actors"] if one["actor"] == "agent:mender")
    assert (mender["trusted"], mender["reason"].split(":")[0]) == (False, "TRUST_REVOKED")
    assert bench.optr("trust", "revoke", "agent", "mender", "--lift").code == 0
    assert bench.optr("trust", "verify").code == 0
    assert verify_branch(bench.repo / ".git").problem is None

    wrong = bench.optr("trust", "revoke", "robot", "mender")
    assert (wrong.code, "agent, human, delegation, key" in wrong.err) == (2, True)
    assert bench.optr("trust", "revoke", "delegation", "zz").code == 2
    assert bench.optr("trust", "show", "--workflow", "nothing").code == 2


def test_a_workflow_whose_agent_is_revoked_is_not_planned(tmp_path: Path) -> None:
    shop = Workshop(tmp_path)
    revoke(shop, RevocationKind.AGENT, "bob")
    with pytest.raises(SetupProblem, match="such as ann") as refused:
        shop.carry(PIPELINE, [])
    assert refused.value.code == "TRUST_REVOKED"
    assert str(refused.value).startswith(
        "Agent 'bob' is not planned (TRUST_REVOKED): 'agent:bob' cannot act: agent 'bob'"
    )


@pytest.mark.covers("F5.05", "F5.06")
def test_a_revoked_person_starts_nothing(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    assert bench.execute("first").code == 0
    (kept,) = read_books(bench.repo / ".git")
    human = next(one.subject for one in kept.book.attestations).removeprefix("human:")
    assert bench.optr("trust", "revoke", "human", human).code == 0
    result = run(bench, "later")
    assert (result.outcome, result.code) == (RunOutcome.FAILED, "TRUST_REVOKED")
    assert f"human '{human}' was revoked by" in (result.problem or "")
    assert bench.line_types()[-2:] == ["TRUST_REVOKED", "RUN_FAILED"]  # not even the graph was recorded


def test_an_agent_that_is_revoked_while_it_works_hands_nothing_in(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    assert bench.execute("first").code == 0
    write(bench.repo, {".github/agents/mender.agent.md": profile("mender", SLOW)})
    bench.commit("Take longer")
    watcher = threading.Thread(target=_revoke_when_at_work, args=(bench,))
    watcher.start()
    result = run(bench, "later")
    watcher.join()
    assert result.outcome is RunOutcome.NO_WINNER
    (why,) = violations(bench, "later", "mender")
    assert (why["code"], "revoked by 'ada'" in why["text"]) == ("TRUST_REVOKED", True)
    kinds = [event["type"] for event in events(bench, "later") if event.get("node") == "A1"]
    assert kinds[1:3] == ["SUB_PAC_DISPATCHED", "SUB_PAC_FAILED"]


def test_the_orchestrator_publishes_nothing_once_its_delegation_is_revoked(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)

    def on_progress(line: str) -> None:
        if line == "mender: admissible":
            (kept,) = read_books(bench.repo / ".git")
            revoke(bench, RevocationKind.DELEGATION, kept.book.delegations[0].id)

    result = run(bench, "fix", on_progress)
    assert (result.outcome, result.code) == (RunOutcome.FAILED, "TRUST_REVOKED")
    assert "optr/fix" not in bench.branches()
    assert verify_branch(bench.repo / ".git").problem is None


def test_the_work_of_an_agent_that_was_revoked_meanwhile_is_not_published(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)

    def on_progress(line: str) -> None:
        if line == "mender: admissible":
            revoke(bench, RevocationKind.AGENT, "mender")

    result = run(bench, "fix", on_progress)
    assert (result.outcome, result.code) == (RunOutcome.FAILED, "TRUST_REVOKED")
    assert "work of agent:mender cannot be used" in (result.problem or "")
    assert "optr/fix" not in bench.branches()


def _revoke_when_at_work(bench: Bench) -> None:
    """Wait until the agent's own command runs, then take its trust back."""
    end = time.monotonic() + SECONDS_MAX
    while time.monotonic() < end:
        if any(_is_waiting(directory) for directory in Path("/proc").glob("[0-9]*")):
            return revoke(bench, RevocationKind.AGENT, "mender")
        time.sleep(0.05)
    return None


def _is_waiting(process: Path) -> bool:
    try:
        return (process / "cmdline").read_bytes() == b"sleep\x0031.7\x00"
    except OSError:
        return False
