"""Keys, hand-overs and the memory of what was signed, where they are cut, repeated, left half done or put elsewhere."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.entry import TEXT_CHARS_MAX
from ledger.errors import KeyFileError, NoteError, RotationError
from ledger.keyring import Asked, Cause, KeyRing, ring_of
from ledger.keys import KEY_FILE_BYTES_MAX, Signer
from ledger.note import Note, Signature
from ledger.rotation import (
    hand_over,
    lineage,
    newest,
    parse_rotation,
    rotation_path,
    rotations,
    term_at,
    verify_head,
)
from ledger.store import FileCheckpoints
from tests.ledger.conftest import ORIGIN, World

ASKED = Asked("ada", 1_764_000_000_500, Cause.PLANNED)
OLD, MID, NEW, STRANGER = (Signer(ORIGIN, letter * 32) for letter in (b"o", b"m", b"n", b"s"))
FIRST_ROOT, SECOND_ROOT = b"1" * 32, b"2" * 32


def ring_in(directory: Path) -> KeyRing:
    Signer.generate(directory / "key", ORIGIN)
    return KeyRing.open(directory / "key")


def keys_of(*signers: Signer) -> dict[str, bytes]:
    return {f"keys/{one.vkey.key_id}.vkey": f"{one.vkey}\n".encode() for one in signers}


def hand_overs() -> dict[str, bytes]:
    """From the first key to the second after 2 lines, and to the third after 5."""
    return {
        rotation_path(MID.vkey.key_id): hand_over(OLD, MID, 2, FIRST_ROOT),
        rotation_path(NEW.vkey.key_id): hand_over(MID, NEW, 5, SECOND_ROOT),
    }


WHOLE = keys_of(OLD, MID, NEW) | hand_overs()


def test_the_terms_say_which_key_signs_which_tree_heads() -> None:
    terms = lineage(WHOLE)
    assert [one.record() for one in terms] == [
        {"key": str(OLD.vkey), "id": OLD.vkey.key_id, "first": 0, "last": 2},
        {"key": str(MID.vkey), "id": MID.vkey.key_id, "first": 3, "last": 5},
        {"key": str(NEW.vkey), "id": NEW.vkey.key_id, "first": 6, "last": None},
    ]
    assert [term_at(size, terms).key for size in (0, 2, 3, 5, 6, 99)] == [
        one.vkey for one in (OLD, OLD, MID, MID, NEW, NEW)
    ]
    assert [newest(terms, one.vkey) for one in (OLD, MID, NEW)] == [NEW.vkey] * 3
    with pytest.raises(NoteError, match="is not a key of this ledger"):
        newest(terms, STRANGER.vkey)
    (only,) = lineage(keys_of(OLD))
    assert (only.record()["first"], only.record()["last"]) == (0, None)


def test_the_hand_overs_that_can_be_read_come_in_the_order_of_their_sizes() -> None:
    spoilt = {"keys/00000000.rotation": b"nothing", **dict(reversed(hand_overs().items())), **keys_of(OLD)}
    assert [one.before.size for one in rotations(spoilt)] == [2, 5]
    assert [one.path for one in rotations(spoilt)] == list(hand_overs())


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no unbroken line"),
        (keys_of(OLD, MID), "no unbroken line"),
        (hand_overs() | keys_of(OLD, MID), "no unbroken line"),
        (WHOLE | keys_of(STRANGER), "no unbroken line"),
        ({**WHOLE, rotation_path(NEW.vkey.key_id): hand_over(OLD, NEW, 5, SECOND_ROOT)}, "out of order"),
        ({**WHOLE, rotation_path(NEW.vkey.key_id): hand_over(MID, NEW, 2, FIRST_ROOT)}, "out of order"),
        (
            {**WHOLE, rotation_path(OLD.vkey.key_id): hand_over(NEW, OLD, 7, FIRST_ROOT)},
            "leads back to a key that was retired",
        ),
        (
            {**WHOLE, rotation_path(STRANGER.vkey.key_id): hand_overs()[rotation_path(NEW.vkey.key_id)]},
            "does not hold the hand-over it is named for",
        ),
    ],
    ids=["nothing", "two keys", "a key missing", "a stranger", "from another", "same size", "back", "misnamed"],
)
def test_keys_that_do_not_follow_from_one_another_are_refused(files: dict[str, bytes], words: str) -> None:
    with pytest.raises(RotationError, match=words):
        lineage(files)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{OLD.vkey}".encode(), "does not hold the key it is named for"),
        (f"{MID.vkey}\n".encode(), "does not hold the key it is named for"),
        (b"\xff\n", "codec can't decode"),
        (b"nothing\n", "keys/"),
    ],
    ids=["not ended", "another", "bytes", "words"],
)
def test_a_key_file_is_one_line_with_the_key_it_is_named_for(content: bytes, words: str) -> None:
    with pytest.raises(NoteError, match=words) as caught:
        lineage({f"keys/{OLD.vkey.key_id}.vkey": content})
    assert OLD.vkey.key_id in str(caught.value)


def test_a_hand_over_must_be_signed_by_both_keys_in_their_order() -> None:
    data = hand_over(OLD, MID, 2, FIRST_ROOT)
    text = parse_rotation(data).text()

    def signed(*by: tuple[Signer, Signer]) -> bytes:
        """By the second of each pair, in the name of the first."""
        return Note(
            text, tuple(Signature(ORIGIN, one.vkey.key_id, other.sign(text.encode())) for one, other in by)
        ).encode()

    assert signed((OLD, OLD), (MID, MID)) == data
    for by in ([(MID, MID), (OLD, OLD)], [(OLD, OLD)], [(OLD, OLD), (MID, MID), (STRANGER, STRANGER)]):
        with pytest.raises(RotationError, match="signed by the old key and then by the new one"):
            parse_rotation(signed(*by))
    for by in ([(OLD, STRANGER), (MID, MID)], [(OLD, OLD), (MID, STRANGER)]):
        with pytest.raises(RotationError):
            parse_rotation(signed(*by))


def test_a_tree_head_is_signed_by_the_key_whose_term_it_is() -> None:
    terms = lineage(WHOLE)
    assert verify_head(MID.sign_checkpoint(3, FIRST_ROOT), terms).size == 3
    assert verify_head(MID.sign_checkpoint(3, FIRST_ROOT), terms, OLD.vkey).size == 3
    for late in (OLD, NEW):
        with pytest.raises(NoteError, match=f"signed by {late.vkey.name}.* outside its term: from 3 lines on"):
            verify_head(late.sign_checkpoint(3, FIRST_ROOT), terms)
    with pytest.raises(NoteError) as caught:
        verify_head(STRANGER.sign_checkpoint(3, FIRST_ROOT), terms)
    assert "outside its term" not in str(caught.value)
    with pytest.raises(NoteError):
        verify_head(MID.sign_checkpoint(3, FIRST_ROOT), terms, STRANGER.vkey)


def leftover(ring: KeyRing, path: Path) -> Signer:
    """As a process leaves it that was killed between putting the next key in place and dropping its second name."""
    new = ring.stage(ASKED)
    replace_file(path, new.secret_text())
    return new


def replace_file(path: Path, text: str) -> None:
    (other := path.with_name("other")).write_text(text, encoding="utf-8")
    other.chmod(0o600)
    other.replace(path)


def test_after_a_rotation_that_was_not_tidied_up_the_next_one_can_be_asked_for(tmp_path: Path) -> None:
    running, path = ring_in(tmp_path), tmp_path / "key"
    promoted = leftover(KeyRing.open(path), path)
    following = running.stage(ASKED)
    assert running.signer.vkey == promoted.vkey, "what another process put in place is known"
    waiting = running.pending()
    assert waiting is not None
    assert (waiting.signer.vkey, waiting.asked) == (following.vkey, ASKED)


def test_a_key_that_was_put_in_place_waits_no_more(tmp_path: Path) -> None:
    ring = ring_in(tmp_path)
    promoted = leftover(ring, tmp_path / "key")
    assert [one.vkey for one in ring.held()] == [promoted.vkey]
    ring.tidy()
    assert not (tmp_path / "key.next").exists()


def test_the_next_append_drops_the_second_name_of_a_key_that_was_put_in_place(world: World) -> None:
    path = world.directory / "key"
    promoted = leftover(KeyRing.open(path), path)
    assert world.append(0).key == promoted.vkey.label
    assert not (world.directory / "key.next").exists()


def test_whoever_promotes_keeps_the_key_that_retires(tmp_path: Path) -> None:
    ring, other = ring_in(tmp_path), KeyRing.open(tmp_path / "key")
    first = ring.signer
    new = ring.stage(ASKED)
    assert [one.vkey for one in ring.held()] == [first.vkey, new.vkey]
    waiting = ring.pending()
    assert waiting is not None
    ring.promote(waiting)
    assert ring.signer.vkey == new.vkey == Signer.load(tmp_path / "key").vkey
    assert {one.name for one in tmp_path.iterdir()} == {"key", f"key.{first.vkey.key_id}"}
    for known in (ring, other):
        assert known.find(first.vkey.public.hex()).vkey == first.vkey
        assert known.find(new.vkey.public.hex()).vkey == new.vkey
        assert [one.vkey for one in known.held()] == [new.vkey, first.vkey]


def test_a_key_of_another_ledger_put_in_place_of_ours_is_refused(tmp_path: Path) -> None:
    ring = ring_in(tmp_path)
    before = ring.signer
    replace_file(tmp_path / "key", Signer("optr/x/y", bytes(32)).secret_text())
    with pytest.raises(KeyFileError, match=f"replaced by the key of optr/x/y: put .*{before.vkey.key_id}.* back"):
        ring.refresh()


@pytest.mark.parametrize("actor", ["a", "x" * TEXT_CHARS_MAX])
def test_who_asked_may_be_as_long_as_a_line_can_say(tmp_path: Path, actor: str) -> None:
    ring = ring_in(tmp_path)
    ring.stage(replace(ASKED, actor=actor))
    waiting = ring.pending()
    assert waiting is not None
    assert waiting.asked.actor == actor


@pytest.mark.parametrize("actor", ["", "x" * (TEXT_CHARS_MAX + 1), "a\nb"])
def test_a_rotation_that_no_line_could_tell_of_is_refused_before_it_stops_the_ledger(
    tmp_path: Path, actor: str
) -> None:
    ring = ring_in(tmp_path)
    with pytest.raises(KeyFileError, match="who asked"):
        ring.stage(replace(ASKED, actor=actor))
    assert ring.pending() is None


def test_the_second_line_of_a_waiting_key_has_one_form_only(tmp_path: Path) -> None:
    ring = ring_in(tmp_path)
    ring.stage(ASKED)
    file = tmp_path / "key.next"
    key, _, told = file.read_text(encoding="utf-8").partition("\n")
    spaced = json.dumps(json.loads(told))
    nobody, long = (told.replace('"ada"', json.dumps(who)) for who in ("", "x" * (TEXT_CHARS_MAX + 1)))
    for line in (told.removesuffix("\n"), f"{told}\n", f"{spaced}\n", "[]\n", "{}\n", "nothing\n", nobody, long):
        file.write_text(f"{key}\n{line}", encoding="utf-8")
        with pytest.raises(KeyFileError, match="does not say who asked for this key, when and why"):
            ring.pending()


def test_a_lone_key_is_a_ring_that_is_never_rotated(tmp_path: Path) -> None:
    ring = ring_of(OLD)
    ring.refresh()
    ring.retire()
    ring.tidy()
    assert (ring.signer, ring.held(), ring.pending(), ring.find(OLD.vkey.public.hex())) == (OLD, [OLD], None, OLD)
    waiting = ring_in(tmp_path)
    waiting.stage(ASKED)
    assert ring_of(waiting) is waiting
    successor = waiting.pending()
    assert successor is not None
    with pytest.raises(KeyFileError, match="stands in no file"):
        ring.promote(successor)


def test_every_key_reads_back_whatever_letters_its_bytes_make() -> None:
    for number in range(256):
        signer = Signer(ORIGIN, bytes([number]) * 32)
        assert Signer.parse(signer.secret_text()).vkey == signer.vkey


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\xff" * KEY_FILE_BYTES_MAX, OLD.secret_text().encode() * 99])
def test_a_key_file_of_other_bytes_is_named_and_nothing_of_it_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match="key is not a ledger signing key") as caught:
        Signer.load(path)
    assert OLD.secret_text()[-20:-1] not in str(caught.value)


def test_the_memory_of_what_was_signed_is_for_its_owner_alone_and_says_whether_it_swapped(tmp_path: Path) -> None:
    store = FileCheckpoints(tmp_path / "state/store")
    one, two = (OLD.sign_checkpoint(size, bytes(32)) for size in (1, 2))
    assert (store.swap(ORIGIN, None, one), store.swap(ORIGIN, two, one), store.load(ORIGIN)) == (True, False, one)
    assert stat.S_IMODE((tmp_path / "state/store").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "state/store").iterdir()} == {0o600}
    assert store.swap(ORIGIN, one, two) is True
    assert FileCheckpoints(tmp_path / "state/store").load(ORIGIN) == two


def test_of_many_who_swap_from_the_same_memory_one_is_told_it_did(tmp_path: Path) -> None:
    notes = [OLD.sign_checkpoint(size, bytes(32)) for size in range(9)]

    def told(number: int, old: bytes | None) -> bool:
        return FileCheckpoints(tmp_path / "store").swap(ORIGIN, old, notes[number])

    with ThreadPoolExecutor(len(notes)) as pool:
        stored = None
        for _ in range(20):
            rivals = [number for number, note in enumerate(notes) if note != stored]
            won = [number for number, did in zip(rivals, pool.map(told, rivals, [stored] * 9), strict=True) if did]
            stored = FileCheckpoints(tmp_path / "store").load(ORIGIN)
            assert [notes[number] for number in won] == [stored]
