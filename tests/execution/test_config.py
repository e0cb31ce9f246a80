"""The repository's configuration: every mistake is answered with file, line, key and remedy."""

import pytest

from execution.config import CONFIG_PATH, Config, load_config
from execution.yamlfile import YAML_BYTES_MAX, ConfigError


def test_no_file_means_the_defaults() -> None:
    assert load_config(None) == Config()
    assert load_config(b"") == Config()


def test_a_whole_configuration_is_read() -> None:
    config = load_config(
        b"version: 1\nagents: [codex, ours]\nchecks:\n  - id: tests\n    run: make test\n    proves: [tested]\n"
        b"scoring: {profile: seed-v1, accept_score: '0.5'}\nreview: {approvals: 2}\n"
    )
    assert config.agents == ("codex", "ours")
    assert config.checks[0].proves == ("tested",)
    assert (config.scoring.profile, config.review.approvals, config.review.two_person) == ("seed-v1", 2, True)


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"version: 1\nchecks:\n  - id: t\n    run: x\n    timeout: 3\n", 5, "Did you mean 'timeout_s'"),
        (b"version: 1\nagentz: [a]\n", 2, "Did you mean 'agents'"),
        (b"version: 2\n", 1, "version"),
        (b"\nagents: {a: 1}\n", 2, "agents"),
        (b"agents: [a]\nagents: [b]\n", 2, "stands twice"),
        (b"a: &x 1\nb: *x\n", 1, "anchors"),
        (b"version: !!python/object:os.system x\n", 1, ""),
        (b"- 1\n", 1, "must be a mapping"),
        (b"a: [\n", 2, "indentation"),
        (b"version: 1\nchecks:\n  - id: Bad Id\n    run: x\n", 3, "checks.0.id"),
        (b"a: " + b"[" * 30 + b"]" * 30, 1, "deeper"),
        (b"\xff\xfe", 1, "UTF-8"),
        (b"#" * (YAML_BYTES_MAX + 1), 1, "bytes"),
    ],
)
def test_a_mistake_names_its_line(data: bytes, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(data)
    assert caught.value.where.startswith(f"{CONFIG_PATH}:{line}:")
    assert words in str(caught.value)


def test_check_ids_are_unique() -> None:
    with pytest.raises(ConfigError, match="'t' stands twice"):
        load_config(b"checks:\n  - {id: t, run: x}\n  - {id: t, run: y}\n")


def test_a_number_where_text_is_wanted_is_told_to_be_quoted() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(b"race:\n  at_once: 1\n  enough: 0.9\n")
    assert str(caught.value) == (
        '.github/optr.yml:3:1: race.enough: a number where text is wanted. Write it in quotes: "0.9"'
    )
