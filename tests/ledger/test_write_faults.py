"""Every write of an append fails in both ways: not persisted, and persisted but reported as failed.

Then three things may happen: the same append again, another one, or another sequencer's; after each an independent
verification judges the branch, the remote and the store. Sign writes nothing, but may fail as well (a key service).
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.branch import GitDir
from ledger.errors import LedgerError
from ledger.index import Index
from ledger.keys import Signer
from ledger.publication import Publication
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints

WAYS = ("not persisted", "persisted but reported failed")


class LostError(OSError):
    """The answer of a write did not come."""


class Remote:
    """A bare repository that is pushed to; the push itself may fail in both ways."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.path: Path = world.directory / "remote.git"
        subprocess.run(["git", "init", "-q", "--bare", str(self.path)], check=True)

    def publish(self, commit: str, _expected: str | None) -> bool:
        push = ["git", f"--git-dir={self.world.git_dir}", "push", "-q", str(self.path)]
        subprocess.run([*push, f"{commit}:refs/heads/datalake"], check=True, capture_output=True)
        return True

    def tip(self) -> str:
        listed = self.world.git("ls-remote", str(self.path), "refs/heads/datalake")
        return str(listed).split("\t", maxsplit=1)[0]


TABLE: dict[str, tuple[Any, str]] = {
    "stage": (GitDir, "stage"),
    "sign": (Signer, "sign_checkpoint"),
    "swap": (FileCheckpoints, "swap"),
    "publish": (Remote, "publish"),
    "ref move": (GitDir, "move"),
    "index": (Index, "advance"),
    "sweep": (Publication, "sweep"),
    "rolling up packs": (GitDir, "consolidate"),
}
COMMITTED = {
    ("swap", WAYS[1]),
    *((step, way) for step in ("publish", "ref move", "index", "sweep", "rolling up packs") for way in WAYS),
}


def failing(method: Callable[..., Any], way: str) -> Callable[..., Any]:
    def fail(*args: Any, **options: Any) -> Any:
        if way == WAYS[1]:
            method(*args, **options)
        raise LostError(5, "the answer was lost")

    return fail


def check(world: Any, remote: Remote, *numbers: int) -> None:
    assert [json.loads(line)["n"] for line in world.lines()] == list(numbers)
    remembered = world.store.load(world.signer.origin)
    assert world.verify(trusted=str(world.signer.vkey), remembered=remembered).problem is None
    assert remembered == world.show("datalake/checkpoint")
    assert world.tip() == remote.tip()


def files(number: int) -> dict[str, bytes]:
    return {f"datalake/workflows/issue-{number}/plan.md": b"plan %d\n" % number}


@pytest.mark.parametrize("after", ["the same sequencer", "a new sequencer"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", TABLE)
def test_a_write_that_fails(world: Any, step: str, way: str, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = Remote(world)

    def sequencer() -> Sequencer:
        made: Sequencer = world.sequencer(publish=lambda *args: remote.publish(*args))  # noqa: PLW0108 - looked up late
        return made

    sequencer().append([world.draft(0)], files(0))
    one = sequencer()
    owner, name = TABLE[step]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(getattr(owner, name), way))
        with pytest.raises((LostError, LedgerError)):
            one.append([world.draft(1)], files(1))
    again = one if after == "the same sequencer" else sequencer()
    again.append([world.draft(2)], files(2))
    committed = (step, way) in COMMITTED
    check(world, remote, *([0, 1, 2] if committed else [0, 2]))
    again.append([world.draft(1)], files(1))
    check(world, remote, *([0, 1, 2] if committed else [0, 2, 1]))
    assert again.append([world.draft(0), world.draft(1)], {}).size == 3
