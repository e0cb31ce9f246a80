"""Policy in real runs: what a repository or an operator forbids does not happen, whatever a candidate writes."""

import hashlib
import json
from pathlib import Path

from ledger import canonical
from tests.e2e.cli_kit import MENDER, Bench, make_bench, profile, write

PERMIT = "permit (principal, action, resource);\n"


def with_policy(root: Path, *lines: str) -> Bench:
    bench = make_bench(root, {".github/optr/policy.cedar": PERMIT + "\n".join(lines)})
    write(bench.repo, {".github/agents/breaker.agent.md": profile("breaker", f"{MENDER}; echo curl > note.txt")})
    bench.commit("Let both mend it")
    return bench


def codes_of(bench: Bench, workflow: str, agent: str) -> list[str]:
    reasons = json.loads(bench.recorded(f"{workflow}/agent-outputs/{agent}.json"))["violations"]
    return [reason["code"] for reason in reasons]


def test_a_forbidden_command_costs_its_agent_the_race_and_every_event_names_the_policy(tmp_path: Path) -> None:
    forbid = '@id("no-curl") forbid (principal, action == Action::"command", resource)'
    bench = with_policy(tmp_path, f'{forbid} when {{ context.line like "*curl*" }};')
    ran = bench.execute("fix")
    assert ran.code == 0, ran.err
    assert "mender selected" in ran.out
    # outside its lane, and why: what denied the act stands behind it
    assert codes_of(bench, "fix", "breaker") == ["GS_200", "POLICY_DENIED"]
    assert "no-curl" in bench.recorded("fix/agent-outputs/breaker.json")

    kept = json.loads(bench.recorded("fix/policy.json"))
    assert [layer["origin"] for layer in kept["layers"]] == ["default", "repository"]
    events = [json.loads(line) for line in bench.recorded("fix/events.jsonl").splitlines()]
    assert {event["facts"]["policy"] for event in events} == {kept["digest"]}
    line = canonical.decode(bench.git("show", "refs/heads/datalake:datalake/ledger.jsonl").split("\n")[0].encode())
    assert line["policy"] == kept["digest"]
    assert (
        line["files"]["workflows/fix/policy.json"]
        == hashlib.sha256(bench.recorded("fix/policy.json").encode()).hexdigest()
    )


def test_an_agent_that_may_not_be_dispatched_is_not_and_a_patch_to_the_policy_changes_nothing(tmp_path: Path) -> None:
    forbid = 'forbid (principal == Agent::"breaker", action == Action::"dispatch", resource);'
    big = '@id("small") forbid (principal, action == Action::"publish", resource) when { context.changed_lines > 100 };'
    bench = with_policy(tmp_path, forbid, big)
    open_all = f"{MENDER}; printf '{PERMIT.strip()}' > .github/optr/policy.cedar"
    write(bench.repo, {".github/agents/mender.agent.md": profile("mender", f"{open_all}; seq 200 > numbers.txt")})
    bench.commit("Let one open the policy")
    ran = bench.execute("fix")
    assert codes_of(bench, "fix", "breaker") == ["POLICY_DENIED"]
    kinds = [json.loads(line) for line in bench.recorded("fix/events.jsonl").splitlines()]
    assert [one["type"] for one in kinds if one.get("node") == "A2"][1] == "DISPATCH_REVOKED"
    assert "optr/fix" not in bench.branches()
    assert ran.code != 0
    told = ran.out + ran.err
    assert "small" in told or "protected" in told.lower(), told


def test_an_operator_is_not_widened_and_a_request_is_refused_before_anything_runs(tmp_path: Path) -> None:
    bench = with_policy(tmp_path)
    operator = tmp_path / "operator.cedar"
    operator.write_text('permit (principal, action, resource) unless { action == Action::"request" };', "utf-8")
    operator.chmod(0o600)
    ran = bench.execute("fix", OPTR_POLICY_FILE=str(operator))
    assert ran.code != 0
    assert "operator policy does not let Human" in ran.err
    assert bench.line_types() == ["RUN_FAILED"]

    operator.chmod(0o666)
    assert "lets others write it" in bench.execute("fix", OPTR_POLICY_FILE=str(operator)).err
    checked = bench.optr("policy", "check")
    assert (checked.code, "default and repository" in checked.out) == (0, True)
    wrong = tmp_path / "wrong.cedar"
    wrong.write_text("permit (principal, action, resource) when { context.taintd };", "utf-8")
    assert "taintd" in bench.optr("policy", "check", str(wrong)).err
    write(bench.repo, {".github/optr/policy.cedar": wrong.read_text("utf-8")})
    bench.commit("Break the policy")
    broken = bench.execute("fix")
    assert (broken.code, "taintd" in broken.err) == (2, True)

    asked = ("policy", "explain", "approve", "Human", "ada", "--file", str(wrong.with_name("ok.cedar")))
    wrong.with_name("ok.cedar").write_text(PERMIT, "utf-8")
    person = bench.optr(*asked, "--context", '{"own_request":false,"bot":false}')
    assert (person.code, person.out.splitlines()) == (
        0,
        ["default allows: people-approve", "repository allows: policy0", "Allowed"],
    )
    machine = bench.optr(*asked, "--context", '{"own_request":false,"bot":true}')
    assert (machine.code, machine.out.splitlines()[-1]) == (5, "Denied")
    assert bench.optr(*asked, "--context", "[]").code == 2
