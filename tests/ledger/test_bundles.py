"""The audit bundle and what it is made from: each thing that can be wrong with either is named."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger import bundle
from ledger.bundle import BUNDLE_BYTES_MAX, HASHES, LINES, check, pack
from ledger.errors import BundleError, ExtractError, NoteError
from ledger.extract import entries, extract
from ledger.keyring import Asked, Cause, KeyRing
from ledger.keys import Signer
from ledger.receipt import prove
from tests.ledger.conftest import ORIGIN, World, draft, make_world

Members = dict[str, bytes]
PLAN = "workflows/issue-3/plan.md"


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Six appended lines, a rotation after the fourth. Read only."""
    world = make_world(tmp_path_factory.mktemp("six"))
    for n in range(4):
        world.append(n)
    KeyRing.open(world.directory / "key").stage(Asked("ada", 1_764_000_000_004, Cause.PLANNED))
    world.append(4, 5)
    return world


@pytest.fixture(scope="module")
def packed(six: World) -> bytes:
    return pack(six.git_dir, extract(six.git_dir, lambda entry: entry.seq in {1, 3}))


def members(data: bytes) -> Members:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]


def repacked(files: Members, kind: bytes = tarfile.REGTYPE, *more: str) -> bytes:
    """An archive of these members with hashes that fit, as a forger would make it."""
    held = {name: content for name, content in files.items() if name != f"{bundle.TOP}/{HASHES}"}
    plain = {name.removeprefix(f"{bundle.TOP}/"): content for name, content in held.items()}
    hashes = "".join(f"{hashlib.sha256(plain[name]).hexdigest()}  {name}\n" for name in sorted(plain))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in [*held.items(), (f"{bundle.TOP}/{HASHES}", hashes.encode())]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name in more:
            member = tarfile.TarInfo(name)
            member.type = kind
            archive.addfile(member)
    return buffer.getvalue()


def test_a_bundle_holds_what_it_says_and_is_the_same_each_time(six: World, packed: bytes) -> None:
    files = members(packed)
    keys = [f"keys/{path.name}" for path in sorted((Path(six.checkout()) / "keys").iterdir())]
    plans = [f"workflows/issue-{n}/plan.md" for n in (1, 3)]
    receipts = ["receipts/1.tlog-proof", "receipts/3.tlog-proof"]
    wanted = sorted(["checkpoint", HASHES, LINES, *keys, *plans, *receipts])
    assert list(files) == [f"optr-audit/{name}" for name in wanted]
    assert files[f"optr-audit/{LINES}"] == b"".join(six.lines()[at] + b"\n" for at in (1, 3))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        facts = {(one.mtime, one.uid, one.gid, one.uname, one.mode) for one in archive}
    assert facts == {(0, 0, 0, "", 0o644)}
    assert pack(six.git_dir, extract(six.git_dir, lambda entry: entry.seq in {1, 3})) == packed
    for vkey in KeyRing.open(six.directory / "key").held():
        found = check(packed, str(vkey.vkey))
        assert (found.origin, found.size, [one.seq for one in found.entries], found.files) == (ORIGIN, 7, [1, 3], 2)
    assert repacked(files) != packed
    assert check(repacked(files), str(six.signer.vkey)).files == 2


def changed(name: str, content: bytes | None) -> Callable[[Members], None]:
    def change(files: Members) -> None:
        if content is None:
            del files[f"optr-audit/{name}"]
        else:
            files[f"optr-audit/{name}"] = content

    return change


def line_changed(files: Members) -> None:
    files[f"optr-audit/{LINES}"] = files[f"optr-audit/{LINES}"].replace(b'"n":3', b'"n":4')


def second_line_dropped(files: Members) -> None:
    files[f"optr-audit/{LINES}"] = files[f"optr-audit/{LINES}"].splitlines(keepends=True)[0]


def receipt_of_another(files: Members) -> None:
    files["optr-audit/receipts/3.tlog-proof"] = files["optr-audit/receipts/1.tlog-proof"]


def another_head(files: Members) -> None:
    files["optr-audit/checkpoint"] += "\u2014 x AAAA\n".encode()


def unended(files: Members) -> None:
    files[f"optr-audit/{LINES}"] = files[f"optr-audit/{LINES}"][:-1]


FORGED: dict[str, tuple[Callable[[Members], None], str]] = {
    "a line was changed": (line_changed, f"{LINES}, line 2: hash mismatch"),
    "a line is none": (changed(LINES, b"{}\n"), f"{LINES}, line 1: "),
    "a line is not ended": (unended, f"{LINES} does not end in a line feed"),
    "a line is gone, its receipt stayed": (second_line_dropped, f"{PLAN}: no line of the bundle speaks for it"),
    "no lines": (changed(LINES, b""), f"{LINES} is empty or missing"),
    "no file of lines": (changed(LINES, None), f"{LINES} is empty or missing"),
    "a receipt of another line": (receipt_of_another, r"receipts/3\.tlog-proof, for line 2 of"),
    "no receipt": (changed("receipts/3.tlog-proof", None), r"receipts/3\.tlog-proof, for line 2 of"),
    "one receipt more": (changed("receipts/9.tlog-proof", b"x"), "receipts/: no line of the bundle speaks for it"),
    "another checkpoint": (another_head, r"receipts/1\.tlog-proof is under another checkpoint than the bundle's"),
    "no checkpoint": (changed("checkpoint", None), "is under another checkpoint"),
    "a file was changed": (changed(PLAN, b"plan 4\n"), f"{PLAN} is missing, or not the file"),
    "a file is gone": (changed(PLAN, None), f"{PLAN} is missing, or not the file"),
    "a file that nobody speaks for": (changed("workflows/x/y", b""), "workflows/x/y: no line of the bundle"),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_was_changed_is_named_even_where_the_hashes_were_made_to_fit(six: World, packed: bytes, name: str) -> None:
    change, words = FORGED[name]
    files = members(packed)
    change(files)
    with pytest.raises(BundleError, match=words):
        check(repacked(files), str(six.signer.vkey))


def test_a_hand_over_that_was_changed_is_no_way_to_the_present_key(six: World, packed: bytes) -> None:
    first = str(Signer.load(next(six.directory.glob("key.????????"))).vkey)
    files = members(packed)
    (path,) = (name for name in files if name.endswith(".rotation"))
    files[path] = files[path][:-5] + b"AAA=\n"
    with pytest.raises(BundleError):
        check(repacked(files), first)
    del files[path]
    with pytest.raises(BundleError, match="receipts/1"):
        check(repacked(files), first)
    assert check(repacked(files), str(six.signer.vkey)).size == 7, "who has the present key needs no hand-over"
    with pytest.raises(NoteError):
        check(packed, "no key")


def test_hashes_that_do_not_fit_are_found_first(six: World, packed: bytes) -> None:
    at = packed.index(b"plan 3\n")
    with pytest.raises(BundleError, match=f"{HASHES} does not match: a member was changed, added or removed"):
        check(packed[:at] + b"plan 4\n" + packed[at + 7 :], str(six.signer.vkey))


def test_an_archive_of_anything_else_is_no_bundle(six: World, packed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    vkey, files = str(six.signer.vkey), members(packed)
    for kind, name in [
        (tarfile.SYMTYPE, "optr-audit/link"),
        (tarfile.DIRTYPE, "optr-audit/directory"),
        (tarfile.REGTYPE, "elsewhere"),
        (tarfile.REGTYPE, f"optr-audit/{LINES}"),
        (tarfile.REGTYPE, "optr-audit/" + "n" * 400),
    ]:
        with pytest.raises(BundleError, match=r"does not belong into a bundle, or is there twice|does not match"):
            check(repacked(files, kind, name), vkey)
    for data in (b"", b"x" * 2000, packed[: len(packed) // 2]):
        with pytest.raises(BundleError):
            check(data, vkey)
    assert BUNDLE_BYTES_MAX == 2**30
    monkeypatch.setattr(bundle, "BUNDLE_BYTES_MAX", len(packed))
    assert check(packed, vkey).files == 2
    monkeypatch.setattr(bundle, "BUNDLE_BYTES_MAX", len(packed) - 1)
    with pytest.raises(BundleError, match=f"more than {len(packed) - 1} bytes"):
        check(packed, vkey)


def test_a_branch_that_moves_while_it_is_packed_is_noticed(world: World) -> None:
    world.append(0)
    kept = extract(world.git_dir, lambda _: True)
    world.append(1)
    with pytest.raises(BundleError, match="moved while the bundle was made"):
        pack(world.git_dir, kept)
    assert prove(world.git_dir, 0)


def test_entries_and_their_files_come_from_one_commit(six: World) -> None:
    assert [one.seq for one in entries(six.git_dir, lambda entry: entry.record["type"] == "KEY_ROTATED")] == [4]
    found = extract(six.git_dir, lambda entry: entry.seq in {2, 3}, only=lambda path: "issue-3" in path)
    assert ([one.seq for one in found.entries], found.files) == ([2, 3], {PLAN: b"plan 3\n"})
    assert found.checkpoint == six.show("datalake/checkpoint")
    assert found.keys == {
        path.removeprefix("datalake/"): six.show(path) for path in six.paths() if path.startswith("datalake/keys/")
    }
    assert len(found.keys) == 3
    assert entries(six.git_dir, lambda _: False) == []
    with pytest.raises(ExtractError, match="no entry of this ledger is asked for"):
        extract(six.git_dir, lambda _: False)
    for read in (entries, extract):
        with pytest.raises(ExtractError, match="there is no refs/heads/none in"):
            read(six.git_dir, lambda _: True, "refs/heads/none")


def test_what_an_extract_would_not_hold_whole_is_named(world: World) -> None:
    world.append(0, 1, 2)
    path, whole = "datalake/workflows/issue-2/plan.md", world.tip()
    cases = [
        ({path: b"other"}, "workflows/issue-2/plan.md is not the file that its line speaks for"),
        ({path: None}, "workflows/issue-2/plan.md is missing"),
        ({"datalake/checkpoint": None}, "checkpoint is missing"),
        ({"datalake/ledger.jsonl": world.show("datalake/ledger.jsonl").replace(b'"n":1', b'"n":7')}, "entry 2: hash"),
        ({"datalake/ledger.jsonl": None}, "segments malformed: ledger.jsonl is missing"),
    ]
    for changes, words in cases:
        world.git("update-ref", "refs/heads/datalake", whole)
        world.commit(changes)  # type: ignore[arg-type]
        with pytest.raises(ExtractError, match=words):
            extract(world.git_dir, lambda _: True)
    world.git("update-ref", "refs/heads/datalake", whole)
    assert sorted(extract(world.git_dir, lambda _: True).files) == [
        "keys/" + world.signer.vkey.key_id + ".vkey",
        *(f"workflows/issue-{n}/plan.md" for n in range(3)),
    ]
    assert draft(0).id == "run0/OPTR_SELECTED"
