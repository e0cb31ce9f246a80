"""`optr demo` and `optr score`, the newcomer's first two commands, and how the command presents itself."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from execution.result import RunResult
from tests.e2e.cli_kit import ROOT, Bench, git

SEED = ROOT / "examples/seed-results.json"
SLOW = {
    "dbos",
    "sqlalchemy",
    "anthropic",
    "openai",
    "httpx2",
    "aiohttp",
    "git",
    "cedarpy",
    "execution",
    "cryptography",
    "pydantic",
}
SERVING = {"bot.server", "bot.wiring", "bot.github", "prometheus_client", "opentelemetry.sdk"}
DEMO_GITS_MAX = 330  # processes of git, of which the demo's time is made; it starts 318


@pytest.fixture
def newcomer(tmp_path: Path) -> Bench:
    """Somebody with an empty directory."""
    (tmp_path / "state").mkdir()
    return Bench(tmp_path, tmp_path / "state")


def test_the_demo_tells_its_story_and_leaves_what_it_is_asked_to_leave(newcomer: Bench) -> None:
    kept = newcomer.repo / "kept"
    path, started = counted_git(newcomer.state)
    ran = newcomer.optr(
        "demo", "--keep", "kept", "--json", OPENAI_API_KEY="real-and-unused", PYTHONPROFILEIMPORTTIME="1", PATH=path
    )
    assert ran.code == 0, ran.err
    assert 1 < len(started.read_text().splitlines()) <= DEMO_GITS_MAX
    assert {"dbos", "bot.demo"} <= loaded(ran.err)
    assert loaded(ran.err) & SERVING == set(), "nobody serves anything"
    assert ran.out.count("\n") == 1
    assert "The models of this demo are recorded" in ran.err
    result = RunResult.model_validate_json(ran.out)
    rows = {row.agent: row for row in result.candidates}
    assert result.winner == "codex"
    assert rows["codex"].model is not None
    assert (rows["claude"].admissible, [reason.code for reason in rows["claude"].reasons]) == (True, ["LOWER_SCORE"])
    assert [agent for agent, row in rows.items() if row.admissible is False] == ["snapshot"]
    assert {row.type for row in rows.values()} == {"openai-codex", "anthropic-claude", "command"}
    assert git(kept, "status", "--short") == ""
    assert git(kept, "rev-parse", "--verify", "optr/demo").strip() == result.commit
    verified = newcomer.optr("verify-ledger", "--repo", "kept")
    assert (verified.code, verified.out.splitlines()[-1]) == (0, "Ledger verified")
    again = newcomer.optr("demo", "--keep", "kept")
    assert (again.code, again.out) == (2, "")
    assert "not an empty directory" in again.err


def counted_git(home: Path) -> tuple[str, Path]:
    """A search path whose git writes a line for each start, and the file it writes to."""
    bin_, started = home / "bin", home / "started"
    bin_.mkdir()
    git_ = shutil.which("git")
    assert git_ is not None
    (bin_ / "git").write_text(f'#!/bin/sh\necho >> "{started}"\nexec "{git_}" "$@"\n')
    (bin_ / "git").chmod(0o755)
    return f"{bin_}{os.pathsep}{os.environ['PATH']}", started


def loaded(profile: str) -> set[str]:
    """The modules, and the packages around them, that Python says it imported."""
    names = [line.rpartition("|")[2].strip().split(".") for line in profile.splitlines() if "|" in line]
    return {".".join(parts[: depth + 1]) for parts in names for depth in range(len(parts))}


def test_the_seeds_results_give_the_published_scores(newcomer: Bench) -> None:
    ran = newcomer.optr("score", str(SEED), "--profile", "seed-v1")
    assert ran.code == 0, ran.err
    assert re.findall(r"^\d  \w+ +([\d.]+)  ", ran.out, re.MULTILINE) == ["207.3", "160.7", "127.3", "121.5"]
    one, two = newcomer.repo / "one.json", newcomer.repo / "two.json"
    results = json.loads(SEED.read_text())
    one.write_text(json.dumps(results[:1]))
    two.write_text(json.dumps(results[1:]))
    apart = newcomer.optr("score", "one.json", "two.json", "--profile", "seed-v1", "--json")
    assert [place["score"] for place in json.loads(apart.out)["ranking"]] == ["207.3", "160.7", "127.3", "121.5"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1, column 2"),
        ("[]", "0 results"),
        ('{"agent": "a"}', "output: is missing"),
        ("\x1b]0;owned\x07", "not JSON"),
    ],
)
def test_a_file_that_holds_no_results_is_named(newcomer: Bench, text: str, says: str) -> None:
    (newcomer.repo / "results.json").write_text(text)
    ran = newcomer.optr("score", "results.json")
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert "where: results.json" in ran.err
    assert "\x1b" not in ran.err


def test_what_a_stored_result_says_cannot_steer_a_terminal(newcomer: Bench) -> None:
    failed = json.loads(SEED.read_text())[0] | {"admissible": False, "output": {"error": "\x1b]0;owned\x07 \x9b31m"}}
    (newcomer.repo / "results.json").write_text(json.dumps(failed))
    ran = newcomer.optr("score", "results.json")
    assert ran.code == 3
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", ran.out + ran.err)


def test_the_version_comes_at_once(newcomer: Bench) -> None:
    """It waits for nothing that it does not need: no engine, model, web or git library is loaded for it."""
    ran = newcomer.optr("--version", PYTHONPROFILEIMPORTTIME="1")
    assert re.fullmatch(r"optr \d+\.\d+\.\d+\n", ran.out)
    assert {"bot", "typer"} <= loaded(ran.err)
    assert loaded(ran.err) & SLOW == set()


@pytest.mark.parametrize("command", [[], ["demo"], ["execute"], ["score"], ["verify-ledger"], ["serve"]])
def test_every_help_has_examples_that_fit_a_terminal(newcomer: Bench, command: list[str]) -> None:
    ran = newcomer.optr(*command, "--help", COLUMNS="80")
    assert ran.code == 0
    assert "Examples:" in ran.out
    assert re.search(rf"optr {' '.join(command)}".rstrip(), ran.out.partition("Examples:")[2])
    assert max(map(len, ran.out.splitlines())) <= 80


def test_completion_installs_and_completes(newcomer: Bench) -> None:
    for option, said in (
        ("--install-completion", "bash completion installed"),
        ("--show-completion", "complete -o default -F _optr_completion optr"),
    ):
        # The option is for whatever shell started it, which must be there to be found, and not the tests' own parents.
        typed = ["bash", "-c", '"$@"; exit $?', "bash", sys.executable, "-m", "bot.cli", option]
        environ = newcomer.environ(PYTHONPATH=str(ROOT), SHELL="/bin/bash")
        done = subprocess.run(typed, cwd=newcomer.repo, env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, said in done.stdout) == (0, True), done.stdout + done.stderr
    assert [path.name for path in newcomer.state.rglob("optr.sh")] == ["optr.sh"]
    words = {"COMP_WORDS": "optr exe", "COMP_CWORD": "1", "_OPTR_COMPLETE": "complete_bash"}
    assert newcomer.optr(**words).out.split() == ["execute"]


def test_a_terminal_that_knows_no_unicode_gets_the_result_all_the_same(newcomer: Bench) -> None:
    failing = json.loads(SEED.read_text())[0] | {"admissible": False, "output": {"error": "naïve ✗"}}
    (newcomer.repo / "results.json").write_text(json.dumps(failing, ensure_ascii=False), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", "score", "results.json"],
        cwd=newcomer.repo,
        env=newcomer.environ(PYTHONPATH=str(ROOT), PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
