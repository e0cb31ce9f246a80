"""A real bare repository, a real key and a real store, in a temporary directory."""

import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from ledger.chain import Chain
from ledger.entry import Draft
from ledger.keyring import KeyRing
from ledger.keys import Signer
from ledger.sequencer import Appended, Sequencer
from ledger.store import CheckpointStore, FileCheckpoints
from ledger.verify import Verification, verify_branch

ORIGIN = "optr/octocat/hello"

settings.register_profile("ledger", deadline=None)  # a busy machine is no finding
settings.load_profile("ledger")


def draft(number: int, **fields: object) -> Draft:
    """Build the draft of milestone `number`."""
    values: dict[str, object] = {
        "id": f"run{number}/OPTR_SELECTED",
        "type": "OPTR_SELECTED",
        "workflow": f"issue-{number}",
        "run": f"run{number}",
        "actor": "octocat",
        "timestamp": 1_764_000_000_000 + number,
        "body": {"selectedOptr": "codex", "n": number},
    }
    return Draft(**(values | fields))  # type: ignore[arg-type]


def forget_locks(git_dir: Path) -> None:
    """Make lock files of killed processes old; a child of theirs may still be taking one away."""
    for directory, _, names in os.walk(git_dir):
        for name in names:
            if name.endswith(".lock"):
                with suppress(FileNotFoundError):
                    os.utime(Path(directory, name), (0, 0))


@dataclass
class World:
    """One ledger and what stands around it."""

    directory: Path
    git_dir: Path
    keys: KeyRing
    store: FileCheckpoints
    fixed: Signer | None = None  # a key in no file, instead of the ring

    draft = staticmethod(draft)

    @property
    def signer(self) -> Signer:
        self.keys.refresh()
        return self.fixed or self.keys.signer

    def sequencer(
        self, store: CheckpointStore | None = None, publish: Callable[[str, str | None], bool] | None = None
    ) -> Sequencer:
        return Sequencer(self.git_dir, self.fixed or KeyRing.open(self.directory / "key"), store or self.store, publish)

    def append(self, *numbers: int, files: Mapping[str, bytes] | None = None) -> Appended:
        given = {f"datalake/workflows/issue-{n}/plan.md": b"plan %d\n" % n for n in numbers} if files is None else files
        return self.sequencer().append([draft(n) for n in numbers], given)

    def git(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            ["git", f"--git-dir={self.git_dir}", *args], input=stdin, capture_output=True, check=True, env=env
        )
        return done.stdout.decode("utf-8", "replace").strip()

    def tip(self) -> str:
        return self.git("rev-parse", "refs/heads/datalake")

    def show(self, path: str, commit: str = "refs/heads/datalake") -> bytes:
        return subprocess.run(
            ["git", f"--git-dir={self.git_dir}", "show", f"{commit}:{path}"], capture_output=True, check=True
        ).stdout

    def paths(self) -> list[str]:
        return self.git("ls-tree", "-r", "--name-only", "refs/heads/datalake").splitlines()

    def lines(self) -> list[bytes]:
        sealed = sorted(path for path in self.paths() if path.startswith("datalake/ledger/"))
        return b"".join(self.show(path) for path in [*sealed, "datalake/ledger.jsonl"]).splitlines()

    def commit(self, changes: Mapping[str, bytes | None], mode: str = "100644") -> str:
        """Commit on the branch with plain git, as somebody with write access would; None deletes."""
        index = {"GIT_INDEX_FILE": str(self.directory / "index"), "PATH": "/usr/bin:/bin"}
        (self.directory / "index").unlink(missing_ok=True)
        self.git("read-tree", self.tip(), env=index)
        for path, content in changes.items():
            if content is None:
                self.git("update-index", "--index-info", stdin=f"0 {'0' * 40}\t{path}\n".encode(), env=index)
            else:
                oid = self.git("hash-object", "-w", "--stdin", stdin=content)
                self.git("update-index", "--add", "--cacheinfo", f"{mode},{oid},{path}", env=index)
        tree = self.git("write-tree", env=index)
        names = {f"GIT_{role}_{what}": "x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        commit = self.git("commit-tree", tree, "-p", self.tip(), "-m", "foreign", env=index | names)
        self.git("update-ref", "refs/heads/datalake", commit)
        return commit

    def verify(self, **options: object) -> Verification:
        return verify_branch(self.git_dir, **options)  # type: ignore[arg-type]

    def checkout(self) -> Path:
        """Write the branch's files to a plain directory and return its `datalake`."""
        target = self.directory / "checkout"
        target.mkdir()
        archive = subprocess.run(
            ["git", f"--git-dir={self.git_dir}", "archive", "refs/heads/datalake"], capture_output=True, check=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", str(target)], input=archive, check=True)
        return target / "datalake"


def make_world(directory: Path) -> World:
    git_dir = directory / "repository.git"
    subprocess.run(["git", "init", "-q", "--bare", str(git_dir)], check=True)
    Signer.generate(directory / "key", ORIGIN)
    return World(directory, git_dir, KeyRing.open(directory / "key"), FileCheckpoints(directory / "store"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture(scope="session")
def seventy(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Seventy appends, one by one, across two segment borders. Read only."""
    world = make_world(tmp_path_factory.mktemp("seventy"))
    sequencer = world.sequencer()
    for n in range(70):
        sequencer.append([draft(n)], {f"datalake/workflows/issue-{n}/plan.md": b"plan %d\n" % n})
    return world


@pytest.fixture
def make_draft() -> Callable[..., Draft]:
    return draft


@pytest.fixture
def read_lines(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the lines that are parsed to know the ledger, new ones included."""
    counted = [0]
    accept = Chain.accept

    def count(self: Chain, line: bytes) -> Any:
        counted[0] += 1
        return accept(self, line)

    monkeypatch.setattr(Chain, "accept", count)
    return counted
