"""The known answer is the example of Go's golang.org/x/mod/sumdb/note package."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.checkpoint import Checkpoint, parse_checkpoint, parse_text, verify_checkpoint
from ledger.errors import KeyFileError, LedgerError, NoteError
from ledger.keys import Signer
from ledger.note import Note, Signature, VerifierKey, parse_note, parse_vkey, verify_note

GO_SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz\n"
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT
    + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()
NAMES = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="+"), min_size=1, max_size=30)


def signer(name: str = "optr/o/r", seed: int = 1) -> Signer:
    return Signer(name, bytes([seed]) * 32)


def test_the_known_note_of_go_verifies_and_is_reproduced() -> None:
    key = parse_vkey(GO_VKEY)
    assert verify_note(GO_NOTE, [key]).text == GO_TEXT
    ours = Signer.parse(GO_SKEY)
    assert str(ours.vkey) == GO_VKEY
    assert Note(GO_TEXT, (Signature(key.name, key.key_id, ours.sign(GO_TEXT.encode())),)).encode() == GO_NOTE


@given(NAMES, st.binary(min_size=32, max_size=32))
def test_verification_keys_round_trip(name: str, public: bytes) -> None:
    key = VerifierKey(name, public)
    assert parse_vkey(str(key)) == key


@given(NAMES, st.integers(0, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_checkpoints_round_trip(name: str, size: int, root: bytes) -> None:
    note = signer(name).sign_checkpoint(size, root)
    assert verify_checkpoint(note, [signer(name).vkey]) == Checkpoint(name, size, root)
    assert parse_note(note).encode() == note


@given(st.binary(max_size=80))
def test_no_bytes_make_the_parsers_fail_in_another_way(data: bytes) -> None:
    for parse in (parse_note, parse_checkpoint, lambda raw: parse_vkey(raw.decode("latin-1"))):
        with pytest.raises(NoteError):
            parse(data)


def test_every_flipped_byte_of_a_checkpoint_is_refused() -> None:
    note = signer().sign_checkpoint(42, b"r" * 32)
    for at in range(len(note)):
        for bit in (0x01, 0x20, 0x80):
            changed = bytes([*note[:at], note[at] ^ bit, *note[at + 1 :]])
            with pytest.raises(NoteError):
                verify_checkpoint(changed, [signer().vkey])


def test_unknown_signatures_are_ignored_and_a_wrong_known_one_is_not() -> None:
    note = signer().sign_checkpoint(1, b"r" * 32)
    text = parse_note(note).text
    stranger = Signature("witness.example", "00000001", b"w" * 64)
    both = Note(text, (stranger, *parse_note(note).signatures))
    assert verify_checkpoint(both.encode(), [signer().vkey]).size == 1
    with pytest.raises(NoteError, match="not signed by optr/o/r"):
        verify_note(Note(text, (stranger,)).encode(), [signer().vkey])
    forged = Signature("optr/o/r", signer().vkey.key_id, b"f" * 64)
    with pytest.raises(NoteError, match="is wrong"):
        verify_note(Note(text, (*parse_note(note).signatures, forged)).encode(), [signer().vkey])


def test_a_key_of_another_ledger_does_not_count_even_when_it_signed() -> None:
    other = signer("optr/other/repo")
    text = Checkpoint("optr/o/r", 1, b"r" * 32).text()
    note = Note(text, (Signature(other.origin, other.vkey.key_id, other.sign(text.encode())),)).encode()
    with pytest.raises(NoteError, match="not signed"):
        verify_checkpoint(note, [other.vkey])


@pytest.mark.parametrize(
    "text",
    [
        "o\n01\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        "o\n-1\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        "o\n1\ncnI=\n",
        "o\n1\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnJ=\n",
        "o\n1\n",
        "o\n1\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\nextension\n",
        "o o\n1\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
        "o\n٣\ncnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=\n",
    ],
)
def test_checkpoint_texts_out_of_form_are_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_text(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "x" * 201, "a\u2003b"])
def test_ledger_names_refused(name: str) -> None:
    with pytest.raises(NoteError, match="is not allowed"):
        signer(name)


def test_a_generated_key_is_private_loads_again_and_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = Signer.generate(path, "optr/o/r")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = Signer.load(path)
    assert (loaded.vkey, loaded.sign(b"x")) == (made.vkey, made.sign(b"x"))
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="exists already"):
        Signer.generate(path, "optr/o/r")
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["key"]
    nowhere = tmp_path / "nowhere/key"
    with pytest.raises(KeyFileError, match=f"cannot write the signing key {nowhere}: No such file or directory"):
        Signer.generate(nowhere, "optr/o/r")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KeyFileError, match=r"cannot write the signing key .*: File exists"):
        Signer.begin(tmp_path / "file/below/key", "optr/o/r", tmp_path)
    with pytest.raises(NoteError):
        Signer.begin(tmp_path / "new/key", "no name", tmp_path)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    Signer.generate(path, "optr/o/r")
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}.*chmod 600"):
        Signer.load(path)


def test_damaged_key_files_are_refused_without_showing_them(tmp_path: Path) -> None:
    path = tmp_path / "key"
    Signer.generate(path, "optr/o/r")
    secret = path.read_text().strip().split("+", 4)[4]
    for content in (
        "",
        "x",
        path.read_text().replace("optr/o/r", "optr/o/q"),
        path.read_text().replace("PRIV", "priv"),
    ):
        handle = os.open(tmp_path / "bad", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(handle, content.encode())
        os.close(handle)
        with pytest.raises(KeyFileError, match="bad is") as caught:
            Signer.load(tmp_path / "bad")
        assert secret not in str(caught.value)
    with pytest.raises(KeyFileError, match="cannot read"):
        Signer.load(tmp_path / "none")


def test_a_signer_does_not_show_its_secret() -> None:
    assert repr(signer()) == f"Signer({signer().vkey.label})"


def test_errors_share_one_base() -> None:
    assert issubclass(NoteError, LedgerError)
    assert issubclass(KeyFileError, LedgerError)


def test_a_derived_key_is_the_same_again_and_like_no_other() -> None:
    signer = Signer("optr/ada/parser", bytes(32))
    keys = {signer.derive(purpose).vkey.public for purpose in ("", "human:ada", "human:adb", "agent:ada")}
    assert len(keys | {signer.vkey.public, Signer("other", bytes(range(32))).derive("human:ada").vkey.public}) == 6
    assert signer.derive("human:ada").sign(b"x") == Signer("optr/ada/parser", bytes(32)).derive("human:ada").sign(b"x")
