"""What a witness answers, in the process that asks: each status with its words, and what it keeps."""

import asyncio
import logging
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from ledger.cosignature import (
    ANSWER_BYTES_MAX,
    PROOF_LINES_MAX,
    REQUEST_BYTES_MAX,
    Request,
    cosign,
    parse_request,
    read_cosignature,
    read_size,
    signed_by,
    witness_key,
)
from ledger.errors import KeyFileError, NoteError
from ledger.keys import Signer
from ledger.merkle import consistency_proof, leaf_hash, nodes_of, root
from ledger.note import Note, Signature, parse_note
from ledger.store import FileCheckpoints
from ledger.witness import Witness
from ledger.witness_server import LOGS_BYTES_MAX, described, open_key, parse_logs, serve

ORIGIN = "optr/octocat/hello"
LOG, OTHER_LOG = Signer(ORIGIN, b"l" * 32), Signer("optr/octocat/other", b"o" * 32)
SIGNER = Signer("witness.example/ours", b"w" * 32)
KEY = witness_key(SIGNER)
LEAVES = [leaf_hash(b"%d" % number) for number in range(40)]
FORKED = [*LEAVES[:5], *(leaf_hash(b"x%d" % number) for number in range(35))]
NOW = 1_764_000_000.9


def asked(old: int, size: int, leaves: list[bytes] = LEAVES, log: Signer = LOG) -> Request:
    proof = tuple(consistency_proof(min(old, size), size, nodes_of(leaves)))
    return Request(old, proof, parse_note(log.sign_checkpoint(size, root(leaves[:size]))))


@pytest.fixture
def store(tmp_path: Path) -> FileCheckpoints:
    return FileCheckpoints(tmp_path / "checkpoints")


@pytest.fixture
def witness(store: FileCheckpoints) -> Witness:
    return Witness(SIGNER, [LOG.vkey, OTHER_LOG.vkey], store, lambda: NOW)


def test_what_extends_is_cosigned_at_the_time_it_was_asked_and_kept(witness: Witness, store: FileCheckpoints) -> None:
    for old, size in ((0, 10), (10, 30), (30, 30), (30, 31)):
        request = asked(old, size)
        answer = witness.add_checkpoint(request.encode())
        wanted = str(cosign(SIGNER, request.note.text, 1_764_000_000))
        assert (answer.status, answer.body, answer.content_type) == (200, wanted, "text/plain; charset=utf-8")
        assert store.load(ORIGIN) == request.note.encode()
    assert witness.add_checkpoint(asked(0, 3, log=OTHER_LOG).encode()).status == 200, "each ledger has its own memory"
    assert store.load(ORIGIN) == asked(30, 31).note.encode()


def test_only_signatures_of_the_ledger_are_kept(witness: Witness, store: FileCheckpoints) -> None:
    request = asked(0, 10)
    text = request.note.text.encode()
    stranger = Signer(ORIGIN, b"s" * 32)
    more = [Signature(one.origin, one.vkey.key_id, one.sign(text)) for one in (stranger, SIGNER)]
    note = Note(request.note.text, (*request.note.signatures, *more))
    assert witness.add_checkpoint(Request(0, (), note).encode()).status == 200
    assert store.load(ORIGIN) == request.note.encode()
    assert signed_by(note, [LOG.vkey, stranger.vkey]).signatures == note.signatures[:2]
    assert signed_by(note, []).signatures == ()


REFUSED: list[tuple[Request, int, str]] = [
    (asked(10, 20), 409, "30\n"),
    (asked(0, 20), 409, "30\n"),
    (asked(20, 20), 409, "30\n"),
    (asked(30, 30, FORKED), 409, "30\n"),
    (asked(0, 40, FORKED), 409, "30\n"),
    (asked(30, 40, FORKED), 422, "the consistency proof does not lead to the roots\n"),
    (Request(30, (), asked(30, 40).note), 422, "the consistency proof is empty\n"),
    (asked(30, 20), 400, "old 30 is larger than the tree, 20\n"),
    (asked(30, 40, log=Signer(ORIGIN, b"x" * 32)), 403, f"the note is not signed by {LOG.vkey.label}\n"),
    (asked(30, 40, log=Signer("optr/o/r", b"l" * 32)), 404, "this witness does not know this ledger\n"),
]


@pytest.mark.parametrize(("request_", "status", "body"), REFUSED)
def test_what_does_not_extend_is_refused_by_how_it_differs(
    witness: Witness, store: FileCheckpoints, request_: Request, status: int, body: str
) -> None:
    assert witness.add_checkpoint(asked(0, 30).encode()).status == 200
    answer = witness.add_checkpoint(request_.encode())
    kind = "text/x.tlog.size" if status == 409 else "text/plain; charset=utf-8"
    assert (answer.status, answer.body, answer.content_type) == (status, body, kind)
    assert store.load(ORIGIN) == asked(0, 30).note.encode()


class Overtaken(FileCheckpoints):
    """Another process is faster, each time; `left` is what it leaves there."""

    left: bytes | None = None

    def swap(self, origin: str, old: bytes | None, new: bytes) -> bool:
        del new
        assert self.left is None or super().swap(origin, old, self.left)
        return False


@pytest.mark.parametrize(("left", "told"), [(asked(0, 20).note.encode(), "20\n"), (None, "0\n")])
def test_who_was_overtaken_says_how_far_it_is_now(tmp_path: Path, left: bytes | None, told: str) -> None:
    store = Overtaken(tmp_path)
    store.left = left
    answer = Witness(SIGNER, [LOG.vkey], store, lambda: NOW).add_checkpoint(asked(0, 10).encode())
    assert (answer.status, answer.body, answer.content_type) == (409, told, "text/x.tlog.size")


START = "the request must begin with the line 'old SIZE', proof lines and an empty line"


def test_a_request_out_of_form_is_refused_by_what_is_wrong(witness: Witness) -> None:
    note = asked(0, 9).note.encode()
    line = b"A" * 43 + b"=\n"
    cases = [
        (b"", START),
        (b"old 0\n", START),
        (b"old 01\n\n" + note, START),
        (b"old  1\n\n" + note, START),
        (b"old \xff\n\n" + note, START),
        (b"Old 1\n\n" + note, START),
        (b"old " + b"1" * 17 + b"\n\n" + note, START),
        (
            b"old 0\n" + line * (PROOF_LINES_MAX + 1) + b"\n" + note,
            "the request has 64 proof lines; at most 63 are read",
        ),
        (b"old 0\nAAAA\n\n" + note, "a proof line does not hold 32 bytes"),
        (b"old 0\n?\n\n" + note, "the proof line is not base64"),
        (b"old 0\n\nx\n1\n" + note, "a checkpoint has three lines: origin, size and root"),
    ]
    for body, words in cases:
        answer = witness.add_checkpoint(body)
        assert (answer.status, answer.body) == (400, f"{words}\n")
    longest = parse_request(b"old " + b"1" * 16 + b"\n" + line * PROOF_LINES_MAX + b"\n" + note)
    assert (longest.old, longest.proof) == (1111111111111111, (bytes(32),) * 63)


def test_an_answer_is_read_up_to_its_limit_and_named_where_it_is_wrong() -> None:
    note = asked(0, 10).note
    good = str(cosign(SIGNER, note.text, 5)).encode()
    assert read_cosignature(note, KEY, good * 2, 5) == cosign(SIGNER, note.text, 5)
    assert read_cosignature(note, KEY, str(cosign(SIGNER, note.text, 305)).encode(), 5).name == SIGNER.origin
    cases = [
        (good.ljust(ANSWER_BYTES_MAX + 1, b"x"), "the answer is longer than 65536 bytes"),
        (good.ljust(ANSWER_BYTES_MAX, b"x"), "the note must be text, an empty line and signature lines"),
        (str(note.signatures[0]).encode(), f"the answer holds no cosignature by {KEY.label}"),
        (b"x\n\n" + good, f"the answer holds no cosignature by {KEY.label}"),
        (str(cosign(SIGNER, note.text, 306)).encode(), f"{KEY.label} cosigned in the future: its clock or ours is"),
        (str(cosign(SIGNER, "x\n", 5)).encode(), f"the signature by {KEY.label} is wrong"),
    ]
    for body, words in cases:
        with pytest.raises(NoteError) as found:
            read_cosignature(note, KEY, body, 5)
        assert str(found.value).startswith(words)
    assert (read_size(b"0\n"), read_size(b"1" * 16 + b"\n")) == (0, 1111111111111111)
    for odd in (b"", b"1", b"01\n", b"1\n\n", b"1" * 17 + b"\n", b" 1\n", b"-1\n"):
        with pytest.raises(NoteError, match="the witness did not say which size it cosigned last"):
            read_size(odd)


def test_the_keys_of_the_ledgers_are_one_on_a_line() -> None:
    text = f"# ours\n\n  {LOG.vkey}  \n#{OTHER_LOG.vkey}\n{OTHER_LOG.vkey}".encode()
    assert parse_logs(text) == (LOG.vkey, OTHER_LOG.vkey)
    assert described(KEY, (LOG.vkey, OTHER_LOG.vkey)) == (
        f"witness {SIGNER.origin} {KEY}\nserving {LOG.vkey.label}\nserving {OTHER_LOG.vkey.label}\n"
    )
    long = f"{LOG.vkey}\n#".encode()
    assert parse_logs(long.ljust(LOGS_BYTES_MAX, b"x")) == (LOG.vkey,)
    with pytest.raises(NoteError, match="the file of ledger keys is longer than 1000000 bytes"):
        parse_logs(long.ljust(LOGS_BYTES_MAX + 1, b"x"))
    with pytest.raises(NoteError, match="line 3 of the ledger keys: a verification key has the form"):
        parse_logs(f"#\n{LOG.vkey}\nx\n".encode())
    with pytest.raises(NoteError, match="line 1 of the ledger keys: the verification key is not an Ed25519 key"):
        parse_logs(f"{KEY}\n".encode())
    for nothing in (b"", b"# x\n \n"):
        with pytest.raises(NoteError, match="no ledger key is given: a witness that knows no ledger cosigns nothing"):
            parse_logs(nothing)


def test_a_witness_keeps_the_key_it_made(tmp_path: Path) -> None:
    state = tmp_path / "a" / "state"
    with pytest.raises(KeyFileError, match=f"there is no {state / 'key'}: name the witness"):
        open_key(state, None)
    made = open_key(state, SIGNER.origin)
    assert (made.origin, (state / "key").stat().st_mode & 0o777, state.stat().st_mode & 0o777) == (
        SIGNER.origin,
        0o600,
        0o700,
    )
    for name in (None, SIGNER.origin):
        assert open_key(state, name).vkey == made.vkey
    with pytest.raises(KeyFileError, match=r"key is the key of witness\.example/ours, not of witness\.example/x: give"):
        open_key(state, "witness.example/x")


def test_it_speaks_http_and_nothing_else(
    witness: Witness, store: FileCheckpoints, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "optr.witness")
    urls: list[str] = []

    def ask(body: bytes | None, path: str = "/add-checkpoint") -> tuple[int, str, bytes]:
        try:
            with urllib.request.urlopen(f"{urls[0]}{path}", body, timeout=60) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read()

    def work() -> None:
        good = asked(0, 10)
        line = str(cosign(SIGNER, good.note.text, 1_764_000_000)).encode()
        assert ask(good.encode()) == (200, "text/plain; charset=utf-8", line)
        assert ask(asked(0, 20).encode()) == (409, "text/x.tlog.size", b"10\n")
        assert ask(b"x")[::2] == (400, f"{START}\n".encode())
        assert (ask(None)[0], ask(b"", "/")[0], ask(b"x" * (REQUEST_BYTES_MAX + 1))[0]) == (405, 404, 413)
        assert ask(b"x" * REQUEST_BYTES_MAX)[0] == 400
        (kept,) = (tmp_path / "checkpoints").glob("*.checkpoint")
        kept.write_bytes(b"damaged")
        memory = b"the witness cannot use its memory; its operator must look\n"
        assert ask(asked(10, 20).encode()) == (500, "text/plain; charset=utf-8", memory)

    asyncio.run(serve(witness, "127.0.0.1", 0, lambda: asyncio.to_thread(work), urls.append))
    assert urls[0].startswith("http://127.0.0.1:")
    with pytest.raises(OSError, match="refused"):
        ask(b"")
    said = [record.getMessage() for record in caplog.records if record.name == "optr.witness"]
    assert said[1] == "409 10"
    assert said[-1].startswith("nothing cosigned: ")
    assert "damaged" in said[-1]
    assert store.load("optr/o/r") is None
