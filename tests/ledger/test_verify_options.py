"""Where a ledger is read from, what else is asked of it, and what is not read again."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import canonical, crew
from ledger.errors import NoteError, PolicyError, SourceError
from ledger.faults import Fault, Kind
from ledger.keys import Signer
from ledger.layout import segment_path
from ledger.note import COSIGNATURE, Signature, VerifierKey
from ledger.policy import Policy, cosigned, cosigned_text, parse_policy
from ledger.verdict import Verification, record
from ledger.verify import NO_CHECKPOINT, Manner, verify_branch, verify_file, verify_stream
from ledger.where import verify

ROOT = Path(__file__).resolve().parents[2]
STRIDE = int(os.environ.get("OPTR_FLIPS", "1499"))  # every how many-th byte is flipped; 1: each
NOON = 1_764_072_000


def fault(found: Verification) -> Fault | None:
    return found.problem.fault if found.problem is not None else None


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, seventy: Any) -> Any:
    """A ledger of 600 lines in two appends; `early` is its checkpoint at 300."""
    world = type(seventy)(*_place(tmp_path_factory.mktemp("grown")))
    for numbers in (range(300), range(300, 600)):
        files = {f"datalake/workflows/issue-{numbers[-1]}/plan.md": b"plan"}
        world.sequencer().append([world.draft(number) for number in numbers], files)
        if numbers[0] == 0:
            world.early = world.show("datalake/checkpoint")
    return world


def _place(directory: Path) -> tuple[Any, ...]:
    from ledger.keyring import KeyRing  # noqa: PLC0415
    from ledger.store import FileCheckpoints  # noqa: PLC0415

    subprocess.run(["git", "init", "-q", "--bare", str(directory / "r.git")], check=True)
    Signer.generate(directory / "key", "optr/octocat/hello")
    return directory, directory / "r.git", KeyRing.open(directory / "key"), FileCheckpoints(directory / "store")


@pytest.fixture
def datalake(grown: Any, tmp_path: Path) -> Path:
    archive = ["git", f"--git-dir={grown.git_dir}", "archive", "refs/heads/datalake"]
    content = subprocess.run(archive, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tmp_path)], input=content, check=True)
    return tmp_path / "datalake"


# Where --------------------------------------------------------------------------------------------------------------


def at(where: str, stream: bytes = b"", manner: Manner = Manner()) -> Verification:  # noqa: B008
    return verify(where, io.BytesIO(stream), None, None, manner)


def test_the_same_ledger_is_verified_wherever_it_stands(grown: Any, datalake: Path, tmp_path: Path) -> None:
    clone, bare = tmp_path / "clone", tmp_path / "bare.git"
    subprocess.run(["git", "clone", "-q", "--no-checkout", str(grown.git_dir), str(clone)], check=True)
    url = f"file://{grown.git_dir}"
    subprocess.run(
        ["git", "clone", "-q", "--bare", "--single-branch", "--branch", "datalake", url, str(bare)], check=True
    )
    lines = b"".join(line + b"\n" for line in grown.lines())
    whole = tmp_path / "whole.jsonl"
    whole.write_bytes(lines)
    places = [str(grown.git_dir), url, str(clone), str(bare), str(datalake), str(datalake.parent), str(whole), "-"]
    found = [at(place, lines) for place in places]
    assert [one.problem for one in found] == [None] * len(places)
    assert {(one.entries, one.root) for one in found} == {(600, found[0].root)}
    assert [one.notes == (NO_CHECKPOINT,) for one in found] == [False] * 6 + [True] * 2


@pytest.mark.parametrize("where", ["https://github.com/o/r", "git@github.com:o/r.git", "ssh://h/r", "file://h/r", "no"])
def test_what_is_not_here_is_not_fetched(where: str) -> None:
    with pytest.raises(SourceError):
        at(where)


STREAMS = {
    "nothing": (lambda lines: b"", Fault.ABSENT),
    "cut in a line": (lambda lines: b"\n".join(lines)[:-1], Fault.SEGMENTS),
    "no last line feed": (b"\n".join, Fault.SEGMENTS),
    "later lines only": (lambda lines: joined(lines[32:]), Fault.UNREADABLE),
    "a line twice": (lambda lines: joined([*lines[:400], lines[399], *lines[400:]]), Fault.SEQUENCE),
    "one byte in a block": (lambda lines: joined(lines).replace(b'"n":77,', b'"n":78,'), Fault.HASH),
    "one byte in the rest": (lambda lines: joined(lines).replace(b'"n":577,', b'"n":578,'), Fault.HASH),
    "an endless line": (lambda lines: joined(lines[:9]) + b"x" * 70_000, Fault.CANONICAL),
    "a long line": (lambda lines: joined([*lines[:9], b"x" * 70_000, *lines[9:]]), Fault.CANONICAL),
}  # fmt: skip


def joined(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


@pytest.mark.parametrize("name", STREAMS)
def test_streams_that_are_wrong_are_named(grown: Any, name: str) -> None:
    change, expected = STREAMS[name]
    assert fault(at("-", change(grown.lines()))) is expected


def test_a_stream_must_extend_what_is_remembered(grown: Any) -> None:
    lines = grown.lines()
    assert verify_stream("x", io.BytesIO(joined(lines)), grown.early).problem is None
    assert fault(verify_stream("x", io.BytesIO(joined(lines[:299])), grown.early)) is Fault.REMEMBERED
    other = Signer("optr/octocat/hello", bytes(32)).sign_checkpoint(300, bytes(32))
    assert fault(verify_stream("x", io.BytesIO(joined(lines)), other)) is Fault.REMEMBERED


# Since --------------------------------------------------------------------------------------------------------------


def since(grown: Any, path: Path, checkpoint: bytes | None = None) -> Verification:
    return verify_file(path / "ledger.jsonl", None, checkpoint or grown.early, Manner(incremental=True))


def test_what_is_remembered_is_not_read_again(grown: Any, datalake: Path) -> None:
    full = verify_file(datalake / "ledger.jsonl")
    found = since(grown, datalake)
    assert (found.problem, found.entries, found.root) == (None, 600, full.root)
    assert found.notes[-1].startswith("the first 256 lines, and the files they speak for,")
    (datalake / "ledger/000/000/000.jsonl").write_bytes(b"no line at all")
    (datalake / "tile/entries/000").write_bytes(b"no entries")
    assert since(grown, datalake).problem is None
    assert fault(verify_file(datalake / "ledger.jsonl")) is Fault.SEGMENTS


def test_a_checkpoint_that_is_too_small_to_skip_anything_is_a_full_reading(grown: Any, datalake: Path) -> None:
    lines = grown.lines()
    for size in (1, 256, 257, 512, 513, 599, 600):
        root = bytes.fromhex(verify_stream("x", io.BytesIO(joined(lines[:size]))).root)
        found = since(grown, datalake, grown.signer.sign_checkpoint(size, root))
        assert (found.problem, found.entries) == (None, 600), size
        assert any("not read again" in note for note in found.notes) == (size > 256), size
        wrong = since(grown, datalake, grown.signer.sign_checkpoint(size, bytes(32)))
        assert (fault(wrong), wrong.problem and wrong.problem.kind) == (Fault.REMEMBERED, Kind.TAMPERED), size
        assert wrong.problem is not None
        assert "rewritten" in wrong.problem.implies


def test_new_lines_new_files_and_the_tiles_are_checked_in_full(grown: Any, datalake: Path) -> None:
    for name, position in (
        ("ledger/000/000/009.jsonl", 700),
        (segment_path(17), 50),
        ("ledger.jsonl", 20),
        ("tile/0/001", 5000),
        ("tile/entries/001", 5000),
        ("tile/0/002.p/88", 9),
        ("tile/1/000.p/2", 40),
        ("workflows/issue-599/plan.md", 1),
        ("checkpoint", 30),
    ):
        content = (datalake / name).read_bytes()
        (datalake / name).write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        found = since(grown, datalake)
        assert found.problem is not None, name
        assert found.problem.kind is Kind.TAMPERED, name
        (datalake / name).write_bytes(content)
    (datalake / "tile/1/000.p/2").write_bytes(bytes(64))  # leads nowhere, so everything is read, and this is named
    assert fault(since(grown, datalake)) is Fault.TILE


def test_a_ledger_shorter_than_what_is_remembered_is_a_rollback(grown: Any) -> None:
    late = grown.show("datalake/checkpoint")
    parent = grown.git("rev-parse", "refs/heads/datalake^")
    found = verify_branch(grown.git_dir, parent, remembered=late, manner=Manner(incremental=True))
    assert (fault(found), found.problem and found.problem.kind) == (Fault.REMEMBERED, Kind.TAMPERED)


# Policy -------------------------------------------------------------------------------------------------------------


class Witness:
    def __init__(self, name: str, seed: int) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.key = VerifierKey(name, self._key.public_key().public_bytes_raw(), COSIGNATURE)

    def cosign(self, checkpoint: bytes) -> bytes:
        text = checkpoint.decode().partition("\n\n")[0] + "\n"
        blob = NOON.to_bytes(8, "big") + self._key.sign(cosigned_text(text, NOON))
        return checkpoint + str(Signature(self.key.name, self.key.key_id, blob)).encode()


ONE, TWO, THREE = (Witness(f"witness.example/{number}", number) for number in (1, 2, 3))
WITNESSES = "".join(f"witness w{number} {each.key}\n" for number, each in enumerate((ONE, TWO, THREE), 1))


def policy(grown: Any, rest: str) -> Policy:
    return parse_policy(f"# ours\nlog {grown.signer.vkey}\n\n{WITNESSES}{rest}\n".encode())


def test_the_quorum_decides(grown: Any, datalake: Path) -> None:
    ledger, head = datalake / "ledger.jsonl", datalake / "checkpoint"
    groups = "group a 2 w1 w2\ngroup b any w3\ngroup c all a b\n"
    plain = head.read_bytes()
    table = [
        ("quorum none", (), True),
        ("quorum w1", (), False),
        ("quorum w1", (TWO,), False),
        ("quorum w1", (ONE,), True),
        (f"{groups}quorum a", (ONE, THREE), False),
        (f"{groups}quorum a", (ONE, TWO), True),
        (f"{groups}quorum c", (ONE, TWO), False),
        (f"{groups}\tquorum  c ", (ONE, TWO, THREE), True),
        ("group all2 2 w1 w2 w3\nquorum all2", (ONE, ONE), False),
    ]
    for text, signed, good in table:
        note = plain
        for each in signed:
            note = each.cosign(note)
        head.write_bytes(note)
        found = verify_file(ledger, manner=Manner(policy=policy(grown, text)))
        assert (fault(found), found.notes) == (None if good else Fault.POLICY, ()), text
        assert found.problem is None or found.problem.kind is Kind.INCOMPLETE


def test_a_wrong_cosignature_and_a_foreign_log_are_refused(grown: Any, datalake: Path) -> None:
    ledger, head = datalake / "ledger.jsonl", datalake / "checkpoint"
    plain = head.read_bytes()
    assert cosigned(ONE.cosign(plain), ONE.key) == NOON
    assert cosigned(ONE.cosign(plain), TWO.key) is None
    elsewhere = ONE.cosign(plain.replace(b"\n600\n", b"\n599\n"))
    head.write_bytes(plain + elsewhere[len(plain) :])
    for quorum in ("quorum w1", "quorum w2"):
        assert fault(verify_file(ledger, manner=Manner(policy=policy(grown, quorum)))) is Fault.CHECKPOINT
    foreign = Signer("optr/octocat/hello", bytes(32))
    other = parse_policy(f"log {foreign.vkey}\nquorum none\n".encode())
    head.write_bytes(plain)
    assert fault(verify_file(ledger, manner=Manner(policy=other))) is Fault.CHECKPOINT
    with pytest.raises(NoteError):
        other.check(b"torn")


def test_lines_alone_cannot_meet_a_policy(grown: Any) -> None:
    found = at("-", joined(grown.lines()), Manner(policy=parse_policy(b"quorum none\n")))
    assert fault(found) is Fault.POLICY


BAD = {
    "no quorum": b"",
    "no line feed": b"quorum none",
    "two quorums": b"quorum none\nquorum none\n",
    "unknown quorum": b"quorum w1\n",
    "carriage return": b"quorum none\r\n",
    "unknown line": b"quorums none\nquorum none\n",
    "too many words": b"quorum none none\n",
    "no key": b"log x\nquorum none\n",
    "a log's key for a witness": f"witness w {Signer('x', bytes(32)).vkey}\nquorum w\n".encode(),
    "a witness's key for a log": f"log {ONE.key}\nquorum none\n".encode(),
    "the key twice": f"witness a {ONE.key}\nwitness b {ONE.key}\nquorum a\n".encode(),
    "the name twice": f"witness a {ONE.key}\nwitness a {TWO.key}\nquorum a\n".encode(),
    "the name none": f"witness none {ONE.key}\nquorum none\n".encode(),
    "defined later": f"group g all a\nwitness a {ONE.key}\nquorum g\n".encode(),
    "none as a member": f"witness a {ONE.key}\ngroup g all none\nquorum g\n".encode(),
    "no members": f"witness a {ONE.key}\ngroup g all\nquorum a\n".encode(),
    "a member twice": f"witness a {ONE.key}\ngroup g any a a\nquorum g\n".encode(),
    "a member of two": f"witness a {ONE.key}\ngroup g any a\ngroup h any a\nquorum g\n".encode(),
    "threshold 0": f"witness a {ONE.key}\ngroup g 0 a\nquorum g\n".encode(),
    "threshold 2 of 1": f"witness a {ONE.key}\ngroup g 2 a\nquorum g\n".encode(),
    "threshold +1": f"witness a {ONE.key}\ngroup g +1 a\nquorum g\n".encode(),
    "too long": b"#" * 2_000_000 + b"\nquorum none\n",
    "too many lines": b"quorum none\n" * 1001,
}


@pytest.mark.parametrize("name", BAD)
def test_policies_out_of_form_are_refused(name: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(BAD[name])


def test_names_in_a_policy_are_bytes() -> None:
    text = b"witness \xff " + str(ONE.key).encode() + b" https://w.example\nquorum \xff\n"
    read = parse_policy(text)
    assert [*read.witnesses.values()] == [ONE.key]
    with pytest.raises(PolicyError):
        parse_policy(text.replace(b"quorum \xff", b"quorum \xfe"))


# Every byte ---------------------------------------------------------------------------------------------------------


def test_flipped_bytes_of_every_kind_of_file_are_found(grown: Any, datalake: Path) -> None:
    ledger, count, offset = datalake / "ledger.jsonl", 0, 0
    assert verify_file(ledger).problem is None
    for path in sorted(item for item in datalake.rglob("*") if item.is_file()):
        original = path.read_bytes()
        for place in {0, len(original) - 1, *range(offset % STRIDE % len(original), len(original), STRIDE)}:
            path.write_bytes(original[:place] + bytes([original[place] ^ 1 << count % 8]) + original[place + 1 :])
            found = verify_file(ledger).problem
            assert found is not None, (path, place)
            assert found.kind is Kind.TAMPERED or found.fault is Fault.VERSION, (path, place)
            count += 1
        offset += len(original)
        path.write_bytes(original)
    assert count > 2 * sum(1 for item in datalake.rglob("*") if item.is_file())
    assert verify_file(ledger).problem is None


# The command --------------------------------------------------------------------------------------------------------

ALONE = """
import runpy, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in {"ledger", "git", "gitdb", "smmap", "cryptography", "_cffi_backend",
                                                     "cffi", "typing_extensions", "_distutils_hack"}:
            return None
        raise ModuleNotFoundError(name + " is not among the ledger's dependencies", name=name)

sys.meta_path.insert(0, Blocker())
sys.argv = ["ledger", *sys.argv[1:]]
runpy.run_module("ledger", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("alone")
    shutil.copytree(ROOT / "ledger", directory / "ledger", ignore=shutil.ignore_patterns("__pycache__"))
    return directory


def run(alone: Path, *args: str, stdin: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, "verify", *args],
        cwd=alone, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(alone)},
        input=stdin, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_the_ledger_s_own_dependencies_suffice(alone: Path, grown: Any, datalake: Path, tmp_path: Path) -> None:
    kept, rules = tmp_path / "kept", tmp_path / "policy"
    kept.write_bytes(grown.early)
    rules.write_text(f"log {grown.signer.vkey}\n{WITNESSES}quorum w1\n")
    status, out, words = run(alone, str(grown.git_dir), "--since", str(kept), "--json")
    assert (status, json.loads(out)["version"], json.loads(out)["entries"]) == (0, 1, 600)
    assert "not read again" in words
    status, out, _ = run(alone, str(grown.git_dir), "--policy", str(rules))
    assert (status, "witness policy not met" in out) == (21, True)
    (datalake / "checkpoint").write_bytes(ONE.cosign((datalake / "checkpoint").read_bytes()))
    assert run(alone, str(datalake), "--policy", str(rules))[::2] == (0, "")
    status, out, _ = run(alone, "-", stdin=joined([*grown.lines()[:5], *grown.lines()[6:]]))
    assert status == 20
    assert "Ledger verification failed at entry 6: sequence broken" in out
    for args in (["--jobs", "0"], ["--jobs", "x"], ["--policy", str(kept)], ["https://x/y"], ["--since", str(rules)]):
        status, out, words = run(alone, str(grown.git_dir) if args[0].startswith("--") else "", *args)
        assert (status, out) == (2, ""), args
        assert "Traceback" not in words, args


def test_the_record_says_all_and_can_be_read_by_machines(grown: Any) -> None:
    lines = grown.lines()
    bad = canonical.encode(json.loads(lines[3]) | {"actor": "mallory"})
    found = record(verify_stream("a name", io.BytesIO(joined([*lines[:3], bad, *lines[4:]]))))
    assert json.loads(json.dumps(found)) == {
        "version": 1,
        "path": "a name",
        "entries": 3,
        "root": verify_stream("x", io.BytesIO(joined(lines[:3]))).root,
        "problem": {
            "kind": "tampered",
            "fault": "hash mismatch",
            "entry": 4,
            "detail": "hash mismatch",
            "implies": "this line was changed after it was written",
        },
        "origin": "",
        "notes": [NO_CHECKPOINT],
    }


def test_jobs_default_to_the_processors_that_may_be_used() -> None:
    assert 1 <= crew.cores() <= (os.cpu_count() or 1)


DYING = """
import hashlib, os, sys
from pathlib import Path

if __name__ != "__main__":
    os._exit(9)  # as a process that is killed before it has read what it shall do

from ledger.crew import BATCH_FILES, WORKER_BATCHES_MIN, hashed
from ledger.source import FileSource

names = [f"issue-{number}/audit.json" for number in range(2 * BATCH_FILES * WORKER_BATCHES_MIN)]
source = FileSource({name: Path(sys.argv[1]) for name in names})
found = set(hashed(source, names, jobs=2))
assert found == {hashlib.sha256(Path(sys.argv[1]).read_bytes()).digest()}, found
"""


def test_workers_that_die_at_once_change_nothing(tmp_path: Path) -> None:
    file, script = tmp_path / "file", tmp_path / "script.py"
    file.write_text("content")
    script.write_text(DYING)
    command = [sys.executable, str(script), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
