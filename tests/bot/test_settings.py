import os
from pathlib import Path

import pytest

from bot.settings import LocalSettings, Settings, SettingsError
from bot.settings_page import table
from bot.settings_table import TABLE


def _problem(environ: dict[str, str]) -> dict[str, tuple[str, str]]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ(environ)
    return {variable: (why, remedy) for variable, why, remedy in caught.value.problems}


def test_a_complete_environment_makes_settings(environ: dict[str, str], rsa_pem: bytes) -> None:
    settings = Settings.from_environ(environ | {"OPTR_TIMEOUT": "30000", "UNRELATED": "1"})
    assert (settings.app_id, settings.timeout_ms, settings.port) == (123, 30_000, 0)
    assert settings.private_key.get_secret_value() == rsa_pem.decode()
    assert settings.github_api == "https://api.github.com"
    assert settings.webhook_secrets == (environ["OPTR_WEBHOOK_SECRET"].encode(),)


def test_every_missing_variable_is_named_at_once_with_what_to_do(environ: dict[str, str]) -> None:
    problems = _problem({"OPTR_WEBHOOK_SECRET": ""})
    assert set(problems) == {setting.variable for setting in TABLE if setting.required}
    assert all(why == "it is not set" and remedy for why, remedy in problems.values())
    with pytest.raises(SettingsError, match="OPTR_WEBHOOK_SECRET"):
        Settings.from_environ({name: text for name, text in environ.items() if name != "OPTR_WEBHOOK_SECRET"})


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("OPTR_WEBHOOK_SECRET", "short", "at least 16"),
        ("OPTR_APP_ID", "abc", "integer"),
        ("OPTR_APP_ID", "0", "greater than or equal to 1"),
        ("OPTR_PORT", "70000", "less than or equal to 65535"),
        ("OPTR_GITHUB_API", "http://github.example", "unencrypted"),
        ("OPTR_GITHUB_API", "https://user:pass@github.example", "no user"),
        ("OPTR_GITHUB_URL", "ftp://github.com", "not an http"),
        ("OPTR_DATABASE_URL", "mysql://x", "not a PostgreSQL URL"),
        ("OPTR_TIMEOUT", "0", "greater than or equal to 1"),
        ("OPTR_SANDBOX", "off", "auto"),
        ("OPTR_LOG_LEVEL", "loud", "debug"),
    ],
)
def test_a_wrong_value_is_refused_by_name(environ: dict[str, str], variable: str, value: str, why: str) -> None:
    problems = _problem(environ | {variable: value})
    assert list(problems) == [variable]
    assert why in problems[variable][0]


def test_a_misspelt_variable_is_refused_with_the_nearest_name(environ: dict[str, str]) -> None:
    problems = _problem(environ | {"OPTR_WEBHOK_SECRET": "x"})
    assert problems == {"OPTR_WEBHOK_SECRET": ("there is no such setting", "Did you mean OPTR_WEBHOOK_SECRET?")}


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602, 0o611])
def test_a_key_that_others_reach_is_refused(environ: dict[str, str], key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    why, remedy = _problem(environ)["OPTR_PRIVATE_KEY_FILE"]
    assert f"{mode:04o}" in why
    assert "chmod 600" in remedy


def test_a_key_that_a_group_may_read_is_accepted_as_mounted_secrets_are(
    environ: dict[str, str], key_file: Path
) -> None:
    key_file.chmod(0o440)
    assert Settings.from_environ(environ).private_key.get_secret_value().startswith("-----BEGIN")


def test_what_is_no_key_is_refused(environ: dict[str, str], key_file: Path, tmp_path: Path) -> None:
    key_file.write_text("-----BEGIN RSA PRIVATE KEY-----\nnonsense\n-----END RSA PRIVATE KEY-----\n")
    assert "not an unencrypted PEM" in _problem(environ)["OPTR_PRIVATE_KEY_FILE"][0]
    absent = environ | {"OPTR_PRIVATE_KEY_FILE": str(tmp_path / "absent.pem")}
    assert "No such file" in _problem(absent)["OPTR_PRIVATE_KEY_FILE"][0]
    directory = environ | {"OPTR_PRIVATE_KEY_FILE": str(tmp_path)}
    assert _problem(directory)["OPTR_PRIVATE_KEY_FILE"]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    assert "regular file" in _problem(environ | {"OPTR_PRIVATE_KEY_FILE": str(pipe)})["OPTR_PRIVATE_KEY_FILE"][0]


def test_no_error_and_no_repr_shows_a_secret(environ: dict[str, str], key_file: Path) -> None:
    secret = environ["OPTR_WEBHOOK_SECRET"]
    settings = Settings.from_environ(environ | {"OPTR_DATABASE_URL": "postgresql://u:hidden@h/d"})
    shown = f"{settings!r}{settings}{settings.model_dump_json()}"
    assert secret not in shown
    assert "hidden" not in shown
    assert "PRIVATE KEY" not in shown
    with pytest.raises(SettingsError) as caught:
        Settings.from_environ(
            environ | {"OPTR_DATABASE_URL": "mysql://u:hidden@h/d", "OPTR_WEBHOOK_SECRET": "tiny-one"}
        )
    assert "hidden" not in str(caught.value)
    assert "tiny-one" not in "\n".join(caught.value.lines())


def test_both_secrets_count_while_one_is_being_changed(environ: dict[str, str]) -> None:
    settings = Settings.from_environ(environ | {"OPTR_WEBHOOK_SECRET_PREVIOUS": "the-former-secret-of-ours"})
    assert settings.webhook_secrets[1] == b"the-former-secret-of-ours"


def test_the_command_line_needs_none_of_the_app_settings(tmp_path: Path) -> None:
    settings = LocalSettings.from_environ({"OPTR_STATE": "~/x"})
    assert settings.state == Path("~/x").expanduser()
    assert LocalSettings.from_environ({}).state.is_absolute()


def test_the_documentation_has_the_table_as_it_is() -> None:
    page = Path("docs/configuration.md").read_text()
    assert table() in page


def test_the_table_names_every_setting_once() -> None:
    fields = [setting.field for setting in TABLE if setting.field]
    assert sorted(fields) == sorted(set(Settings.model_fields) - {"private_key"})
    assert len({setting.variable for setting in TABLE}) == len(TABLE)
    for setting in TABLE:
        default = Settings.model_fields[setting.field].default if setting.field else None
        if setting.default and setting.field != "state":
            assert str(default) == setting.default
