"""Handing the signing key over: what a reader follows, what a crash leaves, and what a forger cannot do."""

import base64
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.branch import GitDir
from ledger.bundle import check, pack
from ledger.checkpoint import parse_checkpoint
from ledger.errors import BundleError, DraftError, KeyFileError, LedgerRefusedError, NoteError, RotationError
from ledger.extract import extract
from ledger.faults import Fault
from ledger.keyring import Asked, Cause, KeyRing
from ledger.keys import Signer
from ledger.merkle import leaf_hash, root
from ledger.note import Note, VerifierKey, parse_note, parse_vkey
from ledger.policy import parse_policy
from ledger.publication import Publication
from ledger.rotation import hand_over, lineage, newest, parse_rotation, rotation_path
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints
from ledger.terms import terms_on
from ledger.verify import Manner, Verification, verify_file
from tests.ledger.conftest import World, draft, make_world

ASKED = Asked("ada", 1_764_000_000_500, Cause.PLANNED)
STRANGER = Signer("optr/octocat/hello", b"s" * 32)


def rotate(world: World) -> Signer:
    """Stage the next key and let a fresh sequencer hand over."""
    new = KeyRing.open(world.directory / "key").stage(ASKED)
    world.sequencer().settle()
    return new


def fault(found: Verification) -> Fault | None:
    return found.problem.fault if found.problem else None


class Turned:
    """A ledger of 290 lines and two rotations: after 2 lines, and after 280."""

    def __init__(self, directory: Path) -> None:
        self.world = world = make_world(directory)
        self.first = world.signer
        world.append(0, 1)
        self.at_two = world.show("datalake/checkpoint")
        self.second = rotate(world)
        world.sequencer().append([draft(n) for n in range(2, 279)], {})
        self.at_280 = world.show("datalake/checkpoint")
        self.third = rotate(world)
        world.sequencer().append([draft(n) for n in range(279, 288)], {})
        self.whole = world.checkout()

    def copy(self, directory: Path) -> Path:
        return shutil.copytree(self.whole, directory / "datalake")

    def root_of(self, size: int) -> bytes:
        return root([leaf_hash(line) for line in self.world.lines()[:size]])

    @property
    def signers(self) -> list[Signer]:
        return [self.first, self.second, self.third]


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Turned:
    return Turned(tmp_path_factory.mktemp("turned"))


def test_whoever_has_any_key_of_the_ledger_follows_to_the_newest(turned: Turned) -> None:
    world = turned.world
    terms = terms_on(world.git_dir)
    assert [(term.key, term.first, term.last) for term in terms] == [
        (turned.first.vkey, 0, 2),
        (turned.second.vkey, 3, 280),
        (turned.third.vkey, 281, None),
    ]
    for signer in turned.signers:
        found = world.verify(trusted=str(signer.vkey))
        assert (found.problem, found.entries, found.notes) == (None, 290, ())
        assert newest(terms, signer.vkey) == turned.third.vkey
    assert fault(world.verify(trusted=str(STRANGER.vkey))) is Fault.CHECKPOINT
    types = [json.loads(line)["type"] for line in world.lines()]
    assert [at for at, name in enumerate(types) if name == "KEY_ROTATED"] == [2, 280]
    line = json.loads(world.lines()[2])
    assert (line["actor"], line["cause"], line["timestamp"]) == ("ada", "planned", ASKED.asked_ms)
    assert (line["oldKey"], line["newKey"]) == (str(turned.first.vkey), str(turned.second.vkey))


@pytest.mark.parametrize("kept", ["at_two", "at_280"])
def test_what_was_remembered_before_a_rotation_is_extended_after_it(turned: Turned, kept: str) -> None:
    remembered, trusted = getattr(turned, kept), str(turned.first.vkey)
    for manner in (Manner(), Manner(incremental=True), Manner(jobs=2)):
        assert turned.world.verify(trusted=trusted, remembered=remembered, manner=manner).problem is None


def test_a_policy_that_names_the_first_key_as_its_log_is_met_after_rotations(turned: Turned) -> None:
    def judged(vkey: VerifierKey) -> Fault | None:
        policy = parse_policy(f"log {vkey}\nquorum none\n".encode())
        return fault(turned.world.verify(manner=Manner(policy=policy)))

    assert [judged(signer.vkey) for signer in (*turned.signers, STRANGER)] == [None, None, None, Fault.CHECKPOINT]


def test_a_bundle_is_checked_with_the_first_key_offline(turned: Turned) -> None:
    packed = pack(turned.world.git_dir, extract(turned.world.git_dir, lambda entry: entry.seq in {1, 2}))
    assert [check(packed, str(one.vkey)).size for one in turned.signers] == [290, 290, 290]
    with pytest.raises(BundleError):
        check(packed, str(STRANGER.vkey))


def test_a_hand_over_reads_back_as_it_was_written(turned: Turned) -> None:
    for new in turned.signers[1:]:
        data = (turned.whole / rotation_path(new.vkey.key_id)).read_bytes()
        rotation = parse_rotation(data)
        assert rotation.text() == parse_note(data).text
        assert rotation.new == new.vkey
    assert (
        hand_over(turned.first, turned.second, 2, parse_checkpoint(turned.at_two).root)
        == (turned.whole / rotation_path(turned.second.vkey.key_id)).read_bytes()
    )


def signed_by(data: bytes, *signers: Signer) -> bytes:
    """The same text under other signatures, in the names of the keys that should have signed."""
    note = parse_note(data)
    names = [(one.name, one.key_id) for one in note.signatures]
    made = [type(note.signatures[0])(*name, one.sign(note.text.encode())) for name, one in zip(names, signers)]  # noqa: B905 - fewer is an attack, too
    return Note(note.text, tuple(made)).encode()


def forged(turned: Turned, path: Path) -> None:
    """Somebody without a key hands over to a key of their own, and signs the tree head with it."""
    head = parse_checkpoint((path / "checkpoint").read_bytes())
    data = hand_over(turned.third, STRANGER, head.size - 1, head.root)
    (path / rotation_path(STRANGER.vkey.key_id)).write_bytes(signed_by(data, STRANGER, STRANGER))
    (path / f"keys/{STRANGER.vkey.key_id}.vkey").write_text(f"{STRANGER.vkey}\n")
    (path / "checkpoint").write_bytes(STRANGER.sign_checkpoint(head.size, head.root))


def forged_by_the_old_key_alone(turned: Turned, path: Path) -> None:
    resigned(turned, path, turned.first, turned.first)


def forged_by_the_new_key_alone(turned: Turned, path: Path) -> None:
    resigned(turned, path, turned.second, turned.second)


def signed_once(turned: Turned, path: Path) -> None:
    resigned(turned, path, turned.first)


def resigned(turned: Turned, path: Path, *signers: Signer) -> None:
    file = path / rotation_path(turned.second.vkey.key_id)
    file.write_bytes(signed_by(file.read_bytes(), *signers))


def retired_key_after_its_term(turned: Turned, path: Path) -> None:
    head = parse_checkpoint((path / "checkpoint").read_bytes())
    (path / "checkpoint").write_bytes(turned.second.sign_checkpoint(head.size, head.root))


def hand_over_removed(turned: Turned, path: Path) -> None:
    (path / rotation_path(turned.second.vkey.key_id)).unlink()


def key_and_hand_over_removed(turned: Turned, path: Path) -> None:
    hand_over_removed(turned, path)
    (path / f"keys/{turned.second.vkey.key_id}.vkey").unlink()


def first_key_removed(turned: Turned, path: Path) -> None:
    (path / f"keys/{turned.first.vkey.key_id}.vkey").unlink()


def of_another_history(turned: Turned, path: Path) -> None:
    """Both keys signed it, over other lines than these."""
    file = path / rotation_path(turned.second.vkey.key_id)
    file.write_bytes(hand_over(turned.first, turned.second, 2, bytes(32)))


def moved(turned: Turned, path: Path) -> None:
    """Both keys signed it, for another place."""
    file = path / rotation_path(turned.second.vkey.key_id)
    file.write_bytes(hand_over(turned.first, turned.second, 1, turned.root_of(1)))


def out_of_order(turned: Turned, path: Path) -> None:
    """The third key takes over from the first, at the second's place."""
    file = path / rotation_path(turned.third.vkey.key_id)
    file.write_bytes(hand_over(turned.first, turned.third, 280, parse_checkpoint(turned.at_280).root))


def back_to_a_retired_key(turned: Turned, path: Path) -> None:
    head = parse_checkpoint((path / "checkpoint").read_bytes())
    data = hand_over(turned.third, turned.first, head.size - 1, head.root)
    (path / rotation_path(turned.first.vkey.key_id)).write_bytes(data)


def not_yet(turned: Turned, path: Path) -> None:
    """A hand-over that no line speaks for, signed by both."""
    head = parse_checkpoint((path / "checkpoint").read_bytes())
    (path / f"keys/{STRANGER.vkey.key_id}.vkey").write_text(f"{STRANGER.vkey}\n")
    data = hand_over(turned.third, STRANGER, head.size, head.root)
    (path / rotation_path(STRANGER.vkey.key_id)).write_bytes(data)


ATTACKS: list[tuple[Callable[[Turned, Path], None], Fault]] = [
    (forged, Fault.CHECKPOINT),
    (forged_by_the_old_key_alone, Fault.ROTATION),
    (forged_by_the_new_key_alone, Fault.ROTATION),
    (signed_once, Fault.ROTATION),
    (retired_key_after_its_term, Fault.CHECKPOINT),
    (hand_over_removed, Fault.ROTATION),
    (key_and_hand_over_removed, Fault.ROTATION),
    (first_key_removed, Fault.ROTATION),
    (of_another_history, Fault.ROTATION),
    (moved, Fault.ROTATION),
    (out_of_order, Fault.ROTATION),
    (back_to_a_retired_key, Fault.ROTATION),
    (not_yet, Fault.ROTATION),
]


@pytest.mark.parametrize(("attack", "expected"), ATTACKS, ids=[attack.__name__ for attack, _ in ATTACKS])
def test_attacks_on_a_hand_over_are_found(
    turned: Turned, attack: Callable[[Turned, Path], None], expected: Fault, tmp_path: Path
) -> None:
    copy = turned.copy(tmp_path)
    assert fault(verify_file(copy / "ledger.jsonl")) is None
    attack(turned, copy)
    assert fault(verify_file(copy / "ledger.jsonl")) is expected
    believed = attack in (of_another_history, moved)  # by whoever has both keys, under lines that are not read again
    for kept in (turned.at_two, *(() if believed else (turned.at_280,))):
        found = verify_file(copy / "ledger.jsonl", str(turned.first.vkey), kept, Manner(incremental=True))
        assert found.problem is not None


def test_the_words_on_a_retired_key_name_the_one_that_signs_now(turned: Turned, tmp_path: Path) -> None:
    copy = turned.copy(tmp_path)
    retired_key_after_its_term(turned, copy)
    problem = verify_file(copy / "ledger.jsonl").problem
    assert problem is not None
    assert f"signed by {turned.second.vkey.label} outside its term" in problem.detail
    assert f"from 281 lines on {turned.third.vkey.label} signs" in problem.detail


def test_a_stolen_retired_key_cannot_undo_its_rotation_for_who_knows_the_new_one(
    turned: Turned, tmp_path: Path
) -> None:
    """It can sign the ledger as it was in its term; readers who saw more, or pinned the new key, refuse that."""
    fork = make_world(tmp_path)
    stolen = Sequencer(fork.git_dir, turned.first, fork.store)
    stolen.append([draft(0), draft(1)], {f"datalake/workflows/issue-{n}/plan.md": b"plan %d\n" % n for n in (0, 1)})
    stolen.append([draft(n) for n in range(2, 300)], {})
    assert fork.verify(trusted=str(turned.first.vkey)).problem is None
    assert fault(fork.verify(trusted=str(turned.second.vkey))) is Fault.CHECKPOINT
    assert fault(fork.verify(trusted=str(turned.first.vkey), remembered=turned.at_280)) is Fault.REMEMBERED


@pytest.mark.parametrize("incremental", [False, True])
def test_every_flipped_byte_of_keys_and_hand_overs_is_found(
    turned: Turned, tmp_path: Path, *, incremental: bool
) -> None:
    copy = turned.copy(tmp_path)
    manner, kept = Manner(incremental=incremental), turned.at_280 if incremental else None
    for file in sorted((copy / "keys").iterdir()):
        content = file.read_bytes()
        for at in range(0, len(content), 3 if not incremental else 21):
            file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            with pytest.raises(NoteError):
                lineage({f"keys/{one.name}": one.read_bytes() for one in (copy / "keys").iterdir()})
            if at == len(content) // 42 * 21:
                assert verify_file(copy / "ledger.jsonl", None, kept, manner).problem is not None
        file.write_bytes(content)
    assert verify_file(copy / "ledger.jsonl", None, kept, manner).problem is None


STEPS: dict[str, tuple[Any, str]] = {
    "retire": (KeyRing, "retire"),
    "stage": (GitDir, "stage"),
    "sign": (Signer, "sign_checkpoint"),
    "swap": (FileCheckpoints, "swap"),
    "finish": (Publication, "finish"),
    "move": (GitDir, "move"),
    "promote": (KeyRing, "promote"),
    "tidy": (KeyRing, "tidy"),
}
POINTS = [f"{when} {step}" for step in STEPS for when in ("before", "after")]


def killed(point: str, act: Callable[[], object]) -> None:
    """Run `act` in a process of its own that is killed, by SIGKILL, at a named point."""
    when, _, step = point.partition(" ")
    owner, name = STEPS[step]
    real = getattr(owner, name)

    def dying(*args: Any, **options: Any) -> None:
        if when == "after":
            real(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        try:
            setattr(owner, name, dying)
            act()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


SIGNED = ["after swap", "before finish", "before move"]  # and not yet on the branch


@pytest.mark.parametrize(
    ("point", "staged_commit_lost"),
    [*((point, False) for point in POINTS), *((point, True) for point in SIGNED)],
)
def test_a_process_killed_while_it_rotates_is_recovered_from(
    world: Any, point: str, *, staged_commit_lost: bool
) -> None:
    world.append(0)
    first = world.signer
    new = KeyRing.open(world.directory / "key").stage(ASKED)
    killed(point, lambda: world.sequencer().append([draft(1)], {}))
    if staged_commit_lost:
        for ref in world.git("for-each-ref", "--format=%(refname)", "refs/optr").split():
            world.git("update-ref", "-d", ref)
    done = world.sequencer().append([draft(2)], {})
    assert done.key == new.vkey.label
    ids = [json.loads(line)["id"] for line in world.lines()]
    assert ids == ["run0/OPTR_SELECTED", f"KEY_ROTATED/{new.vkey.key_id}", "run2/OPTR_SELECTED"]
    stored = world.store.load(first.origin)
    assert world.verify(trusted=str(first.vkey), remembered=stored).problem is None
    assert Signer.load(world.directory / "key").vkey == new.vkey
    assert not (world.directory / "key.next").exists()
    assert Signer.load(world.directory / f"key.{first.vkey.key_id}").vkey == first.vkey
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in world.directory.glob("key*"))


def test_an_empty_ledger_is_begun_by_the_key_that_was_published(world: Any) -> None:
    first = world.signer
    new = KeyRing.open(world.directory / "key").stage(ASKED)
    assert world.append(0).key == first.vkey.label
    assert world.append(1).key == new.vkey.label
    assert world.verify(trusted=str(first.vkey)).problem is None


def test_another_process_that_appends_learns_of_the_rotation(world: Any) -> None:
    running = world.sequencer()
    running.append([draft(0)], {})
    new = rotate(world)
    assert running.append([draft(1)], {}).key == new.vkey.label
    assert world.verify().entries == 3


def test_one_rotation_waits_at_a_time_and_the_next_can_follow(world: Any) -> None:
    world.append(0)
    ring = KeyRing.open(world.directory / "key")
    ring.stage(ASKED)
    with pytest.raises(KeyFileError, match="waits already"):
        ring.stage(ASKED)
    assert world.append(1).size == 3
    rotate(world)
    assert [term.first for term in terms_on(world.git_dir)] == [0, 2, 4]


def test_retired_keys_are_found_by_their_public_half(world: Any) -> None:
    world.append(0)
    first, ring = world.signer, KeyRing.open(world.directory / "key")
    new = rotate(world)
    assert [one.vkey for one in ring.held()] == [new.vkey, first.vkey]
    assert ring.find(first.vkey.public.hex()).sign(b"x") == first.sign(b"x")
    (world.directory / f"key.{first.vkey.key_id}").unlink()
    with pytest.raises(KeyFileError, match="put the retired key"):
        ring.find(first.vkey.public.hex())


def test_a_next_key_that_cannot_be_used_stops_the_append_and_says_why(world: Any) -> None:
    world.append(0)
    KeyRing.open(world.directory / "key").stage(ASKED)
    file = world.directory / "key.next"
    content = file.read_bytes()
    line = content.partition(b"\n")[0] + b"\n"
    foreign = Signer("optr/x/y", bytes(32)).secret_text().encode() + content.partition(b"\n")[2]
    cases = [(line, "who asked"), (b"x\n", "not a ledger signing key"), (foreign, "key of optr/x/y")]
    for bad, words in [*cases, (content.replace(b"planned", b"whim"), "who asked")]:
        file.write_bytes(bad)
        with pytest.raises(KeyFileError, match=words) as caught:
            world.append(1)
        assert base64.b64encode(b"s").decode() not in str(caught.value)
    file.write_bytes(content)
    file.chmod(0o640)
    with pytest.raises(KeyFileError, match="can be read by others"):
        world.append(1)
    file.chmod(0o600)
    assert world.append(1).size == 3


def test_the_key_before_is_refused_by_the_sequencer_after_a_rotation(world: Any) -> None:
    world.append(0)
    first = world.signer
    rotate(world)
    with pytest.raises(LedgerRefusedError, match="was not signed by"):
        Sequencer(world.git_dir, first, world.store).append([draft(1)], {})


def test_nobody_else_writes_lines_of_the_hand_over_type(world: Any) -> None:
    with pytest.raises(DraftError, match="the ledger's own"):
        world.sequencer().append([draft(0, type="KEY_ROTATED")], {})


def test_a_key_in_no_file_cannot_be_rotated() -> None:
    with pytest.raises(KeyFileError, match="stands in no file"):
        KeyRing(STRANGER).stage(ASKED)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("v1", "v2"),
        lambda text: text.replace("optr/octocat/hello\n", "optr/octocat/other\n"),
        lambda text: text + "more\n",
        lambda text: text.replace("\n2\n", "\n02\n"),
    ],
    ids=["version", "origin", "line", "zero"],
)
def test_a_hand_over_out_of_form_is_refused_even_when_both_keys_signed_it(
    turned: Turned, change: Callable[[str], str]
) -> None:
    data = (turned.whole / rotation_path(turned.second.vkey.key_id)).read_bytes()
    note = Note(change(parse_note(data).text), parse_note(data).signatures)
    with pytest.raises(RotationError):
        parse_rotation(signed_by(note.encode(), turned.first, turned.second))


def test_the_vkey_files_are_what_auditors_pin(turned: Turned) -> None:
    for signer in turned.signers:
        file = turned.whole / f"keys/{signer.vkey.key_id}.vkey"
        assert parse_vkey(file.read_text().strip()) == signer.vkey
