"""What a repository may hold that ours never writes, and what becomes of a commit whose branch moved meanwhile."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.branch import STAGED, GitDir, resolve
from ledger.commit import Blob, Commit
from ledger.errors import GitError, LedgerBusyError, LedgerRefusedError, MissingObjectError, Standing
from ledger.keys import Signer
from ledger.layout import BRANCH
from ledger.publication import Publication, staging_ref
from ledger.store import FileCheckpoints

ORIGIN = "optr/a/b"
REF = f"{STAGED}one"
SIGNER = Signer(ORIGIN, bytes(32))
CHECKPOINT, LATER = (SIGNER.sign_checkpoint(size, bytes(32)) for size in (1, 2))
HELD = "datalake/checkpoint"


def git(directory: Path, *args: str, stdin: bytes = b"") -> bytes:
    command = ["git", f"--git-dir={directory}", *args]
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout.strip()


@pytest.fixture
def bare(tmp_path: Path) -> GitDir:
    path = tmp_path / "bare.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    return GitDir(path)


def stage(bare: GitDir, parent: str | None, files: dict[str, bytes | Blob], ref: str = REF, seconds: int = 5) -> str:
    return bare.stage(Commit(parent, "said\n", seconds, files), ref)


def brought(bare: GitDir, parent: str | None, files: dict[str, bytes | Blob]) -> str:
    made = stage(bare, parent, files)
    assert bare.move(made, parent, REF)
    return made


# What is read -------------------------------------------------------------------------------------------------------


def test_names_that_are_no_text_are_read_as_the_bytes_they_are(bare: GitDir) -> None:
    first = brought(bare, None, {"datalake/a": b"1"})
    blob = git(bare.path, "hash-object", "-w", "--stdin", stdin=b"2")
    inner = git(bare.path, "mktree", "-z", stdin=b"100644 blob %s\tp\xff\x00100644 blob %s\tq\nq\x00" % (blob, blob))
    outer = git(bare.path, "mktree", "-z", stdin=b"040000 tree %s\tdatalake\x00" % inner)
    who = ("-c", "user.name=x", "-c", "user.email=x")
    second = git(bare.path, *who, "commit-tree", "-p", first, "-m", "x", outer.decode()).decode()
    odd, lined = os.fsdecode(b"p\xff"), "q\nq"
    assert bare.files(second) == {f"datalake/{name}": Blob("100644", blob.decode()) for name in (odd, lined)}
    changed = bare.changes(first, second)
    assert changed is not None
    assert set(changed) == {"a", odd, lined} == set(bare.history([first, second])[second])


def test_a_name_is_taken_whole_and_from_the_root(bare: GitDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {"datalake/a b": b"1", "datalake/deep/er/x": b"2", "datalakes/y": b"3", "z": b"4"}
    tip = brought(bare, None, dict(files))
    assert set(bare.files(tip)) == {"datalake/a b", "datalake/deep/er/x"}
    assert set(bare.files(tip, "datalakes", "datalake/deep")) == {"datalakes/y", "datalake/deep/er/x"}
    assert set(bare.named(tip, ["z", "datalake/deep", "none"])) == {"z", "datalake/deep"}
    assert bare.named(tip, ["datalake/deep"])["datalake/deep"].mode == "040000"
    monkeypatch.chdir(tmp_path)
    assert {name: bare.file(tip, name) for name in files} == files


@pytest.mark.parametrize("size", [20_000, 100_000])
def test_a_blob_whose_end_is_damaged_is_never_taken_for_a_whole_one(bare: GitDir, size: int) -> None:
    git(bare.path, "config", "core.bigFileThreshold", "1")
    content = os.urandom(size)
    oid = git(bare.path, "hash-object", "-w", "--stdin", stdin=content).decode()
    assert list(bare.blobs([oid])) == [content]
    loose = bare.path / "objects" / oid[:2] / oid[2:]
    loose.chmod(0o600)
    stored = loose.read_bytes()
    loose.write_bytes(stored[: len(stored) // 2])
    with pytest.raises(
        MissingObjectError, match=rf"object {oid} (cannot be read whole: run|is not here.* run) git fsck"
    ):
        list(bare.blobs([oid]))
    with pytest.raises(GitError, match="object nonsense is not here, or cannot be read"):
        list(bare.blobs(["nonsense"]))


def test_git_runs_with_what_durability_and_safety_need(bare: GitDir) -> None:
    git(bare.path, "config", "core.fsync", "none")
    git(bare.path, "config", "gc.auto", "1")
    wanted = {
        "core.hooksPath": "/dev/null",
        "core.fsync": "all",
        "gc.auto": "0",
        "fastimport.unpackLimit": "1",
        "core.filesRefLockTimeout": "2000",
        "core.packedRefsTimeout": "2000",
    }
    assert {name: bare.run("config", "--get", name).decode().strip() for name in wanted} == wanted


def test_a_log_of_the_branch_says_who_moved_it(bare: GitDir) -> None:
    git(bare.path, "config", "core.logAllRefUpdates", "always")
    tip = brought(bare, None, {"datalake/a": b"1"})
    log = (bare.path / "logs" / BRANCH).read_text()
    assert log.startswith(f"{'0' * 40} {tip} OPTR <optr@localhost> ")
    assert log.endswith("\toptr: append\n")


def test_graft_files_and_replacements_do_not_change_what_is_read(bare: GitDir) -> None:
    first = brought(bare, None, {"datalake/a": b"1"})
    second = brought(bare, first, {"datalake/a": b"2"})
    other = stage(bare, None, {"datalake/a": b"9"})
    (bare.path / "info").mkdir(exist_ok=True)
    (bare.path / "info" / "grafts").write_text(f"{second}\n")
    git(bare.path, "replace", "-f", first, other)
    assert bare.parent(second) == first
    assert bare.file(first, "datalake/a") == b"1"
    assert bare.contains(second, first) is True


def test_a_linked_work_tree_is_found_by_a_relative_link_too(bare: GitDir, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / ".git").write_text("gitdir: ../bare.git\n")
    assert resolve(tree).path == bare.path
    for half in ("objects", "HEAD"):
        odd = tmp_path / f"only-{half}"
        (odd / half).mkdir(parents=True)
        with pytest.raises(GitError, match=f"{odd} is not a git repository: give the directory of a clone"):
            resolve(odd)


def test_a_shallow_clone_says_where_it_was_cut(bare: GitDir, tmp_path: Path) -> None:
    first = brought(bare, None, {"datalake/a": b"1"})
    second = brought(bare, first, {"datalake/a": b"2"})
    assert bare.cut_off() == frozenset()
    clone = tmp_path / "clone.git"
    command = ["git", "clone", "-q", "--bare", "--depth=1", "--branch=datalake", f"file://{bare.path}", str(clone)]
    subprocess.run(command, check=True)
    assert GitDir(clone).cut_off() == {second}


def test_a_commit_that_is_not_all_here_cannot_be_compared_with(bare: GitDir) -> None:
    first = brought(bare, None, {"datalake/a": b"1"})
    torn = b"tree %s\nauthor x <x> 1 +0000\ncommitter x <x> 1 +0000\n\nx\n" % (b"1" * 40)
    odd = git(bare.path, "hash-object", "-t", "commit", "-w", "--stdin", stdin=torn).decode()
    assert bare.changes(odd, first) is None
    assert bare.changes("2" * 40, first) is None
    with pytest.raises(GitError, match="cannot compare --nonsense with"):
        bare.changes("--nonsense", first)


# What is published --------------------------------------------------------------------------------------------------


Publish = Callable[[str, str | None], bool]


def publication(
    bare: GitDir, tmp_path: Path, publish: Publish | None = None, signed: bytes | None = None
) -> Publication:
    store = FileCheckpoints(tmp_path / "store")
    if signed is not None:
        assert store.swap(ORIGIN, store.load(ORIGIN), signed)
    return Publication(bare, store, ORIGIN, publish)


def test_who_finds_it_there_already_says_where_and_leaves_nothing_staged(bare: GitDir, tmp_path: Path) -> None:
    ref = staging_ref(CHECKPOINT)
    made = stage(bare, None, {HELD: CHECKPOINT}, ref)
    git(bare.path, "update-ref", BRANCH, made)
    later = brought(bare, made, {"other": b"1"})
    way = publication(bare, tmp_path)
    assert bare.staged() == {ref: None}
    assert (way.finish(made, None, CHECKPOINT), bare.staged()) == (later, {})
    # Another process staged the same checkpoint anew, on a tip that had moved.
    again = stage(bare, later, {HELD: LATER}, staging_ref(LATER))
    moved = brought(bare, later, {"other": b"2"})
    theirs = brought(bare, moved, {HELD: LATER})
    assert (way.finish(again, later, LATER), bare.staged()) == (theirs, {})


def test_what_others_do_beside_the_ledger_moves_an_append_and_does_not_change_it(bare: GitDir, tmp_path: Path) -> None:
    first = brought(bare, None, {"datalake/a": b"1", "datalake/gone": b"1"})
    ref = staging_ref(CHECKPOINT)
    append = Commit(first, "said\n\nmore\n", 77, {HELD: CHECKPOINT, "datalake/a": b"2"}, ("datalake/gone",))
    made = bare.stage(append, ref)
    beside = stage(bare, first, {"readme": b"x"})
    asked: list[tuple[str, str | None]] = []

    def publish(commit: str, expected: str | None) -> bool:
        asked.append((commit, expected))
        if len(asked) == 1:
            assert bare.move(beside, first, REF)
            return False
        return True

    done = publication(bare, tmp_path, publish).finish(made, first, CHECKPOINT)
    assert asked == [(made, first), (done, beside)]
    assert (bare.tip(), bare.parent(done), bare.staged()) == (done, beside, {})
    assert {name: bare.file(done, name) for name in ("readme", "datalake/a", HELD, "datalake/gone")} == {
        "readme": b"x",
        "datalake/a": b"2",
        HELD: CHECKPOINT,
        "datalake/gone": None,
    }
    read, _ = bare.read_back(done)
    assert (read.message, read.seconds) == (append.message, append.seconds)


@pytest.mark.parametrize("ours", [True, False])
def test_who_writes_the_ledger_meanwhile_is_another_sequencer_or_a_stranger(
    bare: GitDir, tmp_path: Path, *, ours: bool
) -> None:
    first = brought(bare, None, {"datalake/a": b"1"})
    made = stage(bare, first, {HELD: CHECKPOINT, "datalake/a": b"2"}, staging_ref(CHECKPOINT))
    tip = brought(bare, first, {"datalake/a": b"3"})
    if ours:
        way = publication(bare, tmp_path, signed=LATER)
        with pytest.raises(LedgerBusyError, match=r"^another sequencer finished this append and .* moved: datalake/a$"):
            way.finish(made, first, CHECKPOINT)
    else:
        way = publication(bare, tmp_path, signed=CHECKPOINT)
        words = f"datalake moved to {tip} while an append was under way, and datalake/a is not what the append was"
        with pytest.raises(LedgerRefusedError, match=words) as refused:
            way.finish(made, first, CHECKPOINT)
        assert refused.value.standing is Standing.DIFFERENT
    assert bare.tip() == tip


def test_a_branch_that_was_taken_away_is_begun_again_by_what_needs_nothing_of_it(bare: GitDir, tmp_path: Path) -> None:
    first = brought(bare, None, {"readme": b"x"})
    made = stage(bare, first, {HELD: CHECKPOINT}, staging_ref(CHECKPOINT))
    git(bare.path, "update-ref", "-d", BRANCH)
    done = publication(bare, tmp_path).finish(made, first, CHECKPOINT)
    assert (bare.tip(), bare.parent(done), bare.file(done, HELD), bare.file(done, "readme")) == (
        done,
        None,
        CHECKPOINT,
        None,
    )


def test_each_checkpoint_is_staged_under_a_name_of_its_own() -> None:
    assert staging_ref(b"") == f"{STAGED}e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert staging_ref(b"a") != staging_ref(b"b")


def test_an_unsigned_commit_needs_no_remote(bare: GitDir, tmp_path: Path) -> None:
    first = brought(bare, None, {"datalake/a": b"1"})
    second = stage(bare, first, {"datalake/b": b"2"})
    assert publication(bare, tmp_path).once(second, first, REF) is True
    assert (bare.tip(), bare.staged()) == (second, {})
