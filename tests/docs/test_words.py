"""Every word that users meet stands in the documentation, where they would look for it."""

import re
from enum import Enum

import pytest
from typer.main import get_command

from bot.cli.app import build
from bot.cli.reference import all_commands
from bot.commands.registry import COMMANDS
from bot.exit_codes import ExitCode
from bot.settings_table import TABLE
from execution.agents.build import DRIVERS
from execution.agents.profiles import AgentType, Profile, parse_profile
from execution.config import Config, load_config
from governance.entry_types import EntryType
from governance.reasons import CODES
from governance.states import RunOutcome, RunState
from scoring.profiles import PROFILES
from tests.docs.pages import ROOT, blocks, docs, pages, text


def page(name: str) -> str:
    return text(ROOT / "docs" / name)


def words(name: str) -> set[str]:
    """What stands in backticks on a page."""
    return set(re.findall(r"`([^`\n]+)`", page(name)))


def test_every_command_and_option_is_on_the_page() -> None:
    shown = page("cli.md")
    for name, command in all_commands(get_command(build())):
        section = shown.partition(f"## `optr {name}`\n")[2].partition("\n## ")[0]
        assert section, name
        for parameter in command.params:
            for option in parameter.opts:
                assert option == "--help" or not option.startswith("-") or f"`{option}" in section, (name, option)


def test_no_page_names_a_command_or_option_that_is_not_there() -> None:
    commands = dict(all_commands(get_command(build())))
    everywhere = {"--help", "--version", "--install-completion", "--show-completion"}
    for path in pages():
        for line in re.findall(r"\boptr ((?:[a-z]|-(?=[a-z]))+[^`\n|]*)", "\n".join(blocks(path, "sh"))):
            name, *rest = line.split("#")[0].split("&&")[0].split("||")[0].split()
            name = name if name in commands else f"{name} {rest[0] if rest else ''}"
            if name not in commands:
                continue
            known = {option for parameter in commands[name].params for option in parameter.opts} | everywhere
            used = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert used <= known, (path.name, name, used - known)


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_exit_status_is_in_the_table(code: ExitCode) -> None:
    assert f"\n| {code.value} | {code.name.lower()} |" in page("cli.md")


def test_every_setting_is_in_the_table_and_no_other_is_named() -> None:
    listed = set(re.findall(r"^\| `([A-Z_]+)` \|", page("configuration.md"), re.MULTILINE))
    assert listed == {setting.variable for setting in TABLE}
    lane = {
        "OPTR_CRASH_ALL",
        "OPTR_CRASH_KILLS",
        "OPTR_FAULTS_ALL",
        "OPTR_STORM",
        "OPTR_STORM_PAGE",
        "OPTR_CRASH_ROUNDS",
        "OPTR_HYPOTHESIS",
        "OPTR_FLIPS",
        "OPTR_BENCH_SIZES",
        "OPTR_BENCH_ROUNDS",
    }
    handed = {"OPTR_INTENT"}  # to agents of type command, by OPTR itself
    secrets = {"OPTR_LEDGER_KEY", "OPTR_NEW_LEDGER"}  # of the repository, for the workflow `optr`
    types = {f"{entry}" for entry in EntryType}
    for path in pages():
        named = set(re.findall(r"\bOPTR_[A-Z][A-Z_]*[A-Z]\b", text(path)))
        assert named <= listed | lane | handed | secrets | types, path.name


def test_every_slash_command_is_on_its_page() -> None:
    assert COMMANDS
    for name in COMMANDS:
        assert f"`/optr {name}" in page("commands.md")


def test_every_reason_code_is_on_its_page() -> None:
    assert {str(code.value) for code in CODES} <= words("reasons.md")


@pytest.mark.parametrize("kind", [EntryType, RunState, RunOutcome])
def test_every_word_of_the_record_is_on_its_page(kind: type[Enum]) -> None:
    assert {str(member.value) for member in kind} <= words("record.md")


def test_every_state_that_is_called_reserved_is_set_nowhere() -> None:
    """What the page says nothing writes must not be written; the day it is, the page is wrong."""
    unused = re.findall(r"`([A-Z_]+)`", page("record.md").partition("Part of the format")[2].partition("##")[0])
    assert unused, "the page names what nothing writes"
    sources = [path for package in ("bot", "execution") for path in (ROOT / package).rglob("*.py")]
    for name in unused:
        users = [path.name for path in sources if f"EntryType.{name}" in path.read_text(encoding="utf-8")]
        assert users == [], f"{name} is written by {users}; move it into a table of docs/record.md"


def test_every_profile_and_agent_type_is_explained() -> None:
    assert set(PROFILES) <= set(re.findall(r"^## ([a-z0-9-]+)", page("scoring.md"), re.MULTILINE))
    for kind in AgentType:
        assert f"`{kind}`" in page("configuration.md")
    assert set(DRIVERS) <= set(AgentType)


def test_the_examples_of_a_configuration_are_ones() -> None:
    of_workflows = ROOT / "docs/workflows.md"  # checked as workflows
    written = [(path, code) for path in pages() if path != of_workflows for code in blocks(path, "yaml")]
    examples = [(path, code) for path, code in written if not code.startswith("---")]
    assert len(examples) >= 3
    for path, code in examples:
        if not code.startswith("approval_policy"):  # a piece of a profile
            assert isinstance(load_config(code.encode()), Config), path.name


def test_the_readmes_configuration_has_every_part() -> None:
    (example,) = [code for code in blocks(ROOT / "README.md", "yaml") if code.startswith("version: 1")]
    read = load_config(example.encode())
    assert read.model_fields_set == {"version", "agents", "checks", "scoring", "review", "patch"}


def test_the_readmes_profile_is_one() -> None:
    (example,) = [code for code in blocks(ROOT / "README.md", "yaml") if code.startswith("---")]
    assert isinstance(parse_profile(example.encode(), ".github/agents/tidy.agent.md"), Profile)


def test_every_make_target_is_told() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {f"make {target}" for target in targets} <= words("testing.md")
    named = {
        word
        for path in pages()
        for word in re.findall(r"\bmake ([a-z][a-z-]+)\b", "\n".join(re.findall(r"`[^`\n]+`", text(path))))
    }
    assert named <= set(targets), named - set(targets)


def test_every_directory_of_tests_is_told() -> None:
    there = {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/test_*.py")}
    assert there <= words("testing.md")


def test_no_page_is_empty_and_each_has_one_title() -> None:
    for path in docs():
        assert text(path).startswith("# "), path.name
        assert len(re.findall(r"^# ", re.sub(r"```.*?```", "", text(path), flags=re.DOTALL), re.MULTILINE)) == 1, (
            path.name
        )
