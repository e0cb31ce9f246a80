import subprocess
from pathlib import Path

import pytest

from execution.gitcmd import GitError, run_git
from tests.execution.rooms import Origin


def test_output_is_untouched_and_standard_input_arrives(origin: Origin) -> None:
    content = b"no final line feed \xff\x00\n\n"
    written = run_git(origin.git_dir, "hash-object", "-w", "--stdin", stdin=content).decode()
    assert written.endswith("\n")
    assert run_git(origin.git_dir, "cat-file", "blob", written.strip()) == content


def test_an_error_says_what_was_run_and_what_git_said(origin: Origin) -> None:
    with pytest.raises(GitError) as refused:
        run_git(origin.git_dir, "cat-file", "blob", "f" * 40)
    assert refused.value.argv == ("cat-file", "blob", "f" * 40)
    assert refused.value.exit == 128
    assert "bad file" in refused.value.stderr
    assert "cat-file" in str(refused.value)


def test_the_environment_is_scrubbed(origin: Origin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    planted = tmp_path / "gitconfig"
    planted.write_text("[alias]\n\tshow-env = !env\n[user]\n\tname = Mallory\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(planted))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.email")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "mallory@localhost")
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-git")
    with pytest.raises(GitError):
        run_git(origin.git_dir, "config", "user.name")
    seen = run_git(origin.git_dir, "-c", "alias.show-env=!env", "show-env", env={"GIVEN": "secret"}).decode()
    assert "GIVEN=secret" in seen
    for word in ("OPENAI_API_KEY", "elsewhere", "mallory"):
        assert word not in seen


def test_secrets_in_the_environment_are_not_in_argv(origin: Origin) -> None:
    script = "alias.look=!tr '\\0' ' ' < /proc/$PPID/cmdline"
    assert b"hunter2" not in run_git(origin.git_dir, "-c", script, "look", env={"TOKEN": "hunter2"})


def test_a_deadline_kills(origin: Origin) -> None:
    with pytest.raises(GitError, match="Timeout") as refused:
        run_git(origin.git_dir, "-c", "alias.hang=!sleep 30", "hang", timeout_s=0.3)
    assert refused.value.exit < 0


def test_hooks_do_not_run(origin: Origin, tmp_path: Path) -> None:
    commit = origin.commit({"a": "1"})
    hook = origin.git_dir / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    run_git(origin.git_dir, "update-ref", "refs/heads/other", commit)
    assert not (tmp_path / "ran").exists()


def test_local_transport_is_for_the_caller_to_grant(origin: Origin, tmp_path: Path) -> None:
    origin.commit({"a": "1"})
    run_git(tmp_path, "init", "--quiet", "--bare", str(tmp_path / "copy"), env={"GIT_DIR": str(tmp_path / "copy")})
    with pytest.raises(GitError, match="transport 'file' not allowed"):
        run_git(tmp_path / "copy", "fetch", str(origin.git_dir), "main:main")
    run_git(tmp_path / "copy", "-c", "protocol.file.allow=always", "fetch", "--quiet", str(origin.git_dir), "main:main")
    with pytest.raises(GitError, match="transport 'ext' not allowed"):
        run_git(tmp_path / "copy", "fetch", "ext::sh -c 'touch pwned'", "main:main")


def test_somebody_elses_directory_is_no_surprise(origin: Origin) -> None:
    origin.commit({"a": "1"})
    subprocess.run(["chmod", "-R", "a+rwX", str(origin.git_dir)], check=True)
    assert run_git(origin.git_dir, "rev-parse", "HEAD")
