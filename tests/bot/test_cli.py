"""The command line: in process for speed, as a process where the process itself is the point."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bot.cli import names
from bot.cli.account import show_run, status_of
from bot.cli.app import run
from bot.cli.errors import as_optr_error, message
from bot.cli.reference import page
from bot.errors import OptrError
from bot.exit_codes import MEANINGS, ExitCode
from execution.problems import InfrastructureProblem, RunProblem, SetupProblem
from execution.records import AgentOutcome
from execution.result import CandidateResult, RunResult
from execution.sandbox import SandboxError
from execution.yamlfile import ConfigError
from governance.states import RunOutcome, RunState
from ledger.errors import LedgerBusyError
from scoring.evidence import CheckForm, CheckOutcome, CheckResult
from tests.ledger.conftest import make_world

SEED = Path("examples/seed-results.json")


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Optr = Callable[..., Ran]


@pytest.fixture
def optr(capsys: pytest.CaptureFixture[str]) -> Optr:
    def call(*argv: str) -> Ran:
        code = run(argv)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


def _process(*argv: str, **environ: str) -> Ran:
    ours = ("OPTR_", "OPENAI_", "ANTHROPIC_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", *argv],
        capture_output=True,
        text=True,
        env=kept | environ,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


# Results and statuses -----------------------------------------------------------------------------------------------


def _result(candidates: Sequence[CandidateResult] = (), **members: object) -> RunResult:
    base = {"run": "r", "workflow": "w", "intent_sha256": "0" * 64, "title": "t", "requester": "me"}
    return RunResult.model_validate({**base, "state": RunState.CLOSED, "candidates": tuple(candidates), **members})


def _candidate(outcome: AgentOutcome, check: CheckOutcome | None = None) -> CandidateResult:
    checks = () if check is None else (_check(check),)
    return CandidateResult(agent=outcome.value, type="command", outcome=outcome, checks=checks)


def _check(outcome: CheckOutcome) -> CheckResult:
    return CheckResult(id="test", form=CheckForm.CANDIDATE, outcome=outcome, exit_code=None, duration_ms=1)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (_result(winner="codex", state=RunState.PUBLISHED), ExitCode.OK),
        (_result([_candidate(AgentOutcome.COMPLETED)], outcome=RunOutcome.NO_WINNER), ExitCode.NO_WINNER),
        (_result([_candidate(AgentOutcome.TIMEOUT)], outcome=RunOutcome.NO_WINNER), ExitCode.NO_WINNER),
        (_result([_candidate(AgentOutcome.FAILED)], outcome=RunOutcome.NO_WINNER), ExitCode.NO_WINNER),
        (_result([_candidate(AgentOutcome.AUTH)], outcome=RunOutcome.NO_WINNER), ExitCode.INFRASTRUCTURE),
        (
            _result(
                [_candidate(AgentOutcome.AUTH), _candidate(AgentOutcome.COMPLETED, CheckOutcome.ERROR)],
                outcome=RunOutcome.NO_WINNER,
            ),
            ExitCode.INFRASTRUCTURE,
        ),
        (
            _result(
                [_candidate(AgentOutcome.AUTH), _candidate(AgentOutcome.COMPLETED, CheckOutcome.FAILED)],
                outcome=RunOutcome.NO_WINNER,
            ),
            ExitCode.NO_WINNER,
        ),
        (_result(outcome=RunOutcome.NO_WINNER), ExitCode.NO_WINNER),
        (_result(outcome=RunOutcome.FAILED), ExitCode.INFRASTRUCTURE),
        (_result(outcome=RunOutcome.CANCELLED), ExitCode.INTERRUPTED),
        (_result(outcome=RunOutcome.REFUSED), ExitCode.USAGE),
    ],
)
def test_the_status_says_whose_fault_it_is(result: RunResult, code: ExitCode) -> None:
    assert status_of(result) is code


def test_json_is_the_result_and_the_reason_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    result = _result(outcome=RunOutcome.NO_WINNER)
    assert show_run(result, Path("/src/thing"), as_json=True) is ExitCode.NO_WINNER
    captured = capsys.readouterr()
    assert RunResult.model_validate_json(captured.out) == result
    assert json.loads(captured.out)["version"] == 1
    assert captured.err == "error: No admissible results from any agent\n"


def test_the_comparison_and_the_branch_are_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    result = _result(winner="codex", branch="optr/w", base_commit="a" * 40, state=RunState.PUBLISHED)
    assert show_run(result, Path("/src/my thing"), as_json=False) is ExitCode.OK
    captured = capsys.readouterr()
    assert "codex selected" in captured.out
    assert "git -C '/src/my thing' diff aaaaaaaaaaaa optr/w" in captured.out
    assert show_run(result, None, as_json=False) is ExitCode.OK
    assert "git -C" not in capsys.readouterr().out
    assert captured.err == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OptrError("x", code=ExitCode.INCOMPLETE), ExitCode.INCOMPLETE),
        (ConfigError(".github/optr.yml:3:1", "bad", "mend"), ExitCode.USAGE),
        (SetupProblem("no key"), ExitCode.USAGE),
        (InfrastructureProblem("no git"), ExitCode.INFRASTRUCTURE),
        (SandboxError("no bwrap"), ExitCode.INFRASTRUCTURE),
        (LedgerBusyError("busy"), ExitCode.INFRASTRUCTURE),
        (RunProblem("none", outcome=RunOutcome.NO_WINNER), ExitCode.NO_WINNER),
        (RunProblem("broke"), ExitCode.INFRASTRUCTURE),
        (FileNotFoundError(2, "No such file", "results.json"), ExitCode.USAGE),
        (KeyError("bug"), ExitCode.INTERNAL),
    ],
)
def test_every_error_has_its_status(error: Exception, code: ExitCode) -> None:
    assert as_optr_error(error).code is code


def test_the_traceback_is_shown_only_when_asked_for() -> None:
    with pytest.raises(KeyError) as caught:
        os.environ["OPTR_NO_SUCH_VARIABLE"]
    assert "Traceback" not in message(caught.value, verbose=False)
    assert "--verbose" in message(caught.value, verbose=False)
    assert "Traceback" in message(caught.value, verbose=True)


# Usage --------------------------------------------------------------------------------------------------------------


def test_version_and_help(optr: Optr) -> None:
    assert re.fullmatch(r"optr \d+\.\d+\.\d+\n", optr("--version").out)
    for command in ("demo", "execute", "score", "verify-ledger", "serve"):
        shown = optr(command, "--help")
        assert shown.code == ExitCode.OK
        assert "Examples:" in shown.out
        assert command in optr("--help").out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["execute"], "Missing option '--workflow'"),
        (["execute", "--workflow", "w", "--intent", " "], "the intent is empty"),
        (["execute", "--workflow", "../x", "--intent", "i"], "workflow name"),
        (["execute", "--workflow", "a..b", "--intent", "i"], "'..'"),
        (["execute", "--workflow", "w", "--intent", "i", "--constraints", "a,,b"], "--constraints"),
        (["execute", "--workflow", "w", "--intent", "i", "--agents", "a,a"], "twice"),
        (["score"], "Missing argument"),
        (["score", "absent.json"], "absent.json"),
        (["score", "."], "a directory"),
        (["score", "pyproject.toml"], "not stored results"),
        (["score", str(SEED), "--profile", "best"], "--profile"),
        (["verify-ledger", "--repo", ".", "--ledger", "x"], "exclude each other"),
        (["verify-ledger", "--repo", "/"], "not in a git repository"),
        (["verify-ledger", "--key", "nonsense"], "--key"),
        (["demo", "--keep", "."], "not an empty directory"),
    ],
)
def test_a_mistake_is_said_with_a_remedy_and_nothing_on_standard_output(optr: Optr, argv: list[str], says: str) -> None:
    ran = optr(*argv)
    assert ran.code == ExitCode.USAGE
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert says in ran.err
    assert "what to do:" in ran.err


def test_a_wrong_setting_stops_a_run_before_it_begins(optr: Optr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTR_TIMEOUT", "soon")
    ran = optr("execute", "--workflow", "w", "--intent", "i")
    assert ran.code == ExitCode.USAGE
    assert "OPTR_TIMEOUT" in ran.err
    assert "milliseconds" in ran.err


@pytest.mark.parametrize("name", ["w", "a" * 64, "fix-parser_2.1"])
def test_workflow_names_that_are_safe_pass(name: str) -> None:
    assert names.workflow(name) == name


@pytest.mark.parametrize("name", ["", "a" * 65, "A", ".x", "-x", "a/b", "a..b", "é", "a\n", "x.lock", "x."])
def test_workflow_names_that_are_not_are_refused(name: str) -> None:
    with pytest.raises(OptrError):
        names.workflow(name)


def test_lists_of_names() -> None:
    assert names.comma_list("", "--constraints") == ()
    assert names.comma_list(" a, b-c ,d.e", "--constraints") == ("a", "b-c", "d.e")


# Score --------------------------------------------------------------------------------------------------------------


def test_the_seeds_four_results_come_out_as_published(optr: Optr) -> None:
    ran = optr("score", str(SEED), "--profile", "seed-v1")
    assert ran.code == ExitCode.OK
    rows = re.findall(r"^\d  (\w+) +([\d.]+)  ", ran.out, re.MULTILINE)
    assert rows == [("codex", "207.3"), ("claude", "160.7"), ("copilot", "127.3"), ("mscopilot", "121.5")]
    assert ran.out.endswith("selected codex\n")
    decoded = json.loads(optr("score", str(SEED), "--profile", "seed-v1", "--json").out)
    assert (decoded["version"], decoded["winner"]) == (1, "codex")


def test_results_may_stand_in_a_file_each(optr: Optr, tmp_path: Path) -> None:
    files = []
    for result in json.loads(SEED.read_text()):
        files.append(tmp_path / f"{result['agent']}.json")
        files[-1].write_text(json.dumps(result))
    assert optr("score", *map(str, files), "--profile", "seed-v1").out.endswith("selected codex\n")
    assert "Give each agent's result once" in optr("score", str(files[0]), str(files[0])).err


def test_without_an_admissible_result_nobody_is_selected(optr: Optr, tmp_path: Path) -> None:
    results = [result | {"admissible": False} for result in json.loads(SEED.read_text())]
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results))
    ran = optr("score", str(file))
    assert ran.code == ExitCode.NO_WINNER
    assert "No admissible results from any agent" in ran.err
    assert "inadmissible" in ran.out


# Ledger -------------------------------------------------------------------------------------------------------------


def test_a_sound_ledger_gives_five_lines(optr: Optr, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.append(1)
    world.append(2)
    ran = optr("verify-ledger", "--repo", str(world.git_dir))
    assert ran.code == ExitCode.OK
    assert ran.out.splitlines() == [
        f"Verifying ledger: {world.git_dir} refs/heads/datalake",
        "Entries: 2",
        "All hashes valid",
        "Chain linkage intact",
        "Ledger verified",
    ]
    from_file = optr("verify-ledger", "--ledger", str(world.checkout() / "ledger.jsonl"))
    assert from_file.out.splitlines()[1:] == ran.out.splitlines()[1:]
    decoded = json.loads(optr("verify-ledger", "--repo", str(world.git_dir), "--json").out)
    assert (decoded["version"], decoded["entries"], decoded["problem"]) == (1, 2, None)


def test_a_plain_clone_verifies_though_its_branch_is_only_fetched(optr: Optr, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.append(1)
    clone = tmp_path / "clone"
    subprocess.run(["git", "init", "-q", str(clone)], check=True)
    fetch = ["git", "-C", str(clone), "fetch", "-q", str(world.git_dir), "datalake:refs/remotes/origin/datalake"]
    subprocess.run(fetch, check=True)
    assert optr("verify-ledger", "--repo", str(clone)).code == ExitCode.OK


def test_a_tampered_ledger_fails_with_20_and_the_entry(optr: Optr, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    for n in range(3):
        world.append(n)
    lines = world.lines()
    lines[1] = lines[1].replace(b"octocat", b"octodog")
    world.commit({"datalake/ledger.jsonl": b"\n".join(lines) + b"\n"})
    ran = optr("verify-ledger", "--repo", str(world.git_dir))
    assert ran.code == ExitCode.TAMPERED
    assert "Ledger verification failed at entry 2: hash mismatch" in ran.err
    assert "Ledger verified" not in ran.out
    decoded = json.loads(optr("verify-ledger", "--repo", str(world.git_dir), "--json").out)
    assert (decoded["problem"]["kind"], decoded["problem"]["entry"]) == ("tampered", 2)


def test_no_ledger_is_incomplete(optr: Optr, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    ran = optr("verify-ledger", "--repo", str(world.git_dir))
    assert ran.code == ExitCode.INCOMPLETE
    assert "Ledger verification failed" in ran.err


def test_a_remembered_checkpoint_catches_a_rollback(optr: Optr, tmp_path: Path) -> None:
    world = make_world(tmp_path)
    world.append(1)
    before = world.tip()
    world.append(2)
    kept = tmp_path / "kept"
    kept.write_bytes(world.show("datalake/checkpoint"))
    world.git("update-ref", "refs/heads/datalake", before)
    assert optr("verify-ledger", "--repo", str(world.git_dir)).code == ExitCode.OK
    ran = optr("verify-ledger", "--repo", str(world.git_dir), "--remembered", str(kept))
    assert ran.code == ExitCode.TAMPERED


# The process --------------------------------------------------------------------------------------------------------


def test_serve_names_every_missing_setting_and_shows_no_traceback() -> None:
    ran = _process("serve")
    assert ran.code == ExitCode.USAGE
    assert ran.out == ""
    for variable in ("OPTR_APP_ID", "OPTR_PRIVATE_KEY_FILE", "OPTR_WEBHOOK_SECRET"):
        assert variable in ran.err
    assert "Traceback" not in ran.err
    assert "Traceback" in _process("serve", "--verbose").err


class _Refusing(BaseHTTPRequestHandler):
    """A GitHub that does not know our key."""

    def do_GET(self) -> None:
        body = b'{"message": "A JSON web token could not be decoded"}'
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        return


def test_serve_ends_with_the_reason_when_github_refuses_the_app(environ: dict[str, str]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as github:
        threading.Thread(target=github.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{github.server_port}"
        ran = _process("serve", **environ | {"OPTR_GITHUB_API": url, "OPTR_GITHUB_URL": url})
        github.shutdown()
    assert ran.code == ExitCode.USAGE
    assert ran.out == ""
    assert "OPTR_PRIVATE_KEY_FILE" in ran.err.splitlines()[-2]
    assert environ["OPTR_WEBHOOK_SECRET"] not in ran.err
    assert (Path(environ["OPTR_STATE"]).stat().st_mode & 0o777) == 0o700


def test_serve_refuses_a_state_directory_that_cannot_be_made(environ: dict[str, str], tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    ran = _process("serve", **environ | {"OPTR_STATE": str(blocked / "state")})
    assert ran.code == ExitCode.USAGE
    assert "OPTR_STATE" in ran.err


def test_no_color_is_honoured_where_colour_is_forced() -> None:
    assert "\x1b[" in _process("bogus", FORCE_COLOR="1", TERM="xterm").err
    assert "\x1b[3" not in _process("bogus", FORCE_COLOR="1", TERM="xterm", NO_COLOR="1").err
    assert "\x1b[3" not in _process("--help", FORCE_COLOR="1", TERM="xterm", NO_COLOR="1").out


def test_the_version_does_not_wait_for_the_engine_or_the_sdks() -> None:
    code = "import sys; from bot.cli.app import run; run(['--version']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = done.stdout
    for heavy in ("dbos", "openai", "anthropic", "aiohttp", "sqlalchemy", "git"):
        assert f"'{heavy}'" not in loaded


def test_completion_is_offered() -> None:
    ran = _process("--show-completion", SHELL="/bin/bash")
    assert ran.code in {ExitCode.OK, ExitCode.INTERNAL}
    completed = _process(
        _OPTR_COMPLETE="complete_bash", COMP_WORDS="optr ver", COMP_CWORD="1", _TYPER_COMPLETE_ARGS="optr ver"
    )
    assert "verify-ledger" in completed.out


# Documentation ------------------------------------------------------------------------------------------------------


def test_the_page_is_made_from_the_commands() -> None:
    assert Path("docs/cli.md").read_text() == page()


def test_every_status_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)
