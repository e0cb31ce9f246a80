"""`optr witness collect`, as a person runs it, against a witness that is a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from execution.local_ledger import open_ledger
from ledger.entry import Draft
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints

Append = Callable[[int], None]


@pytest.fixture
def append(tmp_path: Path) -> Append:
    """A repository with a local ledger of one line, as `optr execute` leaves it; grows it."""
    repository = tmp_path / "repo"
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    ledger = open_ledger(tmp_path / "state", (repository / ".git").resolve(), "repo", {})
    (tmp_path / "logs").write_text(f"{ledger.signer.vkey}\n")

    def grow(number: int) -> None:
        draft = Draft(f"r{number}/X", "OPTR_SELECTED", "w", "r", "ada", 1_764_000_000_000 + number, {"n": number})
        Sequencer(repository / ".git", ledger.signer, FileCheckpoints(ledger.checkpoints)).append([draft], {})

    grow(0)
    return grow


def optr(tmp_path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OPTR_STATE": str(tmp_path / "state")}
    argv = [sys.executable, "-m", "bot.cli", *args, "--repo", str(tmp_path / "repo")]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


def test_cosignatures_are_collected_and_the_policy_is_met(tmp_path: Path, append: Append) -> None:
    args = [str(tmp_path / "w"), "--name", "witness.example/ours", "--logs", str(tmp_path / "logs"), "--port", "0"]
    policy = tmp_path / "policy"
    with subprocess.Popen(
        [sys.executable, "-m", "bot.cli", "witness", "serve", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as served:
        try:
            assert served.stdout is not None
            assert served.stderr is not None
            first = served.stdout.readline().strip()
            url = served.stderr.readline().split()[-1]
            policy.write_text(f"{first} {url}\nquorum witness.example/ours\n")
            assert optr(tmp_path, "verify-ledger", "--policy", str(policy)).returncode == 21
            done = optr(tmp_path, "witness", "collect", "--policy", str(policy))
            assert (done.returncode, done.stdout) == (0, "cosigned by witness.example/ours\n"), done.stderr
            assert optr(tmp_path, "verify-ledger", "--policy", str(policy)).returncode == 0
        finally:
            served.terminate()
    append(1)
    down = optr(tmp_path, "witness", "collect", "--policy", str(policy))
    assert down.returncode == 4
    assert "witness.example/ours" in down.stderr
    assert optr(tmp_path, "verify-ledger").returncode == 0
    assert optr(tmp_path, "verify-ledger", "--policy", str(policy)).returncode == 21


def test_a_policy_without_addresses_and_a_missing_ledger_are_said(tmp_path: Path, append: Append) -> None:
    del append
    policy = tmp_path / "policy"
    policy.write_text("quorum none\n")
    done = optr(tmp_path, "witness", "collect", "--policy", str(policy))
    assert done.returncode == 2
    assert "names no witness that can be asked" in done.stderr
