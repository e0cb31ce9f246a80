"""`python -m ledger`, run where nothing else of ours can be imported."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ledger.keys import Signer

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = """
import runpy, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"bot", "execution", "governance", "scoring", "dbos", "pydantic", "sqlalchemy"}:
            raise ImportError(name + " must not be needed")
        return None

sys.meta_path.insert(0, Blocker())
sys.argv = ["ledger", *sys.argv[1:]]
runpy.run_module("ledger", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds the package `ledger` and nothing else of ours."""
    directory = tmp_path_factory.mktemp("alone")
    shutil.copytree(ROOT / "ledger", directory / "ledger", ignore=shutil.ignore_patterns("__pycache__"))
    return directory


def run(directory: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(directory)}
    argv = [sys.executable, "-c", BLOCKED, *args]
    return subprocess.run(argv, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def test_the_package_alone_verifies_with_its_exit_codes(alone: Path, world: Any, tmp_path: Path) -> None:
    world.append(0, 1)
    vkey = str(world.signer.vkey)
    good = run(alone, "verify", "--repo", str(world.git_dir), "--key", vkey)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.splitlines()[1:] == [
        "Entries: 2",
        "All hashes valid",
        "Chain linkage intact",
        "Ledger verified",
    ]
    remembered = tmp_path / "remembered"
    remembered.write_bytes(world.show("datalake/checkpoint"))
    datalake = world.checkout()
    ledger = str(datalake / "ledger.jsonl")
    kept = ("--checkpoint", str(remembered))
    assert run(alone, "verify", "--ledger", ledger, *kept).returncode == 0
    Path(ledger).write_bytes(Path(ledger).read_bytes().replace(b"octocat", b"mallory", 1))
    bad = run(alone, "verify", "--ledger", ledger)
    assert bad.returncode == 20
    assert "Ledger verification failed at entry 1: hash mismatch" in bad.stdout


def test_the_command_says_incomplete_and_usage_apart(alone: Path, world: Any, tmp_path: Path) -> None:
    empty = run(alone, "verify", "--repo", str(world.git_dir))
    assert empty.returncode == 21
    assert "there is no refs/heads/datalake here" in empty.stdout
    for args in (
        (),
        ("verify", "--repo", str(tmp_path / "none")),
        ("verify", "--ledger", str(tmp_path / "none")),
        ("verify", "--repo", ".", "--ledger", "x"),
        ("verify", "--repo", str(world.git_dir), "--key", "x"),
    ):
        done = run(alone, *args)
        assert done.returncode == 2, args
        assert "Traceback" not in done.stderr, args


def test_a_fresh_clone_is_verified_by_its_remote_branch(alone: Path, world: Any, tmp_path: Path) -> None:
    world.append(0)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--no-checkout", str(world.git_dir), str(clone)], check=True)
    done = run(alone, "verify", "--repo", str(clone))
    assert done.returncode == 0
    assert "note: no trusted key given" in done.stderr


@pytest.mark.skipif(any(shutil.which(tool) is None for tool in ("jq", "openssl")), reason="needs jq and openssl")
def test_the_steps_of_the_documentation_verify_without_our_code(world: Any, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "ledger.md").read_text("utf-8")
    steps = page.split("```sh\n", 1)[1].split("```", 1)[0]
    clone = tmp_path / "clone"
    world.append(*range(34))
    subprocess.run(["git", "clone", "-q", "--no-checkout", str(world.git_dir), str(clone)], check=True)

    def follow() -> subprocess.CompletedProcess[str]:
        argv = ["sh", "-c", steps]
        return subprocess.run(argv, cwd=clone, capture_output=True, text=True, check=False)

    done = follow()
    assert (done.returncode, done.stderr) == (0, "")
    assert "Signature Verified Successfully" in done.stdout
    index = {"GIT_INDEX_FILE": str(tmp_path / "index"), "PATH": os.environ["PATH"]}

    def git(*args: str, stdin: bytes = b"") -> str:
        argv = ["git", "-C", str(clone), "-c", "user.name=x", "-c", "user.email=x", *args]
        return subprocess.run(argv, input=stdin, capture_output=True, check=True, env=index).stdout.decode().strip()

    good = git("rev-parse", "refs/remotes/origin/datalake")
    for path, at in (
        ("ledger.jsonl", 99),
        ("ledger/000/000/000.jsonl", 99),
        ("checkpoint", 30),
        ("workflows/issue-3/plan.md", 1),
    ):
        content = subprocess.run(
            ["git", "-C", str(clone), "show", f"{good}:datalake/{path}"], capture_output=True, check=True
        ).stdout
        oid = git("hash-object", "-w", "--stdin", stdin=content[:at] + b"#" + content[at + 1 :])
        git("read-tree", good)
        git("update-index", "--cacheinfo", f"100644,{oid},datalake/{path}")
        git("update-ref", "refs/remotes/origin/datalake", git("commit-tree", git("write-tree"), "-m", "x"))
        assert follow().returncode != 0, path


def test_a_new_key_is_private_and_its_public_half_is_printed(alone: Path, tmp_path: Path) -> None:
    file = tmp_path / "ledger.key"
    made = run(alone, "new-key", str(file), "optr/octocat/hello")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == f"{Signer.load(file).vkey}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    again = run(alone, "new-key", str(file), "optr/octocat/hello")
    assert (again.returncode, again.stdout) == (2, "")
    assert "exists already" in again.stderr
    assert file.read_bytes() == before
    bad = run(alone, "new-key", str(tmp_path / "other"), "a name")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert not (tmp_path / "other").exists()
