"""`optr verify-ledger` as a process: its places, its options, its bar."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.exit_codes import ExitCode
from ledger.keys import Signer
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from tests.ledger.conftest import draft

COMMAND = [sys.executable, "-m", "bot.cli", "verify-ledger"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository with 300 lines; beside it `kept`, its checkpoint at 270."""
    directory = tmp_path_factory.mktemp("verify")
    git_dir = directory / "r.git"
    subprocess.run(["git", "init", "-q", "--bare", str(git_dir)], check=True)
    signer = Signer.generate(directory / "key", "optr/octocat/hello")
    sequencer = Sequencer(git_dir, signer, FileCheckpoints(directory / "store"))
    sequencer.append([draft(n) for n in range(270)], {})
    show = ["git", f"--git-dir={git_dir}", "show", "refs/heads/datalake:datalake/checkpoint"]
    (directory / "kept").write_bytes(subprocess.run(show, check=True, capture_output=True).stdout)
    sequencer.append([draft(n) for n in range(270, 300)], {})
    return directory


def optr(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *args], capture_output=True, text=True, check=False, **options)


def test_what_was_remembered_is_skipped_and_the_verdict_is_versioned(place: Path) -> None:
    done = optr(str(place / "r.git"), "--since", str(place / "kept"), "--json", "--jobs", "2")
    found = json.loads(done.stdout)
    assert (done.returncode, found["version"], found["entries"], found["problem"]) == (ExitCode.OK, 1, 300, None)
    assert "the first 256 lines" in done.stderr
    assert "\x1b" not in done.stderr


def test_lines_come_through_a_pipe(place: Path) -> None:
    show = ["git", f"--git-dir={place / 'r.git'}", "archive", "refs/heads/datalake:datalake"]
    archive = subprocess.run(show, check=True, capture_output=True).stdout
    (place / "out").mkdir()
    subprocess.run(["tar", "-x", "-C", str(place / "out")], input=archive, check=True)
    done = optr(str(place / "out"))
    assert (done.returncode, done.stdout.splitlines()[1]) == (ExitCode.OK, "Entries: 300")
    lines = subprocess.run("cat ledger/*/*/*.jsonl ledger.jsonl", shell=True, cwd=place / "out", check=True, stdout=-1)
    done = optr("-", input=lines.stdout.decode())
    assert (done.returncode, done.stdout.splitlines()[:2]) == (
        ExitCode.OK,
        ["Verifying ledger: standard input", "Entries: 300"],
    )


def test_policies_that_are_not_met_or_not_readable(place: Path) -> None:
    rules = place / "policy"
    rules.write_text("quorum none\n")
    assert optr(str(place / "r.git"), "--policy", str(rules)).returncode == ExitCode.OK
    rules.write_text("log nonsense\nquorum none\n")
    done = optr(str(place / "r.git"), "--policy", str(rules))
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert "line 1 of the policy" in done.stderr
    done = optr("https://github.com/o/r")
    assert done.returncode == ExitCode.USAGE
    assert "git clone --bare" in done.stderr
    assert optr(str(place), "--repo", ".").returncode == ExitCode.USAGE


def test_a_wrong_key_and_a_wrong_checkpoint_are_told_apart_by_place(place: Path) -> None:
    repository, wrong = str(place / "r.git"), place / "wrong"
    for content in (b"\xff", b"", (place / "kept").read_bytes()[:-1], b"x" * 70_000):
        wrong.write_bytes(content)
        for options in (("--since", str(wrong)), ("--remembered", str(wrong))):
            done = optr(repository, *options)
            assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
            assert f"where: {wrong}\n" in done.stderr
    done = optr(repository, "--since", str(place / "kept"), "--key", "x+y+z")
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert "where: --key\n" in done.stderr


def test_a_bar_is_shown_on_a_terminal_only(place: Path) -> None:
    reader, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        [*COMMAND, str(place / "r.git")], stdout=subprocess.PIPE, stderr=terminal, check=False, env=environment
    )
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(reader, 65_536):
            shown += part
    except OSError:  # Linux says end of file of a terminal this way
        pass
    os.close(reader)
    assert done.returncode == ExitCode.OK
    assert b"Verifying" in shown
    assert b"\x1b[" not in done.stdout
