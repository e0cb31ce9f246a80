"""A sequencer that comes upon lines it did not write takes them in only when they add to what it knows."""

import json
from collections.abc import Callable

import pytest

from ledger import head
from ledger.checkpoint import parse_checkpoint
from ledger.errors import LedgerRefusedError, Standing
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from tests.ledger.conftest import ORIGIN, World, draft


def elsewhere(world: World, *numbers: int) -> None:
    """Another clone with the same key and store appends; its index is its own."""
    other = world.directory / "other.git"
    world.git("clone", "-q", "--bare", str(world.git_dir), str(other))
    sequencer = Sequencer(other, world.keys, world.store)
    sequencer.append([draft(number) for number in numbers], {})
    world.git("fetch", "-q", "--force", str(other), "refs/heads/datalake:refs/heads/datalake")


@pytest.mark.parametrize("known", [1, 31, 32, 33, 255, 256, 257])
def test_what_others_appended_is_known_afterwards(world: World, known: int) -> None:
    world.sequencer().append([draft(n) for n in range(known)], {})
    elsewhere(world, *range(known, known + 40))
    done = world.sequencer().append([draft(known + 39)], {})
    assert (done.seqs, done.size) == ((known + 39,), known + 40), "an id that another wrote is taken"
    assert world.sequencer().append([draft(known + 40)], {}).seqs == (known + 40,)
    assert world.verify().problem is None


def test_many_ids_are_taken_in_by_portions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_FLUSH", 7)
    world.sequencer().append([draft(n) for n in range(50)], {})
    lost = World(world.directory, world.directory / "other.git", world.keys, world.store)
    world.git("clone", "-q", "--bare", str(world.git_dir), str(lost.git_dir))
    assert lost.append(*range(50), files={}).seqs == tuple(range(50))
    assert lost.append(50).seqs == (50,)


def rewritten(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[World], bytes]:
    def act(world: World) -> bytes:
        lines = change(world.show("datalake/ledger.jsonl").splitlines())
        return b"".join(line + b"\n" for line in lines)

    return act


REWRITTEN: dict[str, Callable[[World], bytes]] = {
    "first line changed": rewritten(lambda lines: [lines[0].replace(b'"n":0', b'"n":9'), *lines[1:]]),
    "last line changed": rewritten(lambda lines: [*lines[:-1], lines[-1].replace(b'"n":2', b'"n":9')]),
    "a line dropped": rewritten(lambda lines: lines[1:]),
    "lines swapped": rewritten(lambda lines: [lines[1], lines[0], *lines[2:]]),
    "not ended": lambda world: world.show("datalake/ledger.jsonl")[:-1],
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("name", REWRITTEN)
@pytest.mark.parametrize("fresh", [False, True], ids=["known", "unknown"])
def test_lines_that_are_not_those_of_the_tree_head_stop_every_append(world: World, name: str, *, fresh: bool) -> None:
    world.append(0, 1)
    running = world.sequencer()
    running.append([draft(2)], {})
    world.commit({"datalake/ledger.jsonl": REWRITTEN[name](world)})
    if fresh:
        other = world.directory / "other.git"
        world.git("clone", "-q", "--bare", str(world.git_dir), str(other))
        running = Sequencer(other, world.keys, world.store)
    for _ in range(2):
        with pytest.raises(LedgerRefusedError) as caught:
            running.append([draft(3)], {})
        assert caught.value.standing is Standing.UNVERIFIED
        assert "does not verify" in str(caught.value)
    assert [
        json.loads(line)["seq"] for line in world.show("datalake/ledger.jsonl", "heads/datalake~1").splitlines()
    ] == [
        0,
        1,
        2,
    ]


def test_a_line_that_its_own_key_signed_twice_is_found_by_its_id(world: World) -> None:
    """Who holds the key can sign anything; an id that returns is refused by whoever reads the lines."""
    world.append(0)
    double = Sequencer(world.git_dir, world.keys, FileCheckpoints(world.directory / "other"))
    double.adopt()
    lines = world.show("datalake/ledger.jsonl")
    world.commit({"datalake/ledger.jsonl": lines + lines})
    with pytest.raises(LedgerRefusedError, match="does not verify"):
        double.append([draft(1)], {})
    assert parse_checkpoint(world.store.load(ORIGIN) or b"").size == 1
