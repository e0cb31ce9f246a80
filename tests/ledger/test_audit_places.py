"""Which finding comes first, and at which line: hand-overs that are not where they say, and files nobody speaks for."""

from pathlib import Path

import pytest

from ledger.audit import Audit, Manner, only
from ledger.batch import Layout, rotated
from ledger.chain import Chain
from ledger.checkpoint import Checkpoint
from ledger.faults import Fault, FaultFound, Problem
from ledger.keyring import Asked, Cause, Succession
from ledger.keys import Signer
from ledger.layout import key_path
from ledger.merkle import leaf_hash, root
from ledger.note import VerifierKey
from ledger.rotation import hand_over, rotation_path
from ledger.source import DirectorySource, FileSource
from ledger.verify import NO_TRUST, verify_file
from tests.ledger.conftest import ORIGIN, World, draft, make_world

PLAN = "workflows/issue-299/plan.md"  # the last line of the second block's first lines speaks for it
OTHER = Signer(ORIGIN, b"o" * 32)


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Signer, Signer]:
    """Eight hundred lines, the key handed over after three; the two keys. Each test puts back the tip."""
    world = make_world(tmp_path_factory.mktemp("turned"))
    world.append(0, 1, 2)
    first = world.signer
    new = world.keys.stage(Asked("ada", 1_764_000_000_003, Cause.PLANNED))
    world.append(3)
    world.sequencer().append([draft(n) for n in range(4, 300)], {f"datalake/{PLAN}": b"plan"})
    world.sequencer().append([draft(n) for n in range(300, 800)], {})
    return world, first, new


def problem(world: World, changes: dict[str, bytes | None]) -> Problem:
    tip = world.tip()
    world.commit({f"datalake/{path}": content for path, content in changes.items()})
    try:
        found = world.verify().problem
    finally:
        world.git("update-ref", "refs/heads/datalake", tip)
    assert found is not None
    return found


@pytest.mark.parametrize("size", [4, 255, 256, 257, 511, 512, 513, 767, 768, 799])
def test_a_line_that_is_not_its_hand_overs_is_named_wherever_blocks_end(
    turned: tuple[World, Signer, Signer], size: int
) -> None:
    world, first, new = turned
    leaves = list(map(leaf_hash, world.lines()))
    moved = hand_over(first, new, size, root(leaves[:size]))
    found = problem(world, {rotation_path(new.vkey.key_id): moved})
    path = rotation_path(new.vkey.key_id)
    assert (found.fault, found.entry) == (Fault.ROTATION, size + 1)
    assert found.detail.endswith(f"{path}: this line is not the one of its hand-over")
    elsewhere = hand_over(first, new, size, root(leaves[: size - 1]))
    found = problem(world, {path: elsewhere})
    assert (found.fault, found.entry) == (Fault.ROTATION, None)
    assert found.detail.endswith(f"{path}: the first {size} lines have another root")


def test_all_is_read_again_unless_less_is_asked_for(turned: tuple[World, Signer, Signer]) -> None:
    world, _, _ = turned
    remembered = world.show("datalake/checkpoint")
    found = world.verify(remembered=remembered)
    assert (found.problem, [note for note in found.notes if "not read again" in note]) == (None, [])
    found = world.verify(remembered=remembered, manner=Manner(incremental=True))
    assert found.problem is None
    assert found.notes[-1].startswith("the first 768 lines, and the files they speak for, were believed")


@pytest.mark.parametrize("tile", ["tile/0/001", "tile/entries/000", "tile/entries/002", "tile/1/000.p/3"])
def test_tiles_of_blocks_that_are_read_whole_are_named(turned: tuple[World, Signer, Signer], tile: str) -> None:
    world, _, _ = turned
    content = world.show(f"datalake/{tile}")
    for changed in (None, content[:-1], b""):
        found = problem(world, {tile: changed})
        assert (found.fault, found.entry, found.detail) == (Fault.TILE, None, f"tile mismatch: {tile}")


def test_a_line_in_the_middle_of_blocks_that_are_read_whole_is_named(turned: tuple[World, Signer, Signer]) -> None:
    world, _, _ = turned
    for at in (40, 300, 700):
        path = f"ledger/000/000/{at // 32:03d}.jsonl"
        lines = world.show(f"datalake/{path}").splitlines(keepends=True)
        lines[at % 32] = lines[at % 32].replace(b"codex", b"claud")
        found = problem(world, {path: b"".join(lines)})
        assert (found.fault, found.entry) == (Fault.HASH, at + 1)


def test_a_file_of_a_block_that_is_read_whole_is_named_with_its_line(turned: tuple[World, Signer, Signer]) -> None:
    for content, fault in ((b"nalp", Fault.FILE), (None, Fault.FILE_MISSING)):
        found = problem(turned[0], {PLAN: content})
        assert (found.fault, found.entry, found.detail) == (fault, 301, f"{fault}: {PLAN}")


def test_what_cannot_be_gone_on_from_is_read_whole_and_nothing_of_it_is_believed(
    turned: tuple[World, Signer, Signer],
) -> None:
    world, _, _ = turned
    tip, remembered = world.tip(), world.show("datalake/checkpoint")
    world.commit({"datalake/tile/1/000.p/3": bytes(96)})
    found = world.verify(remembered=remembered, manner=Manner(incremental=True))
    world.git("update-ref", "refs/heads/datalake", tip)
    assert found.problem is not None
    assert (found.problem.detail, found.entries) == ("tile mismatch: tile/1/000.p/3", len(world.lines()))
    assert found.notes == (NO_TRUST,)


def test_a_block_whose_last_segment_is_still_open_is_read_line_by_line(world: World) -> None:
    world.append(*range(256), files={})
    found = world.verify()
    assert (found.problem, found.entries) == (None, 256)


def test_a_hand_over_that_has_no_line_yet_is_named(turned: tuple[World, Signer, Signer]) -> None:
    world, _, new = turned
    lines = len(world.lines())
    path = rotation_path(OTHER.vkey.key_id)
    whole = root(list(map(leaf_hash, world.lines())))
    for size in (lines, lines + 1, lines + 300):
        found = problem(world, {path: hand_over(new, OTHER, size, whole)})
        assert (found.fault, found.entry) == (Fault.ROTATION, None)
        assert found.detail.endswith(f"{path} hands over after {size} lines of {lines}")


def test_a_key_that_a_line_speaks_for_ahead_of_its_hand_over_is_named(world: World) -> None:
    chain, key = Chain(), key_path(OTHER.vkey.key_id)
    files = dict[str, bytes]()
    for number in range(3):
        layout = Layout(chain, world.signer)
        layout.add([draft(number)], {key: f"{OTHER.vkey}\n".encode()} if number == 1 else {})
        chain, files = layout.batch().chain, {**files, **layout.batch().write}
    last = rotated(chain, world.signer, Succession(OTHER, Asked("ada", 1_764_000_000_009, Cause.PLANNED))).batch()
    world.append(0)
    world.commit({**files, **last.write})
    found = world.verify().problem
    assert found is not None
    assert (found.fault, found.entry) == (Fault.ROTATION, 2)
    assert found.detail.endswith(f"{key}: nothing hands over here")


def test_a_key_that_no_line_speaks_for_is_named(world: World) -> None:
    key = f"keys/{OTHER.vkey.key_id}.vkey"
    world.append(0)
    found = problem(world, {key: f"{OTHER.vkey}\n".encode()})
    assert (found.fault, found.entry) == (Fault.UNSPOKEN, None)
    assert found.detail.endswith(key)


@pytest.mark.parametrize(
    ("name", "shown"), [("pl\u00e4n", r"'workflows/issue-0/pl\xe4n'"), ("a\x07b", r"'workflows/issue-0/a\x07b'")]
)
def test_a_name_that_a_terminal_would_not_show_as_it_is_is_escaped(world: World, name: str, shown: str) -> None:
    world.append(0)
    datalake = world.checkout()
    (datalake / "workflows/issue-0" / name).write_bytes(b"")
    found = verify_file(datalake / "ledger.jsonl").problem
    assert found is not None
    assert (found.fault, found.entry) == (Fault.UNSPOKEN, None)
    assert found.detail == f"no line speaks for this file: {shown}"


def test_the_first_file_that_is_missing_is_named_before_those_that_differ(world: World) -> None:
    for n in range(3):
        world.append(n)
    datalake = world.checkout()
    plans = [datalake / f"workflows/issue-{n}/plan.md" for n in range(3)]
    plans[0].write_bytes(b"other")
    plans[2].unlink()
    plans[1].unlink()
    found = verify_file(datalake / "ledger.jsonl").problem
    assert found is not None
    assert (found.fault, found.entry) == (Fault.FILE_MISSING, 2)
    tile = datalake / "tile/0/000.p/3"
    content = tile.read_bytes()
    tile.unlink()
    found = verify_file(datalake / "ledger.jsonl").problem
    assert found is not None
    assert (found.fault, found.entry, found.detail) == (Fault.TILE, None, "tile mismatch: tile/0/000.p/3")
    tile.write_bytes(content[::-1])
    for n in (1, 2):
        plans[n].write_bytes(b"plan %d\n" % n)
    plans[0].write_bytes(b"plan 0\n")
    found = verify_file(datalake / "ledger.jsonl").problem
    assert found is not None
    assert (found.fault, found.detail) == (Fault.TILE, "tile mismatch: tile/0/000.p/3")


def test_partial_tiles_of_earlier_sizes_may_stay_if_they_hold_what_they_held(world: World) -> None:
    world.append(0, 1, 2)
    datalake = world.checkout()
    earlier = datalake / "tile/0/000.p/2"
    earlier.write_bytes((datalake / "tile/0/000.p/3").read_bytes()[:64])
    assert verify_file(datalake / "ledger.jsonl").problem is None
    earlier.write_bytes(bytes(64))
    found = verify_file(datalake / "ledger.jsonl").problem
    assert found is not None
    assert (found.fault, found.detail) == (Fault.TILE, "tile mismatch: tile/0/000.p/2")
    earlier.unlink()
    for name in ("tile/0/000.p/4", "tile/0/000", "tile/1/000.p/1", "tile/x"):
        odd = datalake / name
        odd.parent.mkdir(exist_ok=True, parents=True)
        odd.write_bytes(b"")
        found = verify_file(datalake / "ledger.jsonl").problem
        assert found is not None
        assert (found.fault, found.detail) == (Fault.UNSPOKEN, f"no line speaks for this file: {name}")
        odd.unlink()


def test_what_is_asked_of_one_file_says_which_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    source = FileSource({"a": tmp_path / "a"})
    assert only(source, "a", Fault.TILE) == b"content"
    with pytest.raises(FaultFound) as found:
        only(source, "b", Fault.TILE)
    assert (found.value.fault, found.value.detail, found.value.entry) == (Fault.TILE, "b is missing", None)


def audited(world: World, remembered: Checkpoint | None = None, trusted: VerifierKey | None = None) -> str:
    """The detail of what reading the lines and the head of a ledger finds, or the ledger's name."""
    running = Audit(
        DirectorySource(world.directory / "checkout/datalake/ledger.jsonl", whole=True), remembered, Manner()
    )
    try:
        running.read_lines()
        origin = running.check_head(trusted)
        running.check_remembered(origin)
    except FaultFound as found:
        return f"{found.fault}: {found.detail}"
    return origin


def test_a_head_is_of_its_lines_its_key_and_what_is_remembered(world: World) -> None:
    world.append(0, 1)
    datalake, lines = world.checkout(), world.lines()
    head = root(list(map(leaf_hash, lines)))
    assert audited(world) == ORIGIN
    assert audited(world, trusted=world.signer.vkey) == ORIGIN
    assert audited(world, trusted=OTHER.vkey).startswith("checkpoint invalid: the note is not signed by")
    assert audited(world, Checkpoint(ORIGIN, 2, head)) == ORIGIN
    assert audited(world, Checkpoint(ORIGIN, 1, leaf_hash(lines[0]))) == ORIGIN
    again = "differs from the remembered checkpoint: "
    assert audited(world, Checkpoint(ORIGIN, 1, head)) == f"{again}the first 1 lines have another root"
    assert audited(world, Checkpoint("optr/o/r", 2, head)) == f"{again}this is {ORIGIN}, remembered is optr/o/r"
    assert audited(world, Checkpoint(ORIGIN, 3, head)) == f"{again}3 lines were signed, 2 are here"
    for size, words in ((1, "lines not signed: 1 were signed"), (3, "lines missing: 3 were signed, 2 are here")):
        (datalake / "checkpoint").write_bytes(world.signer.sign_checkpoint(size, head))
        assert audited(world) == words
    (datalake / "checkpoint").write_bytes(world.signer.sign_checkpoint(2, leaf_hash(b"")))
    assert audited(world) == "root mismatch: "
    (datalake / "checkpoint").write_bytes(OTHER.sign_checkpoint(2, head))
    assert audited(world).startswith("checkpoint invalid: the note is not signed by")
