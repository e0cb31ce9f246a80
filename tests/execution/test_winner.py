import pytest

from execution.gitcmd import GitError, run_git
from execution.winner import commit_patch
from tests.execution.rooms import Origin

WHEN_MS = 1_795_000_000_123


def _patch(origin: Origin, base: str) -> bytes:
    (origin.tree / "a.txt").write_text("two\n")
    (origin.tree / "new").mkdir()
    (origin.tree / "new" / "ü.bin").write_bytes(bytes(range(256)))
    (origin.tree / "gone.txt").unlink()
    origin.git("add", "--all")
    return run_git(origin.git_dir, "diff", "--cached", "--binary", "--full-index", "--no-renames", base)


def test_the_same_words_make_the_same_commit(origin: Origin) -> None:
    base = origin.commit({"a.txt": "one\n", "gone.txt": "x\n"})
    patch = _patch(origin, base)
    first = commit_patch(origin.git_dir, base, patch, "Win\n\nBody ✓\n", WHEN_MS)
    assert commit_patch(origin.git_dir, base, patch, "Win\n\nBody ✓\n", WHEN_MS) == first
    commit, tree = first
    assert origin.git("rev-parse", f"{commit}^{{tree}}") == tree
    shown = origin.git("show", "--no-patch", "--format=%an <%ae> %at %cn %ct %P %B", commit)
    assert shown == f"OPTR <optr@localhost> 1795000000 OPTR 1795000000 {base} Win\n\nBody ✓"
    assert tree == origin.git("write-tree")
    assert origin.git("ls-tree", "-r", "--name-only", "-z", tree).split("\0") == ["a.txt", "new/ü.bin", ""]


def test_nothing_else_moves(origin: Origin) -> None:
    base = origin.commit({"a.txt": "one\n", "gone.txt": "x\n"})
    patch = _patch(origin, base)
    before = origin.git("for-each-ref"), origin.git("status", "--porcelain"), origin.git("rev-parse", "HEAD")
    commit_patch(origin.git_dir, base, patch, "Win", WHEN_MS)
    assert (origin.git("for-each-ref"), origin.git("status", "--porcelain"), origin.git("rev-parse", "HEAD")) == before


def test_time_and_message_are_part_of_it(origin: Origin) -> None:
    base = origin.commit({"a.txt": "one\n", "gone.txt": "x\n"})
    patch = _patch(origin, base)
    variants = {commit_patch(origin.git_dir, base, patch, text, when)[0] for text in "ab" for when in (1000, 2000)}
    assert len(variants) == 4


def test_a_patch_for_another_base_is_refused(origin: Origin) -> None:
    base = origin.commit({"a.txt": "one\n", "gone.txt": "x\n"})
    patch = _patch(origin, base)
    other = origin.commit({"a.txt": "three\n"})
    with pytest.raises(GitError, match=r"patch does not apply|does not exist"):
        commit_patch(origin.git_dir, other, patch, "Win", WHEN_MS)


def test_configuration_and_hooks_of_the_repository_do_not_matter(origin: Origin) -> None:
    base = origin.commit({"a.txt": "one\n", "gone.txt": "x\n"})
    patch = _patch(origin, base)
    clean = commit_patch(origin.git_dir, base, patch, "Win", WHEN_MS)
    for key, value in (("user.name", "Mallory"), ("commit.gpgSign", "true"), ("i18n.commitEncoding", "latin1")):
        origin.git("config", key, value)
    origin.git("config", "apply.whitespace", "fix")
    assert commit_patch(origin.git_dir, base, patch, "Win", WHEN_MS) == clean
