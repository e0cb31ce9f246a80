"""`optr execute` as a newcomer meets it: a small repository with uncommitted work, and two agents without keys."""

import hashlib
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.cli.fields import members
from execution.result import RunResult
from tests.e2e.cli_kit import Bench, Ran, make_bench, on_terminal, write

ONLINE = """---
name: online
type: command
command: [sh, -c, 'test "$GREETING" = hello && sed -i s/-/+/ calc.py']
env: [GREETING]
network: true
---
Mends the sum, and could ask around.
"""
HOSTILE = r"printf '\033]0;owned\007\033[31m\302\233 | `x` [a](b)\n' >&2; exit 9"


def _bytes_of(repo: Path) -> dict[str, tuple[int, str]]:
    """Mode and digest of every file of the work tree, and of what git knows about it."""
    files = [path for path in repo.rglob("*") if path.is_file() and ".git" not in path.relative_to(repo).parts]
    files += [repo / ".git" / name for name in ("HEAD", "index", "config", "refs/heads/main")]
    return {str(path): (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


@dataclass(frozen=True)
class Won:
    """A repository with uncommitted work, before and after a run that a winner came out of."""

    bench: Bench
    before: dict[str, tuple[int, str]]
    status: str
    base: str
    ran: Ran


@pytest.fixture(scope="module")
def won(tmp_path_factory: pytest.TempPathFactory) -> Won:
    bench = make_bench(tmp_path_factory.mktemp("won"))
    write(bench.repo, {"untracked.txt": "mine\n", "staged.txt": "soon\n", "docs/page.md": "# Page, edited\n"})
    bench.git("add", "staged.txt")
    write(bench.repo, {"staged.txt": "soon, and more\n"})
    base, status, before = bench.git("rev-parse", "HEAD").strip(), bench.git("status", "-s"), _bytes_of(bench.repo)
    return Won(bench, before, status, base, bench.execute("fix", "--constraints", "tested,small"))


@pytest.mark.covers("F3.03", "F3.25")
def test_a_winner_ends_with_zero_and_its_branch_and_record_stand(won: Won) -> None:
    assert won.ran.code == 0, won.ran.err
    assert won.bench.branches() == ["datalake", "main", "optr/fix"]
    assert won.bench.git("rev-parse", "optr/fix^").strip() == won.base
    assert won.bench.git("diff", "--stat", won.base, "optr/fix").splitlines()[0].startswith(" calc.py")
    assert "return a + b" in won.bench.git("show", "optr/fix:calc.py")
    assert won.bench.line_types() == ["MAEG_CREATED", "OPTR_SELECTED"]


def test_uncommitted_work_index_and_branch_are_untouched(won: Won) -> None:
    assert _bytes_of(won.bench.repo) == won.before
    assert won.bench.git("status", "-s") == won.status
    assert won.bench.git("symbolic-ref", "HEAD").strip() == "refs/heads/main"


def test_the_result_is_on_standard_output_and_progress_on_standard_error(won: Won) -> None:
    assert won.ran.out.startswith("**mender selected** · 1 of 2 candidates admissible")
    assert "Receipt" in won.ran.out
    assert won.ran.err.splitlines()[0] == "fix: executing"
    assert {"mender: admissible", "breaker: inadmissible"} <= set(won.ran.err.splitlines())
    assert won.ran.err.splitlines()[-1] == "fix: published"
    assert "Traceback" not in won.ran.err


def test_piped_text_is_plain(won: Won) -> None:
    assert "\x1b" not in won.ran.out
    assert "\u200b" not in won.ran.out
    assert "\\" not in won.ran.out
    assert "Check `tests` failed" in won.ran.out
    rows = [line for line in won.ran.out.splitlines() if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1  # the table stands straight


def test_the_commands_that_it_names_work_as_they_stand(won: Won) -> None:
    commands = re.findall(r"```sh\n(.+)\n```", won.ran.out)
    assert [command.split()[0] for command in commands] == ["optr", "git"]
    verified = won.bench.optr(*commands[0].split()[1:], cwd=Path("/"))
    assert (verified.code, verified.out.splitlines()[-1]) == (0, "Ledger verified")
    assert "return a + b" in won.bench.git(*commands[1].split()[1:])


def test_what_a_run_recorded_can_be_scored_again(won: Won, tmp_path: Path) -> None:
    for agent in ("mender", "breaker"):
        (tmp_path / f"{agent}.json").write_text(won.bench.recorded(f"fix/agent-outputs/{agent}.json"))
    files = [str(tmp_path / "mender.json"), str(tmp_path / "breaker.json")]
    ran = won.bench.optr("score", *files, "--profile", "seed-v1", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["winner"] == "mender"
    assert [place["agent"] for place in json.loads(ran.out)["ranking"]] == ["mender", "breaker"]


def test_the_same_workflow_again_from_a_subdirectory_in_json_is_a_second_one(won: Won) -> None:
    lines = won.bench.line_types()
    ran = won.bench.execute("fix", "--json", "--agents", "mender", cwd=won.bench.repo / "docs")
    assert ran.code == 0, ran.err
    assert ran.out.count("\n") == 1
    assert ran.out.isascii()
    result = RunResult.model_validate_json(ran.out)
    assert (result.version, result.workflow, result.winner, result.branch) == (1, "fix.2", "mender", "optr/fix.2")
    assert [candidate.agent for candidate in result.candidates] == ["mender"]
    assert result.receipt is not None
    assert result.receipt.seq == len(lines) + 1
    assert json.loads(ran.out).keys() == members(RunResult).keys()
    assert all(f"| `{name}` |" in Path("docs/cli.md").read_text() for name in json.loads(ran.out))
    assert won.bench.line_types() == [*lines, "MAEG_CREATED", "OPTR_SELECTED"]


def test_a_linked_work_tree_shares_the_ledger_and_has_its_own_base(won: Won, tmp_path: Path) -> None:
    linked, lines = tmp_path / "linked", len(won.bench.line_types())
    won.bench.git("worktree", "add", "--quiet", "--detach", str(linked))
    won.bench.git("-C", str(linked), "commit", "--quiet", "--allow-empty", "-m", "Only here")
    head = won.bench.git("-C", str(linked), "rev-parse", "HEAD").strip()
    ran = won.bench.execute("linked", "--repo", str(linked), "--agents", "mender", "--json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert (result["base_commit"], result["base_branch"]) == (head, "HEAD")
    assert won.bench.git("rev-parse", "optr/linked^").strip() == head
    assert len(won.bench.line_types()) == lines + 2
    assert won.bench.git("-C", str(linked), "status", "-s") == ""


@pytest.mark.parametrize(("columns", "color"), [(80, True), (120, False)])
def test_on_a_terminal_it_is_rendered_as_wide_as_that_and_nothing_of_an_agent_steers_it(
    tmp_path: Path, columns: int, *, color: bool
) -> None:
    bench = make_bench(tmp_path)
    bench.agent("hostile", HOSTILE)
    argv = [
        sys.executable,
        "-m",
        "bot.cli",
        "execute",
        "--workflow",
        "w",
        "--intent",
        "i",
        "--agents",
        "mender,hostile",
    ]
    settings = {"TERM": "xterm-256color", **({} if color else {"NO_COLOR": "1"})}
    environ = bench.environ(PYTHONPATH=str(Path.cwd()), **settings)
    code, got = on_terminal(argv, environ, bench.repo, columns)
    assert code == 0
    sequences = set(re.findall(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f].?", got))
    assert all(re.fullmatch(r"\x1b\[[0-9;]*m", sequence) for sequence in sequences), sequences
    assert ("\x1b[32m" in got) is color
    assert ("\x1b[31m" in got) is color  # our own mark of failure, never the agent's
    plain = re.sub(r"\x1b\[[0-9;]*m", "", got)
    assert "\u200b" not in plain
    assert "]0;owned[31m | `x` [a](b)" in plain
    wide = [line for line in plain.splitlines() if len(line.rstrip()) > columns]
    assert all(line.lstrip().startswith(("git -C", "optr verify-ledger")) for line in wide)  # whole, to be copied


def test_a_reader_that_goes_away_changes_nothing(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "bot.cli", "score", str(Path("examples/seed-results.json").absolute())]
    process = os.posix_spawn(
        sys.executable,
        argv,
        bench.environ(PYTHONPATH=str(Path.cwd())),
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)],
    )
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_a_run_without_a_sandbox_says_so_in_its_record_and_to_its_reader(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    ran = bench.execute("open", "--agents", "mender", OPTR_SANDBOX="none")
    assert ran.code == 0, ran.err
    assert "OPTR_SANDBOX=none" in ran.out
    planned = json.loads(bench.git("show", "datalake:datalake/ledger.jsonl").splitlines()[0])
    assert (planned["type"], planned["sandbox"]) == ("MAEG_CREATED", "none")
    assert "network" not in planned
    compliance = json.loads(bench.git("show", "datalake:datalake/workflows/open/compliance.json"))
    (control,) = (one for one in compliance["controls"] if one["control"] == "A.9.4")
    assert "sandboxed" in control["missing"]
    refused = bench.execute("other", "--agents", "mender", OPTR_SANDBOX="container")
    assert refused.code == 4
    assert "OPTR_SANDBOX_IMAGE" in refused.err


def test_the_network_is_granted_by_the_operator_and_stands_in_the_record(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    write(bench.repo, {".github/agents/online.agent.md": ONLINE})
    bench.commit("Add an agent that asks for the network")
    refused = bench.execute("no", "--agents", "online", OPTR_AGENT_ENV="GREETING", GREETING="hello")
    assert refused.code == 2
    assert "OPTR_AGENT_NETWORK=1" in refused.err
    ran = bench.execute(
        "yes", "--agents", "online", OPTR_AGENT_NETWORK="1", OPTR_AGENT_ENV="GREETING", GREETING="hello"
    )
    assert ran.code == 0, ran.err
    assert "could send out whatever it saw" in ran.out
    assert "was handed GREETING" in ran.out
    planned = json.loads(bench.git("show", "datalake:datalake/ledger.jsonl").splitlines()[0])
    assert planned["network"] == ["online"]
