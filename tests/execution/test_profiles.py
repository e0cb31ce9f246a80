"""Profiles, what is built from them, and what is said when something is missing."""

import pytest

from execution.agents.build import AgentSettingError, AgentUnavailableError, ModelAccess, build_agent, limits_for
from execution.agents.profiles import AgentType, Profile, Role, load_profiles, parse_profile
from execution.models.registry import load_registry
from execution.records import Limits
from execution.yamlfile import ConfigError

KEYS = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}


def profile(text: str, name: str = "tool") -> Profile:
    return parse_profile(text.encode(), f".github/agents/{name}.agent.md")


def test_the_starters_load() -> None:
    starters = load_profiles({})
    assert list(starters) == ["claude", "codex", "copilot", "mscopilot"]
    assert starters["codex"].type is AgentType.OPENAI_CODEX
    assert starters["codex"].roles == (Role.CANDIDATE,)
    assert starters["codex"].instructions.startswith("Prefer the smallest change")
    for name in ("claude", "codex"):
        build_agent(starters[name], ModelAccess(KEYS))


def test_the_repository_overlays_the_starters_and_adds_to_them() -> None:
    files = {
        ".github/agents/codex.agent.md": b"---\nname: codex\ntype: openai-codex\nmodel: gpt-6-luna\n---\nBe brief.\n",
        ".github/agents/tool.agent.md": b"---\r\nname: tool\r\ntype: command\r\ncommand: [ls]\r\n---\r\nHello\r\n",
        ".github/agents/deep/other.agent.md": b"ignored",
        "README.md": b"ignored",
    }
    profiles = load_profiles(files)
    assert profiles["codex"].model == "gpt-6-luna"
    assert profiles["tool"].instructions == "Hello"
    assert "other" not in profiles


def test_a_profile_survives_storage() -> None:
    for one in load_profiles({}).values():
        assert Profile.model_validate_json(one.model_dump_json()) == one


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("name: tool\n", ":1:", "must begin with front matter"),
        ("---\nname: tool\n", ":2:", "does not end"),
        ("---\nname: tool\ntype: command\ncomand: [ls]\n---\n", ":4:", "Did you mean 'command'"),
        ("---\nname: tool\ntype: robot\n---\n", ":3:", "type"),
        ("---\nname: tool\nname: tool\n---\n", ":3:", "stands twice"),
        ("---\nname: other\ntype: command\ncommand: [ls]\n---\n", ":2:", "Write `name: tool`"),
        ("---\nname: tool\ntype: command\n---\n", ":2:", "needs 'command'"),
        ("---\nname: tool\ntype: openai-codex\n---\n", ":2:", "needs 'model'"),
        ("---\nname: tool\ntype: openai-codex\nmodel: m\nnetwork: true\n---\n", ":2:", "for type command only"),
        ("---\nname: tool\ntype: github-copilot\nmodel: m\n---\n", ":2:", "takes no 'model'"),
        ("---\nname: tool\ntype: command\ncommand: [ls]\nlimits:\n  steps: 0\n---\n", ":6:", "steps"),
        ("---\nname: tool\ntype: command\ncommand: [ls]\nlimits:\n  wall_seconds: .inf\n---\n", ":6:", "wall_seconds"),
        ("---\nname: tool\ntype: command\ncommand: [ls]\nenv: [path]\n---\n", ":5:", "env"),
        ("---\nname: tool\ntype: command\ncommand: [ls]\ninstructions: hi\n---\n", ":2:", "below the front matter"),
        ("---\nname: tool\ntype: command\ncommand: ls\n---\n", ":4:", "command"),
    ],
)
def test_errors_name_file_line_and_remedy(text: str, where: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        profile(text)
    assert str(error.value).startswith(f".github/agents/tool.agent.md{where}")
    assert words in str(error.value)


def test_limits_are_laid_over_the_defaults() -> None:
    one = profile("---\nname: tool\ntype: command\ncommand: [ls]\nlimits:\n  steps: 5\n  wall_seconds: 30\n---\n")
    assert limits_for(one, {}) == Limits(steps=5, wall_seconds=30.0)
    assert limits_for(one, {"OPTR_TIMEOUT": "1500"}) == Limits(steps=5, wall_seconds=1.5)
    assert limits_for(one, {"OPTR_TIMEOUT": ""}).wall_seconds == 30.0


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "30s", "86400001", "٣٠٠", "9" * 5000])
def test_a_wrong_timeout_names_its_variable(value: str) -> None:
    with pytest.raises(AgentSettingError, match="OPTR_TIMEOUT"):
        limits_for(load_profiles({})["codex"], {"OPTR_TIMEOUT": value})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("codex", "OPENAI_API_KEY, which is not set; agents of type command and `optr demo` run without it"),
        ("claude", "ANTHROPIC_API_KEY"),
        ("copilot", "copilot_requests: write"),
        ("mscopilot", "MICROSOFT_GRAPH_TOKEN"),
    ],
)
def test_a_missing_key_is_one_clear_sentence(name: str, words: str) -> None:
    with pytest.raises(AgentUnavailableError) as error:
        build_agent(load_profiles({})[name], ModelAccess({"OPENAI_API_KEY": "  "}))
    assert words in str(error.value)
    assert str(error.value).startswith(f"Agent '{name}'")


@pytest.mark.parametrize(
    ("kind", "model", "words"),
    [
        ("openai-codex", "gpt-17", "not in the registry; known models"),
        ("openai-codex", "claude-opus-5-5", "speaks anthropic_messages"),
        ("openai-codex", "azure-gpt-6.1-sol", "AZURE_OPENAI_BASE_URL"),
    ],
)
def test_a_model_that_cannot_be_asked_is_named(kind: str, model: str, words: str) -> None:
    one = Profile.model_validate({"name": "tool", "type": kind, "model": model})
    with pytest.raises(AgentUnavailableError, match=words):
        build_agent(one, ModelAccess({**KEYS, "AZURE_OPENAI_API_KEY": "k"}))


def test_a_key_never_travels_unencrypted() -> None:
    with pytest.raises(AgentUnavailableError, match="OPENAI_BASE_URL"):
        build_agent(
            load_profiles({})["codex"], ModelAccess({**KEYS, "OPENAI_BASE_URL": "http://models.example.com/v1"})
        )


def test_a_local_model_needs_no_key() -> None:
    one = Profile.model_validate({"name": "tool", "type": "openai-codex", "model": "ollama-qwen3-coder"})
    build_agent(one, ModelAccess({}))
    assert load_registry().entry("ollama-qwen3-coder").key_env is None
