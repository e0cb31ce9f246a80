"""What a sequencer adopts, looks at, finishes and refuses, and how it says so."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from ledger.errors import DraftError, LedgerBusyError, LedgerError, LedgerRefusedError, Standing
from ledger.keys import Signer
from ledger.publication import TRIES_MAX
from ledger.request import Request
from ledger.sequencer import Appended, Sequencer
from ledger.store import FileCheckpoints
from tests.ledger.conftest import ORIGIN, World, draft


def refused(act: "object") -> LedgerRefusedError:
    assert callable(act)
    with pytest.raises(LedgerRefusedError) as caught:
        act()
    return caught.value


def test_what_is_remembered_is_replaced_only_by_what_extends_it_and_only_when_asked(world: World) -> None:
    world.append(0)
    early, first = world.show("datalake/checkpoint"), world.tip()
    world.append(1)
    late = world.show("datalake/checkpoint")
    store = FileCheckpoints(world.directory / "backup")
    store.swap(ORIGIN, None, early)
    restored = world.sequencer(store)
    found = refused(restored.adopt)
    assert (found.standing, store.load(ORIGIN)) == (Standing.DIFFERENT, early)
    assert "the store holds a checkpoint of this ledger" in str(found)
    restored.adopt(forward=True)
    assert store.load(ORIGIN) == late
    world.git("update-ref", "refs/heads/datalake", first)
    found = refused(lambda: restored.adopt(forward=True))
    assert (found.standing, store.load(ORIGIN)) == (Standing.UNVERIFIED, late), "lines that were cut off are missed"


def test_where_there_is_no_ledger_nothing_is_adopted(world: World) -> None:
    for _ in range(2):
        assert "not adopted" in str(refused(world.sequencer().adopt))
        assert world.store.load(ORIGIN) is None
        tree = world.git("hash-object", "-w", "-t", "tree", "--stdin")
        names = {f"GIT_{role}_{what}": "x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        commit = world.git("commit-tree", tree, "-m", "empty", env={"PATH": "/usr/bin:/bin", **names})
        world.git("update-ref", "refs/heads/datalake", commit)
    assert world.append(0).size == 1


def test_looking_changes_nothing_and_says_what_differs(world: World) -> None:
    world.sequencer().look()
    world.append(0)
    early, signed = world.tip(), world.show("datalake/checkpoint")
    world.sequencer().look()

    with pytest.raises(LedgerError):
        world.sequencer(publish=unreachable).append([draft(1)], {})
    world.sequencer().look()
    assert world.tip() == early, "an append that will be finished is no difference, and is not finished by looking"
    stored = world.store.load(ORIGIN) or b""
    assert stored != signed
    staged = world.git("for-each-ref", "--format=%(refname)", "refs/optr").splitlines()
    assert staged
    for ref in staged:
        world.git("update-ref", "-d", ref)
    assert refused(world.sequencer().look).standing is Standing.BEHIND
    assert refused(world.sequencer().settle).standing is Standing.BEHIND
    assert world.append(1, files={}).size == 2, "made again by the append that was interrupted"
    world.commit({"datalake/ledger.jsonl": b""})
    assert refused(world.sequencer().look).standing is Standing.UNVERIFIED


def unreachable(_: str, __: str | None) -> bool:
    raise LedgerError("the remote is gone")


def test_a_branch_that_does_not_verify_is_refused_by_the_entry(world: World) -> None:
    world.append(0, 1)
    lines = world.show("datalake/ledger.jsonl")
    world.commit({"datalake/ledger.jsonl": lines.replace(b'"n":1', b'"n":7')})
    found = str(refused(lambda: world.append(2)))
    assert "refs/heads/datalake does not verify at entry 2: " in found
    world.commit({"datalake/ledger.jsonl": lines, "datalake/tile/0/000.p/2": bytes(64)})
    found = str(refused(lambda: world.append(2)))
    assert "refs/heads/datalake does not verify: tile mismatch" in found


def test_one_call_answers_each_caller_whoever_else_asks(world: World) -> None:
    world.append(0)
    two = Request.of([draft(2)], {})
    asked = [Request.of([draft(0)], {}), Request.of([draft(1), draft(0)], {}), two, two]
    bad = Request.of([draft(3, type="KEY_ROTATED")], {})
    answers = world.sequencer().append_all([*asked, bad, Request.of([draft(4)], {})])
    places = [one.seqs if isinstance(one, Appended) else type(one) for one in answers]
    assert places == [(0,), (1, 0), (2,), (2,), DraftError, (3,)]
    assert {(one.size, one.commit) for one in answers if isinstance(one, Appended)} == {(4, world.tip())}
    assert [json.loads(line)["id"] for line in world.lines()] == [f"run{n}/OPTR_SELECTED" for n in (0, 1, 2, 4)]


class Twin(FileCheckpoints):
    """Just before the first swap somebody else makes the very same append."""

    def __init__(self, world: World) -> None:
        super().__init__(world.directory / "store")
        self.world, self.done = world, False

    def swap(self, origin: str, old: bytes | None, new: bytes) -> bool:
        if not self.done:
            self.done = True
            self.world.sequencer().append([draft(1)], {})
        return super().swap(origin, old, new)


def test_of_two_who_append_the_same_both_succeed_and_it_stands_once(world: World) -> None:
    world.append(0)
    assert world.sequencer(Twin(world)).append([draft(1)], {}).seqs == (1,)
    assert (world.verify().entries, world.verify().problem) == (2, None)
    assert world.git("for-each-ref", "refs/optr") == ""


class Moving(FileCheckpoints):
    """Remembers something else each time it is asked, as while others append without a pause."""

    def __init__(self, directory: Path, notes: Mapping[int, bytes]) -> None:
        super().__init__(directory)
        self.notes, self.asked = notes, 0

    def load(self, origin: str) -> bytes | None:
        del origin
        self.asked += 1
        return self.notes[self.asked % len(self.notes)]


def test_who_never_sees_the_branch_stand_still_gives_up_and_says_so(world: World) -> None:
    world.append(0)
    notes = {at: world.signer.sign_checkpoint(2 + at, bytes(32)) for at in range(2)}
    store = Moving(world.directory / "moving", notes)
    with pytest.raises(LedgerBusyError, match=f"{ORIGIN}: the branch keeps moving; append again later"):
        world.sequencer(store).append([draft(1)], {})
    assert store.asked == 2 * TRIES_MAX


def test_another_key_of_the_same_name_is_told_what_to_do(world: World) -> None:
    world.append(0)
    stranger = Signer(ORIGIN, b"s" * 32)
    found = refused(lambda: Sequencer(world.git_dir, stranger, world.store).append([draft(1)], {}))
    assert found.standing is Standing.DIFFERENT
    assert f"was not signed by {stranger.vkey.label}: " in str(found)
