import json
import subprocess
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ledger.branch import GitDir
from ledger.checkpoint import parse_checkpoint
from ledger.entry import Draft
from ledger.errors import (
    CanonicalError,
    DraftError,
    EntryError,
    GitError,
    LedgerBusyError,
    LedgerError,
    LedgerRefusedError,
    Standing,
)
from ledger.keys import Signer
from ledger.sequencer import Sequencer
from ledger.store import FileCheckpoints


def test_the_first_append_brings_line_files_checkpoint_tile_and_key(world: Any) -> None:
    done = world.append(0)
    assert world.paths() == [
        "datalake/checkpoint",
        f"datalake/keys/{world.signer.vkey.key_id}.vkey",
        "datalake/ledger.jsonl",
        "datalake/tile/0/000.p/1",
        "datalake/workflows/issue-0/plan.md",
    ]
    (line,) = world.lines()
    record = json.loads(line)
    assert (record["seq"], record["previousHash"], record["workflow"]) == (0, "0", "issue-0")
    assert record["files"]["workflows/issue-0/plan.md"] == sha256(b"plan 0\n").hexdigest()
    assert set(record["files"]) == {"workflows/issue-0/plan.md", f"keys/{world.signer.vkey.key_id}.vkey"}
    head = parse_checkpoint(world.show("datalake/checkpoint"))
    assert (done.origin, done.seqs, done.size, done.root) == (head.origin, (0,), 1, head.root.hex())
    assert (done.key, done.commit) == (world.signer.vkey.label, world.tip())
    assert world.verify(trusted=str(world.signer.vkey)).problem is None


def test_seventy_appends_cross_two_segment_borders(seventy: Any) -> None:
    segments = [path for path in seventy.paths() if path.startswith("datalake/ledger")]
    assert segments == [
        "datalake/ledger.jsonl",
        "datalake/ledger/000/000/000.jsonl",
        "datalake/ledger/000/000/001.jsonl",
    ]
    assert [seventy.show(path).count(b"\n") for path in segments] == [6, 32, 32]
    assert [json.loads(line)["seq"] for line in seventy.lines()] == list(range(70))
    assert seventy.git("rev-list", "--count", "refs/heads/datalake") == "70"
    assert seventy.git("for-each-ref", "--format=%(refname)") == "refs/heads/datalake"
    assert seventy.verify(trusted=str(seventy.signer.vkey)).entries == 70


def test_commits_are_those_of_the_service_dated_by_the_newest_entry(world: Any) -> None:
    world.append(0)
    world.append(1)
    facts = world.git("log", "-1", "--format=%an <%ae>|%cn <%ce>|%at|%ct|%s|%b", "refs/heads/datalake")
    who = "OPTR <optr@localhost>"
    assert facts.startswith(f"{who}|{who}|1764000000|1764000000|audit(optr): issue-1 OPTR_SELECTED|Ledger-Size: 2\n")
    assert f"Ledger-Root: {parse_checkpoint(world.show('datalake/checkpoint')).root.hex()}" in facts


def test_a_batch_larger_than_a_bundle_writes_segments_tiles_and_the_bundle(world: Any) -> None:
    done = world.append(*range(300), files={})
    assert done.size == 300
    paths = world.paths()
    assert sum(path.startswith("datalake/ledger/") for path in paths) == 9
    assert [path for path in paths if path.startswith("datalake/tile")] == [
        "datalake/tile/0/000",
        "datalake/tile/0/001.p/44",
        "datalake/tile/1/000.p/1",
        "datalake/tile/entries/000",
    ]
    assert len(world.show("datalake/tile/0/000")) == 8192
    bundle, found = world.show("datalake/tile/entries/000"), []
    while bundle:
        length = int.from_bytes(bundle[:2], "big")
        found.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    assert found == world.lines()[:256]
    assert world.verify().problem is None


def test_partial_tiles_go_when_their_full_tile_comes(world: Any) -> None:
    world.append(*range(250), files={})
    sequencer = world.sequencer()
    for n in range(250, 258):
        sequencer.append([world.draft(n)], {})
        if n == 254:
            assert "datalake/tile/0/000.p/251" in world.paths()
    assert [path for path in world.paths() if path.startswith("datalake/tile/0")] == [
        "datalake/tile/0/000",
        "datalake/tile/0/001.p/1",
        "datalake/tile/0/001.p/2",
    ]
    assert world.verify().problem is None


def test_appending_again_writes_nothing_and_returns_the_same_places(world: Any) -> None:
    first = world.append(0, 1)
    again = world.append(0, 1)
    assert again == first
    assert world.append(1).seqs == (1,)
    assert world.git("rev-list", "--count", "refs/heads/datalake") == "1"


def test_only_the_missing_drafts_of_a_batch_are_appended(world: Any) -> None:
    world.append(1)
    done = world.append(0, 1, 2, files={"datalake/workflows/issue-2/plan.md": b"x"})
    assert done.seqs == (1, 0, 2)
    assert [json.loads(line)["run"] for line in world.lines()] == ["run1", "run0", "run2"]
    assert world.verify().problem is None


def test_two_workflows_share_one_commit_and_the_last_line_speaks_for_all_files(world: Any) -> None:
    world.append(0, 1)
    first, last = map(json.loads, world.lines())
    assert "files" not in first
    assert {"workflows/issue-0/plan.md", "workflows/issue-1/plan.md"} < set(last["files"])


def test_a_draft_may_state_digests_of_its_own_unless_they_are_wrong(world: Any) -> None:
    world.append(0)
    plan = sha256(b"plan 0\n").hexdigest()
    world.sequencer().append([world.draft(1, body={"files": {"workflows/issue-0/plan.md": plan}})], {})
    assert json.loads(world.lines()[1])["files"] == {"workflows/issue-0/plan.md": plan}
    wrong = world.draft(2, body={"files": {"workflows/issue-2/a": "0" * 64}})
    with pytest.raises(DraftError, match="contradicts"):
        world.sequencer().append([wrong], {"datalake/workflows/issue-2/a": b"a"})
    assert world.verify().problem is None


def test_time_never_goes_back(world: Any) -> None:
    world.append(5)
    world.sequencer().append([world.draft(6, timestamp=1)], {})
    times = [json.loads(line)["timestamp"] for line in world.lines()]
    assert times == [1_764_000_000_005] * 2


def test_a_file_is_never_overwritten_but_may_be_given_again(world: Any) -> None:
    world.append(0)
    same = {"datalake/workflows/issue-0/plan.md": b"plan 0\n", "datalake/workflows/issue-0/more": b"m"}
    world.sequencer().append([world.draft(1, workflow="issue-0")], same)
    for files in (
        {"datalake/workflows/issue-0/plan.md": b"other"},
        {"datalake/workflows/issue-0/plan.md/below": b"x"},
        {"datalake/workflows/issue-0/a": b"x", "datalake/workflows/issue-0/a/b": b"x"},
    ):
        with pytest.raises(DraftError, match=r"recorded already|is a file"):
            world.sequencer().append([world.draft(2, workflow="issue-0")], files)
    assert len(world.lines()) == 2
    assert world.verify().problem is None


def test_what_cannot_be_written_is_refused_before_anything_is(world: Any) -> None:
    append = world.sequencer().append
    for drafts, files, error in (
        ([], {}, DraftError),
        ([world.draft(0), world.draft(0)], {}, DraftError),
        ([world.draft(0, workflow="../x")], {}, DraftError),
        ([world.draft(0)], {"datalake/workflows/issue-1/x": b""}, DraftError),
        ([world.draft(0)], {"datalake/ledger.jsonl": b""}, DraftError),
        ([world.draft(0, body={"score": 1.5})], {}, CanonicalError),
        ([world.draft(0, type="no")], {}, EntryError),
        ([world.draft(0)], {f"datalake/workflows/issue-0/{n:0100d}": b"" for n in range(400)}, EntryError),
    ):
        with pytest.raises(error):
            append(drafts, files)
    assert world.git("for-each-ref") == ""
    assert world.store.load(world.signer.origin) is None


def test_sequencers_that_share_a_store_lose_nothing(world: Any, make_draft: Callable[..., Draft]) -> None:
    errors: list[BaseException] = []

    def work(worker: int) -> None:
        sequencer = world.sequencer()
        for n in range(5):
            for attempt in range(50):
                try:
                    sequencer.append([make_draft(worker * 100 + n)], {})
                    break
                except LedgerBusyError as error:
                    if attempt == 49:
                        errors.append(error)
                except BaseException as error:  # noqa: BLE001 - carried to the test's thread
                    errors.append(error)
                    break

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(json.loads(line)["n"] for line in world.lines()) == sorted(
        worker * 100 + n for worker in range(3) for n in range(5)
    )
    assert world.verify().problem is None


def test_one_sequencer_serves_many_threads(world: Any) -> None:
    sequencer = world.sequencer()
    threads = [threading.Thread(target=sequencer.append, args=([world.draft(n)], {})) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.verify().entries == 6


def test_a_branch_rolled_back_is_refused(world: Any) -> None:
    world.append(0)
    earlier = world.tip()
    world.append(1)
    world.git("update-ref", "refs/heads/datalake", earlier)
    with pytest.raises(LedgerRefusedError, match=r"1 lines, 2 were signed.*rolled back") as caught:
        world.append(2)
    assert caught.value.standing is Standing.BEHIND
    with pytest.raises(LedgerRefusedError, match="rolled back"):
        world.append(0)
    with pytest.raises(LedgerRefusedError, match="rolled back"):
        world.sequencer().settle()
    assert world.tip() == earlier


def test_a_branch_that_was_deleted_is_refused(world: Any) -> None:
    world.append(0)
    world.git("update-ref", "-d", "refs/heads/datalake")
    with pytest.raises(LedgerRefusedError, match="0 lines, 1 were signed"):
        world.append(1)


def test_a_branch_ahead_of_the_store_is_refused(world: Any) -> None:
    world.append(0)
    old = world.store.load(world.signer.origin)
    world.append(1)
    assert world.store.swap(world.signer.origin, world.store.load(world.signer.origin), old)
    with pytest.raises(LedgerRefusedError, match="2 lines that are not the 1 remembered") as caught:
        world.append(2)
    assert caught.value.standing is Standing.AHEAD


def test_another_history_of_the_same_length_is_refused(world: Any, tmp_path: Path) -> None:
    world.append(0)
    first = world.tip()
    world.append(1)
    world.git("update-ref", "refs/heads/datalake", first)
    elsewhere = FileCheckpoints(tmp_path / "elsewhere")
    elsewhere.swap(world.signer.origin, None, world.show("datalake/checkpoint"))
    Sequencer(world.git_dir, world.signer, elsewhere).append([world.draft(9)], {})
    with pytest.raises(LedgerRefusedError) as caught:
        world.append(2)
    assert caught.value.standing is Standing.DIFFERENT


def test_a_lost_store_is_refused_until_the_branch_is_adopted(world: Any, tmp_path: Path) -> None:
    world.append(0)
    fresh = FileCheckpoints(tmp_path / "fresh")
    sequencer = Sequencer(world.git_dir, world.signer, fresh)
    with pytest.raises(LedgerRefusedError, match="nothing is remembered") as caught:
        sequencer.append([world.draft(1)], {})
    assert caught.value.standing is Standing.AHEAD
    sequencer.adopt()
    assert sequencer.append([world.draft(1)], {}).size == 2
    with pytest.raises(LedgerRefusedError, match="not adopted"):
        sequencer.adopt()


def test_a_branch_that_does_not_verify_is_not_adopted(world: Any, tmp_path: Path) -> None:
    world.append(0)
    world.commit({"datalake/workflows/issue-0/plan.md": b"changed"})
    with pytest.raises(LedgerRefusedError, match="not adopted: file digest mismatch"):
        Sequencer(world.git_dir, world.signer, FileCheckpoints(tmp_path / "fresh")).adopt()


def test_lines_changed_under_an_unchanged_checkpoint_are_refused(world: Any) -> None:
    world.append(0)
    world.commit({"datalake/ledger.jsonl": world.show("datalake/ledger.jsonl").replace(b"codex", b"claud")})
    with pytest.raises(LedgerRefusedError, match="entry 1: hash mismatch") as caught:
        world.append(1)
    assert caught.value.standing is Standing.UNVERIFIED


def test_another_key_is_refused(world: Any, tmp_path: Path) -> None:
    world.append(0)
    other = Signer.generate(tmp_path / "other", world.signer.origin)
    with pytest.raises(LedgerRefusedError, match="was not signed by"):
        Sequencer(world.git_dir, other, world.store).append([world.draft(1)], {})


def test_a_foreign_commit_that_leaves_the_ledger_alone_is_built_upon(world: Any) -> None:
    world.append(0)
    foreign = world.commit({"README.md": b"hello"})
    done = world.append(1)
    assert world.git("rev-parse", f"{done.commit}^") == foreign
    assert world.verify().problem is None


def test_a_branch_without_a_ledger_is_built_upon_and_one_with_a_stray_directory_is_not(world: Any) -> None:
    tree = world.git("mktree", stdin=b"")
    commit = world.git("-c", "user.name=x", "-c", "user.email=x", "commit-tree", tree, "-m", "empty")
    world.git("update-ref", "refs/heads/datalake", commit)
    world.commit({"datalake/stray": b"x"})
    with pytest.raises(LedgerRefusedError, match="without a checkpoint"):
        world.append(0)
    world.commit({"datalake/stray": None})
    assert world.append(0).size == 1


def test_hooks_configuration_replacements_and_the_environment_do_not_reach_git(
    world: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hook = world.git_dir / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    (tmp_path / "gitconfig").write_text("[core\nbroken")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "objects"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "idx"))
    assert world.sequencer().append([world.draft(0)], {}).size == 1
    assert not (tmp_path / "objects").exists()
    monkeypatch.undo()
    hook.unlink()
    good = world.git("rev-parse", "refs/heads/datalake:datalake/ledger.jsonl")
    evil = world.git("hash-object", "-w", "--stdin", stdin=b"{}\n")
    world.git("update-ref", f"refs/replace/{good}", evil)
    assert world.verify().problem is None


def test_a_stale_lock_of_a_dead_process_is_cleared_and_a_fresh_one_respected(world: Any) -> None:
    world.append(0)
    lock = world.git_dir / "refs" / "heads" / "datalake.lock"
    lock.touch()
    with pytest.raises(GitError, match=r"datalake\.lock") as caught:
        world.append(1)
    assert isinstance(caught.value, LedgerBusyError)
    subprocess.run(["touch", "-d", "2 minutes ago", str(lock)], check=True)
    assert world.append(1).size == 2
    assert len(world.lines()) == 2


def test_a_directory_that_is_no_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="failed in"):
        GitDir(tmp_path)


def test_the_store_swaps_only_from_what_it_holds(world: Any, tmp_path: Path) -> None:
    store = FileCheckpoints(tmp_path / "a" / "b")
    one, two = (world.signer.sign_checkpoint(size, bytes(32)) for size in (1, 2))
    origin = world.signer.origin
    assert store.load(origin) is None
    assert not store.swap(origin, one, two)
    assert store.swap(origin, None, one)
    assert not store.swap(origin, None, two)
    assert store.swap(origin, one, two)
    assert FileCheckpoints(tmp_path / "a" / "b").load(origin) == two
    assert store.load("optr/other/ledger") is None
    (file,) = (tmp_path / "a" / "b").glob("*.checkpoint")
    file.write_bytes(Signer("optr/x/y", bytes(32)).sign_checkpoint(1, bytes(32)))
    with pytest.raises(LedgerError, match="another ledger"):
        store.load(origin)
    file.write_bytes(b"torn")
    with pytest.raises(LedgerError, match="damaged"):
        store.load(origin)
