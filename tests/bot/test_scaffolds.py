"""`optr init`, `optr new-agent`, and the operator's models file."""

import os
import subprocess
from pathlib import Path

import pytest

from bot.cli.app import run
from bot.cli.init import config_text
from bot.cli.new_agent import Kind, profile_text
from bot.cli.scaffold import write_new
from bot.errors import OptrError
from bot.exit_codes import ExitCode
from bot.models_file import operator_registry
from execution.agents.profiles import AgentType, parse_profile
from execution.checks import detect
from execution.config import Check, Config, load_config
from execution.models.registry import load_registry
from execution.problems import SetupProblem
from execution.records import Limits

MODELS = """\
[[models]]
id = "house"
driver = "openai_chat"
base_url = "https://models.example.com/v1"
key_env = "HOUSE_API_KEY"
model = "house-1"
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    made = tmp_path / "repo"
    (made / "tests").mkdir(parents=True)
    (made / "tests/test_a.py").write_text("x = 1\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for arguments in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "--message=base"]):
        subprocess.run(["git", *arguments], cwd=made, check=True, capture_output=True)
    return made


def test_init_writes_what_was_recognised_and_never_twice(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--repo", str(repo)]) == ExitCode.OK
    path = repo / ".github/optr.yml"
    captured = capsys.readouterr()
    assert captured.out == f"{path}\n"
    assert "Recognised by file names" in captured.err
    config = load_config(path.read_bytes())
    assert [check.id for check in config.checks] == ["python-tests"]
    assert config.model_copy(update={"checks": ()}) == Config(), "what it spells out are the defaults"
    path.write_text("mine")
    assert run(["init", "--repo", str(repo)]) == ExitCode.USAGE
    assert path.read_text() == "mine"
    assert "is left as it is" in capsys.readouterr().err


def test_init_works_from_below_and_says_what_it_needs(repo: Path, tmp_path: Path) -> None:
    assert run(["init", "--repo", str(repo / "tests")]) == ExitCode.OK
    assert (repo / ".github/optr.yml").exists()
    assert run(["init", "--repo", str(tmp_path / "absent")]) == ExitCode.USAGE
    empty = tmp_path / "empty"
    subprocess.run(["git", "init", "--quiet", str(empty)], check=True)
    assert run(["init", "--repo", str(empty)]) == ExitCode.USAGE
    subprocess.run(["git", "init", "--quiet", "--bare", str(tmp_path / "bare")], check=True)
    assert run(["init", "--repo", str(tmp_path / "bare")]) == ExitCode.USAGE


@pytest.mark.parametrize(
    "paths", [(), ("Makefile",), ("package.json", "a.test.js"), ("go.mod", "a_test.go"), ("Cargo.toml",)]
)
def test_every_recognised_command_survives_the_file(paths: tuple[str, ...]) -> None:
    checks, _ = detect(paths)
    assert load_config(config_text(checks).encode()).checks == checks


def test_a_command_of_any_characters_survives_the_file() -> None:
    odd = Check(id="odd", run="echo \"a: b\" # 'c' \\ \u00e9 {d} %s\n\ttrue", proves=("tested", "x"))
    assert load_config(config_text((odd,)).encode()).checks == (odd,)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_new_agent_is_a_profile_that_can_be_read(kind: Kind) -> None:
    profile = parse_profile(profile_text("tidy", kind).encode(), ".github/agents/tidy.agent.md")
    assert profile.type is AgentType(kind.value)
    assert profile.limits.over(Limits()) == Limits()
    assert profile.may_compete
    if profile.model:
        load_registry().entry(profile.model)


def test_new_agent_writes_a_file_and_never_twice(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new-agent", "tidy", "--type", "openai-codex", "--repo", str(repo)]) == ExitCode.OK
    path = repo / ".github/agents/tidy.agent.md"
    assert capsys.readouterr().out == f"{path}\n"
    path.write_text("mine")
    assert run(["new-agent", "tidy", "--repo", str(repo)]) == ExitCode.USAGE
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["Tidy", "../x", "a/b", "", "a" * 33, "1a", "a\n", "é"])
def test_a_name_that_is_none_writes_nothing(repo: Path, name: str) -> None:
    assert run(["new-agent", "--repo", str(repo), "--", name]) == ExitCode.USAGE
    assert not (repo / ".github").exists()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    elsewhere, top = tmp_path / "elsewhere", tmp_path / "top"
    elsewhere.mkdir()
    top.mkdir()
    (top / ".github").symlink_to(elsewhere)
    with pytest.raises(OptrError, match="link"):
        write_new(top, ".github/optr.yml", "x")
    (top / ".github").unlink()
    (top / ".github").mkdir()
    (top / ".github/optr.yml").symlink_to(elsewhere / "file")
    with pytest.raises(OptrError, match="exists"):
        write_new(top, ".github/optr.yml", "x")
    assert list(elsewhere.iterdir()) == []


def test_the_operators_models_join_the_shipped_ones(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    path.write_text(MODELS)
    path.chmod(0o644)
    registry = operator_registry({"OPTR_MODELS_FILE": str(path)})
    assert registry.entry("house").model == "house-1"
    assert set(registry.ids) == {*load_registry().ids, "house"}
    assert operator_registry({}).ids == operator_registry({"OPTR_MODELS_FILE": ""}).ids == load_registry().ids


def test_a_models_file_that_cannot_be_believed_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    cases = [
        (MODELS, 0o666, "lets others write it"),
        (MODELS, 0o620, "chmod go-w"),
        ("models = 1", 0o600, "models"),
        ("[[models]", 0o600, "not TOML"),
        (MODELS.replace("https://models", "http://models"), 0o600, "unencrypted"),
        (MODELS.replace("HOUSE_API_KEY", "HOUSE"), 0o600, "to be kept secret"),
    ]
    for text, mode, words in cases:
        path.write_text(text)
        path.chmod(mode)
        with pytest.raises(SetupProblem, match=words) as error:
            operator_registry({"OPTR_MODELS_FILE": str(path)})
        assert error.value.where == str(path)
        assert error.value.code == "CONFIG_INVALID"
    for other, words in (
        (tmp_path / "absent", "No such file"),
        (tmp_path, "directory|regular"),
        (pipe, "not a regular"),
    ):
        with pytest.raises(SetupProblem, match=words):
            operator_registry({"OPTR_MODELS_FILE": str(other)})
