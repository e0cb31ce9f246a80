"""The ledger of a local repository: verified, tampered with, cut, moved, copied, brought elsewhere."""

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.cli_kit import Bench, Ran, git, make_bench


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A repository with one run on its ledger; tests work on copies of it and of its state."""
    bench = make_bench(tmp_path_factory.mktemp("first"))
    ran = bench.execute("one", "--agents", "mender")
    assert ran.code == 0, ran.err
    return bench


@pytest.fixture
def bench(first: Bench, tmp_path: Path) -> Bench:
    """The same repository, moved here with all that its owner has: work goes on as if nothing had happened."""
    shutil.copytree(first.repo, tmp_path / "thing", symlinks=True)
    shutil.copytree(first.state, tmp_path / "state")
    for file in (tmp_path / "state").rglob("repository"):
        file.write_text(str(tmp_path / "gone"))
    return Bench(tmp_path / "thing", tmp_path / "state")


def _again(bench: Bench, *argv: str, **environ: str) -> Ran:
    return bench.execute("two", "--agents", "mender", *argv, **environ)


def _key(bench: Bench) -> Path:
    """The file of the key that signs this repository's ledger; the state may hold other repositories' too."""
    origin = bench.git("show", "refs/heads/datalake:datalake/checkpoint").splitlines()[0]
    return next(path for path in bench.state.rglob("key") if origin in path.read_text())


def _rewrite(bench: Bench, path: str, old: str, new: str) -> None:
    """Commit a changed file to datalake, as an intruder with push rights would."""
    tree = bench.repo.parent / "intruder"
    bench.git("worktree", "add", "--quiet", "--force", str(tree), "refs/heads/datalake")
    file = tree / path
    file.write_text(file.read_text().replace(old, new, 1))
    git(tree, "commit", "--quiet", "-am", "Nothing to see here")
    commit = git(tree, "rev-parse", "HEAD").strip()
    bench.git("worktree", "remove", "--force", str(tree))
    bench.git("update-ref", "refs/heads/datalake", commit)


def test_a_sound_ledger_is_five_lines_by_branch_and_by_file(bench: Bench, tmp_path: Path) -> None:
    ran = bench.optr("verify-ledger", cwd=bench.repo / "docs")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[1:] == ["Entries: 2", "All hashes valid", "Chain linkage intact", "Ledger verified"]
    git(tmp_path, "clone", "--quiet", "--single-branch", "--branch", "datalake", str(bench.repo), "record")
    file = bench.optr("verify-ledger", "--ledger", "record/datalake/ledger.jsonl", cwd=tmp_path)
    assert (file.code, file.out.splitlines()[1:]) == (0, ran.out.splitlines()[1:])
    clone = bench.optr("verify-ledger", "--repo", "record", cwd=tmp_path)
    assert clone.code == 0, clone.err


def test_a_tampered_line_is_found_and_nothing_more_is_written(bench: Bench) -> None:
    _rewrite(bench, "datalake/ledger.jsonl", '"workflow":"one"', '"workflow":"two"')
    tip = bench.git("rev-parse", "refs/heads/datalake")
    ran = bench.optr("verify-ledger")
    assert ran.code == 20
    assert ran.err.splitlines()[-2].startswith("Ledger verification failed at entry 1: hash mismatch")
    assert ran.err.splitlines()[-1].startswith("This implies: ")
    assert "Ledger verified" not in ran.out
    refused = _again(bench)
    assert (refused.code, refused.out) == (20, ""), refused.err
    assert "does not verify" in refused.err
    assert "what to do:" in refused.err
    assert "Traceback" not in refused.err
    assert bench.git("rev-parse", "refs/heads/datalake") == tip


def test_a_damaged_ledger_is_restored_from_history_and_work_goes_on(bench: Bench, tmp_path: Path) -> None:
    _rewrite(bench, "datalake/ledger.jsonl", '"workflow":"one"', '"workflow":"two"')
    dry = bench.optr("rebuild-ledger", "--dry-run", "--backup", str(tmp_path))
    assert dry.code == 20, dry.err
    assert "line changed in ledger.jsonl at line 1" in dry.out
    assert not (tmp_path / "ledger.jsonl.corrupted").exists()
    done = bench.optr("rebuild-ledger", "--backup", str(tmp_path), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["backups"] == [str(tmp_path / "ledger.jsonl.corrupted")]
    assert '"workflow":"two"' in (tmp_path / "ledger.jsonl.corrupted").read_text()
    assert bench.optr("verify-ledger").code == 0
    assert _again(bench).code == 0
    again = bench.optr("rebuild-ledger")
    assert (again.code, again.out.splitlines()[-1]) == (0, "Nothing to restore")
    elsewhere = bench.optr("rebuild-ledger", "--repo", "/")
    assert (elsewhere.code, "what to do:" in elsewhere.err) == (2, True)


def test_a_file_that_a_line_speaks_for_cannot_be_changed_either(bench: Bench) -> None:
    _rewrite(bench, "datalake/workflows/one/optr-selection.json", "mender", "breaker")
    ran = bench.optr("verify-ledger", "--json")
    assert ran.code == 20
    assert json.loads(ran.out)["problem"]["kind"] == "tampered"
    assert "optr-selection.json" in ran.err


def test_a_ledger_that_was_rolled_back_is_incomplete_to_those_who_remember(bench: Bench, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text(bench.git("show", "refs/heads/datalake:datalake/checkpoint"))
    bench.git("update-ref", "refs/heads/datalake", "refs/heads/datalake~1")
    refused = _again(bench)
    assert (refused.code, refused.out) == (21, ""), refused.err
    assert "1 lines, 2 were signed" in refused.err
    assert bench.optr("verify-ledger", "--remembered", str(kept)).code == 20


def test_a_cut_file_is_incomplete_and_an_absent_one_a_mistake(bench: Bench, tmp_path: Path) -> None:
    lines = bench.git("show", "refs/heads/datalake:datalake/ledger.jsonl").splitlines(keepends=True)
    part = tmp_path / "ledger.jsonl"
    part.write_text(lines[1])
    ran = bench.optr("verify-ledger", "--ledger", str(part))
    assert ran.code == 21
    assert "Ledger verification failed" in ran.err
    assert bench.optr("verify-ledger", "--ledger", str(tmp_path / "absent.jsonl")).code == 2
    git(tmp_path, "init", "--quiet", "bare")
    assert bench.optr("verify-ledger", "--repo", str(tmp_path / "bare")).code == 21
    assert bench.optr("verify-ledger", "--repo", str(tmp_path)).code == 2


def test_a_repository_that_moved_takes_its_key_along(bench: Bench) -> None:
    ran = _again(bench)
    assert ran.code == 0, ran.err
    assert bench.line_types() == ["MAEG_CREATED", "OPTR_SELECTED"] * 2
    moved = Bench(bench.repo.rename(bench.repo.with_name("renamed")), bench.state)
    again = moved.execute("three", "--agents", "mender")
    assert again.code == 0, again.err
    assert moved.optr("verify-ledger").code == 0


def test_a_copy_does_not_sign_with_the_originals_key(first: Bench, tmp_path: Path) -> None:
    copy = Bench(tmp_path / "copy", first.state)
    shutil.copytree(first.repo, copy.repo, symlinks=True)
    ran = copy.execute("two", "--agents", "mender")
    assert (ran.code, ran.out) == (2, "")
    assert "is a copy of the ledger optr.local/thing-" in ran.err
    assert str(first.repo) in ran.err
    assert "git branch -m datalake" in ran.err
    copy.git("branch", "-m", "datalake", "datalake-copied")
    fresh = copy.execute("two", "--agents", "mender")
    assert fresh.code == 0, fresh.err
    assert copy.line_types() == ["MAEG_CREATED", "OPTR_SELECTED"]


def test_elsewhere_the_key_is_missing_until_it_is_brought_and_the_branch_adopted(bench: Bench, tmp_path: Path) -> None:
    key = _key(bench)
    other = Bench(bench.repo, tmp_path / "elsewhere")
    other.state.mkdir()
    ran = _again(other)
    assert (ran.code, ran.out) == (2, "")
    assert "its signing key is not here" in ran.err
    assert "OPTR_LEDGER_KEY_FILE" in ran.err
    assert list(other.state.rglob("key")) == []
    with_key = _again(other, OPTR_LEDGER_KEY_FILE=str(key))
    assert (with_key.code, with_key.out) == (2, ""), with_key.err
    assert "--adopt-ledger" in with_key.err
    adopted = _again(other, "--adopt-ledger", OPTR_LEDGER_KEY_FILE=str(key))
    assert adopted.code == 0, adopted.err
    run = ["MAEG_CREATED", "OPTR_SELECTED"]
    assert other.line_types() == [*run, "LEDGER_ADOPTED", *run]  # said on the ledger itself, too
    assert other.optr("verify-ledger").code == 0


def test_adopting_a_tampered_branch_is_refused(bench: Bench, tmp_path: Path) -> None:
    key = _key(bench)
    _rewrite(bench, "datalake/ledger.jsonl", '"workflow":"one"', '"workflow":"two"')
    other = Bench(bench.repo, tmp_path / "elsewhere")
    other.state.mkdir()
    ran = _again(other, "--adopt-ledger", OPTR_LEDGER_KEY_FILE=str(key))
    assert (ran.code, ran.out) == (20, ""), ran.err
