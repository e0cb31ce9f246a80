"""The git side of the ledger, call by call, against what stock git says of the same repository."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.branch import LOCK_WAIT_MS, PACKS_MAX, STAGED, STALE_LOCK_SECONDS, Change, GitDir, resolve
from ledger.commit import Blob, Commit
from ledger.errors import GitError, LedgerBusyError, LockedError, MissingObjectError
from ledger.layout import BRANCH
from ledger.publication import TRIES_MAX, Publication, staging_ref
from ledger.store import FileCheckpoints

NOBODY = "f" * 40
REF = f"{STAGED}one"


def git(directory: Path, *args: str) -> str:
    return subprocess.run(["git", f"--git-dir={directory}", *args], capture_output=True, check=True, text=True).stdout


@pytest.fixture
def bare(tmp_path: Path) -> GitDir:
    path = tmp_path / "bare.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    return GitDir(path)


def staged(git_dir: GitDir, parent: str | None, seconds: int = 5, ref: str = REF, **write: bytes | Blob) -> str:
    files = {f"datalake/{name}": content for name, content in write.items()}
    return git_dir.stage(Commit(parent, "said\n\nmore\n", seconds, files), ref)


@pytest.fixture
def two(bare: GitDir) -> tuple[GitDir, str, str]:
    """A branch of two commits: a and b, then a changed, b gone and c there."""
    first = staged(bare, None, a=b"1\n", b=b"2\n")
    assert bare.move(first, None, REF)
    second = bare.stage(Commit(first, "m\n", 6, {"datalake/a": b"3\n", "datalake/c": b"4\n"}, ("datalake/b",)), REF)
    assert bare.move(second, first, REF)
    return bare, first, second


def oid(content: bytes) -> str:
    done = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True)
    return done.stdout.decode().strip()


def test_a_staged_commit_is_what_git_reads(bare: GitDir) -> None:
    made = staged(bare, None, a=b"1\n", seconds=77)
    assert git(bare.path, "cat-file", "commit", made).partition("\n")[2] == (
        "author OPTR <optr@localhost> 77 +0000\ncommitter OPTR <optr@localhost> 77 +0000\n\nsaid\n\nmore\n"
    )
    assert git(bare.path, "show", f"{made}:datalake/a") == "1\n"
    assert git(bare.path, "rev-parse", REF).strip() == made
    assert len(list((bare.path / "objects" / "pack").glob("*.pack"))) == 1


def test_the_branch_moves_from_where_it_is_said_to_stand_or_not_at_all(two: tuple[GitDir, str, str]) -> None:
    bare, first, second = two
    assert bare.tip() == second == git(bare.path, "rev-parse", BRANCH).strip()
    assert bare.staged() == {}
    other = staged(bare, first, a=b"other")
    assert bare.move(other, first, REF) is False
    assert bare.move(other, None, REF) is False
    assert (bare.tip(), bare.staged()) == (second, {REF: first})
    bare.drop(REF)
    assert bare.staged() == {}
    with pytest.raises(GitError):
        bare.move(NOBODY, second, REF)
    assert bare.tip() == second


def test_a_tip_is_the_same_loose_or_packed_and_none_where_there_is_none(two: tuple[GitDir, str, str]) -> None:
    bare, first, second = two
    assert bare.tip("refs/heads/nowhere") is None
    git(bare.path, "pack-refs", "--all")
    assert not (bare.path / BRANCH).exists()
    assert bare.tip() == second
    git(bare.path, "symbolic-ref", "refs/heads/alias", BRANCH)
    assert bare.tip("refs/heads/alias") == second
    assert bare.parent(second) == first
    assert bare.parent(first) is None
    (bare.path / BRANCH).write_bytes(b"not an id\n")
    with pytest.raises(GitError, match="cannot read"):
        bare.tip()


@pytest.mark.parametrize("name", ["refs/heads/../../HEAD", "HEAD", "refs/heads/a.lock", "refs/tags/x"])
def test_only_a_branch_is_read_from_its_file(two: tuple[GitDir, str, str], name: str) -> None:
    bare, _, second = two
    target = bare.path / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"{second}\n")
    assert bare._loose(name) is None
    assert bare._loose(BRANCH) == second


@pytest.mark.parametrize(
    "content", [b"", b"a" * 39 + b"\n", b"a" * 40, b"a" * 41 + b"\n", b"G" * 40 + b"\n", b"a" * 66]
)
def test_what_is_no_id_in_a_branchs_file_is_left_to_git(bare: GitDir, content: bytes) -> None:
    (bare.path / BRANCH).write_bytes(content)
    assert bare._loose(BRANCH) is None
    (bare.path / BRANCH).write_bytes(b"b" * 64 + b"\n")
    assert bare._loose(BRANCH) == "b" * 64


def test_files_changes_and_history_agree_with_git(two: tuple[GitDir, str, str]) -> None:
    bare, first, second = two
    one, two_, three, four = (Blob("100644", oid(b"%d\n" % number)) for number in (1, 2, 3, 4))
    assert bare.files(second) == {"datalake/a": three, "datalake/c": four}
    assert bare.files(second, "elsewhere") == {}
    assert bare.named(second, ["datalake/a", "datalake/b"]) == {"datalake/a": three}
    assert bare.file(second, "datalake/a") == b"3\n"
    assert bare.file(second, "datalake/b") is None
    assert bare.file(second, "datalake") is None
    step = {"a": Change(one, three), "b": Change(two_, None), "c": Change(None, four)}
    assert bare.changes(first, second) == step
    assert bare.changes(first, second, "elsewhere") == {}
    assert bare.changes(NOBODY, second) is None
    with pytest.raises(GitError, match="cannot compare"):
        bare.changes("--nonsense", second)
    assert bare.history([first, second]) == {first: {"a": Change(None, one), "b": Change(None, two_)}, second: step}
    assert bare.history([first]) == {first: {"a": Change(None, one), "b": Change(None, two_)}}


def test_blobs_come_in_the_order_asked_for_and_what_is_missing_is_named(two: tuple[GitDir, str, str]) -> None:
    bare, first, _ = two
    large = b"x" * 300_000 + b"\n\n"
    wanted = [oid(b"4\n"), oid(b"1\n"), oid(b"4\n")]
    assert list(bare.blobs(wanted)) == [b"4\n", b"1\n", b"4\n"]
    assert list(bare.blobs([])) == []
    staged(bare, None, a=large, b=b"")
    assert list(bare.blobs([oid(large), oid(b""), oid(b"1\n")])) == [large, b"", b"1\n"]
    with pytest.raises(MissingObjectError, match=f"object {NOBODY} is not here"):
        list(bare.blobs([NOBODY]))
    with pytest.raises(GitError, match=f"object {first} is a commit, not a file"):
        list(bare.blobs([first]))
    early: Iterator[bytes] = bare.blobs([oid(large)] * 20)
    assert next(early) == large
    early.close()  # type: ignore[attr-defined]


def test_a_symbolic_link_or_a_program_is_no_plain_file(bare: GitDir) -> None:
    first = staged(bare, None, x=b"x")
    made = staged(bare, first, link=Blob("120000", oid(b"x")), x=b"x", run=Blob("100755", oid(b"x")))
    assert bare.file(made, "datalake/x") == b"x"
    assert bare.file(made, "datalake/link") is None
    assert bare.file(made, "datalake/run") is None


def test_containment_is_ancestry(two: tuple[GitDir, str, str]) -> None:
    bare, first, second = two
    assert bare.contains(second, first) is True
    assert bare.contains(second, second) is True
    assert bare.contains(first, second) is False
    with pytest.raises(GitError, match="cannot compare"):
        bare.contains(first, NOBODY)


def test_a_staged_commit_is_read_back_to_be_staged_again(two: tuple[GitDir, str, str]) -> None:
    bare, first, second = two
    commit, replaced = bare.read_back(second)
    three, four = Blob("100644", oid(b"3\n")), Blob("100644", oid(b"4\n"))
    assert commit == Commit(first, "m\n", 6, {"datalake/a": three, "datalake/c": four}, ("datalake/b",))
    before = {"datalake/a": Blob("100644", oid(b"1\n")), "datalake/b": Blob("100644", oid(b"2\n")), "datalake/c": None}
    assert replaced == before
    assert bare.stage(commit, REF) == second
    root, nothing = bare.read_back(first)
    assert (root.parent, root.message, root.seconds, root.delete) == (None, "said\n\nmore\n", 5, ())
    assert set(nothing.values()) == {None}


def test_a_lock_is_respected_until_it_is_stale(bare: GitDir) -> None:
    first = staged(bare, None, a=b"1")
    now = time.time()
    lock = bare.path / f"{BRANCH}.lock"
    lock.write_bytes(b"")
    stale = GitDir(bare.path, clock=lambda: lock.stat().st_mtime + STALE_LOCK_SECONDS)
    with pytest.raises(LockedError):
        stale.move(first, None, REF)
    assert lock.exists()
    assert LOCK_WAIT_MS / 1000 < STALE_LOCK_SECONDS
    older = GitDir(bare.path, clock=lambda: now + STALE_LOCK_SECONDS + 5)
    assert older.move(first, None, REF)
    assert not lock.exists()


@pytest.mark.parametrize("name", [f"{REF}.lock", "packed-refs.lock"])
def test_other_stale_locks_are_cleared_where_they_are_in_the_way(bare: GitDir, name: str) -> None:
    late = GitDir(bare.path, clock=lambda: time.time() + STALE_LOCK_SECONDS + 5)
    first = staged(bare, None, a=b"1")
    for act in (lambda: late.move(first, None, REF), lambda: late.drop(REF)):
        staged(bare, None, a=b"1")
        (bare.path / name).write_bytes(b"")
        act()
        assert not (bare.path / name).exists()
    lock = bare.path / f"{REF}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_bytes(b"")
    assert staged(late, None, a=b"1") == first


def test_small_packs_are_rolled_up_once_there_are_many(bare: GitDir) -> None:
    packs = bare.path / "objects" / "pack"
    tip = None
    for number in range(3):
        tip = staged(bare, tip, seconds=number, a=b"%d" % number)
    for number in range(PACKS_MAX - 3):
        (packs / f"pack-{number:040x}.pack").write_bytes(b"")
    bare.consolidate()
    assert len(list(packs.glob("*.pack"))) == PACKS_MAX
    for path in packs.glob("pack-0000*.pack"):
        path.unlink()
    for number in range(3, PACKS_MAX + 1):
        tip = staged(bare, tip, seconds=number, a=b"%d" % number)
    assert len(list(packs.glob("*.pack"))) == PACKS_MAX + 1
    bare.consolidate()
    assert len(list(packs.glob("*.pack"))) < 5
    assert tip is not None
    assert git(bare.path, "rev-list", "--count", tip).strip() == str(PACKS_MAX + 1)


def test_git_sees_none_of_our_environment(bare: GitDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("SECRET_TOKEN", "zebra")
    git(bare.path, "config", "alias.show-env", "!env")
    seen = bare.run("show-env").decode()
    assert "zebra" not in seen
    assert str(tmp_path / "x") not in seen
    for fixed in (
        "GIT_CONFIG_NOSYSTEM=1",
        "GIT_CONFIG_GLOBAL=/dev/null",
        "GIT_TERMINAL_PROMPT=0",
        "GIT_NO_REPLACE_OBJECTS=1",
        "GIT_GRAFT_FILE=/dev/null",
        "GIT_NO_LAZY_FETCH=1",
        "GIT_ALLOW_PROTOCOL=none",
        "LC_ALL=C",
    ):
        assert fixed in seen.splitlines()


def test_no_hook_of_the_repository_runs(bare: GitDir, tmp_path: Path) -> None:
    hook = bare.path / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    assert bare.move(staged(bare, None, a=b"1"), None, REF)
    assert not (tmp_path / "ran").exists()


def test_what_git_says_is_in_the_error(bare: GitDir, tmp_path: Path) -> None:
    with pytest.raises(GitError, match=r"git rev-parse failed in .*status 128") as refused:
        bare.run("rev-parse", "--verify", "nothing")
    assert not isinstance(refused.value, LockedError)
    with pytest.raises(GitError):
        GitDir(tmp_path)


def test_a_work_tree_a_linked_one_and_a_bare_repository_are_found(tmp_path: Path) -> None:
    tree, linked = tmp_path / "tree", tmp_path / "linked"
    subprocess.run(["git", "init", "-q", str(tree)], check=True)
    bare = resolve(tree)
    assert bare.path == (tree / ".git").resolve() == bare.common
    assert resolve(tree / ".git").path == bare.path
    assert bare.move(staged(bare, None, a=b"1"), None, REF)
    git(tree / ".git", "worktree", "add", "-q", "--detach", str(linked), BRANCH)
    other = resolve(linked)
    assert (other.common, other.tip()) == (bare.path, bare.tip())
    assert other.path != bare.path
    with pytest.raises(GitError, match="is not a git repository"):
        resolve(tmp_path)
    (tmp_path / "objects").mkdir()
    with pytest.raises(GitError, match="is not a git repository"):
        resolve(tmp_path)


CHECKPOINT = b"signed\n"


def publication(bare: GitDir, store: Path, *answers: str) -> tuple[Publication, list[tuple[str, str | None]]]:
    asked: list[tuple[str, str | None]] = []

    def publish(commit: str, expected: str | None) -> bool:
        asked.append((commit, expected))
        return len(asked) > len(answers) or answers[len(asked) - 1] == "pushed"

    return Publication(bare, FileCheckpoints(store), "optr/a/b", publish), asked


def test_a_commit_is_pushed_before_the_branch_moves(bare: GitDir, tmp_path: Path) -> None:
    ref = staging_ref(CHECKPOINT)
    made = staged(bare, None, ref=ref, checkpoint=CHECKPOINT)
    way, asked = publication(bare, tmp_path / "store")
    assert way.finish(made, None, CHECKPOINT) == made
    assert (asked, bare.tip(), bare.staged()) == ([(made, None)], made, {})
    assert way.finish(made, None, CHECKPOINT) == made, "what is there already counts as done"


def test_a_refused_push_of_an_unmoved_branch_is_not_tried_again(bare: GitDir, tmp_path: Path) -> None:
    made = staged(bare, None, ref=staging_ref(CHECKPOINT), checkpoint=CHECKPOINT)
    way, asked = publication(bare, tmp_path / "store", "refused")
    with pytest.raises(LedgerBusyError, match="was refused"):
        way.finish(made, None, CHECKPOINT)
    assert (len(asked), bare.tip()) == (1, None)


def test_a_branch_that_keeps_moving_is_given_up_after_some_tries(bare: GitDir, tmp_path: Path) -> None:
    tips = [staged(bare, None, seconds=9, other=b"0")]
    assert bare.move(tips[0], None, REF)
    made = staged(bare, tips[0], ref=staging_ref(CHECKPOINT), checkpoint=CHECKPOINT)

    def publish(_commit: str, expected: str | None) -> bool:
        tips.append(staged(bare, expected, seconds=len(tips), other=b"%d" % len(tips)))
        assert bare.move(tips[-1], expected, REF)
        return False

    way = Publication(bare, FileCheckpoints(tmp_path / "store"), "optr/a/b", publish)
    with pytest.raises(LedgerBusyError, match="keeps moving"):
        way.finish(made, tips[0], CHECKPOINT)
    assert len(tips) == TRIES_MAX + 1


def test_an_unsigned_commit_is_brought_once_or_dropped(bare: GitDir, tmp_path: Path) -> None:
    first = staged(bare, None, a=b"1")
    assert bare.move(first, None, REF)
    way, _ = publication(bare, tmp_path / "store", "refused", "pushed", "pushed")
    second = staged(bare, first, b=b"2")
    assert way.once(second, first, REF) is False
    assert (bare.tip(), bare.staged()) == (first, {})
    second = staged(bare, first, b=b"2")
    assert way.once(second, first, REF) is True
    assert (bare.tip(), bare.staged()) == (second, {})
    third = staged(bare, first, c=b"3")
    assert way.once(third, first, REF) is False
    assert (bare.tip(), bare.staged()) == (second, {})


def test_only_what_is_built_on_the_tip_stays_staged(two: tuple[GitDir, str, str], tmp_path: Path) -> None:
    bare, first, second = two
    staged(bare, first, ref=f"{STAGED}old", a=b"1")
    staged(bare, second, ref=f"{STAGED}new", a=b"2")
    staged(bare, None, ref=f"{STAGED}root", a=b"3")
    publication(bare, tmp_path / "store")[0].sweep(second)
    assert bare.staged() == {f"{STAGED}new": second}
