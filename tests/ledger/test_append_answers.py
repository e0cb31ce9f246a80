"""What an append answers with, and what it says when it gives up."""

import pytest

from ledger.errors import LedgerBusyError, LedgerRefusedError, Standing
from ledger.keyring import Asked, Cause
from ledger.publication import TRIES_MAX
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from tests.ledger.conftest import ORIGIN, World, draft


class Beaten(FileCheckpoints):
    """Somebody else is always faster."""

    swaps = 0

    def swap(self, origin: str, old: bytes | None, new: bytes) -> bool:
        del origin, old, new
        self.swaps += 1
        return False


def test_the_answer_says_where_the_lines_stand(world: World) -> None:
    done = world.append(0, 1)
    tip, signed = world.tip(), world.show("datalake/checkpoint").decode().split("\n")
    assert (done.origin, done.seqs, done.size, done.commit) == (ORIGIN, (0, 1), 2, tip)
    assert (done.key, signed[:2]) == (world.signer.vkey.label, [ORIGIN, "2"])
    assert done.root == world.verify().root
    again = world.append(1)
    assert (again.seqs, again.size, again.commit) == ((1,), 2, tip)
    later = world.append(2)
    assert (later.seqs, later.size, later.commit) == ((2,), 3, world.tip())


@pytest.mark.parametrize("rotating", [False, True])
def test_who_always_loses_the_race_gives_up_and_says_so(world: World, *, rotating: bool) -> None:
    world.append(0)
    if rotating:
        world.keys.stage(Asked("ada", 1_764_000_000_500, Cause.PLANNED))
    store = Beaten(world.directory / "store")
    with pytest.raises(LedgerBusyError, match=f"{ORIGIN}: lost {TRIES_MAX} races in a row; append again later"):
        world.sequencer(store).append([draft(1)], {})
    assert store.swaps == TRIES_MAX
    assert world.git("for-each-ref", "refs/optr") == "", "nothing waits that will never be published"
    assert world.append(1).size == 2 + rotating
    assert world.verify().problem is None


def test_a_branch_that_is_not_what_was_signed_is_refused_by_how_it_differs(world: World) -> None:
    world.append(0)
    early, before = world.tip(), world.show("datalake/checkpoint")
    world.append(1)
    late, after = world.tip(), world.show("datalake/checkpoint")

    def refused() -> LedgerRefusedError:
        with pytest.raises(LedgerRefusedError) as caught:
            world.append(2)
        with pytest.raises(LedgerRefusedError) as looked:
            world.sequencer().look()
        assert looked.value.standing is caught.value.standing
        return caught.value

    world.git("update-ref", "refs/heads/datalake", early)
    found = refused()
    assert found.standing is Standing.BEHIND
    assert "has 1 lines, 2 were signed" in str(found)
    world.git("update-ref", "refs/heads/datalake", late)
    world.store.swap(ORIGIN, after, before)
    found = refused()
    assert found.standing is Standing.AHEAD
    assert "has 2 lines that are not the 1 remembered as signed" in str(found)
    world.store.swap(ORIGIN, before, world.signer.sign_checkpoint(2, bytes(32)))
    assert refused().standing is Standing.DIFFERENT
    lost = Sequencer(world.git_dir, world.keys, FileCheckpoints(world.directory / "lost"))
    with pytest.raises(LedgerRefusedError, match="nothing is remembered of") as caught:
        lost.append([draft(2)], {})
    assert caught.value.standing is Standing.AHEAD
