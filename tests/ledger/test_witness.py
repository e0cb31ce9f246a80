"""A witness as a process of its own, spoken to over HTTP, and killed where it hurts."""

import os
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ledger import merkle
from ledger.checkpoint import Checkpoint, parse_checkpoint
from ledger.cosignature import Request, parse_request, read_cosignature, read_size, witness_key
from ledger.errors import KeyFileError, NoteError
from ledger.keys import Signer
from ledger.note import COSIGNATURE, parse_note, parse_vkey
from ledger.policy import cosigned
from ledger.store import FileCheckpoints
from ledger.witness import Witness
from ledger.witness_server import open_key, parse_logs

LEAVES = [merkle.leaf_hash(b"line %d" % n) for n in range(40)]
FORKED = [*LEAVES[:20], *(merkle.leaf_hash(b"other %d" % n) for n in range(20))]
ORIGIN = "optr/octocat/hello"
NAME = "witness.example/ours"


def request(signer: Signer, size: int, old: int, leaves: list[bytes] = LEAVES) -> Request:
    checkpoint = signer.sign_checkpoint(size, merkle.root(leaves[:size]))
    proof = merkle.consistency_proof(old, size, merkle.nodes_of(leaves[:size])) if old <= size else []
    return Request(old, tuple(proof), parse_note(checkpoint))


@dataclass
class Process:
    """A witness that runs, and what it was started with."""

    directory: Path
    log: Signer
    crash: str = ""
    vkey: str = ""
    url: str = ""
    process: "subprocess.Popen[str]" = field(init=False)

    def start(self) -> None:
        logs = self.directory / "logs"
        logs.write_text(f"# ours\n{self.log.vkey}\n")
        code = f"import sys\n{self.crash}\nfrom bot.cli import main\nsys.exit(main())"
        args = ["witness", "serve", str(self.directory / "witness"), "--name", NAME, "--logs", str(logs), "--port", "0"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.vkey = self.process.stdout.readline().split()[2]
        self.url = self.process.stderr.readline().split()[-1]

    def stop(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        self.process.communicate()
        return self.process.returncode

    def ask(self, body: bytes) -> tuple[int, str, bytes]:
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{self.url}/add-checkpoint", data=body)) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def begin(log: Signer | None = None, crash: str = "") -> Process:
        one = Process(tmp_path, log or Signer(ORIGIN, b"l" * 32), crash)
        one.start()
        started.append(one)
        return one

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.stop(signal.SIGKILL)


def test_it_cosigns_what_extends_and_refuses_what_does_not(make: Callable[..., Process]) -> None:
    witness = make()
    log, key = witness.log, parse_vkey(witness.vkey, COSIGNATURE)
    first = request(log, 10, 0)
    status, _, lines = witness.ask(first.encode())
    assert status == 200
    assert cosigned(first.note.encode() + lines, key) is not None
    assert witness.ask(request(log, 30, 10).encode())[0] == 200
    assert witness.ask(request(log, 30, 30).encode())[0] == 200, "the same again is cosigned again"
    for asked, wanted in (
        (request(log, 40, 10), (409, "text/x.tlog.size", b"30\n")),  # behind
        (request(log, 20, 0), (409, "text/x.tlog.size", b"30\n")),  # rolled back, and said to be new
        (request(log, 20, 20), (409, "text/x.tlog.size", b"30\n")),  # rolled back
        (request(log, 30, 30, FORKED), (409, "text/x.tlog.size", b"30\n")),  # another root of the same size
    ):
        assert witness.ask(asked.encode()) == wanted
    assert witness.ask(request(log, 40, 30, FORKED).encode())[0] == 422, "a split view"
    assert witness.ask(request(log, 20, 30).encode())[0] == 400, "a proof cannot lead back"
    assert witness.ask(request(Signer(ORIGIN, b"x" * 32), 40, 30).encode())[0] == 403
    assert witness.ask(request(Signer("optr/octocat/other", b"l" * 32), 40, 30).encode())[0] == 404
    good = request(log, 40, 30)
    assert witness.ask(b"")[0] == 400
    assert witness.ask(Request(30, good.proof[:-1], good.note).encode())[0] == 422
    assert witness.ask(b"x" * 70_000)[0] == 413
    assert witness.ask(good.encode())[0] == 200, "nothing of all this moved it"
    assert witness.stop() == 0
    again = make(log)
    assert again.vkey == witness.vkey
    assert again.ask(request(log, 20, 0).encode())[::2] == (409, b"40\n")
    assert stat.S_IMODE((again.directory / "witness" / "key").stat().st_mode) == 0o600


def test_killed_between_writing_and_answering_it_stands_by_what_it_wrote(make: Callable[..., Process]) -> None:
    crash = (
        "import os, signal, ledger.store\n"
        "swap = ledger.store.FileCheckpoints.swap\n"
        "ledger.store.FileCheckpoints.swap = lambda *a: (swap(*a), os.kill(os.getpid(), signal.SIGKILL))[0]\n"
    )
    witness = make(crash=crash)
    with pytest.raises(OSError, match=r"closed|reset|refused|disconnect"):
        witness.ask(request(witness.log, 30, 0).encode())
    witness.process.communicate()
    assert witness.process.returncode == -signal.SIGKILL
    again = make(witness.log)
    assert again.ask(request(again.log, 20, 0, FORKED).encode())[::2] == (409, b"30\n")
    assert again.ask(request(again.log, 30, 30).encode())[0] == 200, "the ledger gets the answer that was lost"


def test_of_two_at_once_only_one_passes_and_neither_rolls_back(tmp_path: Path) -> None:
    log, signer = Signer(ORIGIN, b"l" * 32), Signer(NAME, b"w" * 32)

    class Overtaken(FileCheckpoints):
        """Another process cosigns a larger tree after this one read."""

        def swap(self, origin: str, old: bytes | None, new: bytes) -> bool:
            assert super().swap(origin, old, request(log, 40, 0).note.encode())
            return super().swap(origin, old, new)

    answer = Witness(signer, [log.vkey], Overtaken(tmp_path), lambda: 1.0).add_checkpoint(request(log, 30, 0).encode())
    assert (answer.status, answer.body) == (409, "40\n")
    stored = FileCheckpoints(tmp_path).load(ORIGIN)
    assert stored is not None
    assert parse_checkpoint(stored).size == 40


def test_a_damaged_memory_cosigns_nothing(make: Callable[..., Process]) -> None:
    witness = make()
    assert witness.ask(request(witness.log, 10, 0).encode())[0] == 200
    (file,) = (witness.directory / "witness" / "checkpoints").glob("*.checkpoint")
    file.write_bytes(file.read_bytes()[:-9])
    assert witness.ask(request(witness.log, 20, 10).encode())[0] == 500


@pytest.mark.parametrize(
    "head",
    [
        b"old 01\n\n",
        b"old -1\n\n",
        b"old \xd9\xa3\n\n",
        b"new 0\n\n",
        b"old 0\n",
        b"old 0\nAAAA\n\n",
        b"old 0\n\njunk\n",
        b"old 0\n" + (b"A" * 43 + b"=\n") * 64 + b"\n",
    ],
)
def test_requests_out_of_form_are_refused(head: bytes) -> None:
    note = request(Signer(ORIGIN, b"l" * 32), 1, 0).note.encode()
    assert parse_request(b"old 0\n\n" + note).old == 0
    with pytest.raises(NoteError):
        parse_request(head + note)


def test_a_request_is_read_back_byte_for_byte() -> None:
    asked = request(Signer(ORIGIN, b"l" * 32), 30, 10)
    assert parse_request(asked.encode()) == asked
    assert asked.checkpoint == Checkpoint(ORIGIN, 30, merkle.root(LEAVES[:30]))


def test_a_hostile_answer_is_never_taken(tmp_path: Path) -> None:
    log, signer = Signer(ORIGIN, b"l" * 32), Signer(NAME, b"w" * 32)

    def lines(size: int, time: float, who: Signer = signer) -> bytes:
        store = FileCheckpoints(tmp_path / f"{size}{time}{who.vkey.key_id}")
        return (
            Witness(who, [log.vkey], store, lambda: time).add_checkpoint(request(log, size, 0).encode()).body.encode()
        )

    note, key = request(log, 30, 0).note, witness_key(signer)
    good = lines(30, 1000)
    foreign = lines(30, 1000, Signer("witness.example/else", b"e" * 32))
    assert str(read_cosignature(note, key, foreign + good, 1000.0)).encode() == good
    flipped = good[:60] + (b"A" if good[60:61] != b"A" else b"B") + good[61:]
    for bad in (b"", b"\n", b"<html>", foreign, lines(29, 1000), lines(30, 9999), flipped, good * 1000, b"\xff" + good):
        with pytest.raises(NoteError):
            read_cosignature(note, key, bad, 1000.0)
    assert read_size(b"30\n") == 30
    for odd in (b"", b"30", b"030\n", b"-1\n", b"9" * 20 + b"\n"):
        with pytest.raises(NoteError):
            read_size(odd)


def test_keys_and_ledgers_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="name the witness"):
        open_key(tmp_path / "w", None)
    made = open_key(tmp_path / "w", NAME)
    assert str(open_key(tmp_path / "w", None).vkey) == str(made.vkey)
    with pytest.raises(KeyFileError, match="not of"):
        open_key(tmp_path / "w", "witness.example/else")
    with pytest.raises(NoteError, match="line 2"):
        parse_logs(b"# keys\nnonsense\n")
    with pytest.raises(NoteError, match="no ledger key"):
        parse_logs(b"# keys\n")


def test_the_witness_needs_nothing_of_ours_but_the_ledger() -> None:
    code = (
        "import sys, ledger.witness_server\n"
        "print([name for name in sys.modules if name.split('.')[0] in {'bot', 'execution', 'governance', 'scoring'}])"
    )
    environment: dict[str, Any] = {**os.environ}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
