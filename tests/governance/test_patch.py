import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.patch import (
    ChangeKind,
    FileChange,
    PatchCode,
    PatchJudgement,
    PatchPolicy,
    PatchSyntaxError,
    judge_patch,
    parse_patch,
    shown,
)
from governance.protected import PROTECTED, fold, matched

A, B, ZERO = "a" * 40, "b" * 40, "0" * 40
RULES = PatchPolicy()


def modified(path: str = "x.py", mode: str = "100644") -> bytes:
    return (
        f"diff --git a/{path} b/{path}\nindex {A}..{B} {mode}\n--- a/{path}\n+++ b/{path}\n@@ -1,2 +1,3 @@ def f():\n"
        " same\n-old\n+new\n+more\n"
    ).encode()


def added(path: str, mode: str = "100644", line: str = "new") -> bytes:
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\nindex {ZERO}..{B}\n--- /dev/null\n+++ b/{path}\n"
        f"@@ -0,0 +1 @@\n+{line}\n"
    ).encode()


def deleted(path: str, mode: str = "100644") -> bytes:
    return (
        f"diff --git a/{path} b/{path}\ndeleted file mode {mode}\nindex {A}..{ZERO}\n--- a/{path}\n+++ /dev/null\n"
        "@@ -1 +0,0 @@\n-old\n"
    ).encode()


def change(path: str, **fields: object) -> FileChange:
    return FileChange.model_validate(
        {"path": path, "kind": ChangeKind.MODIFIED, "old_mode": "100644", "new_mode": "100644", **fields}
    )


def new(path: str, **fields: object) -> FileChange:
    return change(path, kind=ChangeKind.ADDED, old_mode="000000", **fields)


def judge(*changes: FileChange, base: frozenset[str] = frozenset(), rules: PatchPolicy = RULES) -> PatchJudgement:
    return judge_patch(changes, size=100, base_paths=base, rules=rules)


def codes(*changes: FileChange, base: frozenset[str] = frozenset(), rules: PatchPolicy = RULES) -> list[PatchCode]:
    return [finding.code for finding in judge(*changes, base=base, rules=rules).violations]


def test_a_modification() -> None:
    (found,) = parse_patch(modified())
    assert found == change("x.py", added=2, deleted=1, added_lines=("new", "more"))


def test_several_files_in_order() -> None:
    found = parse_patch(modified("b") + added("a") + deleted("c"))
    assert [(one.path, one.kind) for one in found] == [
        ("b", ChangeKind.MODIFIED),
        ("a", ChangeKind.ADDED),
        ("c", ChangeKind.DELETED),
    ]


def test_an_empty_patch_has_no_files() -> None:
    assert parse_patch(b"") == ()


def test_empty_files_come_and_go() -> None:
    come = f"diff --git a/e b/e\nnew file mode 100644\nindex {ZERO}..{B}\n".encode()
    go = f"diff --git a/f b/f\ndeleted file mode 100644\nindex {A}..{ZERO}\n".encode()
    assert [one.kind for one in parse_patch(come + go)] == [ChangeKind.ADDED, ChangeKind.DELETED]


def test_a_mode_change_with_and_without_content() -> None:
    bare = b"diff --git a/x b/x\nold mode 100644\nnew mode 100755\n"
    full = bare + f"index {A}..{B}\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n".encode()
    for patch in (bare, full):
        (found,) = parse_patch(patch)
        assert (found.kind, found.old_mode, found.new_mode) == (ChangeKind.MODE, "100644", "100755")


def test_missing_final_line_feeds_on_both_sides() -> None:
    mark = b"\\ No newline at end of file\n"
    patch = f"diff --git a/x b/x\nindex {A}..{B} 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n".encode()
    (found,) = parse_patch(patch + b"-a\n" + mark + b"+b\n" + mark)
    assert (found.added, found.deleted) == (1, 1)


def test_binary_content() -> None:
    patch = f"diff --git a/x b/x\nindex {A}..{B} 100644\nGIT binary patch\n".encode()
    (found,) = parse_patch(patch + b"delta 8\nPcmZo*`o}!s|AhYl5p@Kj\n\ndelta 8\nPcmeyz+`u&9KjVJ@5mf{e\n\n")
    assert (found.binary, found.added, found.expanded) == (True, 0, 510)


@pytest.mark.parametrize(
    ("quoted", "path"),
    [
        (r"n\303\251", "né"),
        (r"tab\there", "tab\there"),
        (r"quote\"d", 'quote"d'),
        (r"back\\slash", "back\\slash"),
        (r"line\nfeed", "line\nfeed"),
        (r"\001", "\x01"),
    ],
)
def test_quoted_paths(quoted: str, path: str) -> None:
    patch = (
        f'diff --git "a/{quoted}" "b/{quoted}"\nnew file mode 100644\nindex {ZERO}..{B}\n--- /dev/null\n'
        f'+++ "b/{quoted}"\n@@ -0,0 +1 @@\n+x\n'
    )
    (found,) = parse_patch(patch.encode())
    assert found.path == path


def test_a_path_with_blanks_carries_gits_tab() -> None:
    patch = modified("a b/c d.py").replace(b"--- a/a b/c d.py", b"--- a/a b/c d.py\t")
    (found,) = parse_patch(patch.replace(b"+++ b/a b/c d.py", b"+++ b/a b/c d.py\t"))
    assert found.path == "a b/c d.py"


def test_lines_that_look_like_headers_are_content() -> None:
    patch = f"diff --git a/x b/x\nindex {A}..{B} 100644\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n".encode()
    (found,) = parse_patch(patch + b"--- a/y\n-diff --git a/z b/z\n+++ b/y\n+@@ -1 +1 @@\n+diff --git a/.git b/.git\n")
    assert (found.path, found.added, found.deleted) == ("x", 3, 2)


@pytest.mark.parametrize(
    ("patch", "complaint"),
    [
        (b"hello\n", "expected `diff --git`"),
        (b"From: somebody\n" + modified(), "expected `diff --git`"),
        (modified()[:-1], "cut off"),
        (modified()[:-10] + b"\n", "ends early|does not hold"),
        (modified() + b"trailing\n", "expected `diff --git`"),
        (modified() + b"@@ -9 +9 @@\n", "ends early"),
        (modified().replace(b"+++ b/x.py", b"+++ b/.git/config"), "differs from the header"),
        (modified().replace(b"--- a/x.py", b"--- /dev/null"), "differs from the header"),
        (modified().replace(b" b/x.py\nindex", b" b/y.py\nindex"), "halves differ"),
        (modified().replace(b"a/x.py b/x.py\n", b"x.py x.py\n"), "a/ and b/"),
        (modified().replace(A.encode(), b"aaaaaaa"), "full object ids"),
        (modified().replace(b" 100644", b" 100664"), "mode that git does not have"),
        (modified().replace(b" 100644", b""), "without a mode"),
        (modified().replace(b"index", b"similarity index 90%\nrename from x\nrename to y\nindex"), "without"),
        (modified().replace(b"-1,2 +1,3", b"-1,2 +1,2"), "does not hold|expected"),
        (modified().replace(b"@@ -1,2", b"@@ -x,2"), "hunk header"),
        (modified().replace(b" same", b"same"), "does not hold"),
        (b"diff --git a/x b/x\nold mode 100644\nnew mode 100644\n", "old mode without"),
        (b"diff --git a/x b/x\nold mode 100644\n", "old mode without"),
        (b"diff --git a/ b/\nold mode 100644\nnew mode 100755\n", "halves differ"),
        (f"diff --git a/x b/x\nindex {A}..{B} 100644\n".encode(), "without any change"),
        (f"diff --git a/x b/x\nindex {A}..{B} 100644\nBinary files differ\n".encode(), "without any change"),
        (f"diff --git a/x b/x\nindex {A}..{B} 100644\nGIT binary patch\nliteral 3\n??\n\n".encode(), "binary line"),
        (f"diff --git a/x b/x\nindex {A}..{B} 100644\nGIT binary patch\n\n".encode(), "without a size"),
        (b'diff --git "a/\\q" "b/\\q"\nold mode 100644\nnew mode 100755\n', "unknown escape"),
        (b'diff --git "a/\\377" "b/\\377"\nold mode 100644\nnew mode 100755\n', "not UTF-8"),
        (b'diff --git "a/x" b/x\nold mode 100644\nnew mode 100755\n', "cannot be read"),
        (b"diff --git a/x b/x\nnew file mode 100644\n", "index line"),
        (b"\xff\xfe\n", "expected"),
        (b"diff --combined x\n", "expected"),
    ],
)
def test_what_git_would_not_write_is_refused(patch: bytes, complaint: str) -> None:
    with pytest.raises(PatchSyntaxError, match=complaint) as refused:
        parse_patch(patch)
    assert re.match(r"line \d+: |the patch's last line", str(refused.value))


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused(noise: bytes) -> None:
    for patch in (noise, modified() + noise, noise + modified(), modified().replace(b"same", noise)):
        try:
            parse_patch(patch)
        except PatchSyntaxError:
            continue


@given(st.text(alphabet=string.ascii_letters + " ./-", min_size=1, max_size=40))
def test_plain_paths_survive(path: str) -> None:
    patch = f"diff --git a/{path} b/{path}\nold mode 100644\nnew mode 100755\n".encode()
    (found,) = parse_patch(patch)
    assert found.path == path


def test_a_good_patch_is_neither_refused_nor_remarked_on() -> None:
    assert judge(change("src/x.py"), new("tests/test_x.py"), base=frozenset({"src/x.py"})) == PatchJudgement()


def test_an_empty_patch_is_refused() -> None:
    assert codes() == [PatchCode.EMPTY]


def test_a_small_patch_that_would_grow_large_is_refused() -> None:
    judged = judge(new("bomb", binary=True, expanded=2**30), rules=PatchPolicy(binary=True))
    assert [finding.code for finding in judged.violations] == [PatchCode.TOO_LARGE]


def test_size_and_number_of_files() -> None:
    rules = PatchPolicy(files_max=1, bytes_max=99)
    assert codes(change("a"), change("b"), rules=rules) == [PatchCode.TOO_LARGE, PatchCode.TOO_MANY_FILES]


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/etc/passwd", "a//b", "./x", "a/.", "C:/x", "..\\x", "\\x", "a/"]
)
def test_paths_that_leave(path: str) -> None:
    assert PatchCode.TRAVERSAL in codes(new(path))


@pytest.mark.parametrize("path", ["a\nb", "a\x7fb", "a\tb", "a\\b", "a/" + "b" * 1001])
def test_paths_that_are_not_plain(path: str) -> None:
    assert PatchCode.BAD_PATH in codes(new(path))


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".GIT/hooks/x",
        "sub/.git/HEAD",
        "git~1/config",
        "Git~1/x",
        ".git./x",
        ".git /x",
        ".g\u200cit/x",
        ".git::$INDEX_ALLOCATION/config",
        "sub\\.git\\config",
        "\uff0egit/config",
        ".git",
    ],
)
def test_git_directories_under_any_name(path: str) -> None:
    assert PatchCode.GIT_DIRECTORY in codes(new(path))


def test_links_submodules_and_modes() -> None:
    assert codes(new("l", new_mode="120000")) == [PatchCode.SYMLINK]
    assert codes(change("l", old_mode="120000", new_mode="120000")) == [PatchCode.SYMLINK]
    assert codes(new("s", new_mode="160000")) == [PatchCode.SUBMODULE]
    assert codes(change("s", kind=ChangeKind.DELETED, old_mode="160000", new_mode="000000")) == [PatchCode.SUBMODULE]
    assert codes(change("x", kind=ChangeKind.MODE, new_mode="100755")) == [PatchCode.MODE_CHANGE]


def test_binary_is_a_choice_and_deleting_it_is_not() -> None:
    assert codes(new("x.png", binary=True)) == [PatchCode.BINARY]
    assert codes(new("x.png", binary=True), rules=PatchPolicy(binary=True)) == []
    assert codes(change("x.png", binary=True, kind=ChangeKind.DELETED, new_mode="000000")) == []


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("README.MD", "README.md"),
        ("Src/y.py", "src/x.py"),
        ("café", "café"),
        ("a/b", "a"),
        ("x\u200b", "x"),
        ("ﬁle", "file"),
        ("a.", "a"),
        ("STRASSE", "straße"),
    ],
)
def test_paths_that_meet_on_other_file_systems(path: str, base: str) -> None:
    assert codes(new(path), base=frozenset({base})) == [PatchCode.PATH_COLLISION]


def test_two_new_paths_that_meet() -> None:
    assert set(codes(new("a/x"), new("A/x"))) == {PatchCode.PATH_COLLISION}


def test_renaming_by_case_is_no_collision() -> None:
    gone = change("readme.md", kind=ChangeKind.DELETED, new_mode="000000")
    assert codes(gone, new("README.md"), base=frozenset({"readme.md"})) == []


def test_a_collision_that_the_base_already_has_is_not_the_candidates() -> None:
    assert codes(new("z"), base=frozenset({"A", "a"})) == []


def test_the_same_path_twice() -> None:
    assert codes(change("x"), change("x")) == [PatchCode.PATH_COLLISION]
    gone = change("x", kind=ChangeKind.DELETED, new_mode="000000")
    assert codes(gone, new("x"), base=frozenset({"x"})) == []


@pytest.mark.parametrize(
    "path",
    [
        ".github/optr.yml",
        ".github/CODEOWNERS",
        "CODEOWNERS",
        "docs/CODEOWNERS",
        "AGENTS.md",
        "pkg/AGENTS.md",
        "claude.md",
        ".claude/settings.json",
        "a/.cursor/rules/x",
        ".mcp.json",
        ".codex/config.toml",
        "GEMINI.md",
        ".gitmodules",
        "sub/.gitattributes",
        ".GitHub/dependabot.yml",
        ".vscode/tasks.json",
        ".husky/pre-commit",
        ".npmrc",
        ".devcontainer/devcontainer.json",
        "A\u200bGENTS.md",
        ".github/workflows/ci.yml",
    ],
)
def test_protected_paths(path: str) -> None:
    assert codes(change(path), base=frozenset({path})) == [PatchCode.PROTECTED]


@pytest.mark.parametrize("path", ["src/agents.py", "github/x", "docs/AGENTS.md.txt", "mcp.jsonl", "x/CODEOWNERS"])
def test_paths_that_only_look_protected(path: str) -> None:
    assert codes(new(path)) == []


def test_protection_may_be_left_to_people_but_not_for_workflows() -> None:
    rules = PatchPolicy(protected=("infra/**",), protected_policy="require_approval")
    judged = judge(change("AGENTS.md"), change("infra/x/y.tf"), change(".github/workflows/ci.yml"), rules=rules)
    assert [finding.text for finding in judged.violations] == [
        "`.github/workflows/ci.yml` is a workflow file, which OPTR has no permission to push."
    ]
    assert [finding.code for finding in judged.warnings] == [PatchCode.PROTECTED, PatchCode.PROTECTED]


def test_further_globs_are_added_to_the_built_in_ones() -> None:
    rules = PatchPolicy(protected=("infra/", "*.lock"))
    assert (
        codes(change("infra/x/y.tf"), change("top.lock"), change("AGENTS.md"), rules=rules) == [PatchCode.PROTECTED] * 3
    )


def test_lockfiles_and_new_programs_are_remarked_on() -> None:
    judged = judge(change("web/package-lock.json"), new("run.sh", new_mode="100755"))
    assert [finding.code for finding in judged.warnings] == [PatchCode.LOCKFILE, PatchCode.EXECUTABLE]
    assert judged.violations == ()


def test_a_thousand_findings_do_not_flood() -> None:
    judged = judge(*(new(f"../{n}") for n in range(1000)))
    assert len(judged.violations) == 50
    assert judged.violations[-1].text == "952 more findings are left out"


def test_sentences_show_paths_harmlessly() -> None:
    assert shown("a\n\u202eb") == r"`a\n\u202eb`"
    assert len(shown("x" * 5000)) < 130


@given(st.text(max_size=60))
def test_folding_is_stable(path: str) -> None:
    assert fold(fold(path)) == fold(path)


def test_every_built_in_glob_matches_something_it_names() -> None:
    for glob in PROTECTED:
        example = glob.replace("**/", "deep/er/").replace("/**", "/a/b").replace("*", "x")
        assert matched(example, (glob,)) == glob
