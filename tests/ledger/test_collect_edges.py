"""What a witness may answer, and what its answers on the branch may say: each case by its words."""

import base64
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ledger import collect
from ledger.collect import TRIES_MAX, Tree, ask, post
from ledger.cosignature import ANSWER_BYTES_MAX, cosign, parse_request, witness_key
from ledger.cosigned import check_cosigned, files, parse_witnesses, standing, verify_cosigned
from ledger.errors import NoteError, ProofError, WitnessError, WitnessSawOtherError
from ledger.faults import Fault, FaultFound
from ledger.keys import Signer
from ledger.merkle import leaf_hash, root
from ledger.note import Note, Signature, VerifierKey, parse_note
from ledger.policy import Policy, parse_policy
from ledger.rotation import Term
from ledger.source import FileSource
from ledger.store import FileCheckpoints
from ledger.tiles import TileNodes, tile_path
from ledger.witness import Witness

LOG = Signer("optr/octocat/hello", bytes(32))
A, B, C = (Signer(f"witness.example/{name}", name.encode() * 32) for name in "abc")
KEYS = {one: witness_key(one) for one in (A, B, C)}
NOW = 1_764_000_000
LEAVES = [leaf_hash(b"%d" % number) for number in range(9)]
TERMS = (Term(LOG.vkey, 0, None),)


def checkpoint(size: int, word: bytes = b"") -> bytes:
    leaves = [leaf_hash(word + b"%d" % number) for number in range(size)]
    return LOG.sign_checkpoint(size, root(leaves))


def tree(size: int, tile: bytes | None = None) -> Tree:
    content = b"".join(LEAVES[:size]) if tile is None else tile
    return Tree(parse_note(checkpoint(size)), TileNodes(size, {tile_path(0, 0, size): content}.__getitem__))


def says(witness: Signer, note: bytes, seconds: int = NOW) -> Signature:
    return cosign(witness, parse_note(note).text, seconds)


Answer = Callable[[int, bytes], tuple[int, bytes]]


def asked(answer: Answer, size: int = 5, url: str = "https://w.example/x/") -> tuple[Signature, list[tuple[str, int]]]:
    """Ask a witness that gives `answer(number of the request from 1, body)`; also where it was asked, and from what."""
    seen: list[tuple[str, int]] = []

    def send(where: str, body: bytes) -> tuple[int, bytes]:
        seen.append((where, parse_request(body).old))
        return answer(len(seen), body)

    return ask(url, KEYS[A], tree(size), send, lambda: NOW), seen


def test_a_witness_that_knows_nothing_is_asked_once(tmp_path: Path) -> None:
    witness = Witness(A, [LOG.vkey], FileCheckpoints(tmp_path), lambda: NOW)

    def answer(_: int, body: bytes) -> tuple[int, bytes]:
        found = witness.add_checkpoint(body)
        return found.status, found.body.encode()

    for url in ("https://w.example/x", "https://w.example/x/"):
        for size, requests in ((5, [0]), (5, [0, 5]), (9, [0, 5])):
            found, seen = asked(answer, size, url)
            assert found == says(A, checkpoint(size))
            assert seen == [("https://w.example/x/add-checkpoint", old) for old in requests]
        for path in tmp_path.iterdir():
            path.unlink()


def test_a_witness_that_keeps_moving_is_given_up_after_some_requests() -> None:
    seen: list[int] = []

    def answer(number: int, _: bytes) -> tuple[int, bytes]:
        seen.append(number)
        return 409, b"%d\n" % number

    with pytest.raises(WitnessError, match=r"^witness\.example/a\+[0-9a-f]{8} keeps moving; ask again later$") as found:
        asked(answer)
    assert not isinstance(found.value, WitnessSawOtherError)
    assert seen == list(range(1, TRIES_MAX + 1))


@pytest.mark.parametrize(("sizes", "told"), [([6], 6), ([5, 5], 5), ([0], 0), ([2, 2], 2)])
def test_a_witness_that_saw_more_or_another_tree_says_so(sizes: list[int], told: int) -> None:
    with pytest.raises(WitnessSawOtherError, match=f"cosigned another tree, of {told} lines; here are 5"):
        asked(lambda number, _: (409, b"%d\n" % sizes[number - 1]))


REFUSALS: list[tuple[int, bytes, type[WitnessError], str]] = [
    (422, b"", WitnessSawOtherError, r"a\+\w+ cosigned a history that this ledger does not extend"),
    (403, b"", WitnessError, r"a\+\w+ cosigned nothing: it does not trust this ledger's key"),
    (404, b"", WitnessError, r"a\+\w+ cosigned nothing: it does not serve this ledger"),
    (500, b"", WitnessError, r"a\+\w+ cosigned nothing: it answered 500"),
    (502, b"", WitnessError, r"a\+\w+ cosigned nothing: it answered 502"),
    (599, b"", WitnessError, r"a\+\w+ cosigned nothing: it answered 599"),
    (201, b"", WitnessError, r"a\+\w+ cosigned nothing: it answered 201"),
    (409, b"5", WitnessError, r"a\+\w+ at https://w\.example/x/: the witness did not say which size"),
    (200, b"x", WitnessError, r"a\+\w+ at https://w\.example/x/: the note must be"),
    (200, str(says(B, checkpoint(5))).encode(), WitnessError, r"x/: the answer holds no cosignature by .*/a"),
    (200, str(says(A, checkpoint(4))).encode(), WitnessError, r"x/: the signature by .*/a\+\w+ is wrong"),
    (200, str(says(A, checkpoint(5), NOW + 301)).encode(), WitnessError, r"x/: .* cosigned in the future"),
]


@pytest.mark.parametrize(("status", "body", "kind", "words"), REFUSALS)
def test_an_answer_that_is_no_cosignature_is_named(
    status: int, body: bytes, kind: type[WitnessError], words: str
) -> None:
    with pytest.raises(WitnessError, match=words) as found:
        asked(lambda number, _: (status, body) if number == 1 else (200, str(says(A, checkpoint(5))).encode()))
    assert type(found.value) is kind


def test_a_witness_may_be_some_minutes_ahead_and_others_may_sign_beside_it() -> None:
    late = says(A, checkpoint(5), NOW + 300)
    body = f"{says(B, checkpoint(4))}{late}".encode()
    assert asked(lambda *_: (200, body))[0] == late


def test_who_cannot_be_reached_is_named_and_damaged_tiles_are_not_the_witnesss_fault() -> None:
    def gone(*_: object) -> tuple[int, bytes]:
        raise OSError("nobody is there")

    with pytest.raises(WitnessError, match=r"a\+\w+ at https://w\.example/x/: nobody is there"):
        asked(gone)
    with pytest.raises(ProofError, match=r"tile/0/000\.p/5 has 0 bytes"):
        ask("https://w.example", KEYS[A], tree(5, b""), lambda *_: (409, b"2\n"), lambda: NOW)


@pytest.fixture
def listening() -> Iterator[tuple[str, list[tuple[str, str, bytes]], list[tuple[int, bytes]]]]:
    """A server that answers what it is given: its address, what it was sent, and what it answers."""
    seen: list[tuple[str, str, bytes]] = []
    answers: list[tuple[int, bytes]] = []

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, self.headers["Content-Type"], body))
            status, content = answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", seen, answers
        server.shutdown()
        thread.join()


def test_answers_are_read_over_http_up_to_their_limit(
    listening: tuple[str, list[tuple[str, str, bytes]], list[tuple[int, bytes]]],
) -> None:
    url, seen, answers = listening
    for status in (200, 202, 409, 503):
        for size in (0, 5, ANSWER_BYTES_MAX, ANSWER_BYTES_MAX + 1, ANSWER_BYTES_MAX + 2):
            answers.append((status, b"x" * size))
            assert post(f"{url}/add", b"old 0\n") == (status, b"x" * min(size, ANSWER_BYTES_MAX + 1))
    assert set(seen) == {("/add", "application/octet-stream", b"old 0\n")}


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///", "nonsense", "HTTP//x", ""])
def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises(OSError, match=r"^it is not an http\(s\) URL$"):
        post(url, b"")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"hello\r\n\r\n", "hello"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "IncompleteRead"),
        (b"", "Remote end closed"),
        (None, "timed out"),
    ],
)
def test_who_speaks_no_http_or_nothing_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | None, words: str
) -> None:
    if answer is None:
        monkeypatch.setattr(collect, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def work() -> None:
            line, _ = server.accept()
            with line:
                heard = b""
                while not heard.endswith(b"\r\n\r\nx"):
                    heard += line.recv(65_536)
                if answer is None:
                    line.recv(1)  # until the other side has enough
                else:
                    line.sendall(answer)

        thread = threading.Thread(target=work)
        thread.start()
        with pytest.raises(OSError, match=words):
            post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"x")
        thread.join()
    with pytest.raises(OSError, match="refused"):
        post("https://127.0.0.1:9/", b"")
    with pytest.raises(OSError, match="nonnumeric port"):
        post("http://127.0.0.1:x/", b"")


# On the branch ------------------------------------------------------------------------------------------------------


def cosigned_note(note: bytes, *who: Signer) -> bytes:
    read = parse_note(note)
    return Note(read.text, (*read.signatures, *(says(one, note) for one in who))).encode()


def named(*who: Signer) -> bytes:
    return "".join(f"{key}\n" for key in sorted((KEYS[one] for one in who), key=str)).encode()


def test_what_is_written_is_sorted_and_read_back() -> None:
    note = checkpoint(5)
    for order in ((A, B, C), (C, A, B)):
        made = files(note, {KEYS[one]: says(one, note) for one in order})
        assert made == {"cosigned": cosigned_note(note, A, B, C), "witnesses": named(A, B, C)}
    assert parse_witnesses(named(C, A)) == (KEYS[A], KEYS[C])
    words = "^the witnesses' keys must be sorted, each once, each on a line$"
    for bad in (b"", named(B) + named(A), named(A) * 2, named(A, B)[:-1]):
        with pytest.raises(NoteError, match=words):
            parse_witnesses(bad)
    with pytest.raises(NoteError):
        parse_witnesses(f"{LOG.vkey}\n".encode())
    with pytest.raises(NoteError):
        parse_witnesses(b"\xff\n")


def test_only_good_cosignatures_of_this_head_stand() -> None:
    note = checkpoint(5)
    said = cosigned_note(note, A, B)
    both = {KEYS[one]: says(one, note) for one in (A, B)}
    assert standing(said, named(A, B), note) == both
    assert standing(said, named(A), note) == {KEYS[A]: both[KEYS[A]]}
    assert standing(said, named(A, C), note) == {KEYS[A]: both[KEYS[A]]}
    assert standing(said, named(A, B), checkpoint(6)) == {}
    assert standing(b"", b"", note) == {}
    assert standing(said, b"x", note) == {}
    assert standing(b"x", named(A), note) == {}
    read = parse_note(said)
    wrong = Signature(A.origin, KEYS[A].key_id, read.signatures[2].blob)
    forged = Note(read.text, (read.signatures[0], wrong, read.signatures[2])).encode()
    assert standing(forged, named(A, B), note) == {KEYS[B]: both[KEYS[B]]}


def test_each_signature_beside_a_cosigned_head_is_somebodys_who_is_named() -> None:
    note = checkpoint(5)
    assert verify_cosigned(cosigned_note(note, A, B), named(A, B), TERMS).size == 5
    with pytest.raises(NoteError, match=r"^somebody signed whose key is not here$"):
        verify_cosigned(cosigned_note(note, A, B), named(A), TERMS)
    with pytest.raises(NoteError, match=rf"^{KEYS[C].name}\+\w+ did not cosign$"):
        verify_cosigned(cosigned_note(note, A, B), named(A, B, C), TERMS)
    unsigned = Note(parse_note(note).text, (says(A, note),)).encode()
    with pytest.raises(NoteError, match=r"the note is not signed by optr/octocat/hello"):
        verify_cosigned(unsigned, named(A), TERMS)


class Branch(FileSource):
    """A ledger's files, but for its lines."""

    def __init__(self, directory: Path, contents: Mapping[str, bytes]) -> None:
        for path, content in contents.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_bytes(content)
        super().__init__({path: directory / path for path in contents})


def branch(directory: Path, size: int, **more: bytes) -> Branch:
    tile = {tile_path(0, 0, size): b"".join(LEAVES[:size])}
    return Branch(directory, {"checkpoint": checkpoint(size), **tile, **more})


def found(source: Branch, policy: Policy | None = None) -> tuple[Fault, str] | None:
    try:
        check_cosigned(source, TERMS, policy)
    except FaultFound as fault:
        return fault.fault, fault.detail
    return None


def policy(quorum: str, *who: Signer, log: VerifierKey = LOG.vkey) -> Policy:
    lines = [f"log {log}", *(f"witness {one.origin[-1]} {KEYS[one]}" for one in who)]
    return parse_policy("".join(f"{line}\n" for line in [*lines, f"group g {quorum}", "quorum g"]).encode())


@pytest.mark.parametrize("size", range(1, 6))
def test_a_smaller_tree_that_was_cosigned_stays_true_of_a_larger_one(tmp_path: Path, size: int) -> None:
    said, keys = cosigned_note(checkpoint(size), A), named(A)
    assert found(branch(tmp_path, 5, cosigned=said, witnesses=keys)) is None
    other = cosigned_note(checkpoint(size, b"other"), A)
    wrong = found(branch(tmp_path, 5, cosigned=other, witnesses=keys))
    assert wrong == (Fault.COSIGNED, "the consistency proof does not lead to the roots")


def test_what_witnesses_said_is_there_whole_and_not_of_more_lines(tmp_path: Path) -> None:
    said, keys = cosigned_note(checkpoint(6), A), named(A)
    more = found(branch(tmp_path, 5, cosigned=said, witnesses=keys))
    assert more == (Fault.MISSING_LINES, "witnesses cosigned 6, 5 are here")
    said = cosigned_note(checkpoint(5), A)
    for lone in ({"cosigned": said}, {"witnesses": keys}):
        half = found(branch(tmp_path, 5, **lone))
        assert half is not None
        assert half[0] is Fault.COSIGNED
    tiles = {"cosigned": cosigned_note(checkpoint(3), A), "witnesses": keys, tile_path(0, 0, 5): b"short"}
    torn = found(Branch(tmp_path, {"checkpoint": checkpoint(5), **tiles}))
    assert torn is not None
    assert torn[0] is Fault.COSIGNED
    assert "has 5 bytes" in torn[1]
    lost = found(Branch(tmp_path, {"checkpoint": checkpoint(5), "cosigned": tiles["cosigned"], "witnesses": keys}))
    assert lost is not None
    assert "has 0 bytes" in lost[1]


def test_a_policy_counts_what_was_said_of_this_head_wherever_it_was_said(tmp_path: Path) -> None:
    note, both, either = checkpoint(5), policy("all a b", A, B), policy("any a b", A, B)
    nobody = (Fault.POLICY, "the quorum 'g' is not reached: cosigned by nobody")
    assert found(branch(tmp_path, 5), both) == nobody
    beside = {"cosigned": cosigned_note(note, A), "witnesses": named(A)}
    assert found(branch(tmp_path, 5, **beside), either) is None
    assert found(branch(tmp_path, 5, **beside), both) == (Fault.POLICY, f"{nobody[1][:-6]}a")
    within = {**beside, "checkpoint": cosigned_note(note, B)}
    assert found(branch(tmp_path, 5, **within), both) is None
    assert found(branch(tmp_path, 5, checkpoint=cosigned_note(note, A, B)), both) is None
    fewer = {"cosigned": cosigned_note(checkpoint(4), A, B), "witnesses": named(A, B)}
    behind = f"{nobody[1]}; of fewer lines, 4, there are cosignatures"
    assert found(branch(tmp_path, 5, **fewer), both) == (Fault.POLICY, behind)
    assert found(branch(tmp_path, 5, **fewer)) is None


def test_a_policy_of_another_log_or_over_a_wrong_cosignature_is_a_finding_of_the_head(tmp_path: Path) -> None:
    stranger = policy("any a", A, log=Signer(LOG.origin, b"s" * 32).vkey)
    beside = {"cosigned": cosigned_note(checkpoint(5), A), "witnesses": named(A)}
    head = found(branch(tmp_path, 5, **beside), stranger)
    assert head is not None
    assert (head[0], head[1][:25]) == (Fault.CHECKPOINT, "the note is not signed by")
    read = parse_note(cosigned_note(checkpoint(5), A))
    bad = base64.b64encode(bytes.fromhex(KEYS[A].key_id) + bytes(72)).decode()
    wrong = f"{read.text}\n{read.signatures[0]}\N{EM DASH} {A.origin} {bad}\n".encode()
    head = found(branch(tmp_path, 5, checkpoint=wrong), policy("any a", A))
    assert head is not None
    assert head[0] is Fault.CHECKPOINT
    assert head[1].endswith("is wrong")
