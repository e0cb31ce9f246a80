import zlib
from pathlib import Path

from execution.gitcmd import run_git
from execution.history import verify_history
from tests.execution.rooms import Origin


def test_a_whole_history_is_read_back(origin: Origin) -> None:
    origin.commit({"a.txt": "1\n"})
    base = origin.commit({"a.txt": "2\n", "deep/er/b.txt": "x\n"})
    found = verify_history(origin.git_dir, base, "main")
    assert (found.verified, found.commits, found.trees, found.whole) == (True, 2, 3, True)


def test_a_merge_has_two_parents(origin: Origin) -> None:
    origin.commit({"a.txt": "1\n"})
    origin.git("checkout", "-q", "-b", "side")
    origin.commit({"b.txt": "1\n"})
    origin.git("checkout", "-q", "main")
    origin.commit({"c.txt": "1\n"})
    origin.git("merge", "-q", "--no-edit", "side")
    found = verify_history(origin.git_dir, origin.git("rev-parse", "HEAD"), "main")
    assert (found.verified, found.commits) == (True, 4)


def test_a_base_beside_the_branch_is_not_verified(origin: Origin) -> None:
    origin.commit({"a.txt": "1\n"})
    stray = origin.commit({"a.txt": "2\n"})
    origin.git("reset", "-q", "--hard", "HEAD~1")
    found = verify_history(origin.git_dir, stray, "main")
    assert not found.verified
    assert "not on the branch" in str(found.problem)


def test_a_shallow_clone_is_not_verified(origin: Origin, tmp_path: Path) -> None:
    origin.commit({"a.txt": "1\n"})
    base = origin.commit({"a.txt": "2\n"})
    run_git(
        origin.git_dir,
        *("-c", "protocol.file.allow=always", "clone", "--quiet", "--bare", "--depth=1"),
        *(f"file://{origin.git_dir}", str(tmp_path / "shallow")),
    )
    found = verify_history(tmp_path / "shallow", base, "main")
    assert "shallow" in str(found.problem)


def test_bytes_that_are_not_what_the_id_says(origin: Origin) -> None:
    """A loose object rewritten in place: git may read it without a word."""
    base = origin.commit({"a.txt": "1\n", "d/b.txt": "1\n"})
    tree = origin.git("rev-parse", "HEAD:d")
    path = origin.git_dir / "objects" / tree[:2] / tree[2:]
    content = zlib.decompress(path.read_bytes()).replace(b"b.txt", b"c.txt")
    path.chmod(0o644)
    path.write_bytes(zlib.compress(content))
    assert not verify_history(origin.git_dir, base, "main").verified


def test_a_missing_commit_is_not_verified(origin: Origin) -> None:
    first = origin.commit({"a.txt": "1\n"})
    base = origin.commit({"a.txt": "2\n"})
    (origin.git_dir / "objects" / first[:2] / first[2:]).unlink()
    assert not verify_history(origin.git_dir, base, "main").verified
