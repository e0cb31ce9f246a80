import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ledger import canonical
from ledger.checkpoint import Checkpoint
from ledger.errors import NoteError
from ledger.faults import Fault, FaultFound, Kind
from ledger.keys import Signer
from ledger.layout import segment_path
from ledger.note import Note, Signature
from ledger.source import DirectorySource
from ledger.verify import NO_CHECKPOINT, NO_TRUST, Verification, describe, verify_branch, verify_file


@pytest.fixture
def checkout(seventy: Any, tmp_path: Path) -> Path:
    """A writable copy of the seventy-line ledger's files."""
    target = tmp_path / "checkout"
    target.mkdir()
    data = subprocess.run(
        ["git", f"--git-dir={seventy.git_dir}", "archive", "refs/heads/datalake"], capture_output=True, check=True
    ).stdout
    subprocess.run(["tar", "-x", "-C", str(target)], input=data, check=True)
    return target / "datalake"


def fault(verification: Verification) -> Fault | None:
    return verification.problem.fault if verification.problem else None


def reseal(lines: list[bytes], start: int = 0) -> list[bytes]:
    """Rewrite lines as an attacker without the key would: right seq, chain and hashes throughout."""
    previous, result = "0" if start == 0 else json.loads(lines[start - 1])["hash"], list(lines[:start])
    for seq, line in enumerate(lines[start:], start):
        record = {**json.loads(line), "seq": seq, "previousHash": previous}
        del record["hash"]
        previous = canonical.digest(record)
        result.append(canonical.encode({**record, "hash": previous}))
    return result


def write_lines(datalake: Path, lines: list[bytes]) -> None:
    shutil.rmtree(datalake / "ledger", ignore_errors=True)
    last = (len(lines) - 1) // 32
    for index in range(last + 1):
        path = datalake / (segment_path(index) if index < last else "ledger.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(line + b"\n" for line in lines[index * 32 : (index + 1) * 32]))


def test_the_five_lines_of_success(seventy: Any) -> None:
    found = verify_branch(seventy.git_dir, trusted=str(seventy.signer.vkey))
    assert describe(found) == [
        f"Verifying ledger: {seventy.git_dir} refs/heads/datalake",
        "Entries: 70",
        "All hashes valid",
        "Chain linkage intact",
        "Ledger verified",
    ]
    assert (found.origin, found.notes) == ("optr/octocat/hello", ())
    assert verify_branch(seventy.git_dir).notes == (NO_TRUST,)


def test_the_line_of_failure(world: Any) -> None:
    world.append(0, 1)
    world.commit({"datalake/ledger.jsonl": world.show("datalake/ledger.jsonl").replace(b'"n":1', b'"n":7')})
    assert describe(world.verify())[1] == "Ledger verification failed at entry 2: hash mismatch"
    assert re.fullmatch(r"This implies: .+ \(entry 2 is seq 1\)", describe(world.verify())[2])


def test_a_checkout_and_its_branch_agree(seventy: Any, checkout: Path) -> None:
    on_disk = verify_file(checkout / "ledger.jsonl", trusted=str(seventy.signer.vkey))
    on_branch = verify_branch(seventy.git_dir, trusted=str(seventy.signer.vkey))
    assert on_disk.problem is None
    assert (on_disk.entries, on_disk.root) == (on_branch.entries, on_branch.root)


@pytest.fixture
def small(world: Any) -> tuple[str, Path]:
    """Three lines and their files: the vkey, and the checked-out directory."""
    for number in range(3):
        world.append(number)
    return str(world.signer.vkey), world.checkout()


def test_every_flipped_byte_of_every_covered_file_is_found(small: tuple[str, Path]) -> None:
    vkey, datalake = small
    ledger, count = datalake / "ledger.jsonl", 0
    assert verify_file(ledger, trusted=vkey).problem is None
    for path in sorted(item for item in datalake.rglob("*") if item.is_file()):
        original = path.read_bytes()
        for at in range(len(original)):
            path.write_bytes(bytes([*original[:at], original[at] ^ 1, *original[at + 1 :]]))
            found = verify_file(ledger).problem
            assert found is not None, (path, at)
            assert found.kind is Kind.TAMPERED, (path, at)
            count += 1
        path.write_bytes(original)
    assert count > 1500
    assert verify_file(ledger, trusted=vkey).problem is None


def test_flips_on_the_branch_itself_are_found(world: Any) -> None:
    for number in range(3):
        world.append(number)
    good = world.tip()
    for path in world.paths():
        content = world.show(path)
        for at in (0, len(content) // 2, len(content) - 1):
            world.commit({path: bytes([*content[:at], content[at] ^ 1, *content[at + 1 :]])})
            found = world.verify(trusted=str(world.signer.vkey)).problem
            assert found is not None, (path, at)
            assert found.kind is Kind.TAMPERED, (path, at)
            world.git("update-ref", "refs/heads/datalake", good)


def test_every_missing_file_is_found(small: tuple[str, Path]) -> None:
    _, datalake = small
    for path in sorted(item for item in datalake.rglob("*") if item.is_file()):
        if path.name == "ledger.jsonl" or path.match("tile/0/000.p/[12]"):
            continue  # without the ledger nothing is given to verify; earlier partial tiles may go
        original = path.read_bytes()
        path.unlink()
        assert verify_file(datalake / "ledger.jsonl").problem is not None, path
        path.write_bytes(original)


@pytest.mark.parametrize(
    "name", ["workflows/issue-0/extra", "stray", "keys/00000000.vkey", "tile/0/001", "tile/0/000.p/9", "ledger/x.jsonl"]
)
def test_files_that_no_line_speaks_for_are_found(small: tuple[str, Path], name: str) -> None:
    _, datalake = small
    (datalake / name).parent.mkdir(parents=True, exist_ok=True)
    (datalake / name).write_bytes(b"x")
    assert fault(verify_file(datalake / "ledger.jsonl")) in (Fault.UNSPOKEN, Fault.KEYS, Fault.SEGMENTS)


def test_an_added_key_that_signs_a_rewritten_ledger_is_found_when_a_key_is_trusted(
    small: tuple[str, Path], tmp_path: Path
) -> None:
    vkey, datalake = small
    thief = Signer.generate(tmp_path / "thief", "optr/octocat/hello")
    name = f"keys/{thief.vkey.key_id}.vkey"
    (datalake / name).write_bytes(f"{thief.vkey}\n".encode())
    head = verify_file(datalake / "ledger.jsonl")
    assert fault(head) is Fault.UNSPOKEN
    (datalake / "checkpoint").write_bytes(thief.sign_checkpoint(3, bytes.fromhex(head.root)))
    found = verify_file(datalake / "ledger.jsonl", trusted=vkey)
    assert found.problem is not None
    assert "not signed by" in found.problem.detail


@pytest.mark.parametrize("number", [0, 1, 40, 69])
def test_any_line_changed_without_its_hash_is_found_at_its_place(checkout: Path, seventy: Any, number: int) -> None:
    lines = seventy.lines()
    lines[number] = lines[number].replace(b'"octocat"', b'"mallory"')
    write_lines(checkout, lines)
    found = verify_file(checkout / "ledger.jsonl")
    assert describe(found)[1] == f"Ledger verification failed at entry {number + 1}: hash mismatch"


def without_hash(line: bytes) -> bytes:
    record = json.loads(line)
    del record["hash"]
    return canonical.encode(record)


@pytest.mark.parametrize("number", [0, 33, 69])
def test_a_deleted_hash_is_found(checkout: Path, seventy: Any, number: int) -> None:
    lines = seventy.lines()
    lines[number] = without_hash(lines[number])
    write_lines(checkout, lines)
    found = verify_file(checkout / "ledger.jsonl")
    assert describe(found)[1] == (
        f"Ledger verification failed at entry {number + 1}: not a ledger line: field hash is missing"
    )


Attack = Callable[[list[bytes]], list[bytes]]


def swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:10], lines[11], lines[10], *lines[12:]]


def edited(lines: list[bytes]) -> list[bytes]:
    return [*lines[:30], lines[30].replace(b'"codex"', b'"claude"'), *lines[31:]]


def later(lines: list[bytes]) -> list[bytes]:
    record = json.loads(lines[5]) | {"timestamp": 1_764_999_999_999}
    return [*lines[:5], canonical.encode(record), *lines[6:]]


def added(lines: list[bytes]) -> list[bytes]:
    return [*lines, canonical.encode(json.loads(lines[-1]) | {"id": "extra/X"})]


ATTACKS: dict[str, tuple[Attack, Fault]] = {
    "cut to 50": (lambda lines: lines[:50], Fault.MISSING_LINES),
    "cut the last": (lambda lines: lines[:-1], Fault.MISSING_LINES),
    "cut the first": (lambda lines: lines[1:], Fault.SEQUENCE),
    "cut the first segment": (lambda lines: lines[32:], Fault.SEQUENCE),
    "cut out": (lambda lines: [*lines[:20], *lines[21:]], Fault.SEQUENCE),
    "cut out and resealed": (lambda lines: reseal([*lines[:20], *lines[21:]], 20), Fault.MISSING_LINES),
    "swapped": (swapped, Fault.SEQUENCE),
    "swapped and resealed": (lambda lines: reseal(swapped(lines), 10), Fault.TIME),
    "edited and resealed": (lambda lines: reseal(edited(lines), 30), Fault.ROOT),
    "edited, that line resealed": (lambda lines: [*reseal(edited(lines)[:31], 30), *lines[31:]], Fault.CHAIN),
    "dated later": (lambda lines: reseal(later(lines), 5), Fault.TIME),
    "repeated": (lambda lines: [*lines, lines[-1]], Fault.SEQUENCE),
    "repeated and resealed": (lambda lines: reseal([*lines, lines[-1]], 70), Fault.DUPLICATE),
    "added": (lambda lines: reseal(added(lines), 70), Fault.SURPLUS_LINES),
    "respaced": (lambda lines: [line.replace(b'":', b'": ', 1) for line in lines], Fault.CANONICAL),
    "carriage returns": (lambda lines: [line + b"\r" for line in lines], Fault.CANONICAL),
    "newer version": (lambda lines: [lines[0].replace(b'"v":1', b'"v":2'), *lines[1:]], Fault.VERSION),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_without_the_key_are_found(checkout: Path, seventy: Any, name: str) -> None:
    attack, expected = ATTACKS[name]
    write_lines(checkout, attack(seventy.lines()))
    assert fault(verify_file(checkout / "ledger.jsonl")) is expected


def resign(datalake: Path, signer: Signer, size: int, root: bytes) -> None:
    (datalake / "checkpoint").write_bytes(signer.sign_checkpoint(size, root))


def test_a_history_rewritten_with_the_key_is_found_by_a_remembered_checkpoint(
    small: tuple[str, Path], world: Any
) -> None:
    _, datalake = small
    remembered = (datalake / "checkpoint").read_bytes()
    lines = (datalake / "ledger.jsonl").read_bytes().splitlines()
    lines = reseal([lines[0], lines[1].replace(b'"codex"', b'"claude"'), lines[2]], 1)
    write_lines(datalake, lines)
    rewritten = verify_file(datalake / "ledger.jsonl")
    assert fault(rewritten) is Fault.ROOT
    resign(datalake, world.signer, 3, bytes.fromhex(rewritten.root))
    assert fault(verify_file(datalake / "ledger.jsonl", remembered=remembered)) is Fault.REMEMBERED


def test_a_rollback_to_a_genuine_older_state_is_found_by_a_remembered_checkpoint(world: Any) -> None:
    world.append(0)
    old = world.tip()
    world.append(1)
    remembered = world.show("datalake/checkpoint")
    world.git("update-ref", "refs/heads/datalake", old)
    assert world.verify().problem is None
    found = world.verify(remembered=remembered)
    assert (fault(found), found.problem.kind) == (Fault.REMEMBERED, Kind.TAMPERED)


def test_growth_beyond_a_remembered_checkpoint_is_fine_and_another_ledger_is_not(world: Any) -> None:
    world.append(0)
    remembered = world.show("datalake/checkpoint")
    world.append(1)
    assert world.verify(remembered=remembered).problem is None
    other = Signer("optr/other/repo", bytes(32)).sign_checkpoint(1, bytes(32))
    assert fault(world.verify(remembered=other)) is Fault.REMEMBERED
    with pytest.raises(NoteError):
        world.verify(remembered=b"torn")
    with pytest.raises(NoteError):
        world.verify(trusted="torn")


def test_a_cosigned_checkpoint_is_accepted(small: tuple[str, Path]) -> None:
    vkey, datalake = small
    note = (datalake / "checkpoint").read_bytes().decode()
    (datalake / "checkpoint").write_text(note + str(Signature("witness.example", "01020304", b"w" * 72)))
    assert verify_file(datalake / "ledger.jsonl", trusted=vkey).problem is None


def test_a_checkpoint_of_another_ledger_is_refused(small: tuple[str, Path], world: Any) -> None:
    _, datalake = small
    text = Checkpoint("optr/other/repo", 3, bytes(32)).text()
    signature = Signature(world.signer.origin, world.signer.vkey.key_id, world.signer.sign(text.encode()))
    (datalake / "checkpoint").write_bytes(Note(text, (signature,)).encode())
    assert fault(verify_file(datalake / "ledger.jsonl")) is Fault.CHECKPOINT


def test_links_and_executables_are_found(world: Any) -> None:
    world.append(0)
    for mode in ("120000", "100755"):
        world.commit({"datalake/workflows/issue-0/plan.md": b"plan 0\n"}, mode)
        assert fault(world.verify()) is Fault.ODD_FILE


def test_two_lines_that_contradict_each_other_about_a_file_are_found(checkout: Path, seventy: Any) -> None:
    lines = seventy.lines()
    record = json.loads(lines[60]) | {"files": {"workflows/issue-0/plan.md": sha256(b"other").hexdigest()}}
    write_lines(checkout, reseal([*lines[:60], canonical.encode(record), *lines[61:]], 60))
    found = verify_file(checkout / "ledger.jsonl").problem
    assert found is not None
    assert (found.fault, found.entry) == (Fault.FILE, 61)


def test_a_changed_file_is_reported_at_the_line_that_speaks_for_it(checkout: Path) -> None:
    (checkout / "workflows/issue-41/plan.md").write_bytes(b"changed")
    assert describe(verify_file(checkout / "ledger.jsonl"))[1] == (
        "Ledger verification failed at entry 42: file digest mismatch: workflows/issue-41/plan.md"
    )


def test_a_file_alone_is_verified_from_its_first_line(world: Any, tmp_path: Path) -> None:
    world.append(0, 1)
    alone = tmp_path / "alone" / "copy.jsonl"
    alone.parent.mkdir()
    alone.write_bytes(world.show("datalake/ledger.jsonl"))
    found = verify_file(alone)
    assert (found.problem, found.entries, found.notes) == (None, 2, (NO_CHECKPOINT,))
    alone.write_bytes(alone.read_bytes().replace(b"octocat", b"mallory", 1))
    assert fault(verify_file(alone)) is Fault.HASH


def test_an_open_segment_alone_is_incomplete_unless_the_sealed_ones_stand_beside_it(
    checkout: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone" / "ledger.jsonl"
    alone.parent.mkdir()
    shutil.copy(checkout / "ledger.jsonl", alone)
    found = verify_file(alone)
    assert found.problem is not None
    assert (found.problem.kind, found.problem.fault) == (Kind.INCOMPLETE, Fault.UNREADABLE)
    shutil.copytree(checkout / "ledger", alone.parent / "ledger")
    assert (verify_file(alone).entries, verify_file(alone).problem) == (70, None)
    (alone.parent / "ledger/000/000/000.jsonl").unlink()
    assert fault(verify_file(alone)) is Fault.SEGMENTS


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"not json", b"\x00" * 100, b"[" * 70_000])
def test_files_that_are_no_ledger_give_findings_not_exceptions(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ledger.jsonl").write_bytes(content)
    assert verify_file(tmp_path / "ledger.jsonl").problem is not None


def test_a_repository_without_the_branch_is_incomplete(world: Any) -> None:
    found = world.verify()
    assert (fault(found), found.problem.kind) == (Fault.ABSENT, Kind.INCOMPLETE)


def test_an_object_that_is_not_here_makes_it_incomplete(world: Any) -> None:
    world.append(0)
    world.git("repack", "-adq")
    (pack,) = (world.git_dir / "objects" / "pack").glob("*.pack")
    oid = world.git("rev-parse", "refs/heads/datalake:datalake/workflows/issue-0/plan.md")
    moved = world.directory / "moved.pack"
    pack.rename(moved)
    shutil.rmtree(world.git_dir / "objects" / "pack")
    world.git("unpack-objects", "-q", stdin=moved.read_bytes())
    (world.git_dir / "objects" / oid[:2] / oid[2:]).unlink()
    found = world.verify()
    assert (fault(found), found.problem.kind) == (Fault.UNREADABLE, Kind.INCOMPLETE)


def test_findings_carry_what_they_imply() -> None:
    for each in Fault:
        problem = FaultFound(each, "x", 3).problem()
        assert problem.detail == f"{each.value}: x"
        assert len(problem.implies) > 20


def test_a_source_that_vanishes_while_it_is_read_is_incomplete(small: tuple[str, Path]) -> None:
    _, datalake = small
    source = DirectorySource(datalake / "ledger.jsonl", whole=True)
    (datalake / "checkpoint").unlink()
    reading: Iterator[bytes] = source.read(["checkpoint"])
    with pytest.raises(FaultFound) as caught:
        next(reading)
    assert caught.value.fault is Fault.UNREADABLE
