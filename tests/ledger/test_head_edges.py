"""What the end of the ledger is read from: what was added, and nothing without the tree head."""

import json
from collections.abc import Mapping, Sequence

import pytest

from ledger import canonical, head
from ledger.branch import GitDir
from ledger.checkpoint import parse_checkpoint
from ledger.cosignature import witness_key
from ledger.errors import LedgerRefusedError, ProofError, Standing
from ledger.index import Index
from ledger.keys import Signer
from ledger.merkle import leaf_hash, root
from ledger.note import Signature, parse_note
from ledger.policy import cosigned_text
from ledger.sequencer import Sequencer
from tests.ledger.conftest import ORIGIN, World, draft

WITNESS = Signer("witness.example/ours", b"w" * 32)


def cosign(sequencer: Sequencer, world: World, seconds: int) -> None:
    checkpoint = world.show("datalake/checkpoint")
    blob = seconds.to_bytes(8, "big") + WITNESS.sign(cosigned_text(parse_note(checkpoint).text, seconds))
    key = witness_key(WITNESS)
    assert sequencer.keep_cosigned(checkpoint, {key: Signature(WITNESS.origin, key.key_id, blob)}) is True
    assert sequencer.keep_cosigned(world.signer.sign_checkpoint(99, bytes(32)), {}) is False


def test_what_is_said_of_lines_and_beside_them_makes_no_one_read_them_again(
    world: World, read_lines: list[int]
) -> None:
    world.sequencer().append([draft(n) for n in range(40)], {})
    read_lines[0] = 0
    cosign(world.sequencer(), world, 1)
    assert world.git("log", "-1", "--format=%ct", "refs/heads/datalake") == "1764000000", "dated by the newest line"
    world.commit({"README.md": b"ours"})
    world.commit({"README.md": b"theirs"})
    assert world.append(40).seqs == (40,)
    cosign(world.sequencer(), world, 2)
    assert world.append(39, 41, files={}).seqs == (39, 41)
    assert read_lines == [2]
    assert world.verify().problem is None


def test_what_others_said_and_added_in_turn_is_taken_in_without_the_lines_before(
    world: World, read_lines: list[int]
) -> None:
    world.append(*range(40), files={})
    other = world.directory / "other.git"
    world.git("clone", "-q", "--bare", str(world.git_dir), str(other))
    there = World(world.directory, other, world.keys, world.store)
    for number in (40, 41):
        there.append(number)
        cosign(there.sequencer(), there, number)
    world.git("fetch", "-q", str(other), "refs/heads/datalake:refs/heads/datalake")
    read_lines[0] = 0
    assert world.append(40, 42, files={}).seqs == (40, 42)
    assert read_lines == [3]


def test_a_branch_and_a_store_from_the_same_backup_are_known_still(world: World, read_lines: list[int]) -> None:
    world.append(*range(40), files={})
    tip, signed = world.tip(), world.show("datalake/checkpoint")
    world.append(40)
    world.git("update-ref", "refs/heads/datalake", tip)
    world.store.swap(ORIGIN, world.store.load(ORIGIN), signed)
    read_lines[0] = 0
    assert world.append(41).seqs == (40,)
    assert read_lines == [1]
    assert world.append(40).seqs == (41,), "the id that was taken in what is gone is free again"


def test_ids_are_taken_in_by_portions_of_one_size(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_FLUSH", 7)
    world.append(*range(50), files={})
    other = world.directory / "other.git"
    world.git("clone", "-q", "--bare", str(world.git_dir), str(other))
    held: list[int] = []
    add = Index.add

    def watched(self: Index, ids: Mapping[str, int]) -> None:
        held.append(len(ids))
        add(self, ids)

    monkeypatch.setattr(Index, "add", watched)
    assert World(world.directory, other, world.keys, world.store).append(49).seqs == (49,)
    assert held == [7] * 7 + [1]


@pytest.mark.parametrize("known", [0, 2, 4], ids=["fresh", "behind", "a lost index"])
def test_an_id_that_its_own_key_signed_twice_is_named_with_its_places(
    world: World, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    """Who holds the key can sign anything; whoever reads the lines refuses it."""
    world.append(0, 1)
    other = world.directory / "other.git"
    world.git("clone", "-q", "--bare", str(world.git_dir), str(other))
    there = World(world.directory, other, world.keys, world.store)
    if known:
        there.append(1)

    def none(self: Index, ids: Sequence[str], size: int) -> dict[str, int]:
        del self, ids, size
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(Index, "places", none)
        world.append(2, 1, files={})
    there.git("fetch", "-q", str(world.git_dir), "refs/heads/datalake:refs/heads/datalake")
    if known == 4:
        for file in (other / "optr").glob("*.index*"):
            file.unlink()
    with pytest.raises(LedgerRefusedError, match="does not verify at entry 4: duplicate id: entry 2 has it too") as no:
        there.append(3)
    assert no.value.standing is Standing.UNVERIFIED


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("previousHash", "0" * 64, "at entry 2: chain broken"),
        ("seq", 2, "at entry 2: sequence broken: seq is 2, its place is 1"),
        ("timestamp", 1, "at entry 2: time"),
    ],
)
def test_a_line_that_does_not_follow_is_refused_though_its_own_key_signed_it(
    world: World, member: str, value: object, words: str
) -> None:
    world.append(0)
    other = world.directory / "other.git"
    world.git("clone", "-q", "--bare", str(world.git_dir), str(other))
    there = World(world.directory, other, world.keys, world.store)
    there.append(0)
    world.append(1)
    first, second = world.lines()
    record = {**json.loads(second), member: value}
    del record["hash"]
    odd = canonical.encode({**record, "hash": canonical.digest(record)})
    hashes = [leaf_hash(first), leaf_hash(odd)]
    signed = world.signer.sign_checkpoint(2, root(hashes))
    world.commit(
        {
            "datalake/ledger.jsonl": first + b"\n" + odd + b"\n",
            "datalake/tile/0/000.p/2": b"".join(hashes),
            "datalake/checkpoint": signed,
        }
    )
    world.store.swap(ORIGIN, world.store.load(ORIGIN), signed)
    there.git("fetch", "-q", str(world.git_dir), "refs/heads/datalake:refs/heads/datalake")
    with pytest.raises(LedgerRefusedError, match=words):
        there.append(2)


@pytest.mark.parametrize(
    ("changes", "mode", "words"),
    [
        ({"datalake/tile/0/000.p/3": None}, "100644", "tile mismatch: tile/0/000.p/3 is missing"),
        ({"datalake/tile/0/000.p/3": b"?"}, "120000", "tile mismatch: tile/0/000.p/3 is missing"),
        ({"datalake/tile/0/000.p/3": bytes(96)}, "100644", "tile mismatch: the tiles do not lead to the root"),
        ({"datalake/ledger.jsonl": None}, "100644", "nothing to verify: ledger.jsonl is missing"),
        ({"datalake/ledger.jsonl": b"?"}, "120000", "segment"),
    ],
    ids=["no tile", "a link for a tile", "another tile", "no lines", "a link for lines"],
)
def test_what_is_missing_at_the_end_is_named(
    world: World, changes: Mapping[str, bytes | None], mode: str, words: str
) -> None:
    world.append(0, 1, 2, files={})
    world.commit(changes, mode)
    with pytest.raises(LedgerRefusedError, match=words) as caught:
        world.append(3)
    assert caught.value.standing is Standing.UNVERIFIED


def test_a_full_block_and_its_tile_that_fit_each_other_but_not_the_root_are_refused(world: World) -> None:
    world.append(*range(256), files={})
    signed = parse_checkpoint(world.show("datalake/checkpoint"))
    assert head._resume(GitDir(world.git_dir), world.tip(), signed).size == 256
    forged = [line.replace(b"codex", b"claud") for line in world.lines()]
    sealed = sorted(path for path in world.paths() if path.startswith("datalake/ledger/"))
    files: dict[str, bytes | None] = {
        path: b"".join(line + b"\n" for line in forged[32 * at : 32 * (at + 1)]) for at, path in enumerate(sealed)
    }
    rest = b"".join(line + b"\n" for line in forged[32 * len(sealed) :])
    files |= {"datalake/ledger.jsonl": rest, "datalake/tile/0/000": b"".join(map(leaf_hash, forged))}
    world.commit(files)
    with pytest.raises(ProofError):
        head._resume(GitDir(world.git_dir), world.tip(), signed)
