"""The ledger as a state machine against a list and a dict, under crashes, races, restarts and tampering."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.branch import GitDir
from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.errors import LedgerError
from ledger.keyring import Asked, Cause, KeyRing
from ledger.merkle import consistency_proof, leaf_hash, verify_consistency
from ledger.receipt import prove, verify_receipt
from ledger.rotation import KEY_ROTATED
from ledger.store import FileCheckpoints
from ledger.tiles import TileNodes
from tests.ledger.conftest import World, draft, make_world

EXAMPLES = {"ci": 6, "nightly": 300}[os.environ.get("OPTR_HYPOTHESIS", "ci")]
ROTATIONS_MAX = 3  # in one example
STEPS = {"ci": 12, "nightly": 40}[os.environ.get("OPTR_HYPOTHESIS", "ci")]


class CrashError(Exception):
    """Stands for the end of the process."""


ROTATED = -1  # the model's name for a line that hands the key over


def number_of(line: bytes) -> int:
    """The run's number, or that the line hands the key over."""
    record = json.loads(line)
    return ROTATED if record["type"] == KEY_ROTATED else int(record["n"])


def numbers_of(world: World) -> list[int]:
    return [number_of(line) for line in world.lines()]


class LedgerMachine(RuleBasedStateMachine):
    """Model: `runs`, the runs in order, and `places`, where each stands."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.runs: list[int] = []
        self.pending: int | None = None
        self.heads: list[Checkpoint] = []
        self.next = 0
        self.rotations = 0

    @initialize()
    def start(self) -> None:
        self.world = make_world(self.directory)
        self.sequencer = self.world.sequencer()
        self.first = str(self.world.signer.vkey)

    def teardown(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def fresh(self, count: int) -> list[int]:
        numbers = list(range(self.next, self.next + count))
        self.next += count
        return numbers

    def took(self, numbers: list[int]) -> None:
        """Move the model: a crashed append is in, or is not, as the ledger says; never half."""
        if self.pending is not None:
            if self.pending in numbers_of(self.world):
                self.runs.append(self.pending)
            self.pending = None
        self.runs += [number for number in numbers if number not in self.runs]

    def append(self, numbers: list[int]) -> None:
        files = {f"datalake/workflows/issue-{n}/plan.md": b"plan %d\n" % n for n in numbers[-1:]}
        self.hands_over()
        done = self.sequencer.append([draft(n) for n in numbers], files)
        self.took(numbers)
        assert done.seqs == tuple(self.runs.index(n) for n in numbers)
        assert done.size == len(self.runs)

    @rule(count=st.sampled_from([1, 1, 2, 30, 70]))
    def appends(self, count: int) -> None:
        self.append(self.fresh(count))

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def appends_a_duplicate(self, data: Any) -> None:
        old = data.draw(st.sampled_from([number for number in self.runs if number != ROTATED]))
        self.append([old, *self.fresh(1)])

    @rule()
    def reopens(self) -> None:
        self.sequencer = self.world.sequencer()

    @rule()
    def loses_the_index(self) -> None:
        for path in (self.world.git_dir / "optr").glob("*.index*"):
            path.unlink()
        self.sequencer = self.world.sequencer()

    @precondition(lambda self: self.pending is None)
    @rule(step=st.sampled_from(["stage", "swap", "move"]), effective=st.booleans())
    def crashes(self, step: str, *, effective: bool) -> None:
        (number,) = self.fresh(1)
        waiting = (self.world.directory / "key.next").exists() and not self.runs
        self.hands_over()
        owner: Any = FileCheckpoints if step == "swap" else GitDir
        real = getattr(owner, step)

        def dying(*args: Any) -> Any:
            if effective:
                real(*args)
            raise CrashError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, step, dying)
            with pytest.raises(CrashError):
                self.sequencer.append([draft(number)], {})
        self.pending = number
        self.sequencer = self.world.sequencer()
        self.sequencer.settle()
        self.took([]) if self.world.store.load(self.world.signer.origin) else setattr(self, "pending", None)
        if waiting and self.runs:  # the first line was signed before the crash; settling went on to the hand-over
            self.runs.append(ROTATED)

    @precondition(lambda self: self.runs)
    @rule()
    def remembers_a_checkpoint(self) -> None:
        self.heads.append(parse_checkpoint(self.world.show("datalake/checkpoint")))

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def proves_a_line(self, data: Any) -> None:
        seq = data.draw(st.integers(0, len(self.runs) - 1))
        line = self.world.lines()[seq]
        assert number_of(line) == self.runs[seq]
        head = verify_receipt(prove(self.world.git_dir, seq), line, str(self.world.signer.vkey))
        assert head.size == len(self.runs)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def tampering_is_found(self, data: Any) -> None:
        """Flip a byte, delete, reorder, truncate or replay; then put the branch back."""
        tip, lines = self.world.tip(), self.world.show("datalake/ledger.jsonl").splitlines(keepends=True)
        way = data.draw(st.sampled_from(["flip", "delete", "truncate", "replay", "reorder"]))
        at = data.draw(st.integers(0, len(lines) - 1))
        spot = data.draw(st.integers(0, len(lines[at]) - 1))
        flipped = bytes([lines[at][spot] ^ 1])
        changed = {
            "flip": [*lines[:at], lines[at][:spot] + flipped + lines[at][spot + 1 :], *lines[at + 1 :]],
            "delete": [*lines[:at], *lines[at + 1 :]],
            "truncate": lines[:-1],
            "replay": [*lines, lines[at]],
            "reorder": lines[::-1],
        }[way]
        if changed == lines:
            return
        self.world.commit({"datalake/ledger.jsonl": b"".join(changed)})
        assert self.world.verify().problem is not None
        with pytest.raises(LedgerError):
            self.world.sequencer().append([draft(self.next)], {})
        self.world.git("update-ref", "refs/heads/datalake", tip)
        self.sequencer = self.world.sequencer()

    @precondition(lambda self: not (self.world.directory / "key.next").exists() and self.rotations < ROTATIONS_MAX)
    @rule()
    def rotates(self) -> None:
        KeyRing.open(self.world.directory / "key").stage(Asked("ada", 1_764_000_000_000, Cause.PLANNED))
        self.rotations += 1

    def hands_over(self) -> None:
        """Move the model: the next append to a ledger that has lines brings the hand-over with it."""
        if self.runs and (self.world.directory / "key.next").exists():
            self.runs.append(ROTATED)

    @invariant()
    def the_ledger_is_the_model(self) -> None:
        if not self.runs:
            return
        assert numbers_of(self.world) == self.runs
        found = self.world.verify(trusted=self.first, remembered=self.world.store.load(self.world.signer.origin))
        assert (found.problem, found.entries) == (None, len(self.runs))

    @invariant()
    def what_was_signed_is_extended(self) -> None:
        if not self.heads:
            return
        git = GitDir(self.world.git_dir)
        tip = git.tip() or ""
        now = parse_checkpoint(self.world.show("datalake/checkpoint"))
        nodes = TileNodes(now.size, lambda path: git.file(tip, f"datalake/{path}") or b"")
        for head in self.heads[-2:]:
            proof = consistency_proof(head.size, now.size, nodes.node)
            verify_consistency(head.size, now.size, head.root, now.root, proof)
        assert nodes.node(0, 0) == leaf_hash(self.world.lines()[0])


def test_the_ledger_behaves_as_a_list_and_a_dict() -> None:
    subprocess.run(["git", "--version"], check=True, capture_output=True)
    LedgerMachine.TestCase.settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=EXAMPLES == 6,
        suppress_health_check=list(HealthCheck),
    )
    LedgerMachine.TestCase("runTest").runTest()
