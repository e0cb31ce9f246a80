"""What a person gets wrong: status 2, four plain facts, nothing on standard output, nothing recorded."""

from pathlib import Path

import pytest

from tests.e2e.cli_kit import Bench, Ran, git, make_bench, write


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("mistakes"))


def _refused(bench: Bench, ran: Ran, *says: str) -> None:
    assert ran.code == 2, ran.err
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert "  where: " in ran.err
    assert "  what to do: " in ran.err
    assert "Traceback" not in ran.err
    assert "internal" not in ran.err
    for said in says:
        assert said in ran.err
    assert "datalake" not in bench.branches()
    assert not [branch for branch in bench.branches() if branch.startswith("optr/")]


def test_an_agent_that_nobody_declared(bench: Bench) -> None:
    ran = bench.execute("w", "--agents", "mender,nobody")
    _refused(bench, ran, "no agent is called 'nobody'", "known agents: breaker, ", "--agents")


def test_a_missing_key_names_the_variable_and_what_runs_without_it(bench: Bench) -> None:
    ran = bench.execute("w", "--agents", "mender,codex")
    _refused(bench, ran, "'codex' needs the key in OPENAI_API_KEY", "command", "optr demo", "--agents")


@pytest.mark.parametrize("workflow", ["../../x", "a/b", "UPPER", "-x", "x..y", "x.lock", "", "é", "a b", "x" * 65])
def test_a_workflow_name_that_could_leave_its_directory(bench: Bench, workflow: str) -> None:
    ran = bench.optr("execute", f"--workflow={workflow}", "--intent", "i")
    _refused(bench, ran, "workflow name", "where: --workflow", "--workflow fix-parser")


@pytest.mark.parametrize("constraints", ["a,,b", "a,A", "a,a", "$(id)", "a;b", ","])
def test_constraints_that_are_no_names(bench: Bench, constraints: str) -> None:
    _refused(bench, bench.execute("w", "--constraints", constraints), "where: --constraints")


def test_an_empty_intent(bench: Bench) -> None:
    _refused(bench, bench.optr("execute", "--workflow", "w", "--intent", " \n"), "where: --intent")


def test_a_place_without_a_repository(bench: Bench, tmp_path: Path) -> None:
    _refused(bench, bench.execute("w", cwd=tmp_path), "is not in a git repository", "git init")
    _refused(
        bench, bench.execute("w", "--repo", str(tmp_path / "absent")), "is not a directory", str(tmp_path / "absent")
    )


def test_a_repository_without_a_commit(bench: Bench, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    _refused(bench, bench.execute("w", cwd=tmp_path), "no commit", str(tmp_path), "git commit")


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        (".github/optr.yml", "version: 1\nagnets: [mender]\n", (".github/optr.yml:2:1", "Did you mean 'agents'?")),
        (".github/optr.yml", "version: 1\nagents: [mender\n", (".github/optr.yml:3:",)),
        (".github/optr.yml", "agents: [mender, mender]\n", ("each once",)),
        (
            ".github/agents/mender.agent.md",
            "---\nname: mender\ntype: command\n---\n",
            ("mender.agent.md:", "'command'"),
        ),
        (".github/agents/\x1b[31m.agent.md", "no front matter\n", (":1:1", "front matter")),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, path: str, text: str, says: tuple[str, ...]) -> None:
    bench = make_bench(tmp_path, {path: text})
    ran = bench.execute("w")
    assert "\x1b" not in ran.err
    assert ran.code == 2, ran.err
    _refused(bench, ran, *says, "commit")


def test_a_branch_in_the_way_of_the_winners(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    bench.git("branch", "optr")
    _refused(bench, bench.execute("w"), "the branch optr is in the way", "git branch -m optr NAME")


def test_settings_that_do_not_exist_or_fit(bench: Bench) -> None:
    ran = bench.execute("w", OPTR_TIMEOUT="soon", OPTR_SANDBX="landlock")
    assert ran.code == 2
    assert ran.out == ""
    for said in ("OPTR_TIMEOUT", "milliseconds", "OPTR_SANDBX", "Did you mean OPTR_SANDBOX?"):
        assert said in ran.err


def test_what_is_not_committed_does_not_count(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, {".github/optr.yml": "nonsense: true\n"})
    write(bench.repo, {".github/optr.yml": "version: 1\nagents: [mender]\n"})
    _refused(bench, bench.execute("w"), "commit that HEAD names, not the working tree")


def test_a_key_file_that_others_can_read(bench: Bench, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("PRIVATE+KEY+x\n")
    key.chmod(0o644)
    _refused_key = bench.execute("w", OPTR_LEDGER_KEY_FILE=str(key))
    assert _refused_key.code == 2
    assert "can be read by others" in _refused_key.err
    assert "datalake" not in bench.branches()


CIRCLE = """\
version: 1
workflow: circle
nodes:
  - {id: first, agent: mender, task: Go first, needs: [second]}
  - {id: second, agent: mender, task: Go second, needs: [first]}
result: [first]
"""


@pytest.mark.covers("F3.05", "F3.47")
def test_a_workflow_in_a_circle_is_refused_before_anything_is_recorded(bench: Bench) -> None:
    (bench.repo / "circle.yml").write_text(CIRCLE)
    told = ("in a circle: first, second", "GS_202", "circle.yml:4:1")
    _refused(bench, bench.optr("workflow", "check", "circle.yml"), *told)
    _refused(bench, bench.optr("execute", "--workflow", "circle.yml", "--intent", "Mend add"), *told)
